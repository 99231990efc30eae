//! Entering JavaScript at the base of a stack, and ending it.

use std::ffi::c_void;
use std::ptr::{from_ref, null, null_mut};

use napi::sys;

use super::Isolate;
use super::host::V8Host;
use super::symbols::{Local, Symbols, TryCatch};

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

/// Where V8 has begun to end JavaScript in a call that C++ made and came back from, and nothing of ours is to be unwound for
/// it: it begins again with whoever runs JavaScript next on this thread.
///
/// # Safety
/// On the isolate's thread, in a native callback, after the call.
pub(crate) unsafe fn put_off_end(symbols: &Symbols, isolate: Isolate) {
    // SAFETY: public API.
    unsafe {
        if (symbols.is_terminating)(isolate) {
            (symbols.cancel_terminate)(isolate);
            (symbols.terminate)(isolate);
        }
    }
}

/// Does `act` in a native callback, from the base of a stack. There, a TryCatch of somebody else's makes V8 forget that it is
/// ending JavaScript (`~TryCatch`, api.cc: where no call is below it); in a callback it stays to be seen. Whether it was done:
/// not where V8 lets nobody be called any more.
///
/// # Safety
/// As `call`.
pub(crate) unsafe fn in_callback(host: &V8Host, mut act: impl FnMut()) -> bool {
    let mut done = false;
    let mut noted = || {
        done = true;
        act();
    };
    let noted: &mut dyn FnMut() = &mut noted;
    // SAFETY: the callback takes what lies here out again, during the call; the host outlives its environment's functions.
    unsafe {
        let mut scope = null_mut();
        sys::napi_open_handle_scope(host.env, &mut scope);
        if host.caller.get().is_null() {
            let (mut function, mut reference, data) =
                (null_mut(), null_mut(), from_ref(host).cast_mut().cast());
            sys::napi_create_function(host.env, null(), 0, Some(act_in_callback), data, &mut function);
            sys::napi_create_reference(host.env, function, 1, &mut reference);
            host.caller.set(reference);
        }
        let noted: *mut (dyn FnMut() + '_) = noted;
        host.act.set(Some(std::mem::transmute::<*mut (dyn FnMut() + '_), *mut dyn FnMut()>(noted)));
        if !host.caller.get().is_null() {
            call(host, host.caller.get());
        }
        host.act.set(None);
        sys::napi_close_handle_scope(host.env, scope);
    }
    done
}

unsafe extern "C" fn act_in_callback(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut data: *mut c_void = null_mut();
    // SAFETY: the callback's own info; `data` is the host, and what is in it is alive until the call is over (`in_callback`).
    unsafe {
        sys::napi_get_cb_info(env, info, null_mut(), null_mut(), null_mut(), &mut data);
        if let Some(act) = (*data.cast::<V8Host>()).act.take() {
            (*act)();
        }
    }
    null_mut()
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
