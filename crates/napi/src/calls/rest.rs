//! The end of a greenlet whose stack rests: the next greenlet starts on it, in the frames of the entry function that it would begin
//! with anyway.
//!
//! ```text
//!   entry: loop ─► run ─► rest ═══ another stack runs ═══► the same call returns: the next greenlet has started
//!                              └ refused ─► entry returns, and the stack ends
//! ```
//!
//! A stack may rest where nothing needs care and its context belongs to it alone. Everything that a new stack would have is then as
//! on a new stack: no JavaScript but `entry` is left on it, and the context is given up here. What V8 keeps for a stack is as `entry` has
//! found it. The locker lane has no stacks that rest.
//!
//! The clauses are those of `switch.rs`, and **live** and **raw** of `v8/stack/state.rs`.

use std::ptr::null_mut;

use greenlets_core::raw::Thread;
use napi::sys;

use super::callback::thread_of;
use super::direct::{Info, thread_here};
use super::switch::{is_plain, is_plain_after_all, status_of, terminate_if_asked};
use crate::mail::Status;
use crate::node::async_hooks::Notify;
use crate::node::context::{empty_context, is_shared, raise_frame};
use crate::node::vm_state::scope_of;
use crate::v8_host::V8Host;

/// `rest()`: as `switch()`, for a greenlet that has ended. Returns when the next greenlet starts on this stack, or at once with a status
/// where the stack may not rest.
pub(super) unsafe extern "C" fn rest(env: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: the contract's clause **callback**.
    let Some(thread) = (unsafe { thread_of(env) }) else { return null_mut() };
    // SAFETY: the contract's clause **leaving**: this is the callback itself.
    unsafe { rest_on(thread) };
    null_mut()
}

/// The same as a direct callback.
pub(super) unsafe extern "C" fn rest_directly(_: *const Info) {
    // SAFETY: the clauses **callback** and **claim** of `direct.rs`.
    let Some(thread) = (unsafe { thread_here() }) else { return };
    // SAFETY: the contract's clause **leaving**: this is the callback itself, which does nothing else.
    unsafe { rest_on(thread) };
}

/// # Safety
/// The contract's clause **leaving**, and this is the callback's last action.
#[inline(always)]
unsafe fn rest_on(thread: &Thread<V8Host>) {
    let host = thread.host();
    // SAFETY: the caller's clause.
    unsafe {
        let status = if may_rest(thread) { leave(thread) } else { Status::Forbidden };
        host.mail.set_status(status);
        terminate_if_asked(thread);
    }
}

/// # Safety
/// The contract's clause **leaving**.
#[inline(always)]
unsafe fn may_rest(thread: &Thread<V8Host>) -> bool {
    let host = thread.host();
    // SAFETY: the caller's clause; the running stack's state is live.
    host.v8.locker.is_none()
        && thread.may_rest()
        && unsafe {
            !is_shared(host.v8.stacks.running.get())
                && (is_plain(host, false) || is_plain_after_all(host, false))
        }
}

/// # Safety
/// The contract's clause **leaving**, and the stack may rest.
#[inline(always)]
unsafe fn leave(thread: &Thread<V8Host>) -> Status {
    let host = thread.host();
    let (v8, hooks, vm) = (&host.v8.layout, &host.async_hooks, host.v8.stacks.running.get());
    // Read first: hooks may write to the mail.
    let next = host.mail.target_id();
    // SAFETY: the running stack's state stays at its address while the stack lives. Hooks run JavaScript, so its scope is accessed by
    // a raw pointer. Between the switch that brings the new context and `give_to`, nothing of V8 is called.
    unsafe {
        hooks.leave(scope_of(vm), Notify::Hooks(&host.mail));
        empty_context(v8, vm);
        let status = match thread.rest(next) {
            Ok(context) => {
                host.mail.set_own(thread.current());
                context.give_to(vm);
                raise_frame(v8, vm);
                Status::Ok
            }
            Err(error) => status_of(&error),
        };
        hooks.enter(scope_of(vm), Notify::Hooks(&host.mail));
        status
    }
}
