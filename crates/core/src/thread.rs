//! The stacks of one thread and the switch between them.
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
//! in which others are resumed. What crosses a switch is up to the host; the core carries only "who runs next".

use std::cell::{Cell, UnsafeCell};
use std::mem::forget;
use std::ptr::{NonNull, null};
use std::{fmt, io, process};

use crate::fiber::{Fiber, Left, suspend};
use crate::host::Host;
use crate::registry::{Id, Record, Registry, State, Target};
use crate::slots::{GuardKind, SlotIndex, Slots, StackBounds};
use crate::snapshot::{Snapshot, SnapshotError};

/// Who is to run.
pub enum Next<H: Host> {
    /// A stack that is suspended.
    Resume(Id),
    /// A new stack, running this.
    Start(H::Body),
}

/// Why a switch did not happen. Nothing has changed, and a body that was to start comes back.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SwitchError<B> {
    /// Every stack slot is occupied.
    #[error("all stack slots are occupied")]
    NoSlot(B),
    /// The kernel refused the memory of a stack.
    #[error("no memory for a stack: {1}")]
    NoMemory(B, io::Error),
    /// No suspended stack has this id: it has finished, or never was.
    #[error("no such greenlet: it has ended")]
    Gone(Id),
}

// By hand, for bodies that are closures and have no `Debug`.
impl<B> fmt::Debug for SwitchError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SwitchError::NoSlot(_) => f.write_str("NoSlot(..)"),
            SwitchError::NoMemory(_, error) => write!(f, "NoMemory(.., {error:?})"),
            SwitchError::Gone(id) => f.debug_tuple("Gone").field(id).finish(),
        }
    }
}

/// All stacks of one thread. Lives in one place from the first switch on: stacks refer to it.
pub struct Thread<H: Host> {
    host: H,
    registry: Registry<H>,
    slots: Slots,
    main: Target<H>,
    current: Cell<Target<H>>,
    /// What went wrong when a greenlet ended and who it named could not run; main is told.
    fault: Cell<Option<SwitchError<H::Body>>>,
}

impl<H: Host> Thread<H> {
    /// Takes the running stack as main and reserves `slots` stacks beside it.
    ///
    /// # Errors
    /// Where the slots cannot be reserved: none, or more than the address space or a limit allows.
    pub fn new(host: H, main: StackBounds, slots: u32) -> io::Result<Box<Self>> {
        let slots = Slots::reserve(slots, H::ABOVE_BASE)?;
        let registry = Registry::new();
        let state = host.main_state();
        let main = registry.insert(|id| {
            Box::new(Record {
                vm: UnsafeCell::new(state),
                fiber: UnsafeCell::new(None),
                exit: Cell::new(null()),
                epoch: Cell::new(0),
                id,
                slot: None,
                bounds: main,
                state: Cell::new(State::Running),
            })
        });
        // SAFETY: the record was boxed just now and leaves the registry only when the thread is dropped.
        unsafe { host.enlist(main.as_ref().vm()) };
        Ok(Box::new(Thread { host, registry, slots, main, current: Cell::new(main), fault: Cell::new(None) }))
    }

    /// The host.
    #[inline(always)]
    pub fn host(&self) -> &H {
        &self.host
    }

    /// The id of the thread's own stack.
    pub fn main(&self) -> Id {
        self.record(self.main).id
    }

    /// The id of the stack that runs.
    pub fn current(&self) -> Id {
        self.record(self.current.get()).id
    }

    /// Whether the thread's own stack runs.
    #[inline(always)]
    pub fn on_main(&self) -> bool {
        self.current.get() == self.main
    }

    /// The bounds of the stack that runs.
    pub fn bounds(&self) -> StackBounds {
        self.record(self.current.get()).bounds
    }

    /// The state of `id`; [`State::Dead`] where it has ended.
    pub fn state(&self, id: Id) -> State {
        self.registry.get(id).map_or(State::Dead, |target| self.record(target).state.get())
    }

    /// How often `id` was resumed; `None` where it has ended.
    pub fn epoch(&self, id: Id) -> Option<u64> {
        self.registry.get(id).map(|target| self.record(target).epoch.get())
    }

    /// The host's state of `id`, which stays where it is as long as the stack lives; `None` where it has ended.
    pub fn vm_state(&self, id: Id) -> Option<NonNull<H::VmState>> {
        self.registry.get(id).map(|target| self.record(target).vm())
    }

    /// How many stacks are in use beside main's.
    pub fn live(&self) -> usize {
        self.registry.len() - 1
    }

    /// How many stacks can be in use at once.
    pub fn slots(&self) -> u32 {
        self.slots.count()
    }

    /// How the stacks are guarded against overflow.
    pub fn guard_kind(&self) -> GuardKind {
        self.slots.guard_kind()
    }

    /// The ids of all stacks that have started and not finished, main's among them.
    pub fn ids(&self) -> Vec<Id> {
        self.registry.ids()
    }

    /// Suspends the running stack and runs `to`; returns when somebody switches back. Switching to oneself does nothing.
    ///
    /// # Errors
    /// See [`SwitchError`]. On main also when a greenlet ended and the one it named could not be run.
    #[inline(always)]
    pub fn switch(&self, to: Next<H>) -> Result<(), SwitchError<H::Body>> {
        let target = self.resolve(to)?;
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
            match self.fault.take() {
                None => Ok(()),
                Some(fault) => Err(fault),
            }
        } else {
            // SAFETY: `exit` was set when this stack first ran, which it has: it runs now. It points to the stack's base.
            suspend(unsafe { &*record.exit.get() }, target);
            Ok(())
        }
    }

    /// Reads the frames of a suspended stack; nothing runs, nothing is resumed.
    ///
    /// # Errors
    /// [`SnapshotError::Running`] or [`SnapshotError::Gone`].
    pub fn snapshot(&self, id: Id) -> Result<Snapshot<H::Capture>, SnapshotError> {
        let record = self.record(self.registry.get(id).ok_or(SnapshotError::Gone)?);
        if record.state.get() != State::Suspended {
            return Err(SnapshotError::Running);
        }
        // SAFETY: it is suspended, so its state is parked and its stack untouched since.
        let frames = unsafe { self.host.capture(record.vm()) };
        Ok(Snapshot::new(id, record.epoch.get(), frames))
    }

    /// Forgets every suspended stack; their frames are not unwound and their memory is used for others. For the end of the
    /// host's life.
    ///
    /// # Safety
    /// Main runs, and nothing relies on the frames of the other stacks any more.
    pub unsafe fn abandon_all(&self) {
        debug_assert!(self.on_main());
        for id in self.registry.ids() {
            if let Some(slot) = self.forget_stack(id) {
                self.slots.release(slot);
            }
        }
    }

    /// Forgets one suspended stack that cannot be brought to an end. Its frames are not unwound, so their memory is left as it
    /// is for good and the slot is lost: others may rely on what lies there. False where `id` is not suspended, or is main.
    pub fn abandon(&self, id: Id) -> bool {
        let slot = self.forget_stack(id);
        if let Some(slot) = slot {
            self.slots.abandon(slot);
        }
        slot.is_some()
    }

    /// Takes a suspended stack out of the registry without unwinding it. What becomes of its slot is up to the caller.
    fn forget_stack(&self, id: Id) -> Option<SlotIndex> {
        let record = self.record(self.registry.get(id)?);
        let slot = record.slot?;
        if record.state.get() != State::Suspended {
            return None;
        }
        let record = self.registry.remove(id)?;
        record.state.set(State::Dead);
        // SAFETY: it is suspended, so its state is parked and its fiber is not being resumed: this is the only access to it.
        // Callers see to it that its frames, should anybody rely on them, stay where they are.
        unsafe {
            self.host.abandon(record.vm());
            if let Some(fiber) = &mut *record.fiber.get() {
                fiber.abandon();
            }
        }
        Some(slot)
    }

    /// Resumes `target`, then whoever it names, until main is named. Runs on main's stack.
    #[inline(always)]
    fn trampoline(&self, mut target: Target<H>) {
        while target != self.main {
            let record = self.record(target);
            self.arrive(target);
            // SAFETY: only the trampoline resumes fibers, and there is one trampoline: main cannot start a second one
            // before this one returned. So nothing else refers to the fiber while it runs.
            let fiber = unsafe { &mut *record.fiber.get() };
            match fiber.as_mut().expect("only main has no fiber").resume() {
                Left::Suspended(next) => target = next,
                Left::Finished(next) => target = self.bury(target, next),
            }
        }
        self.arrive(self.main);
    }

    /// Makes `target` the current stack.
    #[inline(always)]
    fn arrive(&self, target: Target<H>) {
        let record = self.record(target);
        record.state.set(State::Running);
        record.epoch.set(record.epoch.get() + 1);
        self.current.set(target);
        // SAFETY: every stack but the running one is parked, and the one that ran was parked by `switch` or retired by
        // `bury` before control came here.
        unsafe { self.host.unpark(record.vm()) };
    }

    /// Frees the stack of a greenlet whose function returned and finds who it named.
    #[cold]
    fn bury(&self, dead: Target<H>, next: Next<H>) -> Target<H> {
        if let Some(record) = self.registry.remove(self.record(dead).id) {
            record.state.set(State::Dead);
            // SAFETY: its function returned just now and nothing was unparked since, so its state is the live one.
            unsafe { self.host.retire(record.vm()) };
            if let Some(slot) = record.slot {
                drop(record);
                self.slots.release(slot);
            }
        }
        self.resolve(next).unwrap_or_else(|fault| {
            self.fault.set(Some(fault));
            self.main
        })
    }

    #[inline(always)]
    fn resolve(&self, next: Next<H>) -> Result<Target<H>, SwitchError<H::Body>> {
        match next {
            Next::Resume(id) => self.registry.get(id).ok_or(SwitchError::Gone(id)),
            Next::Start(body) => self.start(body),
        }
    }

    /// Lays out a new stack that will run `body` when it is first resumed.
    #[cold]
    fn start(&self, body: H::Body) -> Result<Target<H>, SwitchError<H::Body>> {
        let slot = match self.slots.acquire() {
            Ok(Some(slot)) => slot,
            Ok(None) => return Err(SwitchError::NoSlot(body)),
            Err(error) => return Err(SwitchError::NoMemory(body, error)),
        };
        let bounds = self.slots.bounds(slot);
        let target = self.registry.insert(|id| {
            Box::new(Record {
                vm: UnsafeCell::new(self.host.fresh_state(bounds)),
                fiber: UnsafeCell::new(None),
                exit: Cell::new(null()),
                epoch: Cell::new(0),
                id,
                slot: Some(slot),
                bounds,
                state: Cell::new(State::Suspended),
            })
        });
        let thread = NonNull::from(self);
        // SAFETY: the slot was free and is this record's until `remove` releases it, which happens after the fiber finished
        // or was abandoned.
        let fiber = unsafe {
            Fiber::new(bounds, move |exit| {
                // The thread is boxed and outlives its stacks: its drop abandons them first.
                let thread: &Thread<H> = thread.as_ref();
                thread.record(target).exit.set(exit);
                let unwinding = Unwinding;
                let next = H::run(thread, body);
                forget(unwinding);
                next
            })
        };
        let record = self.record(target);
        // SAFETY: nobody else knows this record yet.
        unsafe { *record.fiber.get() = Some(fiber) };
        // SAFETY: the record is boxed, its state has its final address and is enlisted once, here.
        unsafe { self.host.enlist(record.vm()) };
        Ok(target)
    }

    #[inline(always)]
    fn record(&self, target: Target<H>) -> &Record<H> {
        // SAFETY: a `Target` is made by the registry from a box that only `remove` takes out, after which nobody uses the
        // target any more: it is neither current nor suspended with a way to be named.
        unsafe { target.as_ref() }
    }
}

/// Dropped only where a panic leaves a stack by its base. It would go on in the trampoline, whose stack's state is parked and
/// whose registry says that the dead greenlet runs.
struct Unwinding;

impl Drop for Unwinding {
    fn drop(&mut self) {
        eprintln!("greenlets: a panic must not leave Host::run; catch it there");
        process::abort();
    }
}

/// What is still suspended is abandoned, each slot left as it is ([`Thread::abandon`]): whoever knows that nothing relies on
/// those frames calls [`Thread::abandon_all`] first and gets the memory back.
impl<H: Host> Drop for Thread<H> {
    fn drop(&mut self) {
        if !self.on_main() {
            // `exit()` runs the destructors of thread-locals on the stack that called it. That one still runs, and what ran
            // before it never returns: nothing may be touched.
            self.registry.forget();
            self.slots.abandon_all();
            return;
        }
        for id in self.registry.ids() {
            self.abandon(id);
        }
        // SAFETY: main runs, so its state is the live one; nothing is switched to after this.
        unsafe { self.host.retire(self.record(self.main).vm()) };
    }
}
