//! Objects on a stack that V8 tells when a collection is over, by their address.
//!
//! V8 12.4 and later: a `JsonStringifier` lies on the stack and has a cache of property names, by address. It enters itself with
//! the thread's LocalHeap (`LocalHeap::AddGCEpilogueCallback`, json-stringifier.cc), to clear it after a collection:
//!
//! ```text
//!   LocalHeap   word 0: heap_ ... gc_epilogue_callbacks_: begin | end | room
//!                                                           │
//!                     ┌──────────┬──────────────┬───────────▼┐
//!                     │ function │ the object   │ kinds      │ ...
//!                     └──────────┴──────────────┴────────────┘
//! ```
//!
//! Where its stack is spilled, the object is in the copy: so the entry moves along (`relocate`). The other objects on stacks that
//! enter themselves (those with an iterator over bytecode, a stream of source text, JSON.parse's parser) live while no
//! JavaScript can run; this is so in 11.3 to 14.6, by the callers of that function in Node's binaries.

use greenlets_core::Relocation;
use napi::sys;

use super::facts::Facts;
use super::peek::Peek;
use super::watch::{STRINGIFY, during};
use super::{Isolate, Unsupported};

/// `GCCallbacksInSafepoint::CallbackData` (gc-callbacks.h, the same from 12.4 to 14.6).
#[repr(C)]
struct Callback {
    function: usize,
    object: usize,
    /// `GCType`: 1 to 3.
    kinds: u64,
}

/// The vector of the isolate's main LocalHeap: where its begin and end are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callbacks(*mut *mut Callback);

impl Callbacks {
    /// The objects in `moved` are somewhere else now.
    ///
    /// # Safety
    /// On the isolate's thread, and no collection is under way.
    pub(crate) unsafe fn relocate(self, moved: &Relocation) {
        // SAFETY: the two words of a live std::vector, which only this thread changes, and its entries.
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

    /// Nobody is told any more who lies in `stack`, which will never run again.
    ///
    /// # Safety
    /// As for `relocate`.
    pub(crate) unsafe fn forget(self, stack: std::ops::Range<usize>) {
        // SAFETY: as in `relocate`; V8 itself fills a gap with the last entry (GCCallbacksInSafepoint::Remove).
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

/// Finds the vector: each time `JSON.stringify` runs, it has one entry more, which lies on this stack.
///
/// # Safety
/// In a native callback of `env`, on the isolate's thread.
pub(crate) unsafe fn learn(
    facts: &Facts,
    word: usize,
    env: sys::napi_env,
    isolate: Isolate,
    peek: &Peek,
    pointers: &[usize],
) -> Result<Callbacks, Unsupported> {
    let program = STRINGIFY;
    let above = (&raw const program) as usize;
    let heap = isolate as usize..isolate as usize + facts.isolate_words * 8;
    let look = || {
        let mut found = Vec::new();
        let below = (&raw const found) as usize;
        peek.each(pointers, word + 2, |at, words| {
            let (begin, end) = (words[word] as usize, words[word + 1] as usize);
            let whole = end.wrapping_sub(begin).is_multiple_of(ENTRY_BYTES) && begin < end;
            if heap.contains(&(words[0] as usize)) && whole && begin + MOST_BYTES > end {
                let entry = peek.words(end - ENTRY_BYTES, 3).unwrap_or_default();
                let &[_, object, kinds] = entry.as_slice() else { return };
                if (below..above).contains(&(object as usize)) && (1..=3).contains(&(kinds as u32)) {
                    found.push((at + word * 8, [begin, end]));
                }
            }
        });
        found
    };
    let vector = |at: usize| {
        let words = peek.words(at, 2).unwrap_or_default();
        <[usize; 2]>::try_from(words.iter().map(|&word| word as usize).collect::<Vec<_>>()).ok()
    };
    // SAFETY: passed on.
    let mut found = unsafe { during(env, program, look)? }.0.unwrap_or_default();
    // A copy of it, in memory that was freed, stays as it is.
    found.retain(|&(at, [begin, end])| vector(at) == Some([begin, end - ENTRY_BYTES]));
    // SAFETY: passed on.
    let again =
        unsafe { during(env, program, || found.iter().map(|&(at, _)| vector(at)).collect::<Vec<_>>())? };
    let again = again.0.unwrap_or_default();
    let live: Vec<usize> = found
        .iter()
        .zip(again)
        .filter(|((_, then), now)| *now == Some(*then))
        .map(|((at, _), _)| *at)
        .collect();
    let &[at] = live.as_slice() else {
        return Err(Unsupported::Because(format!("{} objects behave like V8's LocalHeap", live.len())));
    };
    Ok(Callbacks(at as *mut *mut Callback))
}

const ENTRY_BYTES: usize = size_of::<Callback>();
/// A vector with more entries than this has is none.
const MOST_BYTES: usize = 1 << 20;
