//! The move of a stack's bytes, and what it does to an address among them.

/// The live bytes of a suspended stack were copied from one place to another: out of its slot, or back. Out of it, what the host does
/// not read ([`Unread`](crate::raw::Unread)) is left out, so the rest comes in up to three pieces.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Relocation {
    pub(crate) pieces: [Piece; Piece::MOST],
    /// Whether they are back in the stack's slot.
    pub home: bool,
}

/// Bytes that were moved together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where they were.
    pub(crate) from: usize,
    /// Where they are now.
    pub(crate) to: usize,
    pub(crate) len: usize,
    /// 1 where the address just behind the last byte belongs to the piece too.
    pub(crate) end: usize,
}

impl Piece {
    pub(crate) const MOST: usize = 3;

    #[inline(always)]
    pub(crate) fn new_address(&self, address: usize) -> Option<usize> {
        let place = address.wrapping_sub(self.from);
        (place < self.len + self.end).then(|| self.to.wrapping_add(place))
    }

    fn reversed(self) -> Piece {
        Piece { from: self.to, to: self.from, ..self }
    }
}

impl Relocation {
    /// Out of the slot, by `pieces`. Those that are not needed are empty.
    pub(crate) fn out(pieces: [Piece; Piece::MOST]) -> Relocation {
        Relocation { pieces, home: false }
    }

    /// The way back of what `pieces` moved out of the slot.
    pub(crate) fn home(pieces: [Piece; Piece::MOST]) -> Relocation {
        Relocation { pieces: pieces.map(Piece::reversed), home: true }
    }

    /// The new address of a moved byte, or of the end just behind the last one; `None` for any other `address`.
    #[inline(always)]
    pub fn new_address(&self, address: usize) -> Option<usize> {
        self.pieces.iter().find_map(|piece| piece.new_address(address))
    }
}
