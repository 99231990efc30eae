//! The stacks of one thread: what hosts ask about them, and how they end. The switch between them is in `switch.rs`.
//!
//! # Contract
//! * "registered": a [`Target`] is made by the registry from a box that only `remove` takes out. After that, no code uses the
//!   target: it is neither the current stack nor named by another one.
//! * "parked": the host's state of every stack but the running one is parked, and of the running one it is live.
//! * "one trampoline": only the trampoline resumes fibers and changes [`StackRecord::execution`], and there is one trampoline: main
//!   cannot start a second one before the first has returned.
//! * "here": the running code is on the current stack. `switch` checks it: a coroutine that another library runs on this thread, or
//!   another [`Thread`], may have left the current stack without a word to this one.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::rc::Rc;

use crate::fiber;
use crate::fiber::bounds::StackBounds;
use crate::raw::host::Host;
use crate::raw::id::{Id, State};
use crate::raw::options::{Options, Spilling};
use crate::raw::registry::{Execution, Owned, Registry, StackRecord, Target};
use crate::raw::residency::Residency;
use crate::raw::slots::GuardKind;
use crate::raw::switch_error::SwitchError;

mod rest;
mod switch;

/// All stacks of one thread. It lives in an [`Rc`], because the stacks refer to it: the contents of a `Box` belong to the code that moves
/// the box.
pub struct Thread<H: Host> {
    host: H,
    registry: Registry<H>,
    /// Borrowed for moments, never across a switch.
    residency: RefCell<Residency<H>>,
    options: Cell<Options>,
    main: Target<H>,
    current: Cell<Target<H>>,
    /// How often a stack was resumed, of all stacks together.
    resumes: Cell<u64>,
    /// Why the last stack that was named could not run. The stack that named it is told, or main where that one has ended.
    fault: Cell<Option<SwitchError<H::Body>>>,
    /// Whether `fault` has one. This and the next are bytes that every switch looks at.
    faulted: Cell<bool>,
    always_spills: Cell<bool>,
    /// The stacks that rest, and what the one that was taken last is to run; see `rest.rs`.
    resting: RefCell<Vec<Owned<H>>>,
    next_body: Cell<Option<H::Body>>,
}

impl<H: Host> Thread<H> {
    /// Takes the running stack as main and reserves the stacks beside it. `main` says where that stack lies.
    ///
    /// # Errors
    /// The slots cannot be reserved: none, or more than the address space or a limit allows.
    ///
    /// # Safety
    /// * `main` lies around the stack that runs now, and no other stack on which code of this OS thread runs lies in it, whole or in
    ///   part. [`StackBounds::of_this_thread`] returns such bounds where this is called on the thread's own stack.
    /// * What else switches stacks on this OS thread (another [`Thread`], a coroutine library) does so in pairs that nest: a stack
    ///   that is left while code of this `Thread` is on it is not resumed from another stack of this `Thread`. Calls of
    ///   [`Thread::switch`] from a stack that is not the current one are refused.
    /// * What is asked of a greenlet's function by [`Greenlet::new`](crate::Greenlet::new), holds for every stack.
    pub unsafe fn new(host: H, main: StackBounds, options: Options) -> io::Result<Rc<Self>> {
        let residency = RefCell::new(Residency::new(&options)?);
        fiber::prepare()?;
        let registry = Registry::new();
        let state = host.main_state();
        let target = registry.insert(|id| StackRecord::new(id, state, Execution::Main, None, main));
        let thread = Rc::new(Thread {
            host,
            registry,
            residency,
            options: Cell::new(options),
            main: target,
            current: Cell::new(target),
            resumes: Cell::new(0),
            fault: Cell::new(None),
            faulted: Cell::new(false),
            always_spills: Cell::new(options.spilling == Spilling::Always),
            resting: RefCell::default(),
            next_body: Cell::new(None),
        });
        let record = thread.record(target);
        record.state.set(State::Running);
        record.resident.set(true);
        // SAFETY: the record was boxed just now and leaves the registry only when the thread is dropped.
        unsafe { thread.host.enlist(record.vm(), main) };
        Ok(thread)
    }

    /// Changes how the stacks are kept, while there are none: main runs, and no other stack has started and not ended.
    ///
    /// # Errors
    /// As for `new`; nothing has changed then. `ResourceBusy` where there are stacks.
    pub fn configure(&self, options: Options) -> io::Result<()> {
        if self.live() > 0 {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        let residency = Residency::new(&options)?;
        self.forget_resting();
        self.residency.replace(residency);
        self.always_spills.set(options.spilling == Spilling::Always);
        self.options.set(options);
        Ok(())
    }

    /// The host.
    #[inline(always)]
    pub fn host(&self) -> &H {
        &self.host
    }

    /// The id of the thread's own stack.
    pub fn main(&self) -> Id {
        self.record(self.main).id.get()
    }

    /// The record of the running stack, for [`Thread::switch_to`].
    pub(crate) fn current_target(&self) -> Target<H> {
        self.current.get()
    }

    /// The id of the running stack.
    pub fn current(&self) -> Id {
        self.record(self.current.get()).id.get()
    }

    /// Whether the thread's own stack runs.
    #[inline(always)]
    pub fn on_main(&self) -> bool {
        self.current.get() == self.main
    }

    /// The bounds of the running stack.
    pub fn bounds(&self) -> StackBounds {
        self.record(self.current.get()).extent.get().bounds()
    }

    /// The state of `id`; [`State::Dead`] where it has ended.
    pub fn state(&self, id: Id) -> State {
        self.registry.get(id).map_or(State::Dead, |target| self.record(target).state.get())
    }

    /// How often `id` was resumed; `None` where it has ended.
    pub fn epoch(&self, id: Id) -> Option<u64> {
        self.registry.get(id).map(|target| self.record(target).epoch.get())
    }

    /// The place of `id` in the order in which stacks were last resumed, which is also the order in which the suspended ones were
    /// suspended: a greater number is later. `None` where it has ended.
    ///
    /// ```
    /// # use greenlets_core::raw::{Host, Id, Thread};
    /// /// Ends with what nests in the way that C++ frames do: the stack that was suspended last comes first.
    /// fn last_suspended_first<H: Host>(thread: &Thread<H>, ids: &mut [Id]) {
    ///     ids.sort_by_key(|&id| std::cmp::Reverse(thread.last_resumed(id)));
    /// }
    /// ```
    pub fn last_resumed(&self, id: Id) -> Option<u64> {
        self.registry.get(id).map(|target| self.record(target).last_resumed.get())
    }

    /// The host's state of `id`, which stays at its address as long as the stack exists; `None` where it has ended.
    pub fn vm_state(&self, id: Id) -> Option<NonNull<H::VmState>> {
        self.registry.get(id).map(|target| self.record(target).vm())
    }

    /// Bytes that the stack of `id` takes while it is suspended, from its base to where it switched away. 0 where it runs or has
    /// ended, for the thread's own stack, and where its stack pointer is not known.
    pub fn stack_size(&self, id: Id) -> usize {
        let record = self.registry.get(id).map(|target| self.record(target));
        let suspended = record.filter(|record| record.state.get() == State::Suspended);
        suspended.map_or(0, |record| self.residency.borrow().depth(record))
    }

    /// How many stacks are in use beside main's. Those that rest are not.
    pub fn live(&self) -> usize {
        self.registry.len() - 1
    }

    /// How many stacks can be in their slots at once. Without spilling there can be no more.
    pub fn slots(&self) -> u32 {
        self.residency.borrow().slot_count()
    }

    /// How many stacks are spilled: copied to the heap while other stacks occupy their slots.
    pub fn spilled(&self) -> usize {
        self.residency.borrow().spilled()
    }

    /// Bytes that the copies of spilled stacks take.
    pub fn spilled_bytes(&self) -> usize {
        self.residency.borrow().spilled_bytes()
    }

    /// The live bytes of a suspended stack, word-aligned, wherever they are: in its slot, or in their copy. `None` where there
    /// are none, as for main.
    ///
    /// # Safety
    /// `vm` is the state of a stack of this thread.
    pub unsafe fn live_bytes(&self, vm: NonNull<H::VmState>) -> Option<Range<usize>> {
        // SAFETY: the caller's `vm` belongs to a stack of this thread, so its record is in the registry.
        let record = unsafe { StackRecord::<H>::of(vm) };
        if record.state.get() != State::Suspended {
            return None;
        }
        // SAFETY: contract clause "parked": it is suspended.
        unsafe { self.residency.borrow().live_bytes(&self.host, record) }
    }

    /// Forgets the stacks that rest, and gives unused memory back to the system: the pages of empty slots. To be called when there is
    /// nothing else to do; no switch ever does it. Returns the number of these slots.
    pub fn trim(&self) -> usize {
        self.forget_resting();
        self.residency.borrow().trim()
    }

    /// Bytes of a slot, guard included: [`Options::stack_size`], rounded up.
    pub fn slot_size(&self) -> usize {
        self.residency.borrow().slot_size()
    }

    /// Whether a stack has overflowed where `address` cannot be touched. False while that cannot be told. For a signal handler: it takes
    /// no lock and allocates nothing.
    pub fn is_guarded(&self, address: usize) -> bool {
        self.residency.try_borrow().is_ok_and(|residency| residency.is_guarded(address))
    }

    /// How the stacks are guarded against overflow.
    pub fn guard_kind(&self) -> GuardKind {
        self.residency.borrow().guard_kind()
    }

    /// The ids of all stacks that have started and not finished, main's among them.
    pub fn ids(&self) -> Vec<Id> {
        self.registry.ids()
    }

    /// What the host reads from the suspended stack `id`, and the epoch it is in. Otherwise the state that it is in.
    pub(super) fn capture(&self, id: Id) -> Result<(u64, H::Capture), State> {
        let record = self.record(self.registry.get(id).ok_or(State::Dead)?);
        match record.state.get() {
            // SAFETY: contract clause "parked"; its stack was not touched since it was parked.
            State::Suspended => Ok((record.epoch.get(), unsafe { self.host.capture(record.vm()) })),
            other => Err(other),
        }
    }

    /// Forgets every suspended stack; their frames are not unwound and their memory is used for others. For the end of the
    /// host's life.
    ///
    /// # Safety
    /// Main runs, and nothing relies on the frames of the other stacks any more.
    pub unsafe fn abandon_all(&self) {
        debug_assert!(self.on_main());
        self.forget_resting();
        for id in self.registry.ids() {
            self.forget_stack(id, false);
        }
    }

    /// Forgets one suspended stack that cannot be brought to an end. Its frames are not unwound. Where slots are not shared,
    /// other code may rely on these frames: their memory is left as it is for ever and the slot is lost. False where `id` is not
    /// suspended, or is main.
    pub fn abandon(&self, id: Id) -> bool {
        self.forget_stack(id, true)
    }

    /// Takes a suspended stack out of the registry without unwinding it. `keep` says whether other code may rely on its frames.
    fn forget_stack(&self, id: Id, keep: bool) -> bool {
        let suspended = |target: &Target<H>| {
            let record = self.record(*target);
            record.slot.is_some() && record.state.get() == State::Suspended
        };
        let Some(record) = self.registry.get(id).filter(suspended).and_then(|_| self.registry.remove(id))
        else {
            return false;
        };
        self.forget_record(&record, keep);
        true
    }

    /// The same for a stack that is out of the registry.
    fn forget_record(&self, record: &Owned<H>, keep: bool) {
        // SAFETY: contract clause "parked": it is suspended.
        unsafe { self.host.abandon(record.vm()) };
        record.state.set(State::Dead);
        self.residency.borrow().remove(record, keep);
        // SAFETY: the record was taken out and its fiber is suspended, so this is the only access to it. With `keep`, the frames
        // that other code may rely on stay where they are; without, the caller says that no code relies on them.
        unsafe {
            if let Execution::Fiber(fiber) = &mut *record.execution.get() {
                fiber.abandon();
            }
        }
    }

    #[inline(always)]
    fn record(&self, target: Target<H>) -> &StackRecord<H> {
        // SAFETY: contract clause "registered".
        unsafe { target.as_ref() }
    }
}

/// Suspended stacks are abandoned, each slot left as it is ([`Thread::abandon`]). A host that knows that nothing relies on those
/// frames calls [`Thread::abandon_all`] first and gets the memory back.
impl<H: Host> Drop for Thread<H> {
    fn drop(&mut self) {
        if !self.on_main() {
            // `exit()` runs the destructors of thread-locals on the stack that called it. That stack still runs, and the code
            // that ran before it never continues, so nothing may be touched.
            self.registry.leak();
            std::mem::forget(self.resting.take());
            self.residency.borrow().abandon_all();
            return;
        }
        self.forget_resting();
        for id in self.registry.ids() {
            self.abandon(id);
        }
        // SAFETY: main runs, so its state is the live one; nothing is switched to after this.
        unsafe { self.host.retire(self.record(self.main).vm()) };
    }
}
