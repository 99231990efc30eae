//! Fibers for Miri: system threads that take turns.
//!
//! Miri interprets the program and finds its undefined behaviour, but it cannot run assembly, and every switch is assembly. So
//! here each fiber is a system thread. It waits until it is resumed, and the thread that resumed it waits meanwhile. All code
//! above a fiber is the same as in other builds.
//!
//! ```text
//!   resumer ── carried pointers ────────► fiber
//!      (waits)                              │ runs
//!   resumer ◄── carried pointers, value ────┘ suspends itself
//!                                           (waits)
//! ```
//!
//! The thread-local pointers of this crate (`carried.rs`) belong to the running fiber, so they are handed over with the turn.
//! Thread-locals of other crates are not. The stacks are those of the threads and lie in no slots: they cannot be copied, so
//! there is no spilling, and their depth is not known.
//!
//! # Contract
//! * "turns": of the threads of one thread's fibers, one runs at a time; the mutexes in [`Handoff`] order what they do.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::null;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use crate::fiber::bounds::StackBounds;
use crate::fiber::carried::{THREAD_GREENLETS, TOP_FRAME};
use crate::fiber::yielded::Yielded;

/// A function on a thread of its own: it sends a `T` with each suspension, and an `R` at the end.
pub(crate) struct Fiber<T, R> {
    exit: Arc<Exit<T>>,
    /// `None` once the fiber has finished or was abandoned.
    thread: Option<JoinHandle<AssertSend<thread::Result<R>>>>,
}

/// The two handoffs between a fiber's thread and the thread that resumes it.
pub(crate) struct Exit<T> {
    resumed: Handoff<()>,
    /// `None` is the end.
    left: Handoff<Option<T>>,
}

impl<T: 'static, R: 'static> Fiber<T, R> {
    /// Starts a thread for `function`; it runs at the first [`Fiber::resume`].
    ///
    /// # Safety
    /// This one asks for nothing; it is unsafe because the other implementations are.
    pub(crate) unsafe fn new(_: StackBounds, function: impl FnOnce(&Exit<T>) -> R + 'static) -> Self {
        let exit = Arc::new(Exit { resumed: Handoff::default(), left: Handoff::default() });
        let given = AssertSend((exit.clone(), function));
        let thread = thread::spawn(move || {
            let (exit, function) = given.take();
            exit.resumed.wait();
            let result = catch_unwind(AssertUnwindSafe(|| function(&exit)));
            exit.left.give(None);
            AssertSend(result)
        });
        Fiber { exit, thread: Some(thread) }
    }

    /// Runs the fiber until it suspends itself or finishes.
    pub(crate) fn resume(&mut self) -> Yielded<T, R> {
        self.exit.resumed.give(());
        if let Some(next) = self.exit.left.wait() {
            return Yielded::Suspended(next);
        }
        let thread = self.thread.take().expect("a fiber that has finished is not resumed");
        let result = thread.join().expect("panics are caught in the thread").take();
        Yielded::Finished(result.unwrap_or_else(|payload| resume_unwind(payload)))
    }

    /// Forgets the thread, which waits for ever.
    ///
    /// # Safety
    /// This one asks for nothing; it is unsafe because the other implementations are.
    pub(crate) unsafe fn abandon(&mut self) {
        self.thread = None;
    }

    /// Always `None`: the depth of a thread's stack is not known.
    pub(crate) fn stack_pointer(&self) -> Option<usize> {
        None
    }
}

/// Leaves the running fiber; returns when it is resumed.
pub(crate) fn suspend<T>(exit: &Exit<T>, next: T) {
    exit.left.give(Some(next));
    exit.resumed.wait();
}

/// Gives the turn from one thread to another, with a message.
struct Handoff<M> {
    message: Mutex<Option<AssertSend<(CarriedPointers, M)>>>,
    given: Condvar,
}

impl<M> Default for Handoff<M> {
    fn default() -> Self {
        Handoff { message: Mutex::new(None), given: Condvar::new() }
    }
}

impl<M> Handoff<M> {
    /// Gives the turn to the other thread.
    fn give(&self, message: M) {
        *self.message.lock().unwrap() = Some(AssertSend((CarriedPointers::take(), message)));
        self.given.notify_one();
    }

    /// Waits until it is this thread's turn.
    fn wait(&self) -> M {
        let mut slot = self.message.lock().unwrap();
        loop {
            if let Some(AssertSend((pointers, message))) = slot.take() {
                pointers.restore();
                return message;
            }
            slot = self.given.wait(slot).unwrap();
        }
    }
}

/// The thread-local pointers of this crate, on their way to another thread.
struct CarriedPointers {
    thread_greenlets: *const (),
    top_frame: *const (),
}

impl CarriedPointers {
    fn take() -> CarriedPointers {
        CarriedPointers {
            thread_greenlets: THREAD_GREENLETS.replace(null()),
            top_frame: TOP_FRAME.replace(null()),
        }
    }

    fn restore(self) {
        THREAD_GREENLETS.set(self.thread_greenlets);
        TOP_FRAME.set(self.top_frame);
    }
}

/// A value that goes to another thread though its type is not `Send`.
struct AssertSend<T>(T);

// SAFETY: contract clause "turns".
unsafe impl<T> Send for AssertSend<T> {}

impl<T> AssertSend<T> {
    /// A method, so that a closure captures all of it.
    fn take(self) -> T {
        self.0
    }
}
