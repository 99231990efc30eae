//! The thread-local pointers of this crate that belong to the running stack.
//!
//! The upper rooms own what they point to. They are declared here, without types, because under Miri a fiber is a system thread
//! of its own, and `threads.rs` has to move them from thread to thread with each switch.

use std::cell::Cell;
use std::ptr::null;

// Both have no destructor, so they can be used at any time in a thread's life.
thread_local! {
    /// The innermost `FrameRecord` of the running stack.
    pub(crate) static TOP_FRAME: Cell<*const ()> = const { Cell::new(null()) };
    /// The `ThreadGreenlets` of the thread; null before the first use of greenlets, and after the thread has ended them.
    pub(crate) static THREAD_GREENLETS: Cell<*const ()> = const { Cell::new(null()) };
}
