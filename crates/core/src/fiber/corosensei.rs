//! Fibers by corosensei, the default. The only module that switches by it.
//!
//! # What is predicted
//! A processor predicts where a RET goes from the CALLs it has seen. corosensei enters a stack with CALL and leaves it with RET.
//! So that this does not shift the pairs of all callers, `leave` has a frame of its own, and `resume` has none:
//!
//! ```text
//!   main's stack                     the fiber's stack
//!   resume:  CALL ────────────────►  leave:   RET      this RET pairs with that CALL ...
//!                                    callers: RET      ... and these with the CALLs of main's callers: the same code
//!                                    callers: CALL
//!                                             CALL leave
//!   callers: RET      ◄────────────  suspend: RET      this RET pairs with that CALL
//! ```
//!
//! Two RETs of a round trip go somewhere else than predicted, and none of the callers' does.
//!
//! # Where a suspended stack ends
//! corosensei keeps the stack pointer of a suspended coroutine in a private field. Spilling needs it. What `leave` sends to the
//! resumer is the address of a local variable of its own, and all that is live lies above that address or in the few words
//! below it: the rest of `leave`'s frame and what corosensei has pushed. How many words these are is the same for each suspension,
//! because `leave` is one function, whatever the type of the fiber. It is learnt once for each process ([`learn_depth`]).

use std::io;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::NonNull;
use std::sync::OnceLock;

use corosensei::stack::{DefaultStack, Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::fiber::bounds::{GUARD_SIZE, StackBounds};
use crate::fiber::memcheck::make_defined;
use crate::fiber::yielded::Yielded;

/// A stack slot in the form that corosensei asks for.
struct SlotStack {
    base: StackPointer,
    /// The slot's lowest address, guard included.
    start: StackPointer,
}

impl SlotStack {
    fn new(bounds: StackBounds) -> SlotStack {
        let address = |address| StackPointer::new(address).expect("a slot never lies at address 0");
        SlotStack { base: address(bounds.base), start: address(bounds.limit - GUARD_SIZE) }
    }
}

// SAFETY: `Fiber::new` is given a slot of a live read-write mapping that no other fiber uses. `base` is 16-byte aligned, the
// slot's first page faults (the limit given to corosensei includes the guard), and the caller of `Fiber::new` keeps the mapping
// until the fiber has finished or was abandoned.
unsafe impl Stack for SlotStack {
    #[inline(always)]
    fn base(&self) -> StackPointer {
        self.base
    }

    fn limit(&self) -> StackPointer {
        self.start
    }
}

/// A function on a stack of its own: it sends a `T` with each suspension, and an `R` at the end.
pub(crate) struct Fiber<T, R> {
    coroutine: Coroutine<(), Message, R, SlotStack>,
    /// The address of the last message; 0 before the first one, and once the fiber has finished or was abandoned.
    message: usize,
    _sends: PhantomData<fn() -> T>,
}

/// The way out of a running fiber. Lives at the base of the fiber's own stack, for as long as the fiber does.
#[repr(transparent)]
pub(crate) struct Exit<T> {
    yielder: Yielder<(), Message>,
    _sends: PhantomData<fn(T)>,
}

/// What crosses from a fiber to its resumer: the address of a word in `leave`'s frame.
type Message = NonNull<Word>;

/// Holds a `T`, whatever type it is.
type Word = MaybeUninit<*const ()>;

impl<T: 'static, R: 'static> Fiber<T, R> {
    /// Writes the first frame of `function` to the stack at `bounds`; it runs at the first [`Fiber::resume`].
    ///
    /// # Safety
    /// `bounds` is a slot that belongs to this fiber alone until the fiber has finished or was abandoned.
    pub(crate) unsafe fn new(bounds: StackBounds, function: impl FnOnce(&Exit<T>) -> R + 'static) -> Self {
        let coroutine = Coroutine::with_stack(SlotStack::new(bounds), move |yielder, ()| {
            // SAFETY: an `Exit` is a `Yielder` in memory.
            function(unsafe { NonNull::from(yielder).cast().as_ref() })
        });
        Fiber { coroutine, message: 0, _sends: PhantomData }
    }

    /// Runs the fiber until it suspends itself or finishes.
    #[inline(always)]
    pub(crate) fn resume(&mut self) -> Yielded<T, R> {
        match self.coroutine.resume(()) {
            CoroutineResult::Yield(message) => {
                self.message = message.as_ptr() as usize;
                // SAFETY: the frame of `leave` waits, and `suspend` put a `T` there, which is taken out once, here.
                Yielded::Suspended(unsafe { message.cast().read() })
            }
            CoroutineResult::Return(result) => {
                self.message = 0;
                Yielded::Finished(result)
            }
        }
    }

    /// Forgets what is suspended on the stack, without unwinding it: destructors of its frames never run, as in `longjmp`.
    ///
    /// # Safety
    /// Nothing may still rely on those frames: no pinned object registered elsewhere, no lock held in them.
    pub(crate) unsafe fn abandon(&mut self) {
        self.message = 0;
        // SAFETY: the caller promises what `force_reset` asks for, that nothing relies on the frames.
        unsafe { self.coroutine.force_reset() }
    }

    /// The lowest address of the suspended part of the stack. `None` where nothing is suspended, or before [`learn_depth`].
    pub(crate) fn stack_pointer(&self) -> Option<usize> {
        Some(self.message).filter(|&message| message != 0)?.checked_sub(*DEPTH.get()?)
    }
}

/// Leaves the running fiber; returns when it is resumed.
#[inline(always)]
pub(crate) fn suspend<T>(exit: &Exit<T>, next: T) {
    const { assert!(size_of::<T>() <= size_of::<Word>() && align_of::<T>() <= align_of::<Word>()) };
    let next = ManuallyDrop::new(next);
    let mut word = Word::uninit();
    // SAFETY: a `T` fits into a word. It is moved: the resumer takes it out.
    unsafe { word.as_mut_ptr().cast::<ManuallyDrop<T>>().write(next) };
    leave(&exit.yielder, word);
}

/// Sends the address of a local variable, which contains `word`. Never inlined: see the head of this file.
#[inline(never)]
fn leave(yielder: &Yielder<(), Message>, word: Word) {
    let sent = word;
    yielder.suspend(NonNull::from(&sent));
}

/// How many bytes below a message are live.
static DEPTH: OnceLock<usize> = OnceLock::new();

/// Finds out how many bytes below a message are live, once for each process.
///
/// # Errors
/// `Unsupported` where nothing was written below it: this is an unknown version of corosensei. Otherwise the error of the system
/// that refused a stack to try it on.
pub(crate) fn learn_depth() -> io::Result<()> {
    if DEPTH.get().is_none() {
        let unknown = || {
            io::Error::new(
                io::ErrorKind::Unsupported,
                "cannot find where the stack of a suspended corosensei coroutine ends",
            )
        };
        // Another thread may have stored the same number meanwhile.
        let _ = DEPTH.set(observe()?.ok_or_else(unknown)?);
    }
    Ok(())
}

/// Bytes of the stack on which a fiber is watched.
const OBSERVED_SIZE: usize = 16 * 1024;

/// The bounds of a stack that corosensei has made, with its guard below them.
fn bounds_in(stack: &DefaultStack) -> StackBounds {
    StackBounds { base: stack.base().get() - 64, limit: stack.limit().get() + GUARD_SIZE }
}

/// Looks for the lowest word that a fiber has written on a new stack when it suspends itself. What is live was written, so none of
/// it lies lower. The last word that corosensei writes is an address to return to and not 0, as all words of a new stack are.
fn observe() -> io::Result<Option<usize>> {
    let stack = DefaultStack::new(OBSERVED_SIZE)?;
    let bounds = bounds_in(&stack);
    // SAFETY: the bounds lie in `stack`, which is used by this fiber alone and dropped after it.
    let mut fiber = unsafe { Fiber::<(), ()>::new(bounds, |exit| suspend(exit, ())) };
    let suspended = matches!(fiber.resume(), Yielded::Suspended(()));
    let message = fiber.message;
    make_defined(bounds.limit, bounds.size());
    let mut below = (bounds.limit..message).step_by(size_of::<usize>());
    // SAFETY: these are words of the stack, which does not run.
    let lowest = below.find(|&address| unsafe { *(address as *const usize) } != 0);
    let finished = matches!(fiber.resume(), Yielded::Finished(()));
    Ok(lowest.filter(|_| suspended && finished).map(|lowest| message - lowest))
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn nothing_below_the_stack_pointer_of_a_suspended_fiber_is_needed() {
        learn_depth().unwrap();
        let stack = DefaultStack::new(OBSERVED_SIZE).unwrap();
        let bounds = bounds_in(&stack);
        // SAFETY: the bounds lie in `stack`, which no other fiber uses, and the fiber runs to its end.
        let mut fiber = unsafe {
            Fiber::<usize, String>::new(bounds, |exit| {
                let numbers: [usize; 24] = black_box(std::array::from_fn(|i| i * 3));
                suspend(exit, numbers.as_ptr() as usize);
                suspend(exit, numbers.iter().sum());
                format!("{}", numbers.iter().sum::<usize>())
            })
        };
        assert_eq!(fiber.stack_pointer(), None, "nothing is suspended yet");
        let Yielded::Suspended(address) = fiber.resume() else { panic!("it ended early") };
        let low = fiber.stack_pointer().expect("it is suspended");
        assert!((bounds.limit..address).contains(&low) && address - low < 4096, "{low:#x} {address:#x}");
        for _ in 0..2 {
            let low = fiber.stack_pointer().expect("it is suspended");
            make_defined(bounds.limit, low - bounds.limit);
            // SAFETY: the stack does not run, and this is what is claimed not to be needed.
            unsafe { std::ptr::write_bytes(bounds.limit as *mut u8, 0xDB, low - bounds.limit) };
            match fiber.resume() {
                Yielded::Suspended(sum) => assert_eq!(sum, 828),
                Yielded::Finished(sum) => assert_eq!(sum, "828"),
            }
        }
        assert_eq!(fiber.stack_pointer(), None);
    }

    #[test]
    fn only_a_few_words_below_a_message_count_as_live() {
        learn_depth().unwrap();
        let depth = *DEPTH.get().unwrap();
        // Without optimisation there are more frames between, larger ones with a sanitizer.
        let most = if cfg!(debug_assertions) { 4096 } else { 128 };
        assert!((16..most).contains(&depth), "{depth} bytes below a message");
    }
}
