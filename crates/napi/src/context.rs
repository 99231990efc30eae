//! The async context that a greenlet runs in: what it is given when it starts, exchanging it later, reading it.
//!
//! A context is a resource (what `executionAsyncResource()` returns), its two async ids, and a frame: the stores of Node's
//! AsyncContextFrame, where Node keeps them in V8's embedder data. Resource and frame lie in the root table.

use std::ptr::{NonNull, null_mut};

use greenlets_core::{Id, Thread};
use napi::sys;

use crate::node::async_hooks::Tell;
use crate::v8::host::V8Host;
use crate::v8::state::VmState;
use crate::v8::symbols::Local;

/// An async id and a trigger id.
pub(crate) type AsyncIds = [f64; 2];

/// A context that nobody has yet. Its words are V8's: no collection may happen before it is somebody's.
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
        // SAFETY: the caller's promise. A missing one is Smi 0.
        let word = |handle: sys::napi_value| unsafe { handle.cast::<u64>().as_ref().map_or(0, |word| *word) };
        NewContext { resource: word(resource), frame: word(frame), ids }
    }

    /// From an array of resource and frame: what `entry` returns where a new stack is to begin.
    ///
    /// # Safety
    /// `pair` is a handle of the running stack.
    pub(crate) unsafe fn of_pair(host: &V8Host, pair: Local, ids: AsyncIds) -> Self {
        let (mut resource, mut frame) = (null_mut(), null_mut());
        // SAFETY: `env` is live; what is no array leaves both null.
        unsafe {
            sys::napi_get_element(host.env, pair.cast(), 0, &mut resource);
            sys::napi_get_element(host.env, pair.cast(), 1, &mut frame);
            NewContext::of(resource, frame, ids)
        }
    }

    /// Makes it the context of the stack of `vm`, which has one of its own already, and is not on Node's stack of ids.
    ///
    /// # Safety
    /// `vm` is a greenlet's, and no collection has happened since this was made.
    pub(crate) unsafe fn give_to(self, vm: &mut VmState) {
        let context = vm.context.expect("every greenlet with a stack has one").as_ptr();
        // SAFETY: a context of the root table that belongs to this greenlet alone.
        unsafe { ((*context).resource, (*context).frame) = (self.resource, self.frame) };
        [vm.scope.id, vm.scope.trigger] = self.ids;
    }
}

/// Puts the running greenlet's frame from the root table in its place in the isolate.
///
/// # Safety
/// `vm` is the running stack's.
pub(crate) unsafe fn raise_frame(host: &V8Host, vm: &VmState) {
    if let Some(word) = host.layout.embedder_data {
        // SAFETY: both are live words.
        unsafe { *word = *vm.embedder_data };
    }
}

/// The opposite, before the greenlet gives its context up: others may share it.
///
/// # Safety
/// See `raise_frame`.
pub(crate) unsafe fn lower_frame(host: &V8Host, vm: &VmState) {
    if let Some(word) = host.layout.embedder_data {
        // SAFETY: both are live words.
        unsafe { *vm.embedder_data = *word };
    }
}

/// The frame of greenlet `id` as it is now, as a handle of the running callback; null where it has no stack.
///
/// # Safety
/// In a native callback.
pub(crate) unsafe fn frame_of(thread: &Thread<V8Host>, id: Id) -> sys::napi_value {
    let host = thread.host();
    let (Some(word), Some(vm)) = (host.layout.embedder_data, thread.vm_state(id)) else { return null_mut() };
    let mut handle = null_mut();
    // SAFETY: states of live stacks. The handle is one of the callback's scope, and no collection happens between reading the
    // word and writing it there.
    unsafe {
        sys::napi_create_int32(host.env, 0, &mut handle);
        let at_rest = (*vm.as_ptr()).embedder_data;
        let live = at_rest == (*host.running.get().as_ptr()).embedder_data;
        *handle.cast::<u64>() = if live { *word } else { *at_rest };
    }
    handle
}

/// Gives greenlet `id` another context; with `fellow`, a greenlet that has the same resource, both share one from now on.
/// Nothing happens where `id` has no stack, or is main.
///
/// # Safety
/// In a native callback, whose arguments the two handles are.
pub(crate) unsafe fn exchange(
    thread: &Thread<V8Host>,
    id: Id,
    (resource, frame): (sys::napi_value, sys::napi_value),
    ids: AsyncIds,
    fellow: Option<Id>,
) {
    let host = thread.host();
    let Some(vm) = thread.vm_state(id).filter(|_| id != thread.main()) else { return };
    let running = vm == host.running.get();
    let shared = fellow.and_then(|fellow| thread.vm_state(fellow)).filter(|other| *other != vm);
    // SAFETY: `vm` is a live stack's, reached through this pointer only. The running greenlet's entries are off Node's stack
    // while they change, so that hooks see the old context end and the new one begin.
    unsafe {
        let state = &mut *vm.as_ptr();
        if running {
            host.async_hooks.leave(&mut state.scope, Tell::Hooks(&host.mail));
            lower_frame(host, state);
        }
        if let Some(context) = state.context.take() {
            host.roots().release(context);
        }
        match shared.and_then(|other: NonNull<VmState>| (*other.as_ptr()).context) {
            Some(context) => {
                host.roots().share(context);
                state.set_context(context);
                [state.scope.id, state.scope.trigger] = ids;
            }
            None => {
                state.set_context(host.roots().take());
                NewContext::of(resource, frame, ids).give_to(state);
            }
        }
        if running {
            raise_frame(host, state);
            host.async_hooks.enter(&mut state.scope, Tell::Hooks(&host.mail));
        }
    }
}

/// Calls `function` with the object `frame` as the async context, on main, and returns what it returns: shows where Node's
/// AsyncResource keeps a frame.
///
/// # Safety
/// In a native callback, whose arguments the two are.
pub(crate) unsafe fn under_frame(
    host: &V8Host,
    frame: sys::napi_value,
    function: sys::napi_value,
) -> sys::napi_value {
    let (mut before, mut receiver, mut result) = (null_mut(), null_mut(), null_mut());
    // SAFETY: live words and handles; the old frame is in a handle while the other is in its place.
    unsafe {
        sys::napi_create_int32(host.env, 0, &mut before);
        sys::napi_get_undefined(host.env, &mut receiver);
        if let Some(word) = host.layout.embedder_data {
            *before.cast::<u64>() = *word;
            *word = *frame.cast::<u64>();
        }
        sys::napi_call_function(host.env, receiver, function, 0, std::ptr::null(), &mut result);
        if let Some(word) = host.layout.embedder_data {
            *word = *before.cast::<u64>();
        }
    }
    result
}
