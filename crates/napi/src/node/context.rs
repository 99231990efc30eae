//! The async context that a greenlet runs in: what it gets when it starts, replacing it later, reading it.
//!
//! A context is a resource (what `executionAsyncResource()` returns), its two async ids, and a frame: the stores of Node's
//! AsyncContextFrame, where Node keeps them in V8's embedder data. Resource and frame are in the root table.
//!
//! # Contract
//! Beside the clauses **thread**, **learnt**, **live** and **raw** of `v8/stack/state.rs`:
//! - **callback**: the call is made in a native callback, of which the handles that are given are arguments, or in its scope.

use std::ptr::{NonNull, null, null_mut};

use napi::sys;

use super::async_hooks::{AsyncHooks, Notify};
use super::scope::Scope;
use super::vm_state::scope_of;
use crate::mail::{AsyncIds, Mail};
use crate::v8::lanes::V8;
use crate::v8::learn::layout::Layout;
use crate::v8::learn::symbols::Local;
use crate::v8::stack::context_words::ContextWords;
use crate::v8::stack::state::StackState;

/// A context that belongs to no greenlet yet. Its words are V8's: no collection may happen before they are in the root table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewContext {
    resource: u64,
    frame: u64,
    ids: AsyncIds,
}

impl NewContext {
    /// # Safety
    /// Both are handles, or null.
    #[inline(always)]
    pub(crate) unsafe fn of(resource: sys::napi_value, frame: sys::napi_value, ids: AsyncIds) -> Self {
        // SAFETY: the caller promises handles, which are addresses of words. A missing one is Smi 0.
        let word = |handle: sys::napi_value| unsafe { handle.cast::<u64>().as_ref().map_or(0, |word| *word) };
        NewContext { resource: word(resource), frame: word(frame), ids }
    }

    /// From an array of resource and frame: what `entry` returns where a new stack is to begin.
    ///
    /// # Safety
    /// `pair` is a handle of the running stack, and `env` is live on this thread.
    pub(crate) unsafe fn of_pair(env: sys::napi_env, pair: Local, ids: AsyncIds) -> Self {
        let (mut resource, mut frame) = (null_mut(), null_mut());
        // SAFETY: the caller's promise. Where `pair` is no array, both stay null.
        unsafe {
            sys::napi_get_element(env, pair.cast(), 0, &mut resource);
            sys::napi_get_element(env, pair.cast(), 1, &mut frame);
            NewContext::of(resource, frame, ids)
        }
    }

    /// Makes it the context of the stack of `vm`, which has one of its own already, and is not on Node's stack of ids.
    ///
    /// # Safety
    /// The clauses **live** and **raw**; `vm` is a greenlet's, and no collection has happened since this was made.
    pub(crate) unsafe fn give_to(self, vm: NonNull<StackState>) {
        // SAFETY: the caller's clauses; the context is one of the root table that belongs to this greenlet alone.
        unsafe {
            let context = (*vm.as_ptr()).context.expect("every greenlet with a stack has one").as_ptr();
            ((*context).resource, (*context).frame) = (self.resource, self.frame);
            set_ids(scope_of(vm), self.ids);
        }
    }
}

/// # Safety
/// `scope` is live, and not on Node's stack of ids.
unsafe fn set_ids(scope: *mut Scope, ids: AsyncIds) {
    // SAFETY: the caller promises a live scope.
    unsafe { [(*scope).id, (*scope).trigger] = ids };
}

/// Gives the greenlet of `vm` a context of the root table, of which it counts as a user already.
///
/// # Safety
/// The clauses **live** and **raw**; `vm` was made from a pointer to a `VmState`.
pub(crate) unsafe fn set_context(vm: NonNull<StackState>, context: NonNull<ContextWords>) {
    // SAFETY: the caller's clauses; the words of the root table do not move.
    unsafe {
        (*vm.as_ptr()).context = Some(context);
        (*vm.as_ptr()).embedder_data = &raw mut (*context.as_ptr()).frame;
        (*scope_of(vm)).resource = &raw mut (*context.as_ptr()).resource;
    }
}

/// Copies the running greenlet's frame from the root table to its place in the isolate.
///
/// # Safety
/// The clauses **thread**, **learnt** and **live**; `vm` is the running stack's.
pub(crate) unsafe fn raise_frame(v8: &Layout, vm: NonNull<StackState>) {
    if let Some(word) = v8.embedder_data {
        // SAFETY: the caller's clauses; `embedder_data` leads to a word of the root table.
        unsafe { *word = *(*vm.as_ptr()).embedder_data };
    }
}

/// Copies it back, before the greenlet gives its context up: other greenlets may share it.
///
/// # Safety
/// The same as for [`raise_frame`].
pub(crate) unsafe fn lower_frame(v8: &Layout, vm: NonNull<StackState>) {
    if let Some(word) = v8.embedder_data {
        // SAFETY: the caller's clauses; `embedder_data` leads to a word of the root table.
        unsafe { *(*vm.as_ptr()).embedder_data = *word };
    }
}

/// Whether other stacks have the same context.
///
/// # Safety
/// The clauses **live** and **raw**; `vm` is a greenlet's.
#[inline(always)]
pub(crate) unsafe fn is_shared(vm: NonNull<StackState>) -> bool {
    // SAFETY: the caller's clauses. The low half of `users` is twice the number of stacks.
    unsafe { (*vm.as_ptr()).context.is_none_or(|context| (*context.as_ptr()).users as u32 != 2) }
}

/// Takes the context away from the running greenlet, which has ended and has left Node's stack of ids. Its stack can be given a new one.
///
/// # Safety
/// The clauses **thread**, **learnt**, **live** and **raw**; `vm` is the running stack's, and its context is not shared.
#[inline(always)]
pub(crate) unsafe fn empty_context(v8: &Layout, vm: NonNull<StackState>) {
    // SAFETY: the caller's clauses. Smi 0 is no object; parking the stack copies it from the isolate to the root table.
    unsafe {
        if let Some(context) = (*vm.as_ptr()).context {
            (*context.as_ptr()).resource = 0;
            (*context.as_ptr()).frame = 0;
        }
        if let Some(word) = v8.embedder_data {
            *word = 0;
        }
        (*scope_of(vm)).clear();
    }
}

/// The present frame of the greenlet of `vm`, as a handle of the running callback; null where this V8 keeps no frames.
///
/// # Safety
/// The contract's clauses **thread**, **learnt**, **live** and **callback**.
pub(crate) unsafe fn frame_of(v8: &V8, vm: NonNull<StackState>) -> sys::napi_value {
    let Some(word) = v8.layout.embedder_data else { return null_mut() };
    let mut handle = null_mut();
    // SAFETY: the caller's clauses. No collection happens between reading the word and writing it into the handle.
    unsafe {
        sys::napi_create_int32(v8.layout.env, 0, &mut handle);
        let at_rest = (*vm.as_ptr()).embedder_data;
        let is_live = at_rest == (*v8.stacks.running.get().as_ptr()).embedder_data;
        *handle.cast::<u64>() = if is_live { *word } else { *at_rest };
    }
    handle
}

/// A context that replaces another one.
pub(crate) struct Replacement {
    pub(crate) resource: sys::napi_value,
    pub(crate) frame: sys::napi_value,
    pub(crate) ids: AsyncIds,
    /// A greenlet that has the same resource: both share one context from now on.
    pub(crate) sharer: Option<NonNull<StackState>>,
}

/// Gives the greenlet of `vm` another context.
///
/// # Safety
/// The contract's clauses **thread**, **learnt**, **live** and **callback**; `vm` is not main's.
pub(crate) unsafe fn replace(
    v8: &V8,
    hooks: &AsyncHooks,
    mail: &Mail,
    vm: NonNull<StackState>,
    new: Replacement,
) {
    let roots = &v8.gc.roots;
    let is_running = vm == v8.stacks.running.get();
    let sharer = new.sharer.filter(|&other| other != vm);
    // SAFETY: the caller's clauses. Hooks run JavaScript, so the states are accessed by raw pointers only. The running greenlet's
    // entries are off Node's stack while they change, so that hooks see the old context end and the new one begin.
    unsafe {
        let scope = scope_of(vm);
        if is_running {
            hooks.leave(scope, Notify::Hooks(mail));
            lower_frame(&v8.layout, vm);
        }
        if let Some(context) = (*vm.as_ptr()).context.take() {
            roots.release(context);
        }
        match sharer.and_then(|other| (*other.as_ptr()).context) {
            Some(context) => {
                roots.share(context);
                set_context(vm, context);
                set_ids(scope, new.ids);
            }
            None => {
                set_context(vm, roots.take());
                NewContext::of(new.resource, new.frame, new.ids).give_to(vm);
            }
        }
        if is_running {
            raise_frame(&v8.layout, vm);
            hooks.enter(scope, Notify::Hooks(mail));
        }
    }
}

/// Calls `function` with the object `frame` as the async context, on main, and returns what it returns: this shows where Node's
/// AsyncResource keeps a frame.
///
/// # Safety
/// The contract's clauses **thread**, **learnt** and **callback**.
pub(crate) unsafe fn under_frame(
    v8: &Layout,
    frame: sys::napi_value,
    function: sys::napi_value,
) -> sys::napi_value {
    let (mut before, mut receiver, mut result) = (null_mut(), null_mut(), null_mut());
    // SAFETY: the caller's clauses; the old frame is in a handle while the other one is in its place.
    unsafe {
        sys::napi_create_int32(v8.env, 0, &mut before);
        sys::napi_get_undefined(v8.env, &mut receiver);
        if let Some(word) = v8.embedder_data {
            *before.cast::<u64>() = *word;
            *word = *frame.cast::<u64>();
        }
        sys::napi_call_function(v8.env, receiver, function, 0, null(), &mut result);
        if let Some(word) = v8.embedder_data {
            *word = *before.cast::<u64>();
        }
    }
    result
}
