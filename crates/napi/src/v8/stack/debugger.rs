//! Which of the debugger's words belong to a stack, and which follow the thread.
//!
//! A step over or out of a function belongs to the greenlet in which it was requested: while that greenlet is suspended, words 1
//! to 7 of the debugger are in its image, and no step is in progress. A step into a function follows the thread, into the greenlet
//! that is switched to. If several steps were put aside, only the last one goes on, because a person debugs in one place.

use super::stacks::Stacks;
use crate::v8::learn::debugger::{Debugger, MARKED, STEP_INTO, STEP_NONE};
use crate::v8::learn::layout::Layout;

/// The words of a step, from `FIRST` on.
const FIRST: usize = 1;
const STEP_WORDS: usize = 7;
/// Words 1 to 7 where no step is in progress (Debug::ThreadInit).
const AT_REST: [u64; STEP_WORDS] = [0xff << 32, 0, 0xffff_ffff << 32, u64::MAX, 0xffff_ffff, 0, 0];

/// Puts a step that belongs to the running stack aside, into the stack's image. Returns its number; `None` where there is no step.
///
/// # Safety
/// The clauses **thread**, **learnt** and **live** of `state.rs`.
pub(crate) unsafe fn put_step_aside(v8: &Layout, stacks: &Stacks) -> Option<u64> {
    // SAFETY: the caller's clauses; the running stack's image is not in use, and is as long as V8's archive.
    unsafe { v8.debugger.put_aside(stacks.debug_image(v8)) }.then(|| {
        stacks.steps.set(stacks.steps.get() + 1);
        stacks.steps.get()
    })
}

/// The stack of a step runs again. The step goes on if it was the last one that was put aside.
///
/// # Safety
/// The clauses **thread**, **learnt** and **live** of `state.rs`; `step` is from [`put_step_aside`] on this stack.
pub(crate) unsafe fn put_step_back(v8: &Layout, stacks: &Stacks, step: u64) {
    // SAFETY: the caller's clauses; `put_step_aside` has filled this image.
    unsafe { v8.debugger.put_back(stacks.debug_image(v8), step == stacks.steps.get()) };
}

/// What follows the thread from stack to stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Following {
    step: Option<[u64; STEP_WORDS]>,
    /// The word behind the step, with two marks that the next call is to pause.
    counted: u64,
}

impl Debugger {
    /// 0 unless the debugger is paused or a step is in progress.
    #[inline(always)]
    pub(super) fn unrest(&self) -> u64 {
        self.scope() | u64::from(self.action() ^ STEP_NONE)
    }

    /// Whether V8 is paused, or evaluates an expression during a pause.
    pub(super) fn is_paused(&self) -> bool {
        self.scope() != 0
    }

    /// Moves a step of the running stack into `image`. Returns false where there is none.
    ///
    /// # Safety
    /// The clauses **thread** and **learnt** of `state.rs`; `image` has space for the debugger's part of an archive.
    unsafe fn put_aside(&self, image: *mut u64) -> bool {
        if matches!(self.action(), STEP_NONE | STEP_INTO) {
            return false;
        }
        // SAFETY: the clause **learnt** of `state.rs` for the live Debug object; `image` has space for these words.
        unsafe {
            self.0.add(FIRST).copy_to_nonoverlapping(image.add(FIRST), STEP_WORDS);
            self.0.add(FIRST).copy_from_nonoverlapping(AT_REST.as_ptr(), STEP_WORDS);
        }
        true
    }

    /// Lets the step go on if `is_meant` and no other step is in progress by now.
    ///
    /// # Safety
    /// The same as for `put_aside`, which has filled `image`.
    unsafe fn put_back(&self, image: *mut u64, is_meant: bool) {
        // SAFETY: the clause **learnt** of `state.rs` for the live Debug object; `image` has space for these words.
        unsafe {
            if is_meant && self.action() == STEP_NONE {
                self.0.add(FIRST).copy_from_nonoverlapping(image.add(FIRST), STEP_WORDS);
            }
            image.add(FIRST).write_bytes(0, STEP_WORDS);
        }
    }

    /// Takes what follows the thread off the running stack, before V8 archives the stack (`lanes/locker.rs`). V8 would leave a step
    /// into a function with its stack, and when it restores that step it would look for a frame that does not exist
    /// (Debug::RestoreDebug, 11.3 to 14.6).
    ///
    /// # Safety
    /// The clauses **thread** and **learnt** of `state.rs`. No collection may happen before [`Debugger::give_following`].
    pub(crate) unsafe fn take_following(&self) -> Following {
        // SAFETY: the clause **learnt** of `state.rs` for the live Debug object.
        unsafe {
            let step = self.0.add(FIRST).cast::<[u64; STEP_WORDS]>();
            let into = self.action() == STEP_INTO;
            Following { step: into.then(|| step.replace(AT_REST)), counted: *self.0.add(MARKED) }
        }
    }

    /// Gives it to the stack that runs now.
    ///
    /// # Safety
    /// The same as for [`Debugger::take_following`].
    pub(crate) unsafe fn give_following(&self, following: Following) {
        // SAFETY: the clause **learnt** of `state.rs` for the live Debug object.
        unsafe {
            if let Some(step) = following.step.filter(|_| self.action() == STEP_NONE) {
                self.0.add(FIRST).cast::<[u64; STEP_WORDS]>().write(step);
            }
            *self.0.add(MARKED) = following.counted;
        }
    }

    #[inline(always)]
    fn scope(&self) -> u64 {
        // SAFETY: the clause **learnt** of `state.rs` for the live Debug object.
        unsafe { *self.0 }
    }

    #[inline(always)]
    fn action(&self) -> u8 {
        // SAFETY: the clause **learnt** of `state.rs` for the live Debug object.
        unsafe { (*self.0.add(1) >> 32) as u8 }
    }
}
