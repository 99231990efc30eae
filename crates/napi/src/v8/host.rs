//! V8 as the core's host: the states, the lists around them, and a greenlet's first and last moments.

use std::cell::{Cell, UnsafeCell};
use std::ptr::{NonNull, null_mut};

use greenlets_core::{GUARD_SIZE, Host, Next, Relocation, StackBounds, Thread};
use napi::sys;

use super::call::Outcome;
use super::facts::{BLOCKS, BLOCKS_CAPACITY, BLOCKS_SIZE, MAX_ARCHIVE_WORDS};
use super::layout::Layout;
use super::locker::{self, Locker, StandIn};
use super::quiet::Quiet;
use super::roots::Roots;
use super::state::{LOCKED, OWNS_LIST, VmState, live_end, park, relocate, unpark, write_fresh};
use super::symbols::Symbols;
use super::wasm::FullGc;
use super::{call, capture, gc, list};
use crate::context::{NewContext, lower_frame, raise_frame};
use crate::mail::Mail;
use crate::node::async_hooks::{AsyncHooks, Tell};
use crate::scopes::Scopes;

/// Bytes of a slot that JavaScript may not use: native code called at JavaScript's limit (the parser, ICU, OpenSSL, the
/// collector) runs there.
const RED_ZONE: usize = 96 * 1024;

/// One environment's V8, its greenlets' common things, and how their JavaScript is entered.
pub(crate) struct V8Host {
    pub(crate) symbols: Symbols,
    pub(crate) layout: Layout,
    pub(crate) env: sys::napi_env,
    pub(crate) mail: Mail,
    pub(crate) async_hooks: AsyncHooks,
    /// The function each greenlet begins with.
    pub(crate) entry: Cell<sys::napi_ref>,
    /// A function that does what is in `act`; null until it is needed (`call::in_callback`).
    pub(crate) caller: Cell<sys::napi_ref>,
    pub(crate) act: Cell<Option<*mut dyn FnMut()>>,
    /// A function of the realm whose `Error` captures stacks; null until it is set.
    pub(crate) capture_realm: Cell<sys::napi_ref>,
    /// The locker lane, where that is the one.
    pub(crate) locker: Option<Locker>,
    /// What the next capture reads.
    pub(crate) wanted: Cell<capture::Wanted>,
    /// The state of the stack that runs.
    pub(crate) running: Cell<NonNull<VmState>>,
    /// Data and capacity of the handle block list that all running greenlets of the thread use in turn.
    pub(crate) block_list: Cell<(u64, u64)>,
    /// The stacks that a scavenge need not visit.
    pub(crate) quiet: Quiet,
    /// The thread this is the host of, once that is made.
    pub(crate) thread: Cell<Option<NonNull<Thread<V8Host>>>>,
    /// Who must not go on with JavaScript when it runs again.
    pub(crate) terminating: Cell<Terminating>,
    /// Microtask queues whose jobs run on main's stack, while another runs.
    pub(crate) running_on_main: Cell<u64>,
    /// How many steps of the debugger were put aside so far.
    pub(crate) steps: Cell<u64>,
    /// 1 while a collection's callbacks run.
    pub(crate) collecting: Cell<u64>,
    pub(crate) scopes: Scopes,
    /// Whether scavenges are to be full collections; see `wasm.rs`.
    pub(crate) full_gc: FullGc,
    blank: Box<UnsafeCell<[u64; MAX_ARCHIVE_WORDS]>>,
    roots: UnsafeCell<Box<Roots>>,
    main: Cell<Option<NonNull<VmState>>>,
    stacks: Cell<usize>,
    hooked: Cell<bool>,
}

/// Whose JavaScript ends when it runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Terminating {
    Nobody,
    /// V8 is ending JavaScript on this thread: a greenlet was unwound for it, and main must be too.
    Main,
    /// The environment is ending, and every greenlet that is resumed gives back what its C++ holds (`unwind.rs`).
    Greenlets,
}

/// Capacity V8 gives a new DetachableVector (detachable-vector.h, `kMinimumCapacity`).
const BLOCK_LIST_CAPACITY: usize = 8;

impl V8Host {
    pub(crate) fn new(
        symbols: Symbols,
        layout: Layout,
        scopes: Scopes,
        async_hooks: AsyncHooks,
        env: sys::napi_env,
        locker: Option<Locker>,
    ) -> Self {
        let mut blank = [0; MAX_ARCHIVE_WORDS];
        let (facts, top) = (layout.facts, layout.facts.thread_local_top_words);
        blank[0] = layout.isolate as u64;
        blank[facts.implementer_words + facts.scope_data_words..][..top]
            .copy_from_slice(&layout.blank_top[..top]);
        let host = V8Host {
            roots: UnsafeCell::new(Roots::new(&layout)),
            symbols,
            layout,
            env,
            mail: Mail::new(),
            async_hooks,
            entry: Cell::new(null_mut()),
            caller: Cell::new(null_mut()),
            act: Cell::new(None),
            capture_realm: Cell::new(null_mut()),
            locker,
            wanted: Cell::new(capture::Wanted::Frames),
            running: Cell::new(NonNull::dangling()),
            block_list: Cell::new((0, 0)),
            quiet: Quiet::new(),
            thread: Cell::new(None),
            terminating: Cell::new(Terminating::Nobody),
            running_on_main: Cell::new(0),
            steps: Cell::new(0),
            collecting: Cell::new(0),
            scopes,
            full_gc: FullGc::new(),
            blank: Box::new(UnsafeCell::new(blank)),
            main: Cell::new(None),
            stacks: Cell::new(0),
            hooked: Cell::new(false),
        };
        host.new_block_list();
        host
    }

    /// The locker lane.
    pub(crate) fn lane(&self) -> &Locker {
        self.locker.as_ref().expect("only its states are marked so")
    }

    /// Marks a new state as one of the lane's.
    fn mark(&self, vm: &mut VmState) {
        if self.locker.is_some() {
            vm.unusual = LOCKED;
        }
    }

    /// Whether anything of ours is in V8's list: while any greenlet has a stack, and in the locker lane from the first one on.
    pub(crate) fn is_listed(&self) -> bool {
        self.roots().is_listed()
    }

    /// The image of every running stack: nothing to visit.
    pub(crate) fn blank_image(&self) -> *mut u64 {
        self.blank.get().cast()
    }

    /// Debug's part of the running stack's image, which the GC visits while the stack is parked.
    pub(crate) fn debug_image(&self) -> *mut u64 {
        // SAFETY: the running stack's state is live, and its image as long as an archive.
        unsafe {
            let image = (&raw mut (*self.running.get().as_ptr()).image).cast::<u64>();
            image.add(self.layout.facts.debug_in_archive())
        }
    }

    #[allow(
        clippy::mut_from_ref,
        reason = "the table is one word at a time, on one thread, from callbacks that do not nest"
    )]
    pub(crate) fn roots(&self) -> &mut Roots {
        // SAFETY: callers use it for one access and call nothing meanwhile that could come here again.
        unsafe { &mut *self.roots.get() }
    }

    pub(crate) fn roots_node(&self) -> *mut list::Node {
        self.roots().node().as_ptr()
    }

    /// A list of handle blocks for the running greenlet. From malloc: V8 frees it when it outgrows it.
    #[cold]
    pub(crate) fn new_block_list(&self) {
        // SAFETY: plain allocation, checked below.
        let list = unsafe { libc::malloc(BLOCK_LIST_CAPACITY * size_of::<usize>()) };
        assert!(!list.is_null(), "out of memory");
        self.block_list.set((list as u64, BLOCK_LIST_CAPACITY as u64));
    }

    #[cold]
    pub(crate) fn drop_block_list(&self) {
        // SAFETY: from malloc, by us or by V8's operator new; nothing refers to it while no greenlet with one block runs.
        unsafe { libc::free(self.block_list.get().0 as *mut _) };
    }

    /// A stack came: the first one brings main's node, the root table and the GC hooks with it.
    fn came(&self) {
        self.stacks.set(self.stacks.get() + 1);
        if !self.is_listed() {
            // SAFETY: main's state and the roots are live and in no list; `self` is boxed inside the Thread.
            unsafe {
                if self.locker.is_none() {
                    list::link(self.layout.in_use, self.main_node());
                }
                list::link(self.layout.in_use, self.roots().node());
                if !self.hooked.replace(true) {
                    gc::hook(self);
                }
            }
        }
    }

    /// A stack went. With the last one V8's list is as if we had never been here; stand-ins stay there until the end.
    fn went(&self) {
        self.stacks.set(self.stacks.get() - 1);
        if self.stacks.get() == 0 && self.locker.is_none() {
            self.full_gc.want(&self.symbols, false);
            // SAFETY: `came` linked both.
            unsafe {
                list::unlink(self.main_node());
                list::unlink(self.roots().node());
            }
        }
    }

    /// `state` will never run again.
    unsafe fn drop_context(&self, state: &mut VmState) {
        if let Some(context) = state.context.take() {
            // SAFETY: the greenlet had it.
            unsafe { self.roots().release(context) };
        }
    }

    /// V8 is not to write to what lies on the suspended stack of `vm` any more.
    ///
    /// # Safety
    /// `vm` is parked, and will never run again.
    unsafe fn forget_callbacks(&self, vm: NonNull<VmState>) {
        // SAFETY: the thread is the one this is the host of, and outlives its stacks.
        let live = self.thread.get().and_then(|thread| unsafe { thread.as_ref().live_bytes(vm) });
        if let (Some(callbacks), Some(live)) = (self.layout.callbacks, live) {
            // SAFETY: no collection is under way: `abandon` is not called from its callbacks.
            unsafe { callbacks.forget(live) };
        }
    }

    fn main_node(&self) -> NonNull<list::Node> {
        let main = self.main.get().expect("main is enlisted first");
        // SAFETY: main's state lives as long as the Thread.
        unsafe { NonNull::new_unchecked(&raw mut (*main.as_ptr()).node) }
    }

    /// Gives back what V8 allocated for a stack's handles: further blocks, and the vectors of contexts.
    ///
    /// # Safety
    /// `implementer` is the HandleScopeImplementer (or its image) of a stack that will never run again.
    unsafe fn free_vectors(&self, implementer: *mut u64) {
        // SAFETY: the vectors are V8's, from operator new, which is malloc in Node; the first block is ours and stays.
        unsafe {
            let blocks = *implementer.add(BLOCKS) as *const u64;
            for i in 1..*implementer.add(BLOCKS_SIZE) as usize {
                libc::free(*blocks.add(i) as *mut _);
            }
            for &vector in self.layout.facts.vectors {
                libc::free(*implementer.add(vector) as *mut _);
                implementer.add(vector).write_bytes(0, 3);
            }
        }
    }
}

impl Drop for V8Host {
    fn drop(&mut self) {
        if self.stacks.get() != 0 {
            // The process is ending inside of a greenlet (thread.rs): nothing is touched any more.
            return;
        }
        if self.hooked.get() {
            // SAFETY: hooked once, by `came`.
            unsafe { gc::unhook(self) };
        }
        if self.locker.is_some() {
            // SAFETY: main runs (thread.rs), and no greenlet has a stack. `came` linked the roots.
            unsafe {
                locker::dispose_all(self);
                if self.is_listed() {
                    self.full_gc.want(&self.symbols, false);
                    list::unlink(self.roots().node());
                }
            }
        }
        self.drop_block_list();
    }
}

// SAFETY: `run` catches every JavaScript exception (`call.rs`) and contains no panics; between park and unpark only the
// core runs, which calls neither V8 nor Node.
unsafe impl Host for V8Host {
    /// The first handle block, with V8's own margin.
    const ABOVE_BASE: usize = 8192;
    type VmState = VmState;
    type Body = NewContext;
    type Capture = Option<capture::Captured>;

    fn main_state(&self) -> VmState {
        let mut vm = VmState::new(&self.layout, self.layout.main, true);
        vm.embedder_data = self.roots().of_main();
        vm.node.data = self.blank_image();
        vm.stand_in = StandIn::of_main(self.layout.thread_id);
        self.mark(&mut vm);
        vm
    }

    fn fresh_state(&self, slot: StackBounds) -> VmState {
        // V8 believes every stack to be as large as main (`Isolate::stack_size_`, 13.6): not more than that.
        let limit = (slot.limit + RED_ZONE).max(slot.base.saturating_sub(self.layout.main.size()));
        debug_assert!(limit > slot.limit - GUARD_SIZE);
        let mut vm = VmState::new(&self.layout, StackBounds { base: slot.base, limit }, false);
        vm.set_context(self.roots().take());
        self.mark(&mut vm);
        vm
    }

    unsafe fn enlist(&self, vm: NonNull<VmState>, _stack: StackBounds) {
        // SAFETY: `vm` is at its final address and live, and its slot, with ABOVE_BASE bytes above the base, is its own (the
        // trait's contract).
        unsafe {
            let state = &mut *vm.as_ptr();
            if state.is_main {
                self.main.set(Some(vm));
                self.running.set(vm);
                return;
            }
            if let Some(lane) = &self.locker {
                locker::enlist(self, lane, state);
            } else {
                write_fresh(self, state);
                state.node.data = state.image.as_mut_ptr();
                list::link(self.layout.in_use, NonNull::from(&mut state.node));
            }
        }
        self.came();
    }

    #[inline(always)]
    unsafe fn park(&self, vm: NonNull<VmState>) {
        // SAFETY: passed on.
        unsafe { park(self, vm) }
    }

    #[inline(always)]
    unsafe fn unpark(&self, vm: NonNull<VmState>) {
        // SAFETY: passed on.
        unsafe { unpark(self, vm) }
    }

    unsafe fn live_end(&self, vm: NonNull<VmState>, _stack: StackBounds) -> usize {
        // SAFETY: passed on; main is never spilled.
        unsafe { live_end(self, vm) }
    }

    unsafe fn relocate(&self, vm: NonNull<VmState>, moved: &Relocation) {
        // SAFETY: passed on.
        unsafe { relocate(self, vm, moved) }
    }

    unsafe fn retire(&self, vm: NonNull<VmState>) {
        // SAFETY: `vm` is live (the trait's contract), and so is the isolate's state, which is the greenlet's own.
        unsafe {
            let state = &mut *vm.as_ptr();
            if state.is_main {
                return;
            }
            if self.locker.is_some() {
                locker::retire(self, state);
            } else {
                let implementer = self.layout.handle_scope_implementer;
                self.free_vectors(implementer);
                self.block_list.set((*implementer.add(BLOCKS), *implementer.add(BLOCKS_CAPACITY)));
                list::unlink(NonNull::from(&mut state.node));
            }
            self.drop_context(state);
        }
        self.went();
    }

    unsafe fn abandon(&self, vm: NonNull<VmState>) {
        // SAFETY: `vm` is parked (the trait's contract): its image holds its handles.
        unsafe {
            self.forget_callbacks(vm);
            let state = &mut *vm.as_ptr();
            if self.locker.is_some() {
                locker::abandon(self, state);
            } else {
                self.free_vectors(state.image.as_mut_ptr());
                if state.unusual & OWNS_LIST != 0 {
                    libc::free(state.image[BLOCKS] as *mut _);
                }
                self.quiet.wake(self, vm);
                list::unlink(NonNull::from(&mut state.node));
            }
            self.drop_context(state);
        }
        self.went();
    }

    unsafe fn capture(&self, vm: NonNull<VmState>) -> Self::Capture {
        // SAFETY: passed on.
        unsafe { capture::capture(self, vm) }
    }

    fn run(thread: &Thread<Self>, context: NewContext) -> Next<Self> {
        let host = thread.host();
        host.mail.set_own(thread.current());
        // SAFETY: this is the base of the new stack, whose state is live; the core has called nothing of V8 since the context
        // was made.
        let outcome = unsafe {
            let vm = &mut *host.running.get().as_ptr();
            context.give_to(vm);
            raise_frame(host, vm);
            at_base(host, |tell| host.async_hooks.enter(&mut vm.scope, tell));
            call::call(host, host.entry.get())
        };
        // The entry function catches whatever can be caught: what is not a return is a termination, or an environment that
        // is being torn down.
        let Outcome::Returned(parts) = outcome else {
            // SAFETY: the greenlet's JavaScript has ended, and its stack runs still.
            unsafe {
                let vm = &mut *host.running.get().as_ptr();
                host.async_hooks.leave(&mut vm.scope, Tell::Nobody);
                lower_frame(host, vm);
            }
            host.terminating.set(host.terminating.get().max(Terminating::Main));
            host.mail.set_own(thread.main());
            host.mail.set_ended();
            host.mail.let_go();
            return Next::Resume(thread.main());
        };
        // Hooks may write mail of their own.
        let (target, ids) = (host.mail.target(), host.mail.async_ids());
        // SAFETY: as above.
        unsafe {
            let vm = &mut *host.running.get().as_ptr();
            at_base(host, |tell| host.async_hooks.leave(&mut vm.scope, tell));
            lower_frame(host, vm);
        }
        match target {
            Some(id) => Next::Resume(id),
            // SAFETY: a handle of this stack. From here on nothing of V8 is called until the new stack's `run`.
            None => Next::Start(unsafe { NewContext::of_pair(host, parts, ids) }),
        }
    }
}

/// Lets `change` tell hooks of the entries it adds or removes, at the base of the running stack.
///
/// # Safety
/// As `call::call`.
unsafe fn at_base(host: &V8Host, mut change: impl FnMut(Tell<'_>)) {
    let tell = Tell::Hooks(&host.mail);
    // SAFETY: passed on; live words of the environment.
    unsafe {
        if !host.async_hooks.calls_hooks() {
            change(tell);
        } else if !call::in_callback(host, || change(tell)) {
            change(Tell::Nobody);
            (host.symbols.terminate)(host.layout.isolate);
        }
    }
}
