//! ThreadManager's in-use list: what V8 visits beside the running stack.

use std::ptr::{NonNull, null_mut};

/// V8's `ThreadState` (v8threads.h; the same from 11.2 to 14.6).
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Node {
    /// The archived thread's id; the high half is padding.
    pub(crate) thread_id: i64,
    /// The archive; see `state.rs` for what is in it.
    pub(crate) data: *mut u64,
    pub(crate) next: *mut Node,
    pub(crate) previous: *mut Node,
    pub(crate) thread_manager: *mut u64,
}

impl Node {
    pub(crate) fn new(thread_id: i32, thread_manager: *mut u64, data: *mut u64) -> Node {
        Node { thread_id: i64::from(thread_id), data, next: null_mut(), previous: null_mut(), thread_manager }
    }

    pub(crate) fn is_linked(&self) -> bool {
        !self.next.is_null()
    }
}

/// Puts `node` behind the list's anchor.
///
/// # Safety
/// `anchor` is the anchor of a list or a member of it, `node` is in none, and it stays where it is until it is unlinked.
pub(crate) unsafe fn link(anchor: *mut Node, node: NonNull<Node>) {
    let node = node.as_ptr();
    // SAFETY: a circular list: every neighbour is a live node. V8 changes it on this thread only.
    unsafe {
        debug_assert!(!(*node).is_linked());
        (*node).next = (*anchor).next;
        (*node).previous = anchor;
        (*(*anchor).next).previous = node;
        (*anchor).next = node;
    }
}

/// Puts `node` before the list's anchor, as the last one.
///
/// # Safety
/// As for `link`.
pub(crate) unsafe fn link_last(anchor: *mut Node, node: NonNull<Node>) {
    // SAFETY: behind the node that was last.
    unsafe { link((*anchor).previous, node) };
}

/// Takes `node` out of its list.
///
/// # Safety
/// `node` is in a list.
pub(crate) unsafe fn unlink(node: NonNull<Node>) {
    let node = node.as_ptr();
    // SAFETY: as in `link`.
    unsafe {
        debug_assert!((*node).is_linked());
        (*(*node).next).previous = (*node).previous;
        (*(*node).previous).next = (*node).next;
        (*node).next = null_mut();
        (*node).previous = null_mut();
    }
}
