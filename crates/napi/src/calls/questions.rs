//! The calls that do not switch: reading a stack, its context and its size, and a few settings. The mail's subject is the greenlet
//! that a question is about.
//!
//! The clause **callback** is that of `callback.rs`: each of these functions is a native callback.

use std::ptr::null_mut;

use greenlets_core::raw::{Id, Thread};
use napi::sys;

use super::callback::{arguments_of, function_reference, is_function, number, thread_of};
use crate::libraries::{code_of, returns_into};
use crate::node::context::{self, Replacement};
use crate::node::rejections;
use crate::other_isolates;
use crate::v8::stack::capture::{Captured, Wanted};
use crate::v8_host::V8Host;

/// `capture()`: an `Error` with the stack of the mail's subject, or undefined where it is not suspended.
pub(super) unsafe extern "C" fn capture(env: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    match read_subject(thread, Wanted::Frames) {
        Some(Captured::Frames(error)) => error,
        _ => null_mut(),
    }
}

/// `sites(error, getStack)`: the `stack` of an error that `capture` has made, read by the accessor `getStack` where V8 has one. V8
/// formats it now; a mark that the running stack formats an error already would keep V8 from calling the capture realm.
pub(super) unsafe extern "C" fn sites(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let formatting = &thread.host().v8.layout.formatting;
    let mut sites = null_mut();
    // SAFETY: the clause **callback**. An exception stays pending, and is thrown when this returns.
    unsafe {
        let [error, get_stack] = arguments_of(env, info);
        let mark = formatting.take();
        if is_function(env, get_stack) {
            sys::napi_call_function(env, error, get_stack, 0, std::ptr::null(), &mut sites);
        } else {
            sys::napi_get_named_property(env, error, c"stack".as_ptr(), &mut sites);
        }
        formatting.give_back(mark);
    }
    sites
}

/// `stackIsNative(error)`: on Node 20, whether V8 or native code reads the `stack` of an object that is no Proxy; elsewhere false.
pub(super) unsafe extern "C" fn stack_is_native(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let v8 = &thread.host().v8;
    let mut result = null_mut();
    // SAFETY: the clause **callback**; contract.ts asks for an object that is no Proxy.
    unsafe {
        let [error] = arguments_of(env, info);
        let is = v8.error_stack.is_some_and(|stack| stack.is_native(&v8.layout, error));
        sys::napi_get_boolean(env, is, &mut result);
    }
    result
}

/// `restoreStack(error)`: on Node 20, makes `stack` of such an object V8's own again.
pub(super) unsafe extern "C" fn restore_stack(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let v8 = &thread.host().v8;
    // SAFETY: the clause **callback**; contract.ts asks for an object that is no Proxy.
    unsafe {
        let [error] = arguments_of(env, info);
        if let Some(stack) = v8.error_stack {
            stack.restore(&v8.layout, error);
        }
    }
    null_mut()
}

/// `scriptIds()`: an Int32Array for the same stack, or undefined.
pub(super) unsafe extern "C" fn script_ids(
    env: sys::napi_env,
    _: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let Some(Captured::ScriptIds(ids)) = read_subject(thread, Wanted::ScriptIds) else { return null_mut() };
    let (mut buffer, mut data, mut array) = (null_mut(), null_mut(), null_mut());
    // SAFETY: the clause **callback**; the buffer has space for all ids.
    unsafe {
        sys::napi_create_arraybuffer(env, ids.len() * 4, &mut data, &mut buffer);
        if !ids.is_empty() && !data.is_null() {
            std::ptr::copy_nonoverlapping(ids.as_ptr(), data.cast(), ids.len());
        }
        sys::napi_create_typedarray(env, sys::TypedarrayType::int32_array, ids.len(), buffer, 0, &mut array);
    }
    array
}

fn read_subject(thread: &Thread<V8Host>, wanted: Wanted) -> Option<Captured> {
    let host = thread.host();
    host.v8.capture.wanted.set(wanted);
    thread.snapshot(host.mail.subject()).ok()?.detach()
}

/// `framesNumber()`: a number that all suspended stacks with the same frames have, until the next collection; 0 where the mail's subject
/// has none.
pub(super) unsafe extern "C" fn frames_number(
    env: sys::napi_env,
    _: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let (host, id) = (thread.host(), thread.host().mail.subject());
    let vm = thread.vm_state(id).filter(|_| id != thread.main() && id != thread.current());
    // SAFETY: the clause **callback**: no collection is in progress. The core keeps the state of a stack at its address while the stack
    // lives, and a suspended stack does not change meanwhile.
    unsafe {
        let found = vm.and_then(|vm| {
            let live = Thread::live_bytes(thread, vm)?;
            host.v8.frames_number(vm.cast(), live, host.mail.collections())
        });
        number(env, f64::from(found.unwrap_or_default()))
    }
}

/// `epoch()`: how often the mail's subject was resumed; -1 where it has ended.
pub(super) unsafe extern "C" fn epoch(env: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let epoch = thread.epoch(thread.host().mail.subject()).map_or(-1.0, |epoch| epoch as f64);
    // SAFETY: the clause **callback**.
    unsafe { number(env, epoch) }
}

/// `lastResumed()`: the place of the mail's subject in the order in which stacks were last resumed; -1 where it has ended.
pub(super) unsafe extern "C" fn last_resumed(
    env: sys::napi_env,
    _: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let place = thread.last_resumed(thread.host().mail.subject()).map_or(-1.0, |place| place as f64);
    // SAFETY: the clause **callback**.
    unsafe { number(env, place) }
}

/// `stackSize()`: bytes that the stack of the mail's subject takes while it is suspended; else 0.
pub(super) unsafe extern "C" fn stack_size(
    env: sys::napi_env,
    _: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let size = thread.stack_size(thread.host().mail.subject());
    // SAFETY: the clause **callback**.
    unsafe { number(env, size as f64) }
}

/// `isInside(fileName)`: whether the mail's subject is suspended in a call of the library that was loaded from a file of this name.
/// Main's stack is not looked at. For debugging.
pub(super) unsafe extern "C" fn is_inside(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let (mut name, mut length, mut result) = ([0_u8; 256], 0, null_mut());
    // SAFETY: the clause **callback**; the name is written into the array, which is as long as Node is told. The core keeps the
    // state of a stack at its address while the stack lives, and a suspended stack does not change meanwhile.
    unsafe {
        let [value] = arguments_of(env, info);
        sys::napi_get_value_string_utf8(env, value, name.as_mut_ptr().cast(), name.len(), &mut length);
        let code = code_of(str::from_utf8(&name[..length]).unwrap_or_default());
        let stack =
            thread.vm_state(thread.host().mail.subject()).and_then(|vm| Thread::live_bytes(thread, vm));
        let inside = !code.is_empty() && stack.is_some_and(|stack| returns_into(stack, &code));
        sys::napi_get_boolean(env, inside, &mut result);
    }
    result
}

/// `frame()`: the present frame of the mail's subject; undefined where it has no stack.
pub(super) unsafe extern "C" fn frame(env: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let host = thread.host();
    let Some(vm) = thread.vm_state(host.mail.subject()) else { return null_mut() };
    // SAFETY: the clause **callback**; the core keeps the state at its address while the stack lives.
    unsafe { context::frame_of(&host.v8, vm.cast()) }
}

/// `frameWord()`: an ArrayBuffer of the isolate's word in which V8 keeps the running stack's frame; undefined where it keeps none.
pub(super) unsafe extern "C" fn frame_word(
    env: sys::napi_env,
    _: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let Some(word) = thread.host().v8.layout.embedder_data else { return null_mut() };
    let mut buffer = null_mut();
    // SAFETY: the clause **callback**. The word belongs to the isolate, which lives longer than all of its JavaScript. `context.ts` only
    // reads it, and keeps the buffer to itself.
    unsafe { sys::napi_create_external_arraybuffer(env, word.cast(), 8, None, null_mut(), &mut buffer) };
    buffer
}

/// `setContext(resource, frame, index, generation)`: gives the mail's subject another context, of which the ids are in the mail. With
/// an id, it shares the context of that greenlet. Does nothing where the subject has no stack, or is main.
pub(super) unsafe extern "C" fn set_context(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let (mut index, mut generation) = (-1, 0);
    // SAFETY: the clause **callback**; a value that is no number leaves its variable as it is.
    let [resource, frame] = unsafe {
        let [resource, frame, first, second] = arguments_of(env, info);
        sys::napi_get_value_int32(env, first, &mut index);
        sys::napi_get_value_int32(env, second, &mut generation);
        [resource, frame]
    };
    let host = thread.host();
    let id = host.mail.subject();
    let Some(vm) = thread.vm_state(id).filter(|_| id != thread.main()) else { return null_mut() };
    let sharer = (index >= 0).then(|| Id::from_parts(index as u32, generation as u32));
    let sharer = sharer.and_then(|id| thread.vm_state(id)).map(|vm| vm.cast());
    let new = Replacement { resource, frame, ids: host.mail.async_ids(), sharer };
    // SAFETY: the clause **callback**; the core keeps both states at their addresses while the stacks live.
    unsafe { context::replace(&host.v8, &host.async_hooks, &host.mail, vm.cast(), new) };
    null_mut()
}

/// `underFrame(frame, fn)`: what `fn()` returns where the object `frame` is the async context.
pub(super) unsafe extern "C" fn under_frame(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    // SAFETY: the clause **callback**.
    unsafe {
        let [frame, function] = arguments_of(env, info);
        context::under_frame(&thread.host().v8.layout, frame, function)
    }
}

/// `setCaptureRealm(fn)`: captures make their `Error` in the realm of this function.
pub(super) unsafe extern "C" fn set_capture_realm(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    // SAFETY: the clause **callback**.
    unsafe {
        let [function] = arguments_of(env, info);
        if let Some(reference) = function_reference(env, function) {
            thread.host().v8.capture.realm.set(reference);
        }
    }
    null_mut()
}

/// `findAddons()`: an add-on was loaded.
pub(super) unsafe extern "C" fn find_addons(
    env: sys::napi_env,
    _: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    if let Some(thread) = unsafe { thread_of(env) } {
        thread.host().addon_scopes.find_addons();
        thread.host().cxx_exceptions.find_runtimes();
        other_isolates::find_addons();
    }
    null_mut()
}

/// `filterRejections(keeps)`: Node is not told about promises that are rejected with a reason for which `keeps(reason)` is true.
/// Returns whether that works in this environment.
pub(super) unsafe extern "C" fn filter_rejections(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    let mut result = null_mut();
    // SAFETY: the clause **callback**. The environment's cleanup hook calls `rejections::remove`.
    unsafe {
        let [function] = arguments_of(env, info);
        let works = function_reference(env, function)
            .is_some_and(|keeps| rejections::install(&thread.host().v8.layout, keeps));
        sys::napi_get_boolean(env, works, &mut result);
    }
    result
}

/// `clearAsyncIds()`: empties Node's stack of async ids, as Node does after an uncaught exception that was handled.
pub(super) unsafe extern "C" fn clear_async_ids(
    env: sys::napi_env,
    _: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: the clause **callback**.
    if let Some(thread) = unsafe { thread_of(env) } {
        let host = thread.host();
        // SAFETY: the clause **callback**, and with it the clause **thread** of `async_hooks.rs`. Node clears its stack in the same
        // place: in `process._fatalException`.
        unsafe { host.async_hooks.clear(&host.mail) };
    }
    null_mut()
}
