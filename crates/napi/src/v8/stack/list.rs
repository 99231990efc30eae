//! ThreadManager's in-use list: the stacks that V8 visits beside the running one.
//!
//! # Contract
//! - **list**: it is circular, so that each neighbour of a member is a live node, and only the isolate's thread changes it.

use std::ptr::{NonNull, null_mut};

use crate::v8::learn::list_node::ListNode;

/// Whether the node is in a list.
///
/// # Safety
/// `node` is live.
pub(crate) unsafe fn is_linked(node: NonNull<ListNode>) -> bool {
    // SAFETY: the caller promises a live node.
    unsafe { !(*node.as_ptr()).next.is_null() }
}

/// Puts `node` behind the list's anchor.
///
/// # Safety
/// The contract's clause **list**. `anchor` is the anchor or a member of a list, `node` is in no list, and it stays at its address
/// until it is unlinked.
pub(crate) unsafe fn link(anchor: *mut ListNode, node: NonNull<ListNode>) {
    let node = node.as_ptr();
    // SAFETY: the contract's clause **list**: the anchor's neighbour is live.
    unsafe {
        debug_assert!((*node).next.is_null());
        (*node).next = (*anchor).next;
        (*node).previous = anchor;
        (*(*anchor).next).previous = node;
        (*anchor).next = node;
    }
}

/// Puts `node` before the list's anchor, as the last one.
///
/// # Safety
/// The same as for [`link`].
pub(crate) unsafe fn link_last(anchor: *mut ListNode, node: NonNull<ListNode>) {
    // SAFETY: the contract's clause **list**: the node before the anchor is a live member, behind which `node` is put.
    unsafe { link((*anchor).previous, node) };
}

/// Takes `node` out of its list.
///
/// # Safety
/// The contract's clause **list**, and `node` is in a list.
pub(crate) unsafe fn unlink(node: NonNull<ListNode>) {
    let node = node.as_ptr();
    // SAFETY: the contract's clause **list**: both neighbours are live.
    unsafe {
        debug_assert!(!(*node).next.is_null());
        (*(*node).next).previous = (*node).previous;
        (*(*node).previous).next = (*node).next;
        (*node).next = null_mut();
        (*node).previous = null_mut();
    }
}
