//! The weak references of `weak.rs`, for JavaScript.
//!
//! The clause **callback** is that of `callback.rs`: each of these functions is a native callback. It includes the clause **env** of
//! `weak.rs`.

use std::ptr::null_mut;

use napi::sys;

use super::callback::{arguments_of, number, thread_of};

/// `holdWeakly(object)`: the place of a new weak reference; -1 where there is no memory for it.
pub(super) unsafe extern "C" fn hold_weakly(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    // SAFETY: the clause **callback**; contract.ts asks for an object.
    unsafe {
        let [object] = arguments_of(env, info);
        let place = thread.host().weak.hold(env, object);
        number(env, place.map_or(-1.0, |place| place as f64))
    }
}

/// `weaklyHeld(place)`: the object of a reference; undefined where it was freed.
pub(super) unsafe extern "C" fn weakly_held(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    // SAFETY: the clause **callback**.
    unsafe { thread.host().weak.held(env, place_of(env, info)) }
}

/// `release(place)`: deletes a reference.
pub(super) unsafe extern "C" fn release(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    if let Some(thread) = unsafe { thread_of(env) } {
        // SAFETY: the clause **callback**.
        unsafe { thread.host().weak.release(env, place_of(env, info)) };
    }
    null_mut()
}

/// `collected()`: the place of a reference of which the object was freed; -1 at the end of all references.
pub(super) unsafe extern "C" fn collected(env: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    // SAFETY: the clause **callback**.
    unsafe {
        let place = thread.host().weak.collected(env);
        number(env, place.map_or(-1.0, |place| place as f64))
    }
}

/// The first argument. A value that is no number is no place.
///
/// # Safety
/// The clause **callback**.
unsafe fn place_of(env: sys::napi_env, info: sys::napi_callback_info) -> usize {
    let mut place = u32::MAX;
    // SAFETY: the clause **callback**; a value that is no number leaves the variable as it is.
    unsafe {
        let [value] = arguments_of(env, info);
        sys::napi_get_value_uint32(env, value, &mut place);
    }
    place as usize
}
