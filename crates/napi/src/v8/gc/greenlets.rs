//! What the collector's side must know about greenlets, and tell them.

use std::ops::Range;
use std::ptr::NonNull;

use crate::v8::stack::state::StackState;

/// See the module.
pub(crate) trait Greenlets {
    /// The bytes of the suspended stack of `vm` that are in use, in its slot or in its copy; `None` where it has no stack.
    ///
    /// # Safety
    /// The clauses **live** and **parked** of `stack/state.rs`.
    unsafe fn live_bytes(&self, vm: NonNull<StackState>) -> Option<Range<usize>>;

    /// A collection is over.
    fn collected(&self);

    /// V8 has just given back the memory that it could: greenlets may do the same.
    fn trim(&self);
}
