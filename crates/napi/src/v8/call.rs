//! Entering JavaScript at the base of a stack, and ending it.

use std::ptr::{null, null_mut};

use napi::sys;

use super::host::V8Host;
use super::symbols::{Local, TryCatch};

/// How the entry function came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It returned: the mail says who is next.
    Returned,
    /// V8 is ending JavaScript on this thread (`worker.terminate()`, `process.exit()` in a worker).
    Terminated,
}

/// Calls the entry function. It catches whatever can be caught, so that anything that comes out of it is a termination.
///
/// # Safety
/// On the base of a greenlet's stack, whose state is live.
pub(crate) unsafe fn call_entry(host: &V8Host) -> Outcome {
    let mut guard = TryCatch::room();
    // SAFETY: public API in the order of C++ scopes. V8 ends a termination at the outermost call of a stack, unless a
    // TryCatch stands around it: without, it would be lost here.
    unsafe {
        (host.symbols.try_catch_new)(&mut guard, host.layout.isolate);
        let result = enter(host, host.entry.get());
        (host.symbols.try_catch_drop)(&mut guard);
        if result.is_null() { Outcome::Terminated } else { Outcome::Returned }
    }
}

/// Ends JavaScript on the running stack at once: asks for it, then enters JavaScript, whose first stack check obeys.
///
/// # Safety
/// In a native callback, with nothing of ours between it and the JavaScript that is to end.
#[cold]
pub(crate) unsafe fn terminate(host: &V8Host) {
    // SAFETY: public API. The entry function itself never runs: the stack check in its prologue throws first.
    unsafe {
        (host.symbols.terminate)(host.layout.isolate);
        enter(host, host.entry.get());
    }
}

unsafe fn enter(host: &V8Host, function: sys::napi_ref) -> Local {
    let mut handle = null_mut();
    // SAFETY: the reference is strong and of this environment; the call's handles go to the running stack's own block.
    unsafe {
        let status = sys::napi_get_reference_value(host.env, function, &mut handle);
        debug_assert_eq!(status, sys::Status::napi_ok);
        let context = (host.symbols.current_context)(host.layout.isolate);
        (host.symbols.call)(handle.cast(), context, handle.cast(), 0, null())
    }
}
