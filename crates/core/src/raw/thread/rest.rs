//! Stacks that rest: their function has done its work, but has not returned, so that the next greenlet can run on the same stack with
//! the frames that it would begin with anyway. A start is a switch then.
//!
//! ```text
//!   A's stack: | run | ... | loop | greenlet 1 | ──ends──► | run | ... | loop | rest | ──start──► | run | ... | loop | greenlet 2 |
//! ```
//!
//! To all others the greenlet has ended: its id is not in the registry any more, and the next greenlet gets another one.
//!
//! # Contract
//! * "resting": a record in `Thread::resting` is not in the registry. Its stack is suspended in `Thread::rest`, and resident in a slot
//!   that it shares with no other stack. A slot is shared only when a stack starts where none rests.

use crate::raw::host::Host;
use crate::raw::id::Id;
use crate::raw::registry::{Owned, Target};
use crate::raw::switch_error::SwitchError;
use crate::raw::thread::Thread;

/// The most stacks that rest. Each keeps a slot and its pages.
const MOST: usize = 64;

impl<H: Host> Thread<H> {
    /// Whether the running stack may rest: there are few that do, it is a greenlet's, and it has its slot for itself.
    #[inline(always)]
    pub fn may_rest(&self) -> bool {
        !self.on_main()
            && !self.always_spills.get()
            && self.resting.borrow().len() < MOST
            && self.residency.borrow().is_alone(self.record(self.current.get()))
    }

    /// The greenlet on the running stack has ended. Runs `to`, and lets the stack rest until a new greenlet starts on it; returns what
    /// that is to run. It may never return: [`Thread::trim`], for example, forgets stacks that rest, without unwinding them.
    ///
    /// # Errors
    /// As for [`Thread::switch`]; nothing has changed then.
    ///
    /// # Panics
    /// Where [`Thread::may_rest`] is false.
    pub fn rest(&self, to: Id) -> Result<H::Body, SwitchError<H::Body>> {
        assert!(self.may_rest(), "this stack may not rest");
        if !self.is_here() {
            return Err(SwitchError::OtherStack(None));
        }
        let me = self.current.get();
        let id = self.record(me).id.get();
        let target = self.registry.get(to).filter(|&target| target != me);
        let target = target.ok_or_else(|| SwitchError::Gone(to))?;
        self.resting.borrow_mut().push(self.registry.remove(id).expect("contract clause \"registered\""));
        // SAFETY: the registry has found it, and contract clause "here" was checked.
        let left = unsafe { self.leave_for(target) };
        if let Some(body) = self.next_body.take() {
            return Ok(body);
        }
        // It could not leave, and is the last one.
        let record = self.resting.borrow_mut().pop().expect("pushed above");
        debug_assert!(record.target() == me);
        self.register_again(record);
        Err(left.err().unwrap_or_else(|| SwitchError::Gone(id)))
    }

    /// The stack that has begun to rest last, to run `body`.
    #[inline(always)]
    pub(super) fn wake(&self, body: H::Body) -> Result<Target<H>, H::Body> {
        let Some(record) = self.resting.borrow_mut().pop() else { return Err(body) };
        debug_assert!(record.resident.get(), "contract clause \"resting\"");
        self.next_body.set(Some(body));
        Ok(self.register_again(record))
    }

    #[inline(always)]
    fn register_again(&self, record: Owned<H>) -> Target<H> {
        self.registry.insert(|id| {
            record.id.set(id);
            record
        })
    }

    /// Forgets the stacks that rest. No code relies on their frames.
    pub(super) fn forget_resting(&self) {
        for record in self.resting.take() {
            self.forget_record(&record, false);
        }
    }
}
