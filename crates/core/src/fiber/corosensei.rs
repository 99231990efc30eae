//! Fibers by corosensei, the default. The only module that switches by it.
//!
//! corosensei keeps the stack pointer of a suspended coroutine in a private field. Spilling needs it, so it is learnt once for
//! each process, by watching the words of a coroutine while it is fresh, suspended and finished ([`learn_stack_pointer`]).

use std::cell::Cell;
use std::hint::black_box;
use std::io;
use std::rc::Rc;
use std::sync::OnceLock;

use corosensei::stack::{DefaultStack, Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::fiber::bounds::{GUARD_SIZE, StackBounds};
use crate::fiber::yielded::Yielded;

/// A stack slot in the form that corosensei asks for.
struct SlotStack {
    base: usize,
    /// The slot's lowest address, guard included.
    start: usize,
}

impl SlotStack {
    fn new(bounds: StackBounds) -> SlotStack {
        SlotStack { base: bounds.base, start: bounds.limit - GUARD_SIZE }
    }
}

// SAFETY: `Fiber::new` is given a slot of a live read-write mapping that no other fiber uses. `base` is 16-byte aligned, the
// slot's first page faults (the limit given to corosensei includes the guard), and the caller of `Fiber::new` keeps the mapping
// until the fiber has finished or was abandoned.
unsafe impl Stack for SlotStack {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.base).expect("a slot never lies at address 0")
    }

    fn limit(&self) -> StackPointer {
        StackPointer::new(self.start).expect("a slot never lies at address 0")
    }
}

/// A function on a stack of its own: it sends a `T` with each suspension, and an `R` at the end.
pub(crate) struct Fiber<T, R>(Coroutine<(), T, R, SlotStack>);

/// The way out of a running fiber. Lives at the base of the fiber's own stack, for as long as the fiber does.
pub(crate) type Exit<T> = Yielder<(), T>;

impl<T: 'static, R: 'static> Fiber<T, R> {
    /// Writes the first frame of `function` to the stack at `bounds`; it runs at the first [`Fiber::resume`].
    ///
    /// # Safety
    /// `bounds` is a slot that belongs to this fiber alone until the fiber has finished or was abandoned.
    pub(crate) unsafe fn new(bounds: StackBounds, function: impl FnOnce(&Exit<T>) -> R + 'static) -> Self {
        Fiber(Coroutine::with_stack(SlotStack::new(bounds), move |exit, ()| function(exit)))
    }

    /// Runs the fiber until it suspends itself or finishes.
    #[inline(always)]
    pub(crate) fn resume(&mut self) -> Yielded<T, R> {
        match self.0.resume(()) {
            CoroutineResult::Yield(next) => Yielded::Suspended(next),
            CoroutineResult::Return(result) => Yielded::Finished(result),
        }
    }

    /// Forgets what is suspended on the stack, without unwinding it: destructors of its frames never run, as in `longjmp`.
    ///
    /// # Safety
    /// Nothing may still rely on those frames: no pinned object registered elsewhere, no lock held in them.
    pub(crate) unsafe fn abandon(&mut self) {
        // SAFETY: the caller promises what `force_reset` asks for, that nothing relies on the frames.
        unsafe { self.0.force_reset() }
    }

    /// The lowest address of the suspended part of the stack. `None` where nothing is suspended, or before
    /// [`learn_stack_pointer`].
    pub(crate) fn stack_pointer(&self) -> Option<usize> {
        Some(self.words()[*STACK_POINTER_WORD.get()?]).filter(|&low| low != 0)
    }

    /// The coroutine's words: the stack's base and start, two stack pointers and a function, in some order; with a sanitizer also
    /// the stack's bounds.
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

/// How many words a [`Fiber`] has.
const WORDS: usize = if cfg!(feature = "sanitizer") { 7 } else { 5 };

/// Which word of a suspended [`Fiber`] is its stack pointer. It is the same word for every `T` and `R`: they occur in corosensei's
/// `Coroutine` only as a `PhantomData`.
static STACK_POINTER_WORD: OnceLock<usize> = OnceLock::new();

/// Finds out which word is the stack pointer, once for each process.
///
/// # Errors
/// `Unsupported` where no word behaves as a stack pointer must: this is an unknown version of corosensei. Otherwise the error of
/// the system that refused a stack to try it on.
pub(crate) fn learn_stack_pointer() -> io::Result<()> {
    if STACK_POINTER_WORD.get().is_none() {
        let unknown = || {
            io::Error::new(
                io::ErrorKind::Unsupported,
                "cannot find the stack pointer in corosensei's Coroutine",
            )
        };
        // Another thread may have stored the same word meanwhile.
        let _ = STACK_POINTER_WORD.set(observe()?.ok_or_else(unknown)?);
    }
    Ok(())
}

/// Bytes of the stack on which a fiber is watched.
const OBSERVED_SIZE: usize = 64 * 1024;

/// The bounds of a stack that corosensei has made, with its guard below them.
fn bounds_in(stack: &DefaultStack) -> StackBounds {
    StackBounds { base: stack.base().get() - 64, limit: stack.limit().get() + GUARD_SIZE }
}

/// Watches a fiber that is fresh, then suspended, then finished. `None` where not exactly one word behaves as its stack pointer.
fn observe() -> io::Result<Option<usize>> {
    let stack = DefaultStack::new(OBSERVED_SIZE)?;
    let bounds = bounds_in(&stack);

    let here = Rc::new(Cell::new(0));
    let tell = here.clone();
    // SAFETY: the bounds lie in `stack`, which is used by this fiber alone and dropped after it. The function does not panic.
    let mut fiber = unsafe {
        Fiber::<(), ()>::new(bounds, move |exit| {
            let local = 0_u8;
            tell.set(black_box(&raw const local) as usize);
            suspend(exit, ());
        })
    };
    let fresh = fiber.words();
    let suspended = matches!(fiber.resume(), Yielded::Suspended(()));
    let waiting = fiber.words();
    let finished = matches!(fiber.resume(), Yielded::Finished(()));
    let ended = fiber.words();

    let is_stack_pointer = |&i: &usize| {
        bounds.contains(fresh[i])
            && waiting[i] != fresh[i]
            && waiting[i] >= bounds.limit
            && (1..4096).contains(&here.get().wrapping_sub(waiting[i]))
            && ended[i] == 0
    };
    let mut found = (0..WORDS).filter(is_stack_pointer);
    let word = found.next();
    Ok(word.filter(|_| suspended && finished && found.next().is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_pointer_is_known_while_a_fiber_is_suspended() {
        learn_stack_pointer().unwrap();
        let stack = DefaultStack::new(OBSERVED_SIZE).unwrap();
        let bounds = bounds_in(&stack);
        // SAFETY: the bounds lie in `stack`, which no other fiber uses, and the fiber runs to its end.
        let mut fiber = unsafe {
            Fiber::<usize, String>::new(bounds, |exit| {
                let local = 0_u8;
                suspend(exit, black_box(&raw const local) as usize);
                String::from("done")
            })
        };
        let Yielded::Suspended(address) = fiber.resume() else { panic!("it ended early") };
        let low = fiber.stack_pointer().expect("it is suspended");
        assert!((bounds.limit..address).contains(&low) && address - low < 4096, "{low:#x} {address:#x}");
        assert!(matches!(fiber.resume(), Yielded::Finished(_)));
        assert_eq!(fiber.stack_pointer(), None);
    }
}
