//! What V8 and Node keep for one stack: the core's `VmState`.

use std::ptr::NonNull;

use super::scope::Scope;
use crate::v8::stack::state::StackState;

/// See the module. V8's part comes first, so that a pointer to one is a pointer to the other.
#[repr(C)]
pub(crate) struct VmState {
    pub(crate) v8: StackState,
    /// The stack's part of Node's stack of async ids; main's stays there.
    pub(crate) scope: Scope,
}

impl VmState {
    pub(crate) fn new(v8: StackState) -> VmState {
        VmState { v8, scope: Scope::new() }
    }

    /// The state of which `v8` is a part.
    pub(crate) fn of(v8: NonNull<StackState>) -> NonNull<VmState> {
        v8.cast()
    }
}

/// The scope of a stack, for raw access.
///
/// # Safety
/// The clause **live** of `v8/stack/state.rs`; `vm` was made from a pointer to a [`VmState`].
#[inline(always)]
pub(crate) unsafe fn scope_of(vm: NonNull<StackState>) -> *mut Scope {
    // SAFETY: the caller's clause; no reference is made.
    unsafe { &raw mut (*VmState::of(vm).as_ptr()).scope }
}
