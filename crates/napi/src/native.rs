//! What JavaScript calls once it is attached: plain Node-API callbacks, since the switch must not pay for conversions.

use std::ffi::c_void;
use std::ptr::{null, null_mut};

use greenlets_core::{SwitchError, Thread};
use napi::sys;

use crate::mail::Status;
use crate::v8::call;
use crate::v8::capture::{Captured, Wanted};
use crate::v8::host::V8Host;
use crate::v8::leave::{self, Luggage};

/// Makes the object with the native functions of one thread.
///
/// # Safety
/// `thread` outlives every call: it is dropped by the environment's cleanup hook, after which no JavaScript runs.
pub(crate) unsafe fn functions(env: sys::napi_env, thread: &Thread<V8Host>) -> sys::napi_value {
    let mut object = null_mut();
    // SAFETY: `env` is live; names are C strings.
    unsafe {
        sys::napi_create_object(env, &mut object);
        let all: [(_, unsafe extern "C" fn(_, _) -> _); 6] = [
            (c"switch", switch),
            (c"capture", capture),
            (c"scriptIds", script_ids),
            (c"epoch", epoch),
            (c"setCaptureRealm", set_capture_realm),
            (c"findAddons", find_addons),
        ];
        for (name, callback) in all {
            let mut function = null_mut();
            let data = std::ptr::from_ref(thread) as *mut c_void;
            sys::napi_create_function(env, name.as_ptr(), -1, Some(callback), data, &mut function);
            sys::napi_set_named_property(env, object, name.as_ptr(), function);
        }
    }
    object
}

/// The thread behind a callback.
#[inline(always)]
unsafe fn thread_of<'a>(env: sys::napi_env, info: sys::napi_callback_info) -> &'a Thread<V8Host> {
    let mut data = null_mut();
    // SAFETY: `functions` made the callback with this data.
    unsafe {
        sys::napi_get_cb_info(env, info, null_mut(), null_mut(), null_mut(), &mut data);
        &*data.cast::<Thread<V8Host>>()
    }
}

/// `switch()`: suspends the running stack and runs the mail's target; returns when somebody switches back.
unsafe extern "C" fn switch(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: see `thread_of`.
    let thread = unsafe { thread_of(env, info) };
    let host = thread.host();
    let on_main = thread.on_main();
    let status = match leave::is_plain(host, on_main) {
        true => leave(thread),
        // SAFETY: in a native callback.
        false => unsafe { leave_carefully(thread, on_main) },
    };
    host.mail.set_status(status);
    if host.terminating.get() && thread.on_main() {
        host.terminating.set(false);
        // SAFETY: the callback's last act.
        unsafe { call::terminate(host) };
    }
    null_mut()
}

#[inline(always)]
fn leave(thread: &Thread<V8Host>) -> Status {
    match thread.switch(thread.host().mail.target()) {
        Ok(()) => Status::Ok,
        Err(error) => status_of(&error),
    }
}

/// Something is out of the ordinary: refuses to leave the stack, or takes along what belongs to it.
#[cold]
#[inline(never)]
unsafe fn leave_carefully(thread: &Thread<V8Host>, on_main: bool) -> Status {
    let host = thread.host();
    // SAFETY: passed on.
    if let Some(refusal) = unsafe { leave::refusal(host, on_main) } {
        return refusal;
    }
    let luggage = Luggage::take(host);
    let status = leave(thread);
    luggage.give_back(host);
    status
}

#[cold]
fn status_of(error: &SwitchError<()>) -> Status {
    match error {
        SwitchError::NoSlot(()) => Status::NoSlot,
        SwitchError::NoMemory(..) => Status::NoMemory,
        SwitchError::Gone(_) => Status::Gone,
        _ => Status::Forbidden,
    }
}

/// `capture()`: an `Error` with the stack of the mail's target, or undefined where it is not suspended.
unsafe extern "C" fn capture(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: see `thread_of`.
    let thread = unsafe { thread_of(env, info) };
    match read_target(thread, Wanted::Frames) {
        Some(Captured::Frames(error)) => error,
        _ => null_mut(),
    }
}

/// `scriptIds()`: an Int32Array for the same stack, or undefined.
unsafe extern "C" fn script_ids(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: see `thread_of`.
    let thread = unsafe { thread_of(env, info) };
    let Some(Captured::ScriptIds(ids)) = read_target(thread, Wanted::ScriptIds) else { return null_mut() };
    let (mut buffer, mut data, mut array) = (null_mut(), null_mut(), null_mut());
    // SAFETY: `env` is live; the buffer has room for all ids.
    unsafe {
        sys::napi_create_arraybuffer(env, ids.len() * 4, &mut data, &mut buffer);
        if !ids.is_empty() && !data.is_null() {
            std::ptr::copy_nonoverlapping(ids.as_ptr(), data.cast(), ids.len());
        }
        sys::napi_create_typedarray(env, sys::TypedarrayType::int32_array, ids.len(), buffer, 0, &mut array);
    }
    array
}

fn read_target(thread: &Thread<V8Host>, wanted: Wanted) -> Option<Captured> {
    thread.host().wanted.set(wanted);
    thread.snapshot(thread.host().mail.target_id()).ok()?.detach()
}

/// `epoch()`: how often the mail's target was resumed; -1 where it has ended.
unsafe extern "C" fn epoch(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: see `thread_of`.
    let thread = unsafe { thread_of(env, info) };
    let epoch = thread.epoch(thread.host().mail.target_id()).map_or(-1.0, |epoch| epoch as f64);
    let mut number = null_mut();
    // SAFETY: `env` is live.
    unsafe { sys::napi_create_double(env, epoch, &mut number) };
    number
}

/// `setCaptureRealm(fn)`: captures make their `Error` in the realm of this function.
unsafe extern "C" fn set_capture_realm(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (mut count, mut argument, mut data) = (1, null_mut(), null_mut());
    // SAFETY: see `thread_of`; there is room for one argument.
    unsafe {
        sys::napi_get_cb_info(env, info, &mut count, &mut argument, null_mut(), &mut data);
        let host = (*data.cast::<Thread<V8Host>>()).host();
        if let Some(reference) = function_reference(env, argument) {
            host.capture_realm.set(reference);
        }
    }
    null_mut()
}

/// `findAddons()`: an add-on was loaded.
unsafe extern "C" fn find_addons(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: see `thread_of`.
    unsafe { thread_of(env, info) }.host().scopes.find_addons();
    null_mut()
}

/// A strong reference to a function; `None` where it is none.
///
/// # Safety
/// `env` is live and `value` is a handle of the running callback, or null.
pub(crate) unsafe fn function_reference(env: sys::napi_env, value: sys::napi_value) -> Option<sys::napi_ref> {
    let (mut kind, mut reference) = (0, null_mut());
    // SAFETY: the caller's promise.
    unsafe {
        if value.is_null() || sys::napi_typeof(env, value, &mut kind) != sys::Status::napi_ok {
            return None;
        }
        if kind != sys::ValueType::napi_function {
            return None;
        }
        let status = sys::napi_create_reference(env, value, 1, &mut reference);
        (status == sys::Status::napi_ok && reference != null::<c_void>() as sys::napi_ref)
            .then_some(reference)
    }
}
