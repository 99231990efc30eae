//! wasm calls on stacks of their own: JavaScript promise integration (JSPI), V8 13.6 and later.
//!
//! A call by way of `WebAssembly.promising` runs on a stack that V8 makes for it, and is suspended with it while a promise is
//! pending. While such a call is active, the running stack is in pieces: wasm on V8's stack, and what it calls on ours. Such a stack
//! cannot be left. While one exists, collections need care (`gc/full.rs`).

use crate::v8::learn::layout::Layout;
use crate::v8::learn::wasm_stacks::WasmStacks;

impl WasmStacks {
    /// 0 unless a wasm call has a stack of its own, active or suspended.
    #[inline(always)]
    pub(super) fn unrest(&self) -> u64 {
        // SAFETY: the clause **learnt** of `state.rs`: two words of the live isolate, or of a static where V8 has no JSPI.
        unsafe { (*self.list.add(1)).wrapping_sub(*self.list) ^ self.at_rest }
    }

    /// Whether any wasm call has a stack of its own.
    pub(crate) fn exist(&self) -> bool {
        self.unrest() != 0
    }

    /// Whether the running stack is in pieces, one of which is a wasm call's. `central_stack_sp_` is set while a call is active.
    /// V8 13.6 leaves it set afterwards, so there the frames decide: the chain of frame pointers from the last exit frame leaves
    /// this stack before it reaches the frame by which JavaScript was entered.
    ///
    /// # Safety
    /// The clauses **thread** and **learnt** of `state.rs`.
    pub(super) unsafe fn is_active(&self, v8: &Layout) -> bool {
        if !self.exist() {
            return false;
        }
        // SAFETY: the clause **learnt** of `state.rs`: words of the live ThreadLocalTop. Its last four are central_stack_sp_ and three
        // more.
        let (central, entry, exit) = unsafe {
            let top = v8.thread_local_top;
            (
                *top.add(v8.facts.thread_local_top_words - 4) as usize,
                *top.add(v8.handler_word) as usize,
                *top as usize,
            )
        };
        let here = (&raw const central) as usize;
        // SAFETY: the clause **learnt** of `state.rs`: a live thread-local word of this thread.
        let base = unsafe { *v8.thread.stack_start };
        if !(here..=base).contains(&central) {
            return false;
        }
        if central > entry {
            return true;
        }
        let mut fp = exit;
        while (here..entry).contains(&fp) {
            // SAFETY: an aligned word between this frame and the stack's start.
            let next = unsafe { *(fp as *const usize) };
            if next <= fp {
                return true;
            }
            fp = next;
        }
        !(entry..=base).contains(&fp)
    }
}
