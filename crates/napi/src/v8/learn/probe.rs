//! Observing V8 in the middle of a JavaScript program.

use std::ffi::CStr;
use std::ptr::null_mut;

use napi::sys;

use super::peek::is_plausible;
use crate::unsupported::Unsupported;

/// Runs `program`, the source of a JavaScript function. Its argument is a function that calls `look`. Returns the last result of
/// `look`, and whether `program` returned true.
///
/// # Safety
/// In a native callback of `env`, on its thread.
pub(super) unsafe fn during<T>(
    env: sys::napi_env,
    program: &CStr,
    look: impl FnMut() -> T,
) -> Result<(Option<T>, bool), Unsupported> {
    // SAFETY: the caller's promise.
    unsafe { during_with(env, program, null_mut(), look) }
}

/// As [`during`]; `program` gets `argument` as its second argument, where that is not null.
///
/// # Safety
/// In a native callback of `env`, on its thread; `argument` is a handle, or null.
pub(super) unsafe fn during_with<T>(
    env: sys::napi_env,
    program: &CStr,
    argument: sys::napi_value,
    mut look: impl FnMut() -> T,
) -> Result<(Option<T>, bool), Unsupported> {
    let mut seen = None;
    let mut see = || seen = Some(look());
    let mut see: &mut dyn FnMut() = &mut see;
    let (mut source, mut function, mut probe, mut receiver, mut result) =
        (null_mut(), null_mut(), null_mut(), null_mut(), null_mut());
    let mut truth = false;
    // SAFETY: `env` is live on this thread, by the caller's promise. `see` outlives the call of `program`, and the programs keep no
    // reference to the probe, so nothing calls it later.
    unsafe {
        sys::napi_create_string_utf8(env, program.as_ptr(), -1, &mut source);
        sys::napi_run_script(env, source, &mut function);
        let data = (&raw mut see).cast();
        sys::napi_create_function(env, c"probe".as_ptr(), -1, Some(call), data, &mut probe);
        sys::napi_get_undefined(env, &mut receiver);
        let arguments = [probe, argument];
        let count = if argument.is_null() { 1 } else { 2 };
        let status = sys::napi_call_function(env, receiver, function, count, arguments.as_ptr(), &mut result);
        if status != sys::Status::napi_ok {
            let mut error = null_mut();
            sys::napi_get_and_clear_last_exception(env, &mut error);
            return Err(Unsupported::Because(format!(
                "this program could not run: {}",
                program.to_string_lossy()
            )));
        }
        sys::napi_get_value_bool(env, result, &mut truth);
    }
    Ok((seen, truth))
}

/// The probe: calls the closure of `during`.
unsafe extern "C" fn call(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut data = null_mut();
    // SAFETY: `info` is this callback's own, and `data` is the closure of `during`, which waits for this call.
    unsafe {
        sys::napi_get_cb_info(env, info, null_mut(), null_mut(), null_mut(), &mut data);
        (*data.cast::<&mut dyn FnMut()>())();
    }
    null_mut()
}

/// A program that calls the probe while a `JsonStringifier` is alive. That object lies between the frame that calls `during` and
/// the frame of `look`.
pub(super) const STRINGIFY: &CStr = c"(probe) => { JSON.stringify({ toJSON() { probe() } }) }";

/// The indexes of words at which a `std::vector` of words may begin that had one entry more `during` than `before` and `after`.
pub(super) fn grown(before: &[u64], during: &[u64], after: &[u64]) -> Vec<usize> {
    let length = |words: &[u64], i: usize| words[i + 1].wrapping_sub(words[i]);
    let words = before.len().min(during.len()).min(after.len());
    (0..words.saturating_sub(2))
        .filter(|&i| {
            is_plausible(during[i])
                && length(during, i) == length(before, i).wrapping_add(8)
                && length(after, i) == length(before, i)
                && (during[i + 1]..=during[i] + MAX_BYTES).contains(&during[i + 2])
        })
        .collect()
}

/// Words that describe a vector with a larger capacity are not a vector.
const MAX_BYTES: u64 = 1 << 20;
