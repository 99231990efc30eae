//! Where V8 begins to follow the frames of a suspended stack, and which of them depend on nothing else. `frames.rs` finds it.

/// Words of an interpreted frame, below its frame pointer: the bytecode array, and the offset in it of the bytecode that runs, a small
/// integer (`InterpreterFrameConstants`, frame-constants.h, the same from 11.3 to 14.6 on x64).
pub(crate) const BYTECODE: usize = 4;
pub(crate) const BYTECODE_OFFSET: usize = 5;

/// `StackFrame::ENTRY` and `CONSTRUCT_ENTRY` as markers: numbers of types are doubled (`StackFrame::TypeToMarker`, frames.h).
pub(crate) const ENTRIES: [u64; 2] = [1 << 1, 2 << 1];
/// Word of JSEntry's frame, below its frame pointer: the exit frame before (`EntryFrameConstants`, frame-constants-x64.h).
pub(crate) const NEXT_EXIT: usize = 8;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frames {
    /// Words of an image: where the chains of exit frames, StackHandlers, TryCatches and Relocatables begin.
    pub(crate) heads: [usize; 4],
    /// Whether JSEntry's frame has a word for a fast call of C.
    pub(crate) has_fast_call: bool,
    /// A bit for each type of frame that may lie on a stack of a class.
    pub(crate) types: u64,
}

impl Frames {
    /// Whether a frame with this marker may lie on a stack of a class: what V8 visits in it depends on the chain of frames alone.
    pub(crate) fn may_visit(&self, marker: u64) -> bool {
        marker & 1 == 0 && marker < 128 && self.types & 1 << (marker / 2) != 0
    }
}
