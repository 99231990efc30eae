//! The end of an environment: suspended stacks with C++ between their JavaScript are resumed once more.
//!
//! A stack that is never resumed is forgotten, with everything that C++ on it holds. Where C++ holds a reference to one of Node's
//! objects, as an HTTP/2 session does in the middle of `session.receive()`, Node finds one object too many and aborts the process
//! (`CHECK_EQ(base_object_count_, 0)`, node_realm.cc). So stacks with C++ between their JavaScript are terminated as V8 terminates a
//! running one: uncatchably, from the inside out, and the C++ returns. This must happen while Node's objects all exist
//! (`node/end_watch.rs`).
//!
//! The stack that was suspended last ends first. C++ may hold a resource of the thread that must be released in the opposite order:
//! koffi has one stack for all its native calls, on which the calls of two greenlets lie one above the other.

use std::cmp::Reverse;

use greenlets_core::raw::{Next, Thread};

use crate::calls::switch;
use crate::v8::learn::symbols::AllowScope;
use crate::v8::stack::handles;
use crate::v8_host::{Terminating, V8Host};

/// Terminates the suspended stacks that have C++ in them.
///
/// # Safety
/// In the loop of the thread's environment, which is ending.
pub(crate) unsafe fn unwind(thread: &Thread<V8Host>) {
    let host = thread.host();
    if !thread.on_main() {
        return;
    }
    // SAFETY: the states of parked stacks of the thread, none of which is main's.
    let is_nested = |vm: std::ptr::NonNull<_>| unsafe { host.v8.has_nested_entries(vm.cast()) };
    let ids = thread.ids().into_iter().filter(|&id| id != thread.main());
    let mut nested: Vec<_> = ids.filter(|&id| thread.vm_state(id).is_some_and(is_nested)).collect();
    nested.sort_by_key(|&id| Reverse(thread.last_resumed(id)));
    if nested.is_empty() {
        return;
    }
    let v8 = &host.v8.layout;
    let mut allowed: AllowScope = [0; 8];
    // SAFETY: scopes in the order of C++. Node forbids JavaScript on this thread; ours is allowed to begin, but does not run: its
    // first check for interrupts terminates it (`Calls::terminate`).
    unsafe {
        (v8.symbols.allow_javascript)(&mut allowed, v8.isolate);
        host.terminating.set(Terminating::Greenlets);
        handles::in_scope(v8, || {
            for id in nested {
                // A stack that cannot be resumed, because there is no memory, is forgotten.
                switch::leave(thread, || Next::Resume(id));
            }
        });
        host.terminating.set(Terminating::Nothing);
        (v8.symbols.allow_javascript_drop)(&mut allowed);
    }
}
