//! The switch from stack to stack.
//!
//! ```text
//!   main's stack              A's stack            B's stack
//!   ------------              ---------            ---------
//!   main: switch(A)
//!    └ trampoline ──resume──► A runs
//!         ▲                   A: switch(B)
//!         └───────suspend(B)───┘
//!      trampoline ───────────────────resume──────► B runs
//!         ▲                                        B: switch(main)
//!         └───────────────────────suspend(main)─────┘
//!    ◄ returns
//! ```
//!
//! The trampoline is a loop inside main's own `switch`. Every stack is resumed from there, so no stack depends on the order
//! in which others are resumed. What crosses a switch is up to the host; the core passes only the stack that runs next.
//!
//! The clauses of the contract that this file refers to are in `mod.rs`.

use std::mem::{forget, replace};
use std::process;
use std::ptr::NonNull;

use crate::fiber::bounds::{Extent, StackBounds, runs_on};
use crate::fiber::{Fiber, Yielded, suspend};
use crate::raw::host::{Host, Next};
use crate::raw::id::State;
use crate::raw::options::Options;
use crate::raw::registry::{Execution, StackRecord, Target};
use crate::raw::switch_error::{Limit, SwitchError};
use crate::raw::thread::Thread;

impl<H: Host> Thread<H> {
    /// Suspends the running stack and runs `to`; returns when another stack switches back. A switch to the running stack does
    /// nothing.
    ///
    /// # Errors
    /// See [`SwitchError`]. On main also when a greenlet ended and the one it named could not be run.
    #[inline(always)]
    pub fn switch(&self, to: Next<H>) -> Result<(), SwitchError<H::Body>> {
        if !self.is_here() {
            return Err(SwitchError::OtherStack(to.into_body()));
        }
        let target = self.resolve(to)?;
        // SAFETY: the registry has found it, and contract clause "here" was checked.
        unsafe { self.leave_for(target) }
    }

    /// As [`Thread::switch`], to a stack of which the record is known.
    ///
    /// # Safety
    /// The stack is in the registry: it has not finished and was not abandoned.
    #[inline(always)]
    pub(crate) unsafe fn switch_to(&self, target: Target<H>) -> Result<(), SwitchError<H::Body>> {
        if !self.is_here() {
            return Err(SwitchError::OtherStack(None));
        }
        // SAFETY: the caller's promise, and contract clause "here" was checked.
        unsafe { self.leave_for(target) }
    }

    /// Whether the running code is on the current stack.
    #[inline(always)]
    pub(super) fn is_here(&self) -> bool {
        self.record(self.current.get()).extent.get().is_here() || self.main_has_grown()
    }

    /// Suspends the current stack and runs `target`.
    ///
    /// # Safety
    /// The contract's clause "here", and `target` is in the registry.
    #[inline(always)]
    pub(super) unsafe fn leave_for(&self, target: Target<H>) -> Result<(), SwitchError<H::Body>> {
        let me = self.current.get();
        if target == me {
            return Ok(());
        }
        let record = self.record(me);
        // SAFETY: `me` is the running stack, enlisted when it was made.
        unsafe { self.host.park(record.vm()) };
        record.state.set(State::Suspended);
        if me == self.main {
            self.trampoline(target);
        } else {
            // SAFETY: `exit` was set when this stack first ran, which it has: it runs now. It points to the stack's base.
            suspend(unsafe { &*record.exit.get() }, target);
        }
        if self.faulted.get() { Err(self.take_fault()) } else { Ok(()) }
    }

    /// Whether the running code is on main's stack below the limit that the system told at first: setrlimit(2) lets the stack of the
    /// process's main thread grow further. Notes the new limit.
    #[cold]
    fn main_has_grown(&self) -> bool {
        if !self.on_main() {
            return false;
        }
        let extent = &self.record(self.main).extent;
        let Ok(now) = StackBounds::of_this_thread() else { return false };
        let has_grown = now.base == extent.get().bounds().base && runs_on(now);
        if has_grown {
            extent.set(Extent::of(now));
        }
        has_grown
    }

    #[cold]
    fn take_fault(&self) -> SwitchError<H::Body> {
        self.faulted.set(false);
        self.fault.take().expect("set with the flag")
    }

    #[cold]
    fn set_fault(&self, fault: SwitchError<H::Body>) {
        self.faulted.set(true);
        self.fault.set(Some(fault));
    }

    /// Resumes `target`, then each stack that the previous one names, until main is named. Runs on main's stack.
    #[inline(always)]
    fn trampoline(&self, mut target: Target<H>) {
        // The stack that named `target`; it runs on where `target` cannot run.
        let mut origin = self.main;
        while target != self.main {
            let record = self.record(target);
            if !record.resident.get()
                && let Err(fault) = self.make_resident(target)
            {
                self.set_fault(fault);
                target = origin;
                continue;
            }
            self.make_current(target);
            // SAFETY: contract clause "one trampoline": nothing else refers to the fiber while it runs.
            let Execution::Fiber(fiber) = (unsafe { &mut *record.execution.get() }) else {
                unreachable!("a resident stack was started, and main is not resumed here")
            };
            match fiber.resume() {
                Yielded::Suspended(next) => {
                    (origin, target) = (target, next);
                    if self.always_spills.get() {
                        self.spill_if_possible(origin);
                    }
                }
                Yielded::Finished(next) => (origin, target) = (self.main, self.finish(target, next)),
            }
        }
        self.make_current(self.main);
    }

    /// Puts `target`'s stack into its own slot: back from the heap, or its first frame. The occupant of the slot is spilled.
    #[cold]
    fn make_resident(&self, target: Target<H>) -> Result<(), SwitchError<H::Body>> {
        let record = self.record(target);
        let slot = record.slot.expect("main is always resident");
        self.residency.borrow().announce(record);
        // SAFETY: contract clause "parked": only main runs, so the occupant is parked.
        let vacated = unsafe { self.residency.borrow().vacate(&self.host, slot) };
        // SAFETY: contract clause "one trampoline", which runs this.
        let execution = unsafe { &mut *record.execution.get() };
        match (vacated, execution) {
            (Ok(()), Execution::Fiber(_)) => {
                // SAFETY: it is registered and parked; it was started and is not resident, so it is spilled.
                unsafe { self.residency.borrow().unspill(&self.host, target) };
            }
            (Ok(()), execution) => {
                if let Execution::Unstarted(body) = replace(execution, Execution::Main) {
                    *execution = Execution::Fiber(self.init_stack(target, body));
                }
                self.residency.borrow().occupy(target);
                // SAFETY: the record is boxed, its state has its final address and is enlisted once, here.
                unsafe { self.host.enlist(record.vm(), self.residency.borrow().bounds(slot)) };
            }
            (Err(error), Execution::Unstarted(_)) => {
                let record = self.registry.remove(record.id.get()).expect("`start` inserted it");
                self.residency.borrow().remove(&record, false);
                let Execution::Unstarted(body) = record.into_inner().execution.into_inner() else {
                    unreachable!("matched above")
                };
                return Err(SwitchError::NoMemory(Some(body), error));
            }
            (Err(error), _) => return Err(SwitchError::NoMemory(None, error)),
        }
        Ok(())
    }

    /// Spills the stack that was left, as [`Spilling::Always`](crate::Spilling::Always) asks. Without memory it stays resident,
    /// which does no harm.
    #[cold]
    fn spill_if_possible(&self, target: Target<H>) {
        // SAFETY: contract clause "parked": it has just suspended itself, and was parked before.
        let _ = unsafe { self.residency.borrow().spill(&self.host, self.record(target)) };
    }

    /// Makes `target` the current stack.
    #[inline(always)]
    fn make_current(&self, target: Target<H>) {
        let record = self.record(target);
        record.state.set(State::Running);
        record.epoch.set(record.epoch.get() + 1);
        let now = self.resumes.get() + 1;
        self.resumes.set(now);
        record.last_resumed.set(now);
        self.current.set(target);
        // SAFETY: contract clause "parked". The stack that ran before was parked by `switch` or retired by `finish` before control
        // came here.
        unsafe { self.host.unpark(record.vm()) };
    }

    /// Frees the stack of a greenlet whose function returned, and finds the stack that it named.
    #[cold]
    fn finish(&self, dead: Target<H>, next: Next<H>) -> Target<H> {
        if let Some(record) = self.registry.remove(self.record(dead).id.get()) {
            record.state.set(State::Dead);
            // SAFETY: its function returned just now and nothing was unparked since, so its state is the live one.
            unsafe { self.host.retire(record.vm()) };
            self.residency.borrow().remove(&record, false);
        }
        // The running stack is now main's, with the trampoline on it.
        self.current.set(self.main);
        self.resolve(next).unwrap_or_else(|fault| {
            self.set_fault(fault);
            self.main
        })
    }

    #[inline(always)]
    fn resolve(&self, next: Next<H>) -> Result<Target<H>, SwitchError<H::Body>> {
        match next {
            // Not `ok_or`: making and dropping an error that is not needed is a fifth of a switch's instructions.
            Next::Resume(id) => self.registry.get(id).ok_or_else(|| SwitchError::Gone(id)),
            Next::Start(body) => self.start(body),
        }
    }

    /// Finds a stack that will run `body` when it is resumed: one that rests, or a new one.
    #[cold]
    fn start(&self, body: H::Body) -> Result<Target<H>, SwitchError<H::Body>> {
        if let Some(limit) = self.limit() {
            return Err(SwitchError::Limit(body, limit));
        }
        let body = match self.wake(body) {
            Ok(target) => return Ok(target),
            Err(body) => body,
        };
        let slot = match self.residency.borrow().assign(self.record(self.current.get()).slot) {
            Ok(Some(slot)) => slot,
            Ok(None) => return Err(SwitchError::NoSlot(body)),
            Err(error) => return Err(SwitchError::NoMemory(Some(body), error)),
        };
        let bounds = self.residency.borrow().bounds(slot);
        // Made in its final place, as far as the compiler can: a host's state is large.
        let make = |id| {
            StackRecord::new(
                id,
                self.host.fresh_state(bounds),
                Execution::Unstarted(body),
                Some(slot),
                bounds,
            )
        };
        Ok(self.registry.insert(make))
    }

    /// The limit that does not allow one more greenlet.
    fn limit(&self) -> Option<Limit> {
        let Options { max_greenlets, max_spilled, .. } = self.options.get();
        if self.live() >= max_greenlets {
            return Some(Limit::Greenlets(max_greenlets));
        }
        let bytes = self.spilled_bytes();
        (bytes >= max_spilled).then_some(Limit::SpilledBytes(bytes, max_spilled))
    }

    /// Writes the first frame of `target`'s stack, which will run `body`.
    fn init_stack(&self, target: Target<H>, body: H::Body) -> Fiber<Target<H>, Next<H>> {
        let thread = NonNull::from(self);
        let slot = self.record(target).slot.expect("main's stack is not initialised");
        // SAFETY: the slot is empty and this record's until it is spilled or removed. That happens while the fiber is suspended,
        // finished or abandoned.
        unsafe {
            Fiber::new(self.residency.borrow().bounds(slot), move |exit| {
                // The thread is in an `Rc` and outlives its stacks: its drop abandons them first.
                let thread: &Thread<H> = thread.as_ref();
                thread.record(target).exit.set(exit);
                let unwinding = Unwinding;
                let next = H::run(thread, body);
                forget(unwinding);
                next
            })
        }
    }
}

/// Dropped only where a panic reaches the base of a stack. It would go on in the trampoline, while the state of main's stack is
/// parked and the registry says that the dead greenlet runs.
struct Unwinding;

impl Drop for Unwinding {
    fn drop(&mut self) {
        eprintln!("greenlets: a panic must not leave Host::run; catch it there");
        process::abort();
    }
}
