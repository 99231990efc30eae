//! Calls a function above a suspended stack, for reading that stack's variables with the debugger.
//!
//! The clause **callback** is that of `callback.rs`: each of these functions is a native callback.

use greenlets_core::raw::Thread;
use napi::sys;

use super::callback::{arguments_of, function_reference, number, thread_of};
use super::switch;
use crate::mail::Status;
use crate::v8::learn::layout::Layout;
use crate::v8::stack::call::{self, Outcome};
use crate::v8::stack::capture::{Captured, Wanted};
use crate::v8_host::V8Host;

/// Node's client of the inspector was not found.
const NO_CLIENT: i32 = -1;

/// `callAbove(fn, objects)`: calls `fn` as if the stack of the mail's subject had called it. Returns a status.
pub(super) unsafe extern "C" fn call_above(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return std::ptr::null_mut() };
    // SAFETY: the clause **callback**; the reference is deleted after its last use.
    unsafe {
        let [function, objects] = arguments_of(env, info);
        let Some(function) = function_reference(env, function) else {
            return number(env, Status::Forbidden as i32 as f64);
        };
        let status = call_above_subject(thread, function, objects);
        sys::napi_delete_reference(env, function);
        number(env, status.into())
    }
}

/// # Safety
/// The clause **callback**; `function` is a strong reference, and `objects` a handle of an object without setters.
unsafe fn call_above_subject(
    thread: &Thread<V8Host>,
    function: sys::napi_ref,
    objects: sys::napi_value,
) -> i32 {
    let host = thread.host();
    let v8 = &host.v8.layout;
    // SAFETY: the clause **callback**: in a native callback on the isolate's thread.
    match unsafe { switch::refusal(host, thread.on_main()) } {
        // The function runs on the running stack and returns to it.
        None | Some(Status::InMicrotasks | Status::Limited) => {}
        Some(status) => return status as i32,
    }
    host.v8.capture.wanted.set(Wanted::Call(call_function, function));
    host.mail.set_in_hook(true);
    // SAFETY: the clause **callback**. The function cannot switch: the mail says that a hook runs.
    let captured =
        unsafe { host.pauses.keep(v8, objects, || thread.snapshot(host.mail.subject()).ok()?.detach()) };
    host.mail.set_in_hook(false);
    host.v8.capture.wanted.set(Wanted::Frames);
    match captured {
        None => NO_CLIENT,
        Some(Some(Captured::Called(terminated))) => {
            if terminated {
                // SAFETY: the clause **callback**. The running stack's state is back, and this is the callback's last action.
                unsafe { (v8.symbols.terminate)(v8.isolate) };
            }
            Status::Ok as i32
        }
        Some(_) => Status::Gone as i32,
    }
}

/// Calls `function`. The termination of it, if any, is taken off the suspended stack again. Returns whether there was one.
///
/// # Safety
/// The clauses **base** and **api** of `call.rs`, in a native callback.
unsafe fn call_function(v8: &Layout, function: sys::napi_ref) -> bool {
    let mut scope = std::ptr::null_mut();
    // SAFETY: the caller's clauses; the scope closes in the opposite order of opening.
    unsafe {
        sys::napi_open_handle_scope(v8.env, &mut scope);
        let terminated = call::call(v8, function) == Outcome::Terminated;
        if terminated {
            (v8.symbols.cancel_terminate)(v8.isolate);
        }
        sys::napi_close_handle_scope(v8.env, scope);
        terminated
    }
}

/// `debuggerIsActive()`: whether a session of the inspector has the debugger enabled.
pub(super) unsafe extern "C" fn debugger_is_active(
    env: sys::napi_env,
    _: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return std::ptr::null_mut() };
    let v8 = &thread.host().v8.layout;
    let mut result = std::ptr::null_mut();
    // SAFETY: the clause **callback**.
    unsafe { sys::napi_get_boolean(env, v8.debugger.is_active(v8.facts), &mut result) };
    result
}

/// `isGlobal(object)`: whether it is the global object of a realm. Of a `vm` context, that object asks the sandbox, which can be a Proxy.
pub(super) unsafe extern "C" fn is_global(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return std::ptr::null_mut() };
    let host = thread.host();
    let mut result = std::ptr::null_mut();
    // SAFETY: the clause **callback**; the caller passes an object.
    unsafe {
        let [object] = arguments_of(env, info);
        sys::napi_get_boolean(env, host.pauses.is_global(&host.v8.layout, object), &mut result);
    }
    result
}
