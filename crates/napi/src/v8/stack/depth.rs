//! How deep JavaScript may go on a greenlet's stack: as deep as on main, or as `configure({ stackSize })` says.
//!
//! ```text
//!   slot   +-------+----------+---------------------------+------------------+
//!          | guard | red zone | JavaScript: `depth` bytes | first handles    |
//!          +-------+----------+---------------------------+------------------+
//!                             ^ V8's limit                ^ base
//! ```
//!
//! Main's depth follows from V8's stack limit, which `--stack-size` and a Worker's `stackSizeMb` set.
//!
//! V8 13.6 and later assume that every stack is as large as main's ([`Facts::has_stack_size`]). So for larger stacks, that size is
//! raised. V8 then assumes that more of the addresses below main's stack belong to that stack too, and this must stay true: the size
//! is at most that of the stack that the system gave to the thread.
//!
//! [`Facts::has_stack_size`]: crate::v8::learn::facts::Facts::has_stack_size

use std::cell::Cell;

use greenlets_core::SLOT_SIZE;
use greenlets_core::raw::{LARGEST_GUARD, StackBounds};

use super::state::set_limit;
use crate::v8::learn::layout::Layout;
use crate::v8::learn::peek::Peek;

/// Bytes of a slot that JavaScript may not use: native code that is called at JavaScript's limit (the parser, ICU, OpenSSL, the
/// collector) runs there.
const RED_ZONE: usize = 96 * 1024;
/// Bytes of a slot that JavaScript cannot use: the red zone, the guard, the first handles, and up to 2 KiB around the base.
const NOT_JAVASCRIPT: usize = RED_ZONE + LARGEST_GUARD + 12 * 1024;
/// Up to this depth of main a slot has its usual size. Node's own is 984 KiB, and up to V8 12.4 the environment variables and a few
/// frames lie above it. A greenlet is 82 KiB less deep then, on x86-64.
const USUAL_DEPTH: usize = SLOT_SIZE + NOT_JAVASCRIPT;
/// Bytes that stay free at the end of the thread's own stack, for native code that is called at V8's limit.
const MARGIN: usize = 128 * 1024;

/// How deep JavaScript may go on the stacks of one thread.
#[derive(Debug)]
pub(crate) struct Depth {
    bytes: Cell<usize>,
}

impl Depth {
    pub(crate) fn of_main(v8: &Layout) -> Depth {
        Depth { bytes: Cell::new(v8.main.size()) }
    }

    /// Bytes; stacks in smaller slots have less.
    pub(crate) fn get(&self) -> usize {
        self.bytes.get()
    }

    /// Where JavaScript's part of a stack in `slot` ends.
    pub(crate) fn limit(&self, slot: StackBounds) -> usize {
        let limit = (slot.limit + RED_ZONE).max(slot.base.saturating_sub(self.bytes.get()));
        debug_assert!(limit > slot.limit);
        limit
    }

    /// Bytes that JavaScript has at least, in slots of this size.
    pub(crate) fn in_slots_of(&self, slot_size: usize) -> usize {
        self.bytes.get().min(slot_size.saturating_sub(NOT_JAVASCRIPT))
    }

    /// Sets the depth of the stacks that are made from now on; `None` is main's. Call it while there are no stacks.
    ///
    /// # Errors
    /// Returns the largest number of bytes that this V8 allows on this thread, if `bytes` is more. Then nothing has changed.
    ///
    /// # Safety
    /// The clauses **thread** and **learnt** of `state.rs`; main runs.
    pub(crate) unsafe fn set(&self, v8: &Layout, bytes: Option<usize>) -> Result<(), usize> {
        let main = v8.main.size();
        let bytes = bytes.unwrap_or(main);
        let (old, new) = (self.bytes.get().max(main), bytes.max(main));
        if v8.facts.has_stack_size && new != old {
            let most = most_bytes(v8);
            if bytes > most {
                return Err(most);
            }
            // SAFETY: the caller's clauses.
            if !unsafe { set_stack_size(v8, old, new) } {
                return Err(main);
            }
        }
        self.bytes.set(bytes);
        Ok(())
    }
}

/// Bytes of a slot for stacks on which JavaScript has `bytes`, or main's depth.
pub(crate) fn slot_size(v8: &Layout, bytes: Option<usize>) -> usize {
    match bytes {
        Some(bytes) => bytes.saturating_add(NOT_JAVASCRIPT),
        None if v8.main.size() <= USUAL_DEPTH => SLOT_SIZE,
        None => v8.main.size() + NOT_JAVASCRIPT,
    }
}

/// The largest size that V8 may assume for main's stack.
fn most_bytes(v8: &Layout) -> usize {
    let real = StackBounds::of_this_thread().map_or(0, |own| v8.main.base.saturating_sub(own.limit + MARGIN));
    real.max(v8.main.size())
}

/// Makes V8 assume that every stack is `new` bytes large instead of `old`. `Isolate::SetStackLimit` computes the size from the limit
/// that it gets; then the limit is put back. Returns false, and leaves everything as it was, unless exactly one word of the isolate
/// changed to the new size.
///
/// # Safety
/// The same as for [`Depth::set`].
unsafe fn set_stack_size(v8: &Layout, old: usize, new: usize) -> bool {
    let Ok(peek) = Peek::new() else { return false };
    let words = || peek.isolate(v8.isolate, v8.facts);
    let set = |size: usize| {
        // SAFETY: the caller's clauses: a public function on the isolate's thread. JavaScript does not run between the two calls, so
        // that no check sees the other limit.
        unsafe {
            (v8.symbols.set_stack_limit)(v8.isolate, v8.main.base - size);
            set_limit(v8, v8.facts, v8.main.limit as u64);
        }
    };
    let before = words();
    set(new);
    let after = words();
    let changed =
        before.iter().zip(&after).filter(|(old, new_word)| old != new_word && **new_word == new as u64);
    let seen = before.len() == after.len() && changed.count() == 1;
    if !seen {
        set(old);
    }
    seen
}
