//! Finding V8 12.4's list of C++ objects to destroy when the isolate ends suddenly (`ToDestroyBeforeSuddenShutdown`).
//!
//! `stack/destroy_list.rs` says what the list is for, and why each stack takes its entries along.

use super::probe::{STRINGIFY, during, grown};
use super::session::Session;
use crate::unsupported::{Unsupported, only};

/// Address of the vector's three words: begin, end, end of its memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DestroyList(pub(crate) *mut u64);

/// Finds the vector: during `JSON.stringify` it has one entry more than before, which lies on this stack.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn learn(session: &Session<'_>) -> Result<DestroyList, Unsupported> {
    let program = STRINGIFY;
    let above = (&raw const program) as usize;
    let before = session.scan();
    let look = || {
        let words = session.scan();
        ((&raw const words) as usize, words)
    };
    // SAFETY: the session's clause **callback**.
    let (below, seen) = unsafe { during(session.env, program, look)? }.0.unwrap_or_default();
    let after = session.scan();
    let mut places = grown(&before, &seen, &after);
    places.retain(|&i| {
        let newest = session.peek.word(seen[i + 1] as usize - 8);
        newest.is_some_and(|entry| (below..above).contains(&(entry as usize)))
    });
    Ok(DestroyList(session.word_at(only(&places, "words behave like V8's list of stringifiers")?)))
}
