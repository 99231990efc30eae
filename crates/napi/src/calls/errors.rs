//! Throwing an error that has come from another stack.
//!
//! The clause **callback** is that of `callback.rs`.

use std::ptr::null_mut;

use napi::sys;

use super::callback::{arguments_of, thread_of};
use crate::v8::stack::call::throw_from_its_origin;

/// `throwFromOrigin(error)`: throws an error so that V8 says, where nothing catches it, that it was thrown where its own stack begins,
/// and not in the JavaScript that calls this.
pub(super) unsafe extern "C" fn throw_from_origin(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let v8 = &thread.host().v8.layout;
    // SAFETY: the clause **callback**: a native callback on the isolate's thread, with a HandleScope. Nothing is called after it.
    unsafe {
        let [error] = arguments_of(env, info);
        throw_from_its_origin(v8, error.cast());
    }
    null_mut()
}
