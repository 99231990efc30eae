//! One native stack and the machine state suspended on it. The only module that calls corosensei.
//!
//! corosensei's switches are asymmetric: `resume` runs a fiber, `suspend` goes back to who resumed it. Here every fiber is
//! resumed from one place, the trampoline on the thread's own stack ([`crate::Thread`]), and `suspend` carries out who is
//! to run next; so any fiber can switch to any other.

use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::slots::{GUARD_SIZE, StackBounds};

/// A stack slot as corosensei wants to see it.
struct SlotStack(StackBounds);

// SAFETY: `Slots` hands out disjoint ranges of one live read-write mapping. `base` is 16-byte aligned, the page below
// `limit` faults (so corosensei's limit, which includes the guard, lies there), and `Thread` keeps the mapping until every
// fiber in it was finished or abandoned.
unsafe impl Stack for SlotStack {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.0.base).expect("a slot never lies at address 0")
    }

    fn limit(&self) -> StackPointer {
        StackPointer::new(self.0.limit - GUARD_SIZE).expect("a slot never lies at address 0")
    }
}

/// What came back from running a fiber.
pub(crate) enum Left<T, R> {
    /// It suspended itself and names who runs next.
    Suspended(T),
    /// Its function returned. The stack holds nothing any more.
    Finished(R),
}

/// A function on a stack of its own: `T` goes out with each suspension, `R` at the end.
pub(crate) struct Fiber<T, R>(Coroutine<(), T, R, SlotStack>);

/// The way out of a running fiber. Lives at the base of the fiber's own stack, for as long as the fiber does.
pub(crate) type Exit<T> = Yielder<(), T>;

impl<T: 'static, R: 'static> Fiber<T, R> {
    /// Writes the first frame of `function` to the stack at `bounds`; it runs at the first [`Fiber::resume`].
    ///
    /// # Safety
    /// `bounds` is a slot that belongs to this fiber alone until it finished or was abandoned.
    pub(crate) unsafe fn new(bounds: StackBounds, function: impl FnOnce(&Exit<T>) -> R + 'static) -> Self {
        Fiber(Coroutine::with_stack(SlotStack(bounds), move |exit, ()| function(exit)))
    }

    /// Runs the fiber until it suspends itself or finishes.
    #[inline(always)]
    pub(crate) fn resume(&mut self) -> Left<T, R> {
        match self.0.resume(()) {
            CoroutineResult::Yield(next) => Left::Suspended(next),
            CoroutineResult::Return(result) => Left::Finished(result),
        }
    }

    /// Forgets what is suspended on the stack, without unwinding it: destructors of its frames never run, as in `longjmp`.
    ///
    /// # Safety
    /// Nothing may still rely on those frames: no pinned object registered elsewhere, no lock held in them.
    pub(crate) unsafe fn abandon(&mut self) {
        // SAFETY: passed on to the caller.
        unsafe { self.0.force_reset() }
    }
}

/// Leaves the running fiber; returns when it is resumed.
#[inline(always)]
pub(crate) fn suspend<T>(exit: &Exit<T>, next: T) {
    exit.suspend(next);
}
