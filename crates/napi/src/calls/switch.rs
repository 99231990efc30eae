//! Leaving the running stack for another one.
//!
//! ```text
//!   switch() ─► leave ─► is anything unusual? ─ no ─► cross ─► core's Thread::switch ─ ... ─► the same, on the other stack
//!                              └ yes ─► cross_carefully: refuses, or takes along what belongs to the stack
//! ```
//!
//! # Contract
//! - **callback**: as in `callback.rs`.
//! - **leaving**: the call is made on the isolate's thread, and nothing of ours that could be unwound lies between the running stack's
//!   JavaScript and the call.

use std::ptr::null_mut;

use greenlets_core::raw::{Next, SwitchError, Thread};
use napi::sys;

use super::callback::{arguments_of, thread_of};
use super::direct::{self, Info, thread_here};
use crate::mail::Status;
use crate::node::async_hooks::Notify;
use crate::node::context::NewContext;
use crate::node::vm_state::scope_of;
use crate::v8::stack::{js_entries, leave};
use crate::v8_host::{Terminating, V8Host};

/// `switch()`: suspends the running stack and runs the mail's target; returns when another greenlet switches back.
pub(super) unsafe extern "C" fn switch(env: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: the contract's clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    // SAFETY: the contract's clause **leaving**: this is the callback itself.
    unsafe { to_target(thread) };
    null_mut()
}

/// The same as a direct callback.
pub(super) unsafe extern "C" fn switch_directly(_: *const Info) {
    // SAFETY: the clauses **callback** and **claim** of `direct.rs`.
    let Some(thread) = (unsafe { thread_here() }) else { return };
    // SAFETY: the contract's clause **leaving**: this is the callback itself, which does nothing else.
    unsafe { to_target(thread) };
}

/// Leaves the running stack for the mail's target.
///
/// # Safety
/// The contract's clause **leaving**, and this is the callback's last action.
#[inline(always)]
pub(super) unsafe fn to_target(thread: &Thread<V8Host>) {
    let id = thread.host().mail.target_id();
    // SAFETY: the caller's clause.
    unsafe { go(thread, || Next::Resume(id)) }
}

/// `start(resource, frame)`: as `switch`, to a new stack with this context; its ids are in the mail.
pub(super) unsafe extern "C" fn start(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: the contract's clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    // SAFETY: the contract's clause **callback**.
    let context = unsafe { arguments_of(env, info) };
    // SAFETY: the contract's clause **leaving**: this is the callback itself, and the two are handles of it.
    unsafe { start_in(thread, context) };
    null_mut()
}

/// The same as a direct callback.
pub(super) unsafe extern "C" fn start_directly<const SHAPE: bool>(info: *const Info) {
    // SAFETY: the clauses **callback** and **claim** of `direct.rs`.
    let Some(thread) = (unsafe { thread_here() }) else { return };
    // SAFETY: the clause **callback** of `direct.rs`; V8 passes arguments in this shape where the function is used. The contract's clause
    // **leaving**: this is the callback itself, and the two are handles of it.
    unsafe { start_in(thread, direct::arguments_of::<SHAPE, 2>(info)) };
}

/// Leaves the running stack for a new one, with this resource and frame.
///
/// # Safety
/// The contract's clause **leaving**. The two are handles of the callback, or null, and this is the callback's last action.
#[inline(always)]
unsafe fn start_in(thread: &Thread<V8Host>, [resource, frame]: [sys::napi_value; 2]) {
    let host = thread.host();
    if host.v8.gc.classes.wants_young.get() {
        // SAFETY: the caller's clauses: in a native callback.
        unsafe { host.v8.gc.classes.make_young(&host.v8.layout, &host.v8.gc.roots) };
    }
    let ids = host.mail.async_ids();
    // SAFETY: the caller's clauses.
    unsafe { go(thread, || Next::Start(NewContext::of(resource, frame, ids))) };
}

/// Leaves the running stack, or writes into the mail why not. `next` is asked after the stack's entries have left Node's stack of
/// ids, because hooks may have run by then.
///
/// # Safety
/// The contract's clause **leaving**.
#[inline(always)]
unsafe fn go(thread: &Thread<V8Host>, next: impl FnOnce() -> Next<V8Host>) {
    let host = thread.host();
    // SAFETY: the caller's clause is the one that `leave` needs.
    host.mail.set_status(unsafe { leave(thread, next) });
    // SAFETY: the caller's clause, and this is the callback's last action.
    unsafe { terminate_if_asked(thread) };
}

/// Ends JavaScript on the running stack, if that is to be.
///
/// # Safety
/// The contract's clause **leaving**, and this is the callback's last action.
#[inline(always)]
pub(super) unsafe fn terminate_if_asked(thread: &Thread<V8Host>) {
    if thread.host().terminating.get() != Terminating::Nothing {
        // SAFETY: the caller's clause.
        unsafe { terminate(thread) };
    }
}

/// JavaScript is to end on some stack. Ends it here, where that is the running stack.
///
/// # Safety
/// The contract's clause **leaving**.
#[cold]
unsafe fn terminate(thread: &Thread<V8Host>) {
    let host = thread.host();
    match (host.terminating.get(), thread.on_main()) {
        (Terminating::Main, true) => host.terminating.set(Terminating::Nothing),
        (Terminating::Greenlets, false) => {}
        _ => return,
    }
    // SAFETY: the caller's clause: nothing of ours lies between this and the JavaScript that is to end.
    unsafe { host.calls.terminate(&host.v8.layout) };
}

/// Leaves the running stack; returns when another one switches back, or at once where the stack must not be left.
///
/// # Safety
/// The contract's clause **leaving**.
#[inline(always)]
pub(crate) unsafe fn leave(thread: &Thread<V8Host>, next: impl FnOnce() -> Next<V8Host>) -> Status {
    let on_main = thread.on_main();
    // SAFETY: the caller's clause is the one that both need.
    unsafe {
        match is_plain(thread.host(), on_main) {
            true => cross(thread, on_main, next),
            false => cross_carefully(thread, on_main, next),
        }
    }
}

/// Whether nothing needs care when the running stack is left. This is nearly always the case.
///
/// # Safety
/// The contract's clause **leaving**.
#[inline(always)]
pub(super) unsafe fn is_plain(host: &V8Host, on_main: bool) -> bool {
    let (v8, stacks) = (&host.v8.layout, &host.v8.stacks);
    let mut found = obstacles(host, on_main) | v8.joins.unrest(stacks.known_contexts.get());
    // SAFETY: the caller's clause: on the isolate's thread.
    if on_main || unsafe { js_entries::is_running_nested(v8) } {
        found |= obstacles_of_native_code(host);
    }
    found == 0
}

/// The same where [`is_plain`] could not tell without a call of V8: where a program has several contexts, an array may be joined in each.
///
/// # Safety
/// The contract's clause **leaving**.
#[cold]
pub(super) unsafe fn is_plain_after_all(host: &V8Host, on_main: bool) -> bool {
    // SAFETY: the caller's clause: in a native callback.
    let joining = unsafe { host.v8.is_joining() };
    !joining && obstacles(host, on_main) | obstacles_of_native_code(host) == 0
}

/// 0 where nothing needs care when the running stack is left, apart from arrays that are being joined and what native code between the
/// stack's JavaScript has left.
#[inline(always)]
fn obstacles(host: &V8Host, on_main: bool) -> u64 {
    leave::obstacles(&host.v8.layout, &host.v8.stacks, on_main)
        | host.v8.gc.collecting.get()
        | host.mail.held()
        | host.mail.in_hook()
        | host.addon_scopes.open()
}

/// 0 where no native code between the stack's JavaScript has left anything that needs care. A greenlet on which JavaScript was entered
/// only once, at its base, has no such code; main's first entry lies above other code.
#[inline(always)]
fn obstacles_of_native_code(host: &V8Host) -> u64 {
    leave::obstacles_of_native_code(&host.v8.layout) | host.cxx_exceptions.held()
}

/// Why the running stack must not be left; `None` where it may.
///
/// # Safety
/// In a native callback on the isolate's thread.
pub(crate) unsafe fn refusal(host: &V8Host, on_main: bool) -> Option<Status> {
    if host.v8.gc.collecting.get() != 0 {
        return Some(Status::Collecting);
    }
    if host.mail.in_hook() != 0 {
        return Some(Status::Forbidden);
    }
    if host.mail.is_in_isolate() {
        return Some(Status::InIsolate);
    }
    // SAFETY: the caller promises the isolate's thread.
    if let Some(status) = unsafe { leave::refusal(&host.v8.layout, &host.v8.stacks, on_main) } {
        return Some(status);
    }
    (!on_main && host.mail.held() != 0).then_some(Status::Limited)
}

/// Takes the running greenlet's entries off Node's stack of ids, switches, and puts them back.
///
/// # Safety
/// The contract's clause **leaving**, and the stack may be left.
#[inline(always)]
unsafe fn cross(thread: &Thread<V8Host>, on_main: bool, next: impl FnOnce() -> Next<V8Host>) -> Status {
    let host = thread.host();
    let me = host.v8.stacks.running.get();
    // SAFETY: the running stack's state stays at its address while the stack lives. Hooks run JavaScript, so its scope is accessed by
    // a raw pointer.
    let result = unsafe {
        if on_main {
            host.async_hooks.leave_main();
        } else {
            host.async_hooks.leave(scope_of(me), Notify::Hooks(&host.mail));
        }
        let result = thread.switch(next());
        if !on_main {
            host.async_hooks.enter(scope_of(me), Notify::Hooks(&host.mail));
        }
        result
    };
    match result {
        Ok(()) => Status::Ok,
        Err(error) => status_of(&error),
    }
}

/// Something is unusual: refuses to leave the stack, or takes along what belongs to it.
///
/// # Safety
/// The contract's clause **leaving**.
#[cold]
#[inline(never)]
unsafe fn cross_carefully(
    thread: &Thread<V8Host>,
    on_main: bool,
    next: impl FnOnce() -> Next<V8Host>,
) -> Status {
    let host = thread.host();
    let (v8, stacks) = (&host.v8.layout, &host.v8.stacks);
    // SAFETY: the caller's clause. What is taken along stays in this frame and in its handles, and is given back when the stack runs
    // again.
    unsafe {
        if is_plain_after_all(host, on_main) {
            return cross(thread, on_main, next);
        }
        if let Some(refusal) = refusal(host, on_main) {
            return refusal;
        }
        let aside = leave::put_aside(v8, stacks, on_main, host.v8.locker.is_some());
        let scopes = host.addon_scopes.take();
        let exceptions = host.cxx_exceptions.take();
        let status = cross(thread, on_main, next);
        host.cxx_exceptions.give_back(exceptions);
        host.addon_scopes.give_back(&scopes);
        leave::put_back(v8, stacks, &aside);
        status
    }
}

#[cold]
pub(super) fn status_of(error: &SwitchError<NewContext>) -> Status {
    match error {
        SwitchError::NoSlot(_) => Status::NoSlot,
        SwitchError::Limit(..) => Status::Limit,
        SwitchError::NoMemory(..) => Status::NoMemory,
        SwitchError::Gone(_) => Status::Gone,
        SwitchError::OtherStack(_) => Status::OtherStack,
        _ => Status::Forbidden,
    }
}
