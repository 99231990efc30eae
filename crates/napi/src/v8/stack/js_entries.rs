//! How often C++ has entered JavaScript on a stack.
//!
//! Each entry puts a `StackHandler` on the stack, which names the one before it (`JSEntry`, builtins-x64.cc; frame-constants and
//! handler in frames.h, 11.3 to 14.6). ThreadLocalTop's `handler_` is the newest:
//!
//! ```text
//!   base of a greenlet ─► entry function ─► ... ─► C++ of Node or an add-on ─► callback ─► ... ─► switch()
//!            [handler: 0] ◄───────────────────────────────────── [handler] ◄── handler_
//! ```
//!
//! Where there are two, C++ lies between JavaScript and JavaScript. It releases what it holds only when the call returns to it.

use std::ptr::NonNull;

use super::state::{StackState, top_of_image};
use crate::v8::learn::layout::Layout;

/// Whether C++ has entered JavaScript again on the suspended stack of `vm`.
///
/// # Safety
/// The clauses **live** and **parked** of `state.rs`; `vm` is not main's.
pub(crate) unsafe fn are_nested(v8: &Layout, vm: NonNull<StackState>) -> bool {
    // SAFETY: the clauses **live** and **parked** of `state.rs`. A stack that is parked in a native callback has been entered, so the
    // word is an address on the stack, or, where it was spilled, in its copy.
    unsafe {
        let handler = *top_of_image(v8, vm).add(v8.handler_word) as *const u64;
        *handler != 0
    }
}

/// Whether C++ has entered JavaScript again on the running stack.
///
/// # Safety
/// The clauses **thread** and **learnt** of `state.rs`.
#[inline(always)]
pub(crate) unsafe fn is_running_nested(v8: &Layout) -> bool {
    // SAFETY: the clause **learnt** of `state.rs`: a word of the live ThreadLocalTop, which is null or names a handler on the
    // running stack.
    unsafe {
        let handler = *v8.thread_local_top.add(v8.handler_word) as *const u64;
        !handler.is_null() && *handler != 0
    }
}
