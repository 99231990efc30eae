//! What every native callback begins with: the thread it belongs to, and its arguments.
//!
//! # Contract
//! - **callback**: Node-API calls these functions on the environment's thread, in a HandleScope, with an `info` of their own. Handles
//!   are valid until the callback returns.
//! - **instance data**: the environment's instance data is the [`Thread`] of its greenlets, from [`remember`] to [`forget`]; after
//!   that it is null. The thread is alive as long as it is there.

use std::ffi::CStr;
use std::ptr::{from_ref, null_mut};

use greenlets_core::raw::Thread;
use napi::bindgen_prelude::{Result, ToNapiValue, check_status};
use napi::sys;

use super::direct::{self, DirectCallback};
use crate::v8::learn::symbols::Symbols;
use crate::v8_host::V8Host;

/// A native function and its name. It becomes a function without any of napi-rs's conversions.
#[derive(Clone, Copy)]
pub struct Callback(
    pub(super) &'static CStr,
    pub(super) unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value,
);

impl ToNapiValue for Callback {
    unsafe fn to_napi_value(
        env: sys::napi_env,
        Callback(name, function): Callback,
    ) -> Result<sys::napi_value> {
        let mut value = null_mut();
        // SAFETY: the caller promises a live environment; the name is a C string.
        let status = unsafe {
            sys::napi_create_function(env, name.as_ptr(), -1, Some(function), null_mut(), &mut value)
        };
        check_status!(status)?;
        Ok(value)
    }
}

/// A function that is a direct one where that works, else one by Node-API.
pub struct Direct {
    /// The function, where this environment may have direct ones.
    pub(super) direct: Option<DirectCallback>,
    pub(super) otherwise: Callback,
    pub(super) symbols: Symbols,
}

impl ToNapiValue for Direct {
    unsafe fn to_napi_value(env: sys::napi_env, function: Direct) -> Result<sys::napi_value> {
        // SAFETY: the caller promises a live environment, and this is a native callback of it.
        unsafe {
            match function.direct.and_then(|callback| direct::tried(&function.symbols, callback, &[])) {
                Some(value) => Ok(value),
                None => Callback::to_napi_value(env, function.otherwise),
            }
        }
    }
}

/// Makes `thread` the environment's instance data. Returns whether functions of this environment may be direct ones.
///
/// # Safety
/// `env` is live on this thread, and `thread` outlives every call until [`forget`].
pub(super) unsafe fn remember(env: sys::napi_env, thread: &Thread<V8Host>) -> bool {
    // SAFETY: the caller promises a live environment and a thread that lives as long.
    unsafe {
        sys::napi_set_instance_data(env, from_ref(thread) as *mut _, None, null_mut());
        direct::claim(env, thread)
    }
}

/// The thread of `env` is about to be dropped: calls from now on throw.
///
/// # Safety
/// `env` is live on this thread.
pub(crate) unsafe fn forget(env: sys::napi_env) {
    // SAFETY: the caller promises a live environment.
    unsafe { sys::napi_set_instance_data(env, null_mut(), None, null_mut()) };
    direct::retire(env);
}

/// The thread behind a callback. `None`, with an error for JavaScript, once the environment was torn down.
///
/// # Safety
/// The contract's clauses **callback** and **instance data**.
#[inline(always)]
pub(super) unsafe fn thread_of<'a>(env: sys::napi_env) -> Option<&'a Thread<V8Host>> {
    let mut data = null_mut();
    // SAFETY: the contract's clause **instance data**.
    let thread = unsafe {
        sys::napi_get_instance_data(env, &mut data);
        data.cast::<Thread<V8Host>>().as_ref()
    };
    if thread.is_none() {
        // SAFETY: the contract's clause **callback**: the environment is live.
        unsafe { throw_gone(env) };
    }
    thread
}

/// # Safety
/// The contract's clause **callback**.
#[cold]
unsafe fn throw_gone(env: sys::napi_env) {
    let message = c"greenlets cannot be used any more: their thread is being torn down";
    // SAFETY: C strings, and by the clause **callback** a live environment.
    unsafe { sys::napi_throw_error(env, c"ERR_GREENLET_GONE".as_ptr(), message.as_ptr()) };
}

/// A callback's first arguments; those that were not given are undefined.
///
/// # Safety
/// The contract's clause **callback**.
#[inline(always)]
pub(super) unsafe fn arguments_of<const N: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> [sys::napi_value; N] {
    let (mut count, mut arguments) = (N, [null_mut(); N]);
    // SAFETY: the contract's clause **callback**; the array has space for `N` arguments.
    unsafe {
        sys::napi_get_cb_info(env, info, &mut count, arguments.as_mut_ptr(), null_mut(), null_mut());
    }
    arguments
}

/// A JavaScript number.
///
/// # Safety
/// The contract's clause **callback**.
pub(super) unsafe fn number(env: sys::napi_env, value: f64) -> sys::napi_value {
    let mut number = null_mut();
    // SAFETY: the contract's clause **callback**.
    unsafe { sys::napi_create_double(env, value, &mut number) };
    number
}

/// Whether `value` is there, and a function.
///
/// # Safety
/// The contract's clause **callback**; `value` is a handle, or null.
pub(super) unsafe fn is_function(env: sys::napi_env, value: sys::napi_value) -> bool {
    let mut kind = 0;
    // SAFETY: the caller's clause; Node-API refuses a null value.
    let status = unsafe { sys::napi_typeof(env, value, &mut kind) };
    status == sys::Status::napi_ok && kind == sys::ValueType::napi_function
}

/// A strong reference to a function; `None` where `value` is no function.
///
/// # Safety
/// The contract's clause **callback**; `value` is a handle, or null.
pub(crate) unsafe fn function_reference(env: sys::napi_env, value: sys::napi_value) -> Option<sys::napi_ref> {
    let mut reference: sys::napi_ref = null_mut();
    // SAFETY: the caller's clause.
    unsafe {
        if !is_function(env, value) {
            return None;
        }
        let status = sys::napi_create_reference(env, value, 1, &mut reference);
        (status == sys::Status::napi_ok && !reference.is_null()).then_some(reference)
    }
}
