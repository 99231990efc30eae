//! What one environment has: its V8, what Node keeps for its stacks, and how their JavaScript is entered. `host.rs` makes it the
//! core's host.
//!
//! The clauses that the `SAFETY` sentences name are those of `v8/stack/state.rs`.

use std::cell::Cell;
use std::ops::Range;
use std::ptr::NonNull;

use greenlets_core::raw::Thread;

use crate::cxx_exceptions::CxxExceptions;
use crate::mail::Mail;
use crate::node::addon_scopes::AddonScopes;
use crate::node::async_hooks::AsyncHooks;
use crate::node::pauses::Pauses;
use crate::node::vm_state::VmState;
use crate::v8::gc::greenlets::Greenlets;
use crate::v8::lanes::V8;
use crate::v8::stack::call::Calls;
use crate::v8::stack::state::StackState;
use crate::weak::WeakReferences;

/// One environment: its V8, what Node keeps for its stacks, and how their JavaScript is entered.
pub(crate) struct V8Host {
    pub(crate) v8: V8,
    pub(crate) mail: Mail,
    pub(crate) calls: Calls,
    pub(crate) async_hooks: AsyncHooks,
    pub(crate) addon_scopes: AddonScopes,
    pub(crate) cxx_exceptions: CxxExceptions,
    pub(crate) pauses: Pauses,
    pub(crate) weak: WeakReferences,
    /// Which stacks must not continue with JavaScript when they run again.
    pub(crate) terminating: Cell<Terminating>,
    /// The thread of which this is the host, once it is made.
    pub(crate) thread: Cell<Option<NonNull<Thread<V8Host>>>>,
}

/// The stacks on which JavaScript ends when they run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Terminating {
    Nothing,
    /// V8 is terminating JavaScript on this thread: a greenlet was unwound for it, and main must be too.
    Main,
    /// The environment is ending, and every greenlet that is resumed releases what its C++ holds (`unwind.rs`).
    Greenlets,
}

impl Drop for V8Host {
    fn drop(&mut self) {
        if self.v8.stacks.count.get() != 0 {
            // The process is ending inside a greenlet (the core's `raw/thread/mod.rs`): nothing is touched any more.
            return;
        }
        // SAFETY: the core drops its host on the thread's own stack, and no greenlet has a stack.
        unsafe { self.v8.close() };
    }
}

impl Greenlets for Thread<V8Host> {
    unsafe fn live_bytes(&self, vm: NonNull<StackState>) -> Option<Range<usize>> {
        // SAFETY: the caller promises the clauses **live** and **parked**; each state but the root table's is part of a `VmState`.
        unsafe { Thread::live_bytes(self, VmState::of(vm)) }
    }

    fn collected(&self) {
        self.host().mail.count_collection();
    }

    fn trim(&self) {
        self.host().mail.count_full_collection();
        Thread::trim(self);
    }
}

impl V8Host {
    /// The thread, for the collector's callbacks.
    pub(crate) fn greenlets(&self) -> NonNull<dyn Greenlets> {
        self.thread.get().expect("stacks are enlisted after the thread was made")
    }
}
