//! Objects on a stack that V8 tells, by their address, when a collection is over.
//!
//! Where a stack is spilled, the object is in the copy: so the entry is changed with it (`relocate`). The other objects on stacks
//! that register themselves (those with an iterator over bytecode, a stream of source text, JSON.parse's parser) live only while no
//! JavaScript can run; this is so in 11.3 to 14.6, by the callers of `AddGCEpilogueCallback` in Node's binaries.

use greenlets_core::raw::Relocation;

use crate::v8::learn::epilogue_callbacks::EpilogueCallbacks;

impl EpilogueCallbacks {
    /// The objects in `moved` have new addresses.
    ///
    /// # Safety
    /// The clauses **thread** and **learnt** of `state.rs`; no collection is in progress.
    pub(super) unsafe fn relocate(self, moved: &Relocation) {
        // SAFETY: the clause **learnt** of `state.rs`: two words of a live std::vector, which only this thread changes, and its
        // entries.
        unsafe {
            let (mut callback, end) = (*self.0, *self.0.add(1));
            while callback != end {
                if let Some(now) = moved.new_address((*callback).object) {
                    (*callback).object = now;
                }
                callback = callback.add(1);
            }
        }
    }

    /// Removes the entries of objects in `stack`, which will never run again.
    ///
    /// # Safety
    /// The same as for [`EpilogueCallbacks::relocate`].
    pub(crate) unsafe fn forget(self, stack: std::ops::Range<usize>) {
        // SAFETY: the clause **learnt** of `state.rs`. V8 itself fills a gap with the last entry (GCCallbacksInSafepoint::Remove).
        unsafe {
            let (mut callback, mut end) = (*self.0, *self.0.add(1));
            while callback != end {
                if stack.contains(&(*callback).object) {
                    end = end.sub(1);
                    callback.copy_from(end, 1);
                } else {
                    callback = callback.add(1);
                }
            }
            *self.0.add(1) = end;
        }
    }
}
