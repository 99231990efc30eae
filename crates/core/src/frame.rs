//! The explicit frame registry: for each stack, a chain of records that say who is on it.
//!
//! [`frame!`](crate::frame!) puts a record into the running function's own native frame:
//!
//! ```text
//!   base ┌───────────────────┐
//!        │ outer's frame     │
//!        │   Record "outer"  │◄──┐  below = null: the outermost
//!        ├───────────────────┤   │
//!        │ (any other frame) │   │
//!        ├───────────────────┤   │
//!        │ inner's frame     │   │
//!        │   Record "inner"  ├───┘  below
//!        └───────▲───────────┘
//!                │
//!               TOP (a thread-local) while this stack runs,
//!               the host's state of the stack while it is suspended
//! ```
//!
//! Entering fills the record's two words and stores to `TOP`, leaving stores to `TOP`; nothing is allocated. This is CPython 3.12's
//! structure, with its virtue, and without its fault: the links are addresses on the stack they describe, so that they hold for
//! as long as that stack lies in its slot, and a copy of it whose own addresses were moved along can be walked like the original.

use std::cell::Cell;
use std::marker::PhantomPinned;
use std::ptr::null;
use std::{fmt, process};

use crate::host::Relocation;

thread_local! {
    /// The innermost record of the stack that runs. Without a destructor, so it can be used at any time in a thread's life.
    pub(crate) static TOP: Cell<*const Record> = const { Cell::new(null()) };
}

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
    /// For the macro: what one `frame!` says about itself, known at compile time.
    #[doc(hidden)]
    pub const fn new(name: &'static str, file: &'static str, line: u32) -> Frame {
        Frame { name, file, line }
    }
}

/// One link of the chain. Two words, so that a spilled stack grows little by it.
#[doc(hidden)]
#[derive(Debug)]
#[repr(C)]
pub struct Record {
    /// The record further out: an address on the same stack, or null.
    below: Cell<*const Record>,
    frame: &'static Frame,
    _pinned: PhantomPinned,
}

impl Record {
    /// A record that is on no chain yet.
    #[inline(always)]
    pub const fn new(frame: &'static Frame) -> Record {
        Record { below: Cell::new(null()), frame, _pinned: PhantomPinned }
    }
}

/// Keeps a record on the chain of the running stack.
#[doc(hidden)]
#[derive(Debug)]
pub struct Guard<'a>(&'a Record);

impl<'a> Guard<'a> {
    /// Puts `record` on top.
    ///
    /// # Safety
    /// The guard is dropped before `record` goes: it is a local that nobody can move or forget.
    #[inline(always)]
    pub unsafe fn push(record: &'a Record) -> Guard<'a> {
        TOP.with(|top| record.below.set(top.replace(record)));
        Guard(record)
    }
}

impl Drop for Guard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        TOP.with(|top| {
            // Locals are dropped in order, so this fails for none of them. But a future that is polled here and dropped there
            // is no frame of a stack, and would leave a link to freed memory behind.
            if top.get() != self.0 {
                out_of_order(self.0.frame);
            }
            top.set(self.0.below.get());
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
pub(crate) struct Chain(Cell<*const Record>);

impl Chain {
    /// The chain of a stack that nothing runs on.
    pub(crate) fn empty() -> Chain {
        Chain(Cell::new(null()))
    }

    /// Takes the running stack's chain away; what runs next starts with none.
    #[inline(always)]
    pub(crate) fn detach() -> Chain {
        Chain(Cell::new(TOP.replace(null())))
    }

    /// Makes this the running stack's chain.
    #[inline(always)]
    pub(crate) fn attach(&self) {
        TOP.set(self.0.get());
    }

    /// The stack's bytes have moved, and the links between the records in them.
    pub(crate) fn relocate(&self, moved: &Relocation) {
        if let Some(top) = moved.new_address(self.0.get() as usize) {
            self.0.set(top as *const Record);
        }
    }

    /// Copies the frames, innermost first.
    ///
    /// # Safety
    /// The stack that the chain was detached from is suspended, or never ran.
    pub(crate) unsafe fn read(&self) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut next = self.0.get();
        // SAFETY: a record is on the chain only as long as its guard lives. The stack is suspended, so no guard has gone since,
        // and each link leads to a record that was on the chain before this one and leaves it later, or is null.
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
/// let greenlet = Greenlet::new(|_| {
///     frame!("handler");
///     query()
/// });
/// greenlet.switch(Box::new(()))?;
///
/// let stack = greenlet.stack().expect("it is suspended");
/// let names: Vec<_> = stack.get()?.iter().map(|frame| frame.name).collect();
/// assert_eq!(names, ["query", "handler"]);
/// # Ok::<(), Thrown>(())
/// ```
///
/// It belongs into functions. In an async block a frame must end before the next `.await`: one that does not end where it
/// began aborts the process.
#[macro_export]
macro_rules! frame {
    ($name:expr) => {
        let record = $crate::__frame::Record::new(const { &$crate::Frame::new($name, file!(), line!()) });
        // SAFETY: both are locals of this block, named by this macro alone, so nobody can move or forget them; locals are
        // dropped in the reverse order, so the guard goes first.
        let _guard = unsafe { $crate::__frame::Guard::push(&record) };
    };
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn names_now() -> Vec<&'static str> {
        let chain = Chain(Cell::new(TOP.get()));
        // SAFETY: nothing leaves the chain while this function reads it.
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
    fn a_panic_ends_the_frames_it_leaves_and_no_others() {
        frame!("catches");
        let result = catch_unwind(AssertUnwindSafe(|| {
            frame!("panics");
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(result.is_err());
        assert_eq!(names_now(), ["catches"]);
    }

    #[test]
    fn a_detached_chain_leaves_none_and_comes_back_whole() {
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
    fn a_frame_knows_where_it_is() {
        let line = line!() + 1;
        frame!(concat!("na", "me"));
        // SAFETY: nothing leaves the chain while it is read.
        let frames = unsafe { Chain(Cell::new(TOP.get())).read() };
        assert_eq!(frames, [Frame { name: "name", file: file!(), line }]);
        assert_eq!(frames[0].to_string(), format!("name ({}:{line})", file!()));
    }

    #[test]
    fn a_record_is_two_words() {
        assert_eq!(size_of::<Record>(), 2 * size_of::<usize>());
    }
}
