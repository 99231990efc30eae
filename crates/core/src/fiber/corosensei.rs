//! Fibers by corosensei, the default. The only module that switches by it.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;

use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::Left;
use crate::slots::{SLOT_SIZE, StackBounds};

/// A stack slot as corosensei wants to see it: its base says it all.
struct SlotStack(usize);

// SAFETY: `Slots` hands out disjoint ranges of one live read-write mapping. `base` is 16-byte aligned, the slot's first page
// faults (corosensei's limit includes the guard), and `Thread` keeps the mapping until every fiber in it was finished or
// abandoned.
unsafe impl Stack for SlotStack {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.0).expect("a slot never lies at address 0")
    }

    fn limit(&self) -> StackPointer {
        StackPointer::new(self.0 & !(SLOT_SIZE - 1)).expect("a slot never lies at address 0")
    }
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
        Fiber(Coroutine::with_stack(SlotStack(bounds.base), move |exit, ()| function(exit)))
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

/// Which word of a suspended [`Fiber`] is its stack pointer: the lowest address of what is suspended. corosensei keeps it to
/// itself, so it is found out by watching one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StackPointerWord(usize);

/// How many words a [`Fiber`] has.
const WORDS: usize = if cfg!(feature = "sanitizer") { 6 } else { 4 };

impl<T: 'static, R: 'static> Fiber<T, R> {
    /// Learns it from a fiber in the free slot at `bounds` that runs to `out` and to its `end`. `None` where no word behaves as
    /// one must: then this is a corosensei that nobody has looked at.
    ///
    /// # Safety
    /// As for [`Fiber::new`].
    pub(crate) unsafe fn learn(bounds: StackBounds, out: T, end: R) -> Option<StackPointerWord> {
        let here = Rc::new(Cell::new(0));
        let tell = here.clone();
        // SAFETY: passed on from the caller. The function does not panic.
        let mut fiber = unsafe {
            Self::new(bounds, move |exit| {
                let local = 0_u8;
                tell.set(black_box(&raw const local) as usize);
                suspend(exit, out);
                end
            })
        };
        let fresh = fiber.words();
        let suspended = matches!(fiber.resume(), Left::Suspended(_));
        let waiting = fiber.words();
        let finished = matches!(fiber.resume(), Left::Finished(_));
        let ended = fiber.words();
        let is_it = |&i: &usize| {
            bounds.contains(fresh[i])
                && waiting[i] != fresh[i]
                && waiting[i] >= bounds.limit
                && (1..4096).contains(&here.get().wrapping_sub(waiting[i]))
                && ended[i] == 0
        };
        let mut found = (0..fresh.len()).filter(is_it);
        let word = StackPointerWord(found.next()?);
        (suspended && finished && found.next().is_none()).then_some(word)
    }

    /// The lowest address of what is suspended.
    pub(crate) fn stack_pointer(&self, word: StackPointerWord) -> usize {
        self.words()[word.0]
    }

    /// The object as it is: the stack's base, two stack pointers and a function, in some order, and the stack's bounds where a
    /// sanitizer is told them.
    fn words(&self) -> [usize; WORDS] {
        const {
            assert!(
                size_of::<Self>() == size_of::<[usize; WORDS]>(),
                "corosensei's Coroutine has another shape"
            )
        };
        // SAFETY: its fields are of one word each (coroutine.rs in corosensei), so there is no padding in it.
        unsafe { std::ptr::from_ref(self).cast::<[usize; WORDS]>().read() }
    }
}

/// Leaves the running fiber; returns when it is resumed.
#[inline(always)]
pub(crate) fn suspend<T>(exit: &Exit<T>, next: T) {
    exit.suspend(next);
}
