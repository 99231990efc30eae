//! V8 and Node as the core's host: which part of the binding does what for a stack, and a greenlet's first and last moments.
//!
//! The clauses that the `SAFETY` sentences name are those of `v8/stack/state.rs`; the core's trait `Host` promises **live**, and
//! **parked** where it says so.

use std::ptr::NonNull;

use greenlets_core::raw::{Host, Next, Relocation, StackBounds, Thread, Unread};

use crate::node::async_hooks::Notify;
use crate::node::context::{NewContext, lower_frame, raise_frame, set_context};
use crate::node::vm_state::{VmState, scope_of};
use crate::v8::stack::call::{self, Outcome};
use crate::v8::stack::capture::Captured;
use crate::v8::stack::state::StackState;
use crate::v8::stack::unread;
use crate::v8_host::{Terminating, V8Host};

// SAFETY: `run` catches every JavaScript exception (`call.rs`) and contains no panics. Between park and unpark only the core runs,
// which calls neither V8 nor Node.
unsafe impl Host for V8Host {
    /// The first handle block, with V8's own margin.
    const ABOVE_BASE: usize = 8192;
    type VmState = VmState;
    type Body = NewContext;
    type Capture = Option<Captured>;

    fn main_state(&self) -> VmState {
        VmState::new(self.v8.main_state())
    }

    fn fresh_state(&self, slot: StackBounds) -> VmState {
        VmState::new(self.v8.fresh_state(slot))
    }

    unsafe fn enlist(&self, vm: NonNull<VmState>, _stack: StackBounds) {
        let vm = vm.cast::<StackState>();
        // SAFETY: the core promises **live** and the greenlet's own slot, with ABOVE_BASE bytes above the base. The host is boxed
        // inside the Thread, and both stay where they are until the host is dropped.
        unsafe {
            if (*vm.as_ptr()).is_main {
                self.v8.stacks.set_main(vm);
                return;
            }
            set_context(vm, self.v8.gc.roots.take());
            self.v8.enlist(vm, self.greenlets());
        }
    }

    #[inline(always)]
    unsafe fn park(&self, vm: NonNull<VmState>) {
        // SAFETY: the core promises the running stack's live state.
        unsafe { self.v8.park(vm.cast()) }
    }

    #[inline(always)]
    unsafe fn unpark(&self, vm: NonNull<VmState>) {
        // SAFETY: the core promises **live** and **parked**, and that the state before was parked or retired.
        unsafe { self.v8.unpark(vm.cast()) }
    }

    unsafe fn live_end(&self, vm: NonNull<VmState>, _stack: StackBounds) -> usize {
        // SAFETY: the core promises **live** and **parked**, and never spills main.
        unsafe { self.v8.live_end(vm.cast()) }
    }

    unsafe fn unread(&self, vm: NonNull<VmState>, low: usize, stack: StackBounds) -> Unread {
        // SAFETY: the core promises **live** and **parked**, and never spills main.
        unsafe { unread::of(&self.v8.layout, vm.cast(), low, stack) }
    }

    unsafe fn relocate(&self, vm: NonNull<VmState>, moved: &Relocation) {
        // SAFETY: the core promises **live** and **parked**; it spills on its thread, outside of collections.
        unsafe { self.v8.relocate(vm.cast(), moved) }
    }

    unsafe fn retire(&self, vm: NonNull<VmState>) {
        // SAFETY: the core promises that `vm` is the live state, and that its function has returned.
        unsafe {
            if !(*vm.as_ptr()).v8.is_main {
                self.v8.retire(vm.cast());
            }
        }
    }

    unsafe fn abandon(&self, vm: NonNull<VmState>) {
        // SAFETY: the core promises **live** and **parked**, and calls this outside of collections. The thread is alive while it has
        // stacks.
        unsafe {
            let live = self.thread.get().and_then(|thread| thread.as_ref().live_bytes(vm));
            self.v8.abandon(vm.cast(), live);
        }
    }

    unsafe fn capture(&self, vm: NonNull<VmState>) -> Self::Capture {
        // SAFETY: the core promises **parked** and an untouched stack; captures are asked for in native callbacks only.
        unsafe { self.v8.capture(vm.cast()) }
    }

    fn run(thread: &Thread<Self>, context: NewContext) -> Next<Self> {
        let host = thread.host();
        let (v8, hooks, vm) = (&host.v8.layout, &host.async_hooks, host.v8.stacks.running.get());
        host.mail.set_own(thread.current());
        // SAFETY: this is the base of the new stack, of which the state is live and stays at its address. The core has called nothing
        // of V8 since the context was made. Hooks and `call` run JavaScript, so states are accessed by raw pointers only.
        let outcome = unsafe {
            context.give_to(vm);
            raise_frame(v8, vm);
            at_base(host, |notify| hooks.enter(scope_of(vm), notify));
            call::call_at_base(v8, host.calls.entry.get(), vm)
        };
        // The entry function catches whatever can be caught: what is not a return is a termination, or an environment that is being
        // torn down.
        let Outcome::Returned(parts) = outcome else {
            // SAFETY: the greenlet's JavaScript has ended, and its stack still runs.
            unsafe {
                hooks.leave(scope_of(vm), Notify::Nothing);
                lower_frame(v8, vm);
            }
            host.terminating.set(host.terminating.get().max(Terminating::Main));
            host.mail.set_own(thread.main());
            host.mail.set_ended();
            host.mail.clear_held();
            return Next::Resume(thread.main());
        };
        // Read first: hooks may write to the mail.
        let (target, ids) = (host.mail.target(), host.mail.async_ids());
        // SAFETY: the stack still runs, and its state stays at its address until `retire`. Hooks run JavaScript, so the state is
        // accessed by raw pointers only.
        unsafe {
            at_base(host, |notify| hooks.leave(scope_of(vm), notify));
            lower_frame(v8, vm);
        }
        match target {
            Some(id) => Next::Resume(id),
            // SAFETY: `parts` is a handle of this stack. From here on nothing of V8 is called until the new stack's `run`.
            None => Next::Start(unsafe { NewContext::of_pair(v8.env, parts, ids) }),
        }
    }
}

/// Lets `change` notify hooks of the entries that it adds or removes, at the base of the running stack.
///
/// # Safety
/// The clauses **base** and **api** of `v8/stack/call.rs`.
unsafe fn at_base(host: &V8Host, mut change: impl FnMut(Notify<'_>)) {
    let v8 = &host.v8.layout;
    let notify = Notify::Hooks(&host.mail);
    // SAFETY: the caller's clauses; the host stays at its address as long as the environment.
    unsafe {
        if !host.async_hooks.calls_hooks() {
            change(notify);
        } else if !host.calls.in_callback(v8, || change(notify)) {
            change(Notify::Nothing);
            (v8.symbols.terminate)(v8.isolate);
        }
    }
}
