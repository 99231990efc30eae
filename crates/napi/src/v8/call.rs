//! Entering JavaScript at the base of a stack, and ending it.

use std::ptr::{null, null_mut};

use napi::sys;

use super::host::V8Host;
use super::symbols::{Local, TryCatch};

/// How a function came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It returned this.
    Returned(Local),
    /// It threw something.
    Threw,
    /// V8 is ending JavaScript on this thread (`worker.terminate()`, `process.exit()` in a worker).
    Terminated,
}

/// Calls `function` without arguments. V8 ends a termination at the outermost call of a stack unless a TryCatch stands
/// around it: without, it would be lost at a greenlet's base.
///
/// # Safety
/// `function` is a strong reference of the host's environment; the running stack's state is live, with room for handles.
pub(crate) unsafe fn call(host: &V8Host, function: sys::napi_ref) -> Outcome {
    let mut guard = TryCatch::room();
    // SAFETY: public API in the order of C++ scopes.
    unsafe {
        (host.symbols.try_catch_new)(&mut guard, host.layout.isolate);
        let result = enter(host, function);
        let terminated = (host.symbols.has_terminated)(&guard);
        (host.symbols.try_catch_drop)(&mut guard);
        match (result.is_null(), terminated) {
            (false, _) => Outcome::Returned(result),
            (true, true) => Outcome::Terminated,
            (true, false) => Outcome::Threw,
        }
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
