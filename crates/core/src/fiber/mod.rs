//! One native stack and the machine state suspended on it.
//!
//! A fiber is resumed from one place, the trampoline on the thread's own stack ([`crate::Thread`]), and `suspend` carries out
//! who is to run next; so any fiber can switch to any other. There are three implementations with one interface:
//!
//! * `corosensei.rs`, the default and the reference;
//! * `own.rs`, with the feature `own-switch`: a page of assembly that spares the processor most of the wrong guesses at
//!   return addresses that follow a switch. A third less time for a switch from JavaScript and back;
//! * `threads.rs`, under Miri, for which there is no assembly.

#[cfg(not(any(feature = "own-switch", miri)))]
mod corosensei;
#[cfg(all(feature = "own-switch", not(miri)))]
mod own;
#[cfg(miri)]
mod threads;

#[cfg(not(any(feature = "own-switch", miri)))]
pub(crate) use corosensei::{Exit, Fiber, StackPointerWord, suspend};
#[cfg(all(feature = "own-switch", not(miri)))]
pub(crate) use own::{Exit, Fiber, StackPointerWord, suspend};
#[cfg(miri)]
pub(crate) use threads::{Exit, Fiber, StackPointerWord, suspend};

/// What came back from running a fiber.
pub(crate) enum Left<T, R> {
    /// It suspended itself and names who runs next.
    Suspended(T),
    /// Its function returned. The stack holds nothing any more.
    Finished(R),
}
