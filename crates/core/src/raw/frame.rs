//! The explicit frame registry: for each stack, a chain of records, one for each visible function on it.
//!
//! [`frame!`](crate::frame!) puts a record into the running function's own native frame:
//!
//! ```text
//!   base ┌───────────────────┐
//!        │ outer's frame     │
//!        │   FrameRecord     │◄──┐  below = null: the outermost
//!        ├───────────────────┤   │
//!        │ (any other frame) │   │
//!        ├───────────────────┤   │
//!        │ inner's frame     │   │
//!        │   FrameRecord     ├───┘  below
//!        └───────▲───────────┘
//!                │
//!               TOP_FRAME (a thread-local) while this stack runs,
//!               the host's state of the stack while it is suspended
//! ```
//!
//! Entering fills the record's two words and stores to `TOP_FRAME`, leaving stores to `TOP_FRAME`; nothing is allocated. CPython
//! 3.12 links its frames in the same way, at the same low cost. There the links break when a stack is moved; here they do not.
//! They are addresses on the stack they describe, so they are valid as long as that stack is in its slot, and a spilled copy,
//! in which such addresses were changed to addresses in the copy, can be walked like the original.
//!
//! # Contract
//! * "on the chain": a record is on the chain only as long as its guard exists, and guards end in the reverse order. So each
//!   link of a stack that does not run leads to a record that exists, or is null.

use std::cell::Cell;
use std::marker::PhantomPinned;
use std::ptr::null;
use std::{fmt, process};

use crate::fiber::carried::TOP_FRAME;
use crate::raw::relocation::Relocation;

/// A function that [`frame!`](crate::frame!) made visible, as plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Frame {
    /// The name it was given.
    pub name: &'static str,
    /// Source file of the `frame!`.
    pub file: &'static str,
    /// Line of the `frame!`.
    pub line: u32,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.name, self.file, self.line)
    }
}

impl Frame {
    /// For the macro: the description of one `frame!`, known at compile time.
    #[doc(hidden)]
    pub const fn new(name: &'static str, file: &'static str, line: u32) -> Frame {
        Frame { name, file, line }
    }
}

/// One link of the chain. Two words, so that it adds little to a spilled stack.
#[doc(hidden)]
#[derive(Debug)]
#[repr(C)]
pub struct FrameRecord {
    /// The record further out: an address on the same stack, or null.
    below: Cell<*const FrameRecord>,
    frame: &'static Frame,
    _pinned: PhantomPinned,
}

impl FrameRecord {
    /// A record that is on no chain yet.
    #[inline(always)]
    pub const fn new(frame: &'static Frame) -> FrameRecord {
        FrameRecord { below: Cell::new(null()), frame, _pinned: PhantomPinned }
    }
}

/// Keeps a record on the chain of the running stack.
#[doc(hidden)]
#[derive(Debug)]
pub struct Guard<'a>(&'a FrameRecord);

impl<'a> Guard<'a> {
    /// Puts `record` on top.
    ///
    /// # Safety
    /// The guard is dropped before `record`: it is a local that no code can move or forget.
    #[inline(always)]
    pub unsafe fn push(record: &'a FrameRecord) -> Guard<'a> {
        TOP_FRAME.with(|top| record.below.set(top.replace(std::ptr::from_ref(record).cast()).cast()));
        Guard(record)
    }
}

impl Drop for Guard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        TOP_FRAME.with(|top| {
            // Locals are dropped in order, so this check fails for none of them. A future can be polled in one place and dropped
            // in another; it is no frame of a stack, and would leave a link to freed memory behind.
            if top.get() != std::ptr::from_ref(self.0).cast() {
                out_of_order(self.0.frame);
            }
            top.set(self.0.below.get().cast());
        });
    }
}

#[cold]
fn out_of_order(frame: &Frame) -> ! {
    eprintln!(
        "greenlets: frame!({:?}) at {}:{} did not end where it began: on the same greenlet and after all frames \
         inside it; do not use frame! in an async function across .await",
        frame.name, frame.file, frame.line
    );
    process::abort();
}

/// The chain of one stack while it is suspended.
#[derive(Debug)]
pub(crate) struct Chain(Cell<*const FrameRecord>);

impl Chain {
    /// The chain of a stack without frames.
    pub(crate) fn empty() -> Chain {
        Chain(Cell::new(null()))
    }

    /// Takes the running stack's chain away; the stack that runs next starts with none.
    #[inline(always)]
    pub(crate) fn detach() -> Chain {
        Chain(Cell::new(TOP_FRAME.replace(null()).cast()))
    }

    /// Makes this the running stack's chain.
    #[inline(always)]
    pub(crate) fn attach(&self) {
        TOP_FRAME.set(self.0.get().cast());
    }

    /// The stack's bytes have moved, and the links between the records in them were changed.
    pub(crate) fn relocate(&self, moved: &Relocation) {
        if let Some(top) = moved.new_address(self.0.get() as usize) {
            self.0.set(top as *const FrameRecord);
        }
    }

    /// Copies the frames, innermost first.
    ///
    /// # Safety
    /// The stack that the chain was detached from is suspended, or never ran.
    pub(crate) unsafe fn read(&self) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut next = self.0.get();
        // SAFETY: contract clause "on the chain"; the caller promises that the stack does not run.
        while let Some(record) = unsafe { next.as_ref() } {
            frames.push(*record.frame);
            next = record.below.get();
        }
        frames
    }
}

/// Makes the rest of the enclosing block a frame that can be seen while its greenlet is suspended.
///
/// The name is a `&'static str` known at compile time. The frame ends with the block, also by a panic.
///
/// ```
/// use greenlets_core::{Greenlet, Thrown, Value, frame};
///
/// fn query() -> Result<Value, Thrown> {
///     frame!("query");
///     Greenlet::main().switch(Box::new("waiting"))
/// }
///
/// let handler = |_| {
///     frame!("handler");
///     query()
/// };
/// // SAFETY: `query` switches with nothing of a thread-local borrowed, initialised or set.
/// let greenlet = unsafe { Greenlet::new(handler) };
/// greenlet.switch(Box::new(()))?;
///
/// let stack = greenlet.stack().expect("it is suspended");
/// let names: Vec<_> = stack.get()?.iter().map(|frame| frame.name).collect();
/// assert_eq!(names, ["query", "handler"]);
/// # Ok::<(), Thrown>(())
/// ```
///
/// Use it in functions. In an async block a frame must end before the next `.await`: the process is aborted where a frame does
/// not end on the stack it began on.
#[macro_export]
macro_rules! frame {
    ($name:expr) => {
        let record = $crate::__frame::FrameRecord::new(const { &$crate::Frame::new($name, file!(), line!()) });
        // SAFETY: both are locals of this block, named by this macro alone, so no code can move or forget them. Locals are
        // dropped in the reverse order, so the guard is dropped first.
        let _guard = unsafe { $crate::__frame::Guard::push(&record) };
    };
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn names_now() -> Vec<&'static str> {
        let chain = Chain(Cell::new(TOP_FRAME.get().cast()));
        // SAFETY: contract clause "on the chain": no guard is dropped while this function reads.
        unsafe { chain.read() }.iter().map(|frame| frame.name).collect()
    }

    #[test]
    fn frames_are_listed_innermost_first_and_end_with_their_block() {
        assert!(names_now().is_empty());
        {
            frame!("outer");
            {
                frame!("middle");
                frame!("inner");
                assert_eq!(names_now(), ["inner", "middle", "outer"]);
            }
            assert_eq!(names_now(), ["outer"]);
        }
        assert!(names_now().is_empty());
    }

    #[test]
    fn a_panic_ends_the_frames_that_it_unwinds_and_no_others() {
        frame!("catches");
        let result = catch_unwind(AssertUnwindSafe(|| {
            frame!("panics");
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(result.is_err());
        assert_eq!(names_now(), ["catches"]);
    }

    #[test]
    fn a_detached_chain_leaves_no_frames_and_can_be_attached_again() {
        frame!("kept");
        let chain = Chain::detach();
        assert!(names_now().is_empty());
        {
            frame!("another stack");
            assert_eq!(names_now(), ["another stack"]);
        }
        chain.attach();
        assert_eq!(names_now(), ["kept"]);
    }

    #[test]
    fn a_frame_has_the_file_and_line_of_its_macro() {
        let line = line!() + 1;
        frame!(concat!("na", "me"));
        // SAFETY: contract clause "on the chain": no guard is dropped while the chain is read.
        let frames = unsafe { Chain(Cell::new(TOP_FRAME.get().cast())).read() };
        assert_eq!(frames, [Frame { name: "name", file: file!(), line }]);
        assert_eq!(frames[0].to_string(), format!("name ({}:{line})", file!()));
    }

    #[test]
    fn a_record_is_two_words() {
        assert_eq!(size_of::<FrameRecord>(), 2 * size_of::<usize>());
    }
}
