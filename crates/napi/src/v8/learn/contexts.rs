//! Finding V8's list of contexts (`Heap::native_contexts_list_`), with the help of V8's own count of them.
//!
//! V8 counts contexts by following the list (Heap::NumberOfNativeContexts, heap.cc, 11.3 to 14.6), and it tells the number in public
//! (`Isolate::GetHeapStatistics`). So a decoy is put before the first context for the time of one count: if the number is one higher,
//! the word that named the first context is the list's beginning. No context is made for it.
//!
//! ```text
//!   the word ─► decoy ─► first context ─► ... ─► undefined         V8 counts one more: the word is the list
//!   the word ─► decoy ─► other decoy ─► first context ─► ...       V8 counts two more: the decoy's link is `NEXT_CONTEXT_LINK`
//! ```
//!
//! V8 reads only one word of a decoy, its link. All words of a decoy name what comes next, so the list is complete for
//! V8's other code, too.

use super::joins::{HEADER_WORDS, MAX_CONTEXT_WORDS, is_tagged};
use super::session::Session;
use super::symbols::{HEAP_STATISTICS_WORDS, HeapStatistics};
use crate::unsupported::{Unsupported, ensure, only};

/// The list of contexts. An index is in words from the beginning of a context.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contexts {
    /// The word of the isolate that names the first context.
    pub(super) list: usize,
    /// The link to the next context, in a context (`NEXT_CONTEXT_LINK`).
    pub(super) next: usize,
}

/// Word of `number_of_native_contexts_` in `v8::HeapStatistics` (v8-statistics.h, the same from 11.3 to 14.6).
const NUMBER_OF_CONTEXTS: usize = 10;

const DECOY_WORDS: usize = MAX_CONTEXT_WORDS + HEADER_WORDS;

/// Finds the list. `own` is the address of a handle of the running context, and `undefined` V8's `undefined`.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn learn(session: &Session<'_>, own: u64, undefined: u64) -> Result<Contexts, Unsupported> {
    let words = session.scan();
    let own_length = session.peek.word((own - 1) as usize + 8).map(|word| word >> 32);
    ensure!(
        own_length.is_some_and(|length| length <= MAX_CONTEXT_WORDS as u64),
        "V8's context is larger than any that is known"
    );
    let mut objects: Vec<usize> =
        words.iter().filter(|&&word| is_tagged(word)).map(|&word| word as usize - 1).collect();
    objects.sort_unstable();
    objects.dedup();
    let mut contexts = Vec::new();
    session.peek.each(&objects, HEADER_WORDS, |at, header| {
        if Some(header[1] >> 32) == own_length {
            contexts.push(at as u64 + 1);
        }
    });
    let is_first = |i: &usize| {
        session.known.is_none_or(|known| known.list == *i)
            && !session.facts.is_in_thread_local_top(*i)
            && contexts.contains(&words[*i])
    };
    // SAFETY: the session's clause **callback**.
    let count = unsafe { count(session) };
    // No word behind the list is written.
    let list = (0..words.len()).filter(is_first).find(|&i| {
        let decoy = [words[i]; DECOY_WORDS];
        // SAFETY: the session's clause **callback**; the word names a context, and the decoy leads to it.
        unsafe { count_behind(session, i, &decoy) == count + 1 }
    });
    let list = only(list.as_slice(), "words behave like V8's list of contexts")?;

    let first = words[list];
    let inner = [first; DECOY_WORDS];
    // Whether V8 counts two decoys, where only the given words of the outer one lead to the inner one.
    let follows = |leads: &dyn Fn(usize) -> bool| {
        let outer: [u64; DECOY_WORDS] =
            std::array::from_fn(|i| if leads(i) { tagged(&inner) } else { first });
        // SAFETY: the session's clause **callback**; `list` is V8's list, and both decoys lead to its first context.
        unsafe { count_behind(session, list, &outer) == count + 2 }
    };
    let next = match session.known {
        Some(known) => known.next,
        None => {
            (0..DECOY_WORDS.ilog2() + 1).map(|bit| usize::from(follows(&|i| i >> bit & 1 == 1)) << bit).sum()
        }
    };
    ensure!(follows(&|i| i == next) && !follows(&|i| i != next), "V8's contexts do not lead to each other");
    let contexts = Contexts { list, next };
    let all = contexts.all(session, undefined);
    ensure!(all.len() == count && all.contains(&own), "V8's list of contexts does not hold this one");
    Ok(contexts)
}

impl Contexts {
    /// All contexts of the list, tagged.
    fn all(&self, session: &Session<'_>, undefined: u64) -> Vec<u64> {
        let first = session.peek.word(session.word_at(self.list) as usize);
        let next = |&context: &u64| session.peek.word((context as usize - 1) + self.next * 8);
        std::iter::successors(first, next)
            .take_while(|&word| word != undefined && is_tagged(word))
            .take(1 << 20)
            .collect()
    }
}

/// The word that names `decoy` as it would name an object.
fn tagged(decoy: &[u64; DECOY_WORDS]) -> u64 {
    decoy.as_ptr() as u64 + 1
}

/// How many contexts V8 counts while the isolate's word `index` names `decoy`.
///
/// # Safety
/// The session's clause **callback** holds. The word names a context, and every word of `decoy` leads to the same context, at once or
/// by way of another decoy.
unsafe fn count_behind(session: &Session<'_>, index: usize, decoy: &[u64; DECOY_WORDS]) -> usize {
    let word = session.word_at(index);
    // SAFETY: the caller's promise: whatever the word is, those that follow it arrive at a context. Nothing is allocated meanwhile,
    // so the collector does not run and moves nothing.
    unsafe {
        let first = word.read_volatile();
        word.write_volatile(tagged(decoy));
        let count = count(session);
        word.write_volatile(first);
        count
    }
}

/// How many contexts V8 counts.
///
/// # Safety
/// The session's clause **callback** holds.
unsafe fn count(session: &Session<'_>) -> usize {
    let mut statistics: HeapStatistics = [0; HEAP_STATISTICS_WORDS];
    // SAFETY: public API, on the isolate's thread. The storage is larger than the object in every version.
    unsafe {
        (session.symbols.heap_statistics_new)(&mut statistics);
        (session.symbols.heap_statistics)(session.isolate, &mut statistics);
    }
    statistics[NUMBER_OF_CONTEXTS]
}
