//! The container of native resources: what `executionAsyncResource()` finds where the JavaScript array has nothing.
//!
//! Node 20 has a `std::vector<Local>`, Node 22 and 24 a `std::deque<Local*>`, Node 26 a `std::deque` of variants of `Local*`
//! and `Global*`. A Local is the address of a handle; a null element is a hole. A deque of libstdc++ is
//! {map, size, start {current, first, last, node}, finish {...}} with chunks of 512 bytes.

use crate::v8::learn::peek::Peek;

/// One element: a `Local`, or a pointer and the variant's index.
pub(super) type Element = [u64; 2];

/// No resource.
pub(super) const NONE: Element = [0; 2];

/// How Node keeps them; told by the signature of `push_async_context`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    VectorOfLocals,
    DequeOfPointers,
    DequeOfVariants,
}

const CHUNK_BYTES: usize = 512;

impl Kind {
    const fn words(self) -> usize {
        if matches!(self, Kind::DequeOfVariants) { 2 } else { 1 }
    }

    const fn bytes(self) -> usize {
        self.words() * 8
    }
}

/// The live container.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resources {
    pub(super) kind: Kind,
    pub(super) at: *mut u64,
}

/// The elements as far as they lie in one piece.
struct Piece {
    begin: *mut u64,
    /// Where the container keeps its end.
    end: *mut *mut u64,
    /// As far as the end may go without an allocation.
    room: *mut u64,
}

impl Resources {
    #[inline(always)]
    fn word(&self, index: usize) -> *mut u64 {
        // SAFETY: within the container's ten words; a vector has three.
        unsafe { self.at.add(index) }
    }

    /// `None` where a deque has several chunks.
    ///
    /// # Safety
    /// On the environment's thread, while it lives; as for all that follow.
    #[inline(always)]
    unsafe fn piece(&self) -> Option<Piece> {
        // SAFETY: the words of a live container.
        unsafe {
            if self.kind == Kind::VectorOfLocals {
                let (begin, room) = (*self.word(0) as *mut u64, *self.word(2) as *mut u64);
                return Some(Piece { begin, end: self.word(1).cast(), room });
            }
            let (first_node, last_node) = (*self.word(5), *self.word(9));
            // A deque allocates its next chunk when the last place is taken.
            (first_node == last_node).then(|| Piece {
                begin: *self.word(2) as *mut u64,
                end: self.word(6).cast(),
                room: (*self.word(4) as *mut u64).wrapping_byte_sub(1),
            })
        }
    }

    /// Makes `element` the last one, at `index`, with holes before it where there were fewer. False where there is no room.
    ///
    /// # Safety
    /// See `piece`; there are at most `index` elements.
    #[inline(always)]
    pub(super) unsafe fn put(&self, index: usize, element: Element) -> bool {
        // SAFETY: what is written lies in the container's own memory, between its end and the end of its room.
        unsafe {
            let Some(piece) = self.piece() else { return false };
            let place = piece.begin.wrapping_add(index * self.kind.words());
            if piece.begin.is_null() || place.wrapping_add(self.kind.words()) > piece.room {
                return false;
            }
            let mut hole = *piece.end;
            while hole < place {
                *hole = 0;
                hole = hole.add(1);
            }
            *place = element[0];
            if self.kind == Kind::DequeOfVariants {
                *place.add(1) = element[1];
            }
            *piece.end = place.add(self.kind.words());
            true
        }
    }

    /// Forgets all from `length` on. In several pieces it leaves them: Node cuts them itself when it next pops.
    ///
    /// # Safety
    /// See `piece`.
    #[inline(always)]
    pub(super) unsafe fn cut(&self, length: usize) {
        // SAFETY: only the end moves, to an earlier element; elements have no destructors.
        unsafe {
            if let Some(piece) = self.piece() {
                let end = piece.begin.wrapping_add(length * self.kind.words());
                if *piece.end > end {
                    *piece.end = end;
                }
            }
        }
    }

    /// The element at `index`; none where there are fewer.
    ///
    /// # Safety
    /// See `piece`.
    pub(super) unsafe fn get(&self, index: usize) -> Element {
        let words = self.kind.words();
        // SAFETY: what is read lies before the container's end.
        let read = |place: *const u64| unsafe { [*place, if words == 2 { *place.add(1) } else { 0 }] };
        // SAFETY: as above.
        unsafe {
            if let Some(piece) = self.piece() {
                let place = piece.begin.wrapping_add(index * words);
                return if place < *piece.end { read(place) } else { NONE };
            }
            let bytes = self.kind.bytes();
            let offset = (*self.word(2) - *self.word(3)) as usize / bytes;
            let in_last = (*self.word(6) - *self.word(7)) as usize / bytes;
            let chunks = (*self.word(9) - *self.word(5)) as usize / 8;
            let (chunk, place) =
                ((index + offset) / (CHUNK_BYTES / bytes), (index + offset) % (CHUNK_BYTES / bytes));
            if chunk > chunks || (chunk == chunks && place >= in_last) {
                return NONE;
            }
            let chunk = *(*self.word(5) as *const u64).add(chunk) as *const u64;
            read(chunk.add(place * words))
        }
    }

    /// Whether the container has `length` elements and the last leads to `resource`, a tagged word.
    pub(super) fn ends_with(&self, length: usize, resource: u64, peek: &Peek) -> bool {
        let bytes = self.kind.bytes();
        let last = match self.kind {
            Kind::VectorOfLocals => self.end_of_vector(length, peek),
            _ => self.end_of_deque(length, peek),
        };
        let handle = last.and_then(|end| peek.word(end - bytes)).and_then(|element| match self.kind {
            Kind::VectorOfLocals => Some(element),
            _ => peek.word(element as usize),
        });
        handle.and_then(|handle| peek.word(handle as usize)) == Some(resource)
    }

    /// Where a vector of `length` elements ends.
    fn end_of_vector(&self, length: usize, peek: &Peek) -> Option<usize> {
        let words = peek.words(self.at as usize, 3)?;
        let [begin, end, room] = [words[0], words[1], words[2]];
        let fits = end.wrapping_sub(begin) == (length * self.kind.bytes()) as u64 && end <= room;
        fits.then_some(end as usize)
    }

    /// Where the last element of a deque of `length` ends.
    fn end_of_deque(&self, length: usize, peek: &Peek) -> Option<usize> {
        let words = peek.words(self.at as usize, 10)?;
        let &[map, size, current, first, last, node, end, end_first, end_last, end_node] = words.as_slice()
        else {
            return None;
        };
        let chunk = CHUNK_BYTES as u64;
        let in_map = |node: u64| (map..map.wrapping_add(8 * size)).contains(&node);
        let shaped = in_map(node)
            && in_map(end_node)
            && (last.wrapping_sub(first), end_last.wrapping_sub(end_first)) == (chunk, chunk)
            && (peek.word(node as usize), peek.word(end_node as usize)) == (Some(first), Some(end_first));
        let before_end = end_node.wrapping_sub(node) / 8 * chunk;
        let live =
            before_end.wrapping_sub(current.wrapping_sub(first)).wrapping_add(end.wrapping_sub(end_first));
        if !shaped || live != (length * self.kind.bytes()) as u64 {
            return None;
        }
        // An end at the beginning of a chunk: the last element ends the one before.
        if end > end_first {
            Some(end as usize)
        } else {
            peek.word(end_node as usize - 8).map(|at| at as usize + CHUNK_BYTES)
        }
    }
}
