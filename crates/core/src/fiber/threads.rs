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
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::Left;
use crate::frame::{Record, TOP};
use crate::local::{LOCAL, Local};
use crate::slots::StackBounds;

/// A function on a thread of its own: `T` goes out with each suspension, `R` at the end.
pub(crate) struct Fiber<T, R> {
    resume: SyncSender<Luggage>,
    left: Receiver<Handed<(Luggage, T)>>,
    /// `None` once it has finished.
    thread: Option<JoinHandle<Handed<(Luggage, thread::Result<R>)>>>,
}

/// The way out of a running fiber. Lives on the fiber's own stack, for as long as the fiber does.
pub(crate) struct Exit<T> {
    resumed: Receiver<Luggage>,
    leave: SyncSender<Handed<(Luggage, T)>>,
}

impl<T: 'static, R: 'static> Fiber<T, R> {
    /// Starts a thread for `function`; it runs at the first [`Fiber::resume`].
    ///
    /// # Safety
    /// None; as for corosensei's.
    pub(crate) unsafe fn new(_: StackBounds, function: impl FnOnce(&Exit<T>) -> R + 'static) -> Self {
        let (resume, resumed) = sync_channel(1);
        let (leave, left) = sync_channel(1);
        let given = Handed((Exit { resumed, leave }, function));
        let thread = thread::spawn(move || {
            let (exit, function) = given.take();
            exit.wait();
            let result = catch_unwind(AssertUnwindSafe(|| function(&exit)));
            Handed((Luggage::pack(), result))
        });
        Fiber { resume, left, thread: Some(thread) }
    }

    /// Runs the fiber until it suspends itself or finishes.
    pub(crate) fn resume(&mut self) -> Left<T, R> {
        self.resume.send(Luggage::pack()).expect("a fiber that has finished cannot be resumed");
        if let Ok(handed) = self.left.recv() {
            let (luggage, next) = handed.take();
            luggage.unpack();
            return Left::Suspended(next);
        }
        // The way out has gone: the function has ended.
        let thread = self.thread.take().expect("it was resumed");
        let (luggage, result) = thread.join().expect("its panics are caught").take();
        luggage.unpack();
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
    let handed = Handed((Luggage::pack(), next));
    // Nobody waits for it only where the fiber was abandoned, and then it does not run.
    let _ = exit.leave.send(handed);
    exit.wait();
}

impl<T> Exit<T> {
    /// Waits until the fiber is resumed.
    fn wait(&self) {
        match self.resumed.recv() {
            Ok(luggage) => luggage.unpack(),
            // Abandoned. Its frames stay as they are.
            Err(_) => loop {
                thread::park();
            },
        }
    }
}

/// This crate's thread-locals.
struct Luggage {
    local: *const Local,
    top: *const Record,
}

// SAFETY: what they lead to is used by the one thread that runs, and the channels order what the threads do.
unsafe impl Send for Luggage {}

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

// SAFETY: as for `Luggage`. Whoever hands something over waits until it is his turn again.
unsafe impl<T> Send for Handed<T> {}

impl<T> Handed<T> {
    fn take(self) -> T {
        self.0
    }
}
