//! What V8 does not read of a spilled stack: native frames at both ends.
//!
//! V8 walks a suspended stack from its exit frame, by which the innermost JavaScript called native code, to the outermost entry frame
//! (`StackFrameIterator`, frames.cc). Below the one and above the other there are only frames of C++ and of ours. In these V8 reads what it
//! has linked: TryCatches and Relocatables, of which the newest ones are in the image. The only one at the base is ours (`call.rs`).
//!
//! ```text
//!   low                 sp         fp                 handler                          TryCatch           base
//!    | switch(), park    | exit frame | JavaScript, C++ | entry frame | V8's call, ours | read | our frames  |
//!    |------ unread -----|                                            |---- unread -----|      |-- unread ---|
//! ```
//!
//! `last_api_entry_` leads into V8's frames at the base, too. It is an address that is compared and never followed (thread-local-top.h).

use std::ptr::NonNull;

use greenlets_core::raw::{StackBounds, Unread};

use super::state::{StackState, image, top_of_image};
use crate::v8::learn::facts::{ENTRY_WORDS, SP_OF_EXIT_FRAME};
use crate::v8::learn::layout::Layout;
use crate::v8::learn::symbols::TryCatch;

const WORD: usize = 8;

/// The parts of the suspended stack of `vm` that V8 does not read. None where the stack does not look as in the drawing.
///
/// # Safety
/// The clauses **live** and **parked** of `state.rs`; the stack is in its slot, `stack`, and begins at `low`. `vm` is not main's.
pub(crate) unsafe fn of(v8: &Layout, vm: NonNull<StackState>, low: usize, stack: StackBounds) -> Unread {
    let mut unread = Unread::default();
    let is_inside = |address: usize| address >= low && address < stack.base && address.is_multiple_of(WORD);
    // SAFETY: the clauses **live** and **parked**; only words between `low` and the base are read through addresses.
    unsafe {
        let (top, guard) = (top_of_image(v8, vm), usize::from((*vm.as_ptr()).guard));
        let newest = *top.add(v8.handler_word) as usize;
        if !is_inside(newest) {
            return unread;
        }
        let fp = *top.add(v8.facts.exit_frame) as usize;
        if is_inside(fp) && fp < newest && fp - low > SP_OF_EXIT_FRAME {
            let sp = *((fp - SP_OF_EXIT_FRAME) as *const usize);
            let end = sp.wrapping_sub(WORD);
            let words = std::slice::from_raw_parts(image(vm), v8.facts.archive_words());
            if is_inside(end)
                && sp <= fp - SP_OF_EXIT_FRAME
                && !words.iter().any(|&word| (low..end).contains(&(word as usize)))
            {
                unread.innermost = end - low;
            }
        }
        let mut outermost = newest;
        loop {
            match *(outermost as *const usize) {
                0 => break,
                next if is_inside(next) && next > outermost => outermost = next,
                _ => return unread,
            }
        }
        let entered = stack.base.saturating_sub(outermost + ENTRY_WORDS * WORD);
        if guard != 0 && entered > guard {
            unread.outermost = [(entered, guard), (guard - size_of::<TryCatch>(), 0)];
        }
    }
    unread
}
