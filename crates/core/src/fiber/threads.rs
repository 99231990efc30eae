//! Fibers for Miri: threads that take turns.
//!
//! Miri interprets the program and finds its undefined behaviour, but it knows no assembly, of which every switch is made. So
//! here each fiber is a thread of the system: it waits until it is resumed, and who resumed it waits meanwhile. Everything above
//! a fiber is the same code as ever.
//!
//! ```text
//!   resumer ── luggage ──────────► fiber
//!      (waits)                       │ runs
//!   resumer ◄── luggage, who next ───┘ suspends itself
//!                                    (waits)
//! ```
//!
//! What this crate keeps in thread-locals belongs to whoever runs. It is handed over with the turn, as *luggage*; thread-locals
//! of others are not. The stacks are the threads' own and not in slots: they cannot be copied, so there is no spilling, and
//! nobody knows how deep they are.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::null;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use super::Left;
use crate::frame::{Record, TOP};
use crate::local::{LOCAL, Local};
use crate::slots::StackBounds;

/// A function on a thread of its own: `T` goes out with each suspension, `R` at the end.
pub(crate) struct Fiber<T, R> {
    exit: Arc<Exit<T>>,
    /// `None` once it has finished or was abandoned.
    thread: Option<JoinHandle<Handed<thread::Result<R>>>>,
}

/// The way out of a running fiber, and in: the doors between its thread and who resumes it.
pub(crate) struct Exit<T> {
    resumed: Door<()>,
    /// `None` is the end.
    left: Door<Option<T>>,
}

impl<T: 'static, R: 'static> Fiber<T, R> {
    /// Starts a thread for `function`; it runs at the first [`Fiber::resume`].
    ///
    /// # Safety
    /// None; as for corosensei's.
    pub(crate) unsafe fn new(_: StackBounds, function: impl FnOnce(&Exit<T>) -> R + 'static) -> Self {
        let exit = Arc::new(Exit { resumed: Door::default(), left: Door::default() });
        let given = Handed((exit.clone(), function));
        let thread = thread::spawn(move || {
            let (exit, function) = given.take();
            exit.resumed.enter();
            let result = catch_unwind(AssertUnwindSafe(|| function(&exit)));
            exit.left.leave(None);
            Handed(result)
        });
        Fiber { exit, thread: Some(thread) }
    }

    /// Runs the fiber until it suspends itself or finishes.
    pub(crate) fn resume(&mut self) -> Left<T, R> {
        self.exit.resumed.leave(());
        if let Some(next) = self.exit.left.enter() {
            return Left::Suspended(next);
        }
        let thread = self.thread.take().expect("a fiber that has finished is not resumed");
        let result = thread.join().expect("panics are caught in it").take();
        Left::Finished(result.unwrap_or_else(|payload| resume_unwind(payload)))
    }

    /// Forgets the thread, which waits for ever.
    ///
    /// # Safety
    /// None; as for corosensei's.
    pub(crate) unsafe fn abandon(&mut self) {
        self.thread = None;
    }

    /// There is nothing to learn.
    ///
    /// # Safety
    /// None; as for corosensei's.
    pub(crate) unsafe fn learn(_: StackBounds, _: T, _: R) -> Option<StackPointerWord> {
        Some(StackPointerWord)
    }

    /// 0: it is not known.
    pub(crate) fn stack_pointer(&self, _: StackPointerWord) -> usize {
        0
    }
}

/// For the interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StackPointerWord;

/// Leaves the running fiber; returns when it is resumed.
pub(crate) fn suspend<T>(exit: &Exit<T>, next: T) {
    exit.left.leave(Some(next));
    exit.resumed.enter();
}

/// Where the turn goes from one thread to another, with what it brings.
struct Door<M> {
    handed: Mutex<Option<Handed<(Luggage, M)>>>,
    opened: Condvar,
}

impl<M> Default for Door<M> {
    fn default() -> Self {
        Door { handed: Mutex::new(None), opened: Condvar::new() }
    }
}

impl<M> Door<M> {
    /// It is the other thread's turn.
    fn leave(&self, message: M) {
        *self.handed.lock().unwrap() = Some(Handed((Luggage::pack(), message)));
        self.opened.notify_one();
    }

    /// Waits until it is this thread's turn.
    fn enter(&self) -> M {
        let mut handed = self.handed.lock().unwrap();
        loop {
            if let Some(Handed((luggage, message))) = handed.take() {
                luggage.unpack();
                return message;
            }
            handed = self.opened.wait(handed).unwrap();
        }
    }
}

/// This crate's thread-locals.
struct Luggage {
    local: *const Local,
    top: *const Record,
}

impl Luggage {
    fn pack() -> Luggage {
        Luggage { local: LOCAL.replace(null()), top: TOP.replace(null()) }
    }

    fn unpack(self) {
        LOCAL.set(self.local);
        TOP.set(self.top);
    }
}

/// What goes to another thread though its type may not.
struct Handed<T>(T);

// SAFETY: of the threads of one thread's fibers one runs at a time, and the doors order what they do.
unsafe impl<T> Send for Handed<T> {}

impl<T> Handed<T> {
    /// A method, so that a closure takes all of it along.
    fn take(self) -> T {
        self.0
    }
}
