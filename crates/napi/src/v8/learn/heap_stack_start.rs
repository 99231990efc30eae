//! Finding the words of the heap that repeat where the running stack starts. The collector scans the stack down from there.

use super::session::Session;
use crate::unsupported::{Unsupported, ensure};

/// How many words of an object are searched.
const SEARCHED_WORDS: usize = 256;
/// In bytes: how far before a word the object may begin.
pub(super) const REACH: usize = SEARCHED_WORDS * 8 - 8;

/// Bytes of this stack that functions called from here may use.
const BELOW: usize = 1 << 20;

/// Finds the words that follow the thread's stack start: `Isolate::Enter` refreshes them.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn learn(session: &Session<'_>) -> Result<[*mut usize; 2], Unsupported> {
    let (symbols, isolate, thread, peek) = (session.symbols, session.isolate, session.thread, session.peek);
    // SAFETY: a live thread-local word of this thread, which `tls` has verified.
    let start = unsafe { *thread.stack_start };
    let follows = |at: usize, value: usize| peek.word(at) == Some(value as u64);
    let mut candidates: Vec<usize> = Vec::new();
    let mut look = |from: usize, words: &[u64]| {
        candidates.extend((0..words.len()).filter(|&i| words[i] == start as u64).map(|i| from + i * 8));
    };
    look(isolate as usize, &session.scan());
    peek.each(&session.pointers, SEARCHED_WORDS, &mut look);
    candidates.sort_unstable();
    candidates.dedup();
    // What lies on this thread's own stack is not the heap's. Words of the running functions may follow what is compared here.
    let end = (&raw const start) as usize;
    let on_this_stack = end.saturating_sub(BELOW)..start;
    candidates.retain(|&at| at != thread.stack_start as usize && !on_this_stack.contains(&at));
    for pretended in [start + 4096, start + 8192] {
        // SAFETY: the session's clause **callback**. Entering an isolate that is entered already only counts, and copies this word
        // to the heap (isolate.cc, Isolate::Enter). The true value is written back below, before V8 looks at the stack.
        unsafe {
            thread.stack_start.write_volatile(pretended);
            (symbols.enter)(isolate);
            (symbols.exit)(isolate);
        }
        candidates.retain(|&at| follows(at, pretended));
    }
    // SAFETY: the session's clause **callback**; this writes the true value back.
    unsafe {
        thread.stack_start.write_volatile(start);
        (symbols.enter)(isolate);
        (symbols.exit)(isolate);
    }
    ensure!(
        candidates.iter().all(|&at| follows(at, start)),
        "the heap's stack start does not follow the thread's"
    );
    match *candidates.as_slice() {
        [one] => Ok([one as *mut usize; 2]),
        [one, two] => Ok([one as *mut usize, two as *mut usize]),
        _ => Err(Unsupported::Because(format!(
            "{} words behave like the heap's stack start",
            candidates.len()
        ))),
    }
}
