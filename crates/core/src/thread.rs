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

use std::cell::{Cell, RefCell};
use std::mem::{forget, replace};
use std::ops::Range;
use std::ptr::NonNull;
use std::{io, process};

use crate::fiber::{Fiber, Left, suspend};
use crate::homes::Homes;
use crate::host::Host;
use crate::options::{Options, Spilling};
use crate::refusal::{Limit, SwitchError};
use crate::registry::{Id, Machine, Record, Registry, State, Target};
use crate::slots::{GuardKind, StackBounds};
use crate::snapshot::{Snapshot, SnapshotError};

/// Who is to run.
pub enum Next<H: Host> {
    /// A stack that is suspended.
    Resume(Id),
    /// A new stack, running this.
    Start(H::Body),
}

/// All stacks of one thread. Lives in one place from the first switch on: stacks refer to it.
pub struct Thread<H: Host> {
    host: H,
    registry: Registry<H>,
    /// Borrowed for moments, never across a switch.
    homes: RefCell<Homes<H>>,
    options: Cell<Options>,
    main: Target<H>,
    main_bounds: StackBounds,
    current: Cell<Target<H>>,
    /// Why who was to run could not; whoever asked for it is told, or main where that has ended.
    fault: Cell<Option<SwitchError<H::Body>>>,
    /// Whether `fault` has one. This and the next are bytes to look at on the way of every switch.
    faulted: Cell<bool>,
    always_spills: Cell<bool>,
}

impl<H: Host> Thread<H> {
    /// Takes the running stack as main and reserves the stacks beside it.
    ///
    /// # Errors
    /// Where the slots cannot be reserved: none, or more than the address space or a limit allows.
    pub fn new(host: H, main: StackBounds, options: Options) -> io::Result<Box<Self>> {
        let homes = RefCell::new(Homes::new(&options)?);
        let registry = Registry::new();
        let state = host.main_state();
        let target = registry.insert(|id| Record::new(id, state, Machine::Main, None));
        let thread = Box::new(Thread {
            host,
            registry,
            homes,
            options: Cell::new(options),
            main: target,
            main_bounds: main,
            current: Cell::new(target),
            fault: Cell::new(None),
            faulted: Cell::new(false),
            always_spills: Cell::new(false),
        });
        let record = thread.record(target);
        record.state.set(State::Running);
        record.resident.set(true);
        // SAFETY: the record was boxed just now and leaves the registry only when the thread is dropped.
        unsafe { thread.host.enlist(record.vm(), main) };
        thread.begin(&options)?;
        Ok(thread)
    }

    /// Keeps the stacks in another way from now on, while there are none: main runs, and nobody else has started and not ended.
    ///
    /// # Errors
    /// As for `new`; nothing has changed then. `ResourceBusy` where there are stacks.
    pub fn configure(&self, options: Options) -> io::Result<()> {
        if self.live() > 0 {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        let homes = Homes::new(&options)?;
        let before = self.homes.replace(homes);
        if let Err(error) = self.begin(&options) {
            self.homes.replace(before);
            return Err(error);
        }
        self.options.set(options);
        Ok(())
    }

    fn begin(&self, options: &Options) -> io::Result<()> {
        let end = Next::<H>::Resume(self.main());
        // SAFETY: the slot is free, and is given back with nothing on it.
        self.homes.borrow().learn(|slot| unsafe { Fiber::learn(slot, self.main, end) })?;
        self.always_spills.set(options.spilling == Spilling::Always);
        Ok(())
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
        self.record(self.current.get()).home.map_or(self.main_bounds, |home| self.homes.borrow().bounds(home))
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

    /// Bytes that the stack of `id` takes while it is suspended, from its base to where it switched away. 0 where it runs or has
    /// ended, for the thread's own stack, and where it could not be learnt where the machine keeps that.
    pub fn stack_size(&self, id: Id) -> usize {
        let record = self.registry.get(id).map(|target| self.record(target));
        let suspended = record.filter(|record| record.state.get() == State::Suspended);
        suspended.map_or(0, |record| self.homes.borrow().depth(record))
    }

    /// How many stacks are in use beside main's.
    pub fn live(&self) -> usize {
        self.registry.len() - 1
    }

    /// How many stacks can be in their slots at once. Without spilling there can be no more.
    pub fn slots(&self) -> u32 {
        self.homes.borrow().count()
    }

    /// How many stacks are spilled: copied to the heap while others lie in their slots.
    pub fn spilled(&self) -> usize {
        self.homes.borrow().spilled()
    }

    /// Bytes that the copies of spilled stacks take.
    pub fn spilled_bytes(&self) -> usize {
        self.homes.borrow().spilled_bytes()
    }

    /// The live bytes of a suspended stack, word-aligned, wherever they are: in its slot, or in their copy. `None` where there
    /// are none, as for main.
    ///
    /// # Safety
    /// `vm` is the state of a stack of this thread.
    pub unsafe fn live_bytes(&self, vm: NonNull<H::VmState>) -> Option<Range<usize>> {
        // SAFETY: passed on from the caller.
        let record = unsafe { Record::<H>::of(vm) };
        if record.state.get() != State::Suspended {
            return None;
        }
        // SAFETY: it is suspended, so its state is parked.
        unsafe { self.homes.borrow().live_bytes(&self.host, record) }
    }

    /// Gives memory that is not in use back to the system: pages of slots in which nobody lies. To be called when there is
    /// nothing else to do; no switch ever does it. Returns how many slots it was.
    pub fn trim(&self) -> usize {
        self.homes.borrow().trim()
    }

    /// How the stacks are guarded against overflow.
    pub fn guard_kind(&self) -> GuardKind {
        self.homes.borrow().guard_kind()
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
        } else {
            // SAFETY: `exit` was set when this stack first ran, which it has: it runs now. It points to the stack's base.
            suspend(unsafe { &*record.exit.get() }, target);
        }
        if self.faulted.get() { Err(self.take_fault()) } else { Ok(()) }
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
            self.forget_stack(id, false);
        }
    }

    /// Forgets one suspended stack that cannot be brought to an end. Its frames are not unwound. Where slots are not shared,
    /// others may rely on what lies there: their memory is left as it is for good and the slot is lost. False where `id` is not
    /// suspended, or is main.
    pub fn abandon(&self, id: Id) -> bool {
        self.forget_stack(id, true)
    }

    /// Takes a suspended stack out of the registry without unwinding it, whose frames others may rely on or not.
    fn forget_stack(&self, id: Id, keep: bool) -> bool {
        let suspended = |target: &Target<H>| {
            let record = self.record(*target);
            record.home.is_some() && record.state.get() == State::Suspended
        };
        let Some(record) = self.registry.get(id).filter(suspended).and_then(|_| self.registry.remove(id))
        else {
            return false;
        };
        // SAFETY: it is suspended, so its state is parked.
        unsafe { self.host.abandon(record.vm()) };
        record.state.set(State::Dead);
        self.homes.borrow().leave(&record, keep);
        // SAFETY: its fiber is not being resumed: this is the only access to it. Callers see to it that its frames, should
        // anybody rely on them, stay where they are.
        unsafe {
            if let Machine::Fiber(fiber) = &mut *record.machine.get() {
                fiber.abandon();
            }
        }
        true
    }

    /// Resumes `target`, then whoever it names, until main is named. Runs on main's stack.
    #[inline(always)]
    fn trampoline(&self, mut target: Target<H>) {
        // Who asked for `target`, and goes on where it cannot run.
        let mut origin = self.main;
        while target != self.main {
            let record = self.record(target);
            if !record.resident.get()
                && let Err(fault) = self.bring_home(target)
            {
                self.set_fault(fault);
                target = origin;
                continue;
            }
            self.arrive(target);
            // SAFETY: only the trampoline resumes fibers, and there is one trampoline: main cannot start a second one
            // before this one returned. So nothing else refers to the fiber while it runs.
            let Machine::Fiber(fiber) = (unsafe { &mut *record.machine.get() }) else {
                unreachable!("who is at home was started, and main never comes here")
            };
            match fiber.resume() {
                Left::Suspended(next) => {
                    (origin, target) = (target, next);
                    if self.always_spills.get() {
                        self.spill(origin);
                    }
                }
                Left::Finished(next) => (origin, target) = (self.main, self.bury(target, next)),
            }
        }
        self.arrive(self.main);
    }

    /// Puts `target`'s stack into its slot: back from the heap, or its first frame. Whoever lies there goes to the heap.
    #[cold]
    fn bring_home(&self, target: Target<H>) -> Result<(), SwitchError<H::Body>> {
        let record = self.record(target);
        let home = record.home.expect("main is always at home");
        // SAFETY: nobody but main runs, so whoever lies there is parked.
        let cleared = unsafe { self.homes.borrow().clear(&self.host, home) };
        // SAFETY: the trampoline, which runs this, is the only one to use it.
        let machine = unsafe { &mut *record.machine.get() };
        match (cleared, machine) {
            (Ok(()), Machine::Fiber(_)) => {
                // SAFETY: it was started and is not at home.
                unsafe { self.homes.borrow().unspill(&self.host, target) };
            }
            (Ok(()), machine) => {
                if let Machine::Unborn(body) = replace(machine, Machine::Main) {
                    *machine = Machine::Fiber(self.lay_out(target, body));
                }
                self.homes.borrow().occupy(target);
                // SAFETY: the record is boxed, its state has its final address and is enlisted once, here.
                unsafe { self.host.enlist(record.vm(), self.homes.borrow().bounds(home)) };
            }
            (Err(error), Machine::Unborn(_)) => {
                let record = self.registry.remove(record.id).expect("it was inserted when it was to start");
                self.homes.borrow().leave(&record, false);
                let Machine::Unborn(body) = record.machine.into_inner() else {
                    unreachable!("matched above")
                };
                return Err(SwitchError::NoMemory(Some(body), error));
            }
            (Err(error), _) => return Err(SwitchError::NoMemory(None, error)),
        }
        Ok(())
    }

    /// A stack was left that is to be spilled whether that is needed or not.
    #[cold]
    fn spill(&self, target: Target<H>) {
        // SAFETY: it has just suspended itself, and was parked before. Without memory it stays, which is no harm.
        let _ = unsafe { self.homes.borrow().spill(&self.host, self.record(target)) };
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
            self.homes.borrow().leave(&record, false);
        }
        // The trampoline's stack is what runs now.
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

    /// Makes the record of a new stack that will run `body` when it is first resumed.
    #[cold]
    fn start(&self, body: H::Body) -> Result<Target<H>, SwitchError<H::Body>> {
        if let Some(limit) = self.limit() {
            return Err(SwitchError::Limit(body, limit));
        }
        let home = match self.homes.borrow().settle(self.record(self.current.get()).home) {
            Ok(Some(home)) => home,
            Ok(None) => return Err(SwitchError::NoSlot(body)),
            Err(error) => return Err(SwitchError::NoMemory(Some(body), error)),
        };
        let bounds = self.homes.borrow().bounds(home);
        // Made where it is to be, as far as the compiler can: a host's state is large.
        let make = |id| Record::new(id, self.host.fresh_state(bounds), Machine::Unborn(body), Some(home));
        Ok(self.registry.insert(make))
    }

    /// The limit that does not allow for one more greenlet.
    fn limit(&self) -> Option<Limit> {
        let Options { max_greenlets, max_spilled, .. } = self.options.get();
        if self.live() >= max_greenlets {
            return Some(Limit::Greenlets(max_greenlets));
        }
        let bytes = self.spilled_bytes();
        (bytes >= max_spilled).then_some(Limit::SpilledBytes(bytes, max_spilled))
    }

    /// Writes the first frame of `target`'s stack, which will run `body`.
    fn lay_out(&self, target: Target<H>, body: H::Body) -> Fiber<Target<H>, Next<H>> {
        let thread = NonNull::from(self);
        let home = self.record(target).home.expect("main is not laid out");
        // SAFETY: the slot is empty and this record's until it is spilled or leaves, which happens while the fiber is suspended,
        // finished or abandoned.
        unsafe {
            Fiber::new(self.homes.borrow().bounds(home), move |exit| {
                // The thread is boxed and outlives its stacks: its drop abandons them first.
                let thread: &Thread<H> = thread.as_ref();
                thread.record(target).exit.set(exit);
                let unwinding = Unwinding;
                let next = H::run(thread, body);
                forget(unwinding);
                next
            })
        }
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
            self.homes.borrow().leave_all();
            return;
        }
        for id in self.registry.ids() {
            self.abandon(id);
        }
        // SAFETY: main runs, so its state is the live one; nothing is switched to after this.
        unsafe { self.host.retire(self.record(self.main).vm()) };
    }
}
