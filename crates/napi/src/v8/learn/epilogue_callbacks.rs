//! Finding the objects that V8 tells, by their address, when a collection is over.
//!
//! V8 12.4 and later: a `JsonStringifier` lies on the stack and has a cache of property names, by address. It registers itself with
//! the thread's LocalHeap (`LocalHeap::AddGCEpilogueCallback`, json-stringifier.cc), to clear the cache after a collection:
//!
//! ```text
//!   LocalHeap   word 0: heap_ ... gc_epilogue_callbacks_: begin | end | capacity end
//!                                                           │
//!                     ┌──────────┬──────────────┬───────────▼┐
//!                     │ function │ the object   │ kinds      │ ...
//!                     └──────────┴──────────────┴────────────┘
//! ```
//!
//! `stack/epilogue_callbacks.rs` says what happens to the entries of a stack that is spilled or abandoned.

use super::facts::Facts;
use super::probe::{STRINGIFY, during};
use super::session::Session;
use crate::unsupported::{Unsupported, only};

/// `GCCallbacksInSafepoint::CallbackData` (gc-callbacks.h, the same from 12.4 to 14.6).
#[repr(C)]
pub(crate) struct Callback {
    function: usize,
    pub(crate) object: usize,
    /// `GCType`: 1 to 3.
    kinds: u64,
}

/// The vector of the isolate's main LocalHeap: the address of its begin and end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EpilogueCallbacks(pub(crate) *mut *mut Callback);

/// The LocalHeap that has this vector, and how many bytes before it another LocalHeap may begin.
pub(super) fn lead_of(callbacks: EpilogueCallbacks, facts: &Facts) -> (usize, usize) {
    (callbacks.0 as usize - facts.epilogue_callbacks.unwrap_or(0) * 8, 0)
}

const ENTRY_BYTES: usize = size_of::<Callback>();
/// A vector with more bytes of entries than these is not the one.
const MOST_BYTES: usize = 1 << 20;

/// Finds the vector: each time `JSON.stringify` runs, it has one entry more, which lies on this stack. `word` is its word in the
/// LocalHeap.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn learn(session: &Session<'_>, word: usize) -> Result<EpilogueCallbacks, Unsupported> {
    let (env, peek) = (session.env, session.peek);
    let program = STRINGIFY;
    let above = (&raw const program) as usize;
    let isolate = session.isolate as usize;
    let heap = isolate..isolate + session.facts.isolate_words * 8;
    let look = || {
        let mut found = Vec::new();
        let below = (&raw const found) as usize;
        peek.each(&session.pointers, word + 2, |at, words| {
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
    // SAFETY: the session's clause **callback**.
    let mut found = unsafe { during(env, program, look)? }.0.unwrap_or_default();
    // A copy in freed memory does not change.
    found.retain(|&(at, [begin, end])| vector(at) == Some([begin, end - ENTRY_BYTES]));
    // SAFETY: the session's clause **callback**.
    let again =
        unsafe { during(env, program, || found.iter().map(|&(at, _)| vector(at)).collect::<Vec<_>>())? };
    let again = again.0.unwrap_or_default();
    let live: Vec<usize> = found
        .iter()
        .zip(again)
        .filter(|((_, then), now)| *now == Some(*then))
        .map(|((at, _), _)| *at)
        .collect();
    let at = only(&live, "objects behave like V8's LocalHeap")?;
    Ok(EpilogueCallbacks(at as *mut *mut Callback))
}
