//! Borrowed capture: V8 reads a suspended stack as if it were the running one.
//!
//! V8 walks a stack from ThreadLocalTop. So the running ThreadLocalTop is put aside, the suspended greenlet's is put in its
//! place, V8 captures, and both go back. The machine stays on its own stack; nothing is resumed and no JavaScript runs.
//!
//! A scavenge may happen meanwhile, and must visit each root slot exactly once:
//!
//! ```text
//!                      visited as live          visited in an image
//!   running stack      its handles              its ThreadLocalTop
//!   suspended one      its ThreadLocalTop       its handles
//! ```
//!
//! The context is that of a realm of our own, whose `Error.stackTraceLimit` is infinite: the program's is neither obeyed
//! nor changed.

use std::ptr::{NonNull, copy_nonoverlapping, null_mut};

use napi::sys;

use super::host::V8Host;
use super::locker;
use super::state::VmState;
use super::symbols::Local;

/// `kScriptId | kExposeFramesAcrossSecurityOrigins` (v8-debug.h, StackTrace::StackTraceOptions).
const WITH_SCRIPT_IDS: i32 = 1 << 7 | 1 << 8;

/// What a capture is to read. Two captures, because the second is asked for rarely and costs another walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Frames,
    ScriptIds,
}

/// What V8 captured.
pub(crate) enum Captured {
    /// An `Error` whose structured stack is the greenlet's.
    Frames(sys::napi_value),
    /// Script ids of the frames that have a script, innermost first.
    ScriptIds(Vec<i32>),
}

/// Captures the stack of `vm`. `None` where no capture realm was set or V8 made no error.
///
/// # Safety
/// `vm` is parked and its stack untouched since; runs in a native callback of the running stack.
pub(crate) unsafe fn capture(host: &V8Host, vm: NonNull<VmState>) -> Option<Captured> {
    let v8 = &host.layout;
    let words = v8.facts.thread_local_top_words;
    let (mut realm, mut message, mut context_of_target) = (null_mut(), null_mut(), null_mut());
    // SAFETY: all handles are made in the callback's own scope.
    unsafe {
        if host.capture_realm.get().is_null() {
            return None;
        }
        sys::napi_get_reference_value(host.env, host.capture_realm.get(), &mut realm);
        sys::napi_create_string_utf8(host.env, c"".as_ptr(), 0, &mut message);
        sys::napi_create_int32(host.env, 0, &mut context_of_target);
    }
    // SAFETY: a function has a creation context.
    let context = unsafe { (host.symbols.creation_context)(realm.cast()) };
    let context_of_target = context_of_target.cast::<u64>();
    if host.locker.is_some() {
        // SAFETY: passed on.
        return unsafe { capture_locked(host, vm, context, message, context_of_target) };
    }
    // SAFETY: both states are live, distinct (one runs, one is parked), and reached through these pointers only; V8 sees
    // the isolate between two consistent states, as the table above shows.
    unsafe {
        host.quiet.wake(host, vm);
        host.quiet.borrowed.set(true);
        let (me, target) = (&mut *host.running.get().as_ptr(), &mut *vm.as_ptr());
        let (my_top, target_top) = (me.top(v8), target.top(v8));
        // The GC may move the target's context while it is not in a visited image: a handle holds it.
        *context_of_target = *target_top.add(v8.context_word);
        me.image.fill(0);
        me.image[0] = v8.isolate as u64;
        copy_nonoverlapping(v8.thread_local_top, my_top, words);
        copy_nonoverlapping(target_top, v8.thread_local_top, words);
        copy_nonoverlapping(v8.blank_top.as_ptr(), target_top, words);
        *v8.thread_local_top.add(v8.context_word) = *context as u64;
        me.node.data = me.image.as_mut_ptr();

        let captured = read(host, message);

        me.node.data = host.blank_image();
        copy_nonoverlapping(v8.thread_local_top, target_top, words);
        *target_top.add(v8.context_word) = *context_of_target;
        copy_nonoverlapping(my_top, v8.thread_local_top, words);
        host.quiet.borrowed.set(false);
        captured
    }
}

/// In the locker lane V8 puts the suspended stack in the running one's place, with its handles. The Error is in `handle` of the
/// running stack afterwards; no collection happens in between.
unsafe fn capture_locked(
    host: &V8Host,
    vm: NonNull<VmState>,
    context: Local,
    message: sys::napi_value,
    handle: *mut u64,
) -> Option<Captured> {
    let (mut scope, mut word) = (null_mut(), 0);
    // SAFETY: passed on; scopes close in the order in which they were opened. The other stack's handles are those that only it
    // uses.
    unsafe {
        let captured = locker::borrow(host, vm, || {
            sys::napi_open_handle_scope(host.env, &mut scope);
            (host.symbols.context_enter)(context);
            let captured = read(host, message);
            (host.symbols.context_exit)(context);
            if let Some(Captured::Frames(error)) = captured {
                word = *error.cast::<u64>();
            }
            sys::napi_close_handle_scope(host.env, scope);
            captured
        });
        Some(match captured? {
            Captured::Frames(_) => {
                *handle = word;
                Captured::Frames(handle.cast())
            }
            ids => ids,
        })
    }
}

/// Makes an Error or a StackTrace, neither of which runs JavaScript.
unsafe fn read(host: &V8Host, message: sys::napi_value) -> Option<Captured> {
    let isolate = host.layout.isolate;
    if host.wanted.get() == Wanted::Frames {
        let mut error = null_mut();
        // SAFETY: the handle goes to the running callback's scope.
        let status = unsafe { sys::napi_create_error(host.env, null_mut(), message, &mut error) };
        return (status == sys::Status::napi_ok).then_some(Captured::Frames(error));
    }
    let script_id = |trace, i| {
        let mut scope = null_mut();
        // SAFETY: the frame's handles end with the scope; `i` is below the trace's count.
        unsafe {
            sys::napi_open_handle_scope(host.env, &mut scope);
            let id = (host.symbols.script_id)((host.symbols.frame)(trace, isolate, i as u32));
            sys::napi_close_handle_scope(host.env, scope);
            id
        }
    };
    // SAFETY: as above; an empty trace is null.
    unsafe {
        let trace = (host.symbols.stack_trace)(isolate, i32::MAX, WITH_SCRIPT_IDS);
        let frames = if trace.is_null() { 0 } else { (host.symbols.frame_count)(trace) };
        Some(Captured::ScriptIds((0..frames).map(|i| script_id(trace, i)).collect()))
    }
}
