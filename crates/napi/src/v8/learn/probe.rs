//! Observing V8 in the middle of a JavaScript program.

use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::ptr::{null, null_mut};

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

thread_local! {
    /// The closure of [`looking`] that runs on this thread, as a `*mut &mut dyn FnMut()`; null where none does.
    static LOOK: Cell<*mut c_void> = const { Cell::new(null_mut()) };
}

/// Calls `run`, and `look` whenever JavaScript calls [`look_now`] meanwhile. Returns the last result of `look`, and that of `run`.
///
/// Code of the program may keep such a function and call it later: then it does nothing.
pub(super) fn looking<T, R>(mut look: impl FnMut() -> T, run: impl FnOnce() -> R) -> (Option<T>, R) {
    struct Restore(*mut c_void);
    impl Drop for Restore {
        fn drop(&mut self) {
            LOOK.set(self.0);
        }
    }
    let mut seen = None;
    let mut see = || seen = Some(look());
    let mut see: &mut dyn FnMut() = &mut see;
    let restore = Restore(LOOK.replace((&raw mut see).cast()));
    let result = run();
    drop(restore);
    (seen, result)
}

/// A native function for JavaScript: see [`looking`]. It returns undefined.
pub(super) unsafe extern "C" fn look_now(_: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    // While a closure looks, nothing else does.
    let look = LOOK.replace(null_mut());
    if !look.is_null() {
        // SAFETY: it is the closure of a `looking` further up on this stack, which sets another value before it returns.
        unsafe { (*look.cast::<&mut dyn FnMut()>())() };
        LOOK.set(look);
    }
    null_mut()
}

/// The property `name`, which is [`look_now`]: a method, or what is called when the property is read. Such a property is defined, not
/// set, because the program may have frozen its prototypes.
pub(super) fn looking_property(name: &'static CStr, when_read: bool) -> sys::napi_property_descriptor {
    sys::napi_property_descriptor {
        utf8name: name.as_ptr(),
        name: null_mut(),
        method: (!when_read).then_some(look_now),
        getter: when_read.then_some(look_now),
        setter: None,
        value: null_mut(),
        attributes: sys::PropertyAttributes::default,
        data: null_mut(),
    }
}

/// Calls `look` in a native callback. Returns `None` where JavaScript cannot run any more: V8 is terminating it, or the Worker ends.
///
/// # Safety
/// In a native callback of `env`, on its thread.
pub(super) unsafe fn in_callback<T>(env: sys::napi_env, look: impl FnMut() -> T) -> Option<T> {
    let (mut function, mut receiver, mut result) = (null_mut(), null_mut(), null_mut());
    // SAFETY: the caller's promise.
    unsafe {
        sys::napi_create_function(env, c"look".as_ptr(), -1, Some(look_now), null_mut(), &mut function);
        sys::napi_get_undefined(env, &mut receiver);
        looking(look, || sys::napi_call_function(env, receiver, function, 0, null(), &mut result)).0
    }
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
