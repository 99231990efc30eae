//! V8's `ThreadState`: a node of ThreadManager's in-use list.

use std::ptr::null_mut;

/// V8's `ThreadState` (v8threads.h; the same from 11.2 to 14.6).
#[repr(C)]
#[derive(Debug)]
pub(crate) struct ListNode {
    /// The archived thread's id; the high half is padding.
    pub(crate) thread_id: i64,
    /// The archive: V8's words of one stack.
    pub(crate) data: *mut u64,
    pub(crate) next: *mut ListNode,
    pub(crate) previous: *mut ListNode,
    pub(crate) thread_manager: *mut u64,
}

impl ListNode {
    pub(crate) fn new(thread_id: i32, thread_manager: *mut u64, data: *mut u64) -> ListNode {
        ListNode {
            thread_id: i64::from(thread_id),
            data,
            next: null_mut(),
            previous: null_mut(),
            thread_manager,
        }
    }
}
