//! What JavaScript calls once it is attached: plain Node-API callbacks, since the switch must not pay for conversions.

use std::ffi::c_void;
use std::ptr::{null, null_mut};

use greenlets_core::{Id, Next, SwitchError, Thread};
use napi::sys;

use crate::context::{self, NewContext};
use crate::mail::Status;
use crate::node::async_hooks::Tell;
use crate::v8::call;
use crate::v8::capture::{Captured, Wanted};
use crate::v8::host::{Terminating, V8Host};
use crate::v8::leave::{self, Luggage};

/// Makes the object with the native functions of one thread, which is the environment's instance data from now on: reading
/// that costs a switch less than a callback's own data.
///
/// # Safety
/// `thread` outlives every call: it is dropped by the environment's cleanup hook, after which no JavaScript runs.
pub(crate) unsafe fn functions(env: sys::napi_env, thread: &Thread<V8Host>) -> sys::napi_value {
    let mut object = null_mut();
    // SAFETY: `env` is live; names are C strings.
    unsafe {
        sys::napi_create_object(env, &mut object);
        let data = std::ptr::from_ref(thread) as *mut c_void;
        sys::napi_set_instance_data(env, data, None, null_mut());
        let all: [(_, unsafe extern "C" fn(_, _) -> _); 12] = [
            (c"switch", switch),
            (c"start", start),
            (c"frame", frame),
            (c"setContext", set_context),
            (c"underFrame", under_frame),
            (c"capture", capture),
            (c"scriptIds", script_ids),
            (c"epoch", epoch),
            (c"stackSize", stack_size),
            (c"setCaptureRealm", set_capture_realm),
            (c"findAddons", find_addons),
            (c"enqueueMicrotask", enqueue_microtask),
        ];
        for (name, callback) in all {
            let mut function = null_mut();
            sys::napi_create_function(env, name.as_ptr(), -1, Some(callback), null_mut(), &mut function);
            sys::napi_set_named_property(env, object, name.as_ptr(), function);
        }
    }
    object
}

/// The thread behind a callback. Null, with an error that JavaScript gets, once the environment was torn down ([`forget`]).
#[inline(always)]
unsafe fn thread_of<'a>(env: sys::napi_env) -> Option<&'a Thread<V8Host>> {
    let mut data = null_mut();
    // SAFETY: `functions` set it, and `forget` takes it away before the thread is dropped.
    let thread = unsafe {
        sys::napi_get_instance_data(env, &mut data);
        data.cast::<Thread<V8Host>>().as_ref()
    };
    if thread.is_none() {
        // SAFETY: `env` is live: it calls us.
        unsafe { throw_gone(env) };
    }
    thread
}

#[cold]
unsafe fn throw_gone(env: sys::napi_env) {
    let message = c"greenlets cannot be used any more: their thread is being torn down";
    // SAFETY: C strings, and a live environment (the caller's promise).
    unsafe { sys::napi_throw_error(env, c"ERR_GREENLET_GONE".as_ptr(), message.as_ptr()) };
}

/// The thread of `env` is about to be dropped: calls from now on throw.
///
/// # Safety
/// `env` is live.
pub(crate) unsafe fn forget(env: sys::napi_env) {
    // SAFETY: the caller's promise.
    unsafe { sys::napi_set_instance_data(env, null_mut(), None, null_mut()) };
}

/// A callback's first arguments; those that were not given are undefined.
#[inline(always)]
unsafe fn arguments_of<const N: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> [sys::napi_value; N] {
    let (mut count, mut arguments) = (N, [null_mut(); N]);
    // SAFETY: the callback's own info; there is room for `N` arguments.
    unsafe {
        sys::napi_get_cb_info(env, info, &mut count, arguments.as_mut_ptr(), null_mut(), null_mut());
    }
    arguments
}

/// `switch()`: suspends the running stack and runs the mail's target; returns when somebody switches back.
unsafe extern "C" fn switch(env: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: see `thread_of`.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let id = thread.host().mail.target_id();
    // SAFETY: nothing of ours lies between the callback and this.
    unsafe { go(thread, || Next::Resume(id)) }
}

/// `start(resource, frame)`: as `switch`, to a new stack with this context; its ids are in the mail.
unsafe extern "C" fn start(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: see `thread_of`.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    // SAFETY: the callback's own.
    let [resource, frame] = unsafe { arguments_of(env, info) };
    let ids = thread.host().mail.async_ids();
    // SAFETY: as in `switch`; handles of the callback.
    unsafe { go(thread, || Next::Start(NewContext::of(resource, frame, ids))) }
}

/// Leaves the running stack, or says why not. `next` is asked when it has left Node's stack of ids: hooks may have run by then.
#[inline(always)]
unsafe fn go(thread: &Thread<V8Host>, next: impl FnOnce() -> Next<V8Host>) -> sys::napi_value {
    let host = thread.host();
    // SAFETY: passed on.
    host.mail.set_status(unsafe { leave(thread, next) });
    if host.terminating.get() != Terminating::Nobody {
        // SAFETY: the callback's last act.
        unsafe { end(thread) };
    }
    null_mut()
}

/// JavaScript was to end on somebody, and it may be the one who runs.
#[cold]
unsafe fn end(thread: &Thread<V8Host>) {
    let host = thread.host();
    match (host.terminating.get(), thread.on_main()) {
        (Terminating::Main, true) => host.terminating.set(Terminating::Nobody),
        (Terminating::Greenlets, false) => {}
        _ => return,
    }
    // SAFETY: passed on.
    unsafe { call::terminate(host) };
}

/// Leaves the running stack; returns when somebody switches back, or at once where it must not be left.
///
/// # Safety
/// On the isolate's thread. Nothing of ours that could be unwound lies between the stack's JavaScript and this.
#[inline(always)]
pub(crate) unsafe fn leave(thread: &Thread<V8Host>, next: impl FnOnce() -> Next<V8Host>) -> Status {
    let on_main = thread.on_main();
    // SAFETY: passed on.
    unsafe {
        match leave::is_plain(thread.host(), on_main) {
            true => cross(thread, on_main, next),
            false => cross_carefully(thread, on_main, next),
        }
    }
}

/// Takes the running greenlet's entries off Node's stack of ids, switches, and puts them back.
#[inline(always)]
unsafe fn cross(thread: &Thread<V8Host>, on_main: bool, next: impl FnOnce() -> Next<V8Host>) -> Status {
    let host = thread.host();
    let me = host.running.get().as_ptr();
    // SAFETY: the running stack's state, which stays where it is while the stack lives.
    let result = unsafe {
        if on_main {
            host.async_hooks.leave_main();
        } else {
            host.async_hooks.leave(&mut (*me).scope, Tell::Hooks(&host.mail));
        }
        let result = thread.switch(next());
        if !on_main {
            host.async_hooks.enter(&mut (*me).scope, Tell::Hooks(&host.mail));
        }
        result
    };
    match result {
        Ok(()) => Status::Ok,
        Err(error) => status_of(&error),
    }
}

/// Something is out of the ordinary: refuses to leave the stack, or takes along what belongs to it.
#[cold]
#[inline(never)]
unsafe fn cross_carefully(
    thread: &Thread<V8Host>,
    on_main: bool,
    next: impl FnOnce() -> Next<V8Host>,
) -> Status {
    let host = thread.host();
    // SAFETY: passed on.
    if let Some(refusal) = unsafe { leave::refusal(host, on_main) } {
        return refusal;
    }
    let luggage = Luggage::take(host);
    // SAFETY: passed on.
    let status = unsafe { cross(thread, on_main, next) };
    luggage.give_back(host);
    status
}

#[cold]
fn status_of(error: &SwitchError<NewContext>) -> Status {
    match error {
        SwitchError::NoSlot(_) => Status::NoSlot,
        SwitchError::Limit(..) => Status::Limit,
        SwitchError::NoMemory(..) => Status::NoMemory,
        SwitchError::Gone(_) => Status::Gone,
        _ => Status::Forbidden,
    }
}

/// `capture()`: an `Error` with the stack of the mail's subject, or undefined where it is not suspended.
unsafe extern "C" fn capture(env: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: see `thread_of`.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    match read_target(thread, Wanted::Frames) {
        Some(Captured::Frames(error)) => error,
        _ => null_mut(),
    }
}

/// `scriptIds()`: an Int32Array for the same stack, or undefined.
unsafe extern "C" fn script_ids(env: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: see `thread_of`.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
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
    thread.snapshot(thread.host().mail.subject()).ok()?.detach()
}

/// `epoch()`: how often the mail's subject was resumed; -1 where it has ended.
unsafe extern "C" fn epoch(env: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: see `thread_of`.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let epoch = thread.epoch(thread.host().mail.subject()).map_or(-1.0, |epoch| epoch as f64);
    let mut number = null_mut();
    // SAFETY: `env` is live.
    unsafe { sys::napi_create_double(env, epoch, &mut number) };
    number
}

/// `frame()`: the frame of the mail's subject as it is now; undefined where it has no stack.
unsafe extern "C" fn frame(env: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: see `thread_of`.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    // SAFETY: in a native callback.
    unsafe { context::frame_of(thread, thread.host().mail.subject()) }
}

/// `setContext(resource, frame, index, generation)`: gives the mail's subject another context, whose ids are in the mail; the
/// one it shares with the greenlet of that id, where there is one.
unsafe extern "C" fn set_context(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: see `thread_of`.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let (mut index, mut generation) = (-1, 0);
    // SAFETY: the callback's own; what is no number leaves the two as they are.
    unsafe {
        let [resource, frame, first, second] = arguments_of(env, info);
        sys::napi_get_value_int32(env, first, &mut index);
        sys::napi_get_value_int32(env, second, &mut generation);
        let fellow = (index >= 0).then(|| Id::from_parts(index as u32, generation as u32));
        let mail = &thread.host().mail;
        context::exchange(thread, mail.subject(), (resource, frame), mail.async_ids(), fellow);
    }
    null_mut()
}

/// `underFrame(frame, fn)`: what `fn()` returns where the object `frame` is the async context.
unsafe extern "C" fn under_frame(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: see `thread_of`.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    // SAFETY: the callback's own.
    unsafe {
        let [frame, function] = arguments_of(env, info);
        context::under_frame(thread.host(), frame, function)
    }
}

/// `stackSize()`: bytes that the stack of the mail's subject takes while it is suspended; else 0.
unsafe extern "C" fn stack_size(env: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: see `thread_of`.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let size = thread.stack_size(thread.host().mail.subject());
    let mut number = null_mut();
    // SAFETY: `env` is live.
    unsafe { sys::napi_create_double(env, size as f64, &mut number) };
    number
}

/// `setCaptureRealm(fn)`: captures make their `Error` in the realm of this function.
unsafe extern "C" fn set_capture_realm(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: see `thread_of`.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    // SAFETY: the callback's own.
    unsafe {
        let [function] = arguments_of(env, info);
        if let Some(reference) = function_reference(env, function) {
            thread.host().capture_realm.set(reference);
        }
    }
    null_mut()
}

/// `findAddons()`: an add-on was loaded.
unsafe extern "C" fn find_addons(env: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: see `thread_of`.
    if let Some(thread) = unsafe { thread_of(env) } {
        thread.host().scopes.find_addons();
    }
    null_mut()
}

/// `enqueueMicrotask(fn)`: `fn` runs when the running job is over.
unsafe extern "C" fn enqueue_microtask(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: see `thread_of`.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let host = thread.host();
    // SAFETY: the callback's own.
    unsafe {
        let [function] = arguments_of(env, info);
        if is_function(env, function) {
            // A napi_value is a Local (js_native_api_v8.h, `JsValueFromV8LocalValue`).
            (host.symbols.enqueue_microtask)(host.layout.isolate, function.cast());
        }
    }
    null_mut()
}

/// Whether `value` is there, and a function.
///
/// # Safety
/// `env` is live and `value` is a handle of the running callback, or null.
unsafe fn is_function(env: sys::napi_env, value: sys::napi_value) -> bool {
    let mut kind = 0;
    // SAFETY: the caller's promise.
    let status = unsafe { sys::napi_typeof(env, value, &mut kind) };
    status == sys::Status::napi_ok && kind == sys::ValueType::napi_function
}

/// A strong reference to a function; `None` where it is none.
///
/// # Safety
/// `env` is live and `value` is a handle of the running callback, or null.
pub(crate) unsafe fn function_reference(env: sys::napi_env, value: sys::napi_value) -> Option<sys::napi_ref> {
    let mut reference = null_mut();
    // SAFETY: the caller's promise.
    unsafe {
        if !is_function(env, value) {
            return None;
        }
        let status = sys::napi_create_reference(env, value, 1, &mut reference);
        (status == sys::Status::napi_ok && reference != null::<c_void>() as sys::napi_ref)
            .then_some(reference)
    }
}
