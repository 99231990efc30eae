//! Fibers: one native stack each, with the machine state that is suspended on it. The lowest room; it imports no other.
//!
//! A fiber is resumed from one place, the trampoline on the thread's own stack ([`crate::raw::Thread`]), and `suspend` sends the
//! trampoline the stack that is to run next. So any fiber can switch to any other. There are three implementations with one
//! interface:
//!
//! * `corosensei.rs`, the default and the reference;
//! * `own.rs`, with the feature `own-switch`: a page of assembly that spares the processor two wrong guesses at return
//!   addresses for each switch there and back;
//! * `threads.rs`, under Miri, which cannot run assembly.
//!
//! ```text
//!   unsafe fn new(bounds, function) -> Fiber     writes the first frame; nothing runs yet
//!   fn resume(&mut self) -> Yielded              runs it until it suspends itself or finishes
//!   unsafe fn abandon(&mut self)                 forgets it without unwinding
//!   fn stack_pointer(&self) -> Option<usize>     where the suspended part begins
//!   fn suspend(&Exit, value)                     inside a fiber: gives control back
//! ```

pub(crate) mod bounds;
pub(crate) mod carried;
#[cfg(not(any(feature = "own-switch", miri)))]
mod corosensei;
pub(crate) mod memcheck;
#[cfg(all(feature = "own-switch", not(miri)))]
mod own;
#[cfg(miri)]
mod threads;
mod yielded;

use std::io;

#[cfg(not(any(feature = "own-switch", miri)))]
pub(crate) use corosensei::{Exit, Fiber, suspend};
#[cfg(all(feature = "own-switch", not(miri)))]
pub(crate) use own::{Exit, Fiber, suspend};
#[cfg(miri)]
pub(crate) use threads::{Exit, Fiber, suspend};
pub(crate) use yielded::Yielded;

/// Makes fibers ready for use in this process. To be called before the first [`Fiber::stack_pointer`].
///
/// # Errors
/// `Unsupported` where the stack pointer of a suspended fiber cannot be found, or the error of the system.
pub(crate) fn prepare() -> io::Result<()> {
    #[cfg(not(any(feature = "own-switch", miri)))]
    corosensei::learn_depth()?;
    Ok(())
}
