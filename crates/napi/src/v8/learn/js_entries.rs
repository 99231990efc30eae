//! Finding the word of ThreadLocalTop that names the newest entry into JavaScript on a stack (`handler_`).
//!
//! `stack/js_entries.rs` says what entries are, and what nested ones mean.

use super::facts::ENTRY_WORDS;
use super::probe::during;
use super::session::Session;
use crate::unsupported::{Unsupported, ensure};

/// Words of a StackHandler, the first ones of an entry frame.
const HANDLER_WORDS: usize = 2;

/// The words of the newest entry frame.
fn entry_words(session: &Session<'_>, address: usize, handler: usize) -> Option<Vec<u64>> {
    let handler = session.peek.word(address + handler * 8)?;
    session.peek.words(handler as usize, ENTRY_WORDS)
}

/// Finds the word of `handler_` in ThreadLocalTop, which is at `address` and has the words `top` now: in a call below this one it
/// points to a word that repeats its present value. And verifies the word of `c_entry_fp_`: the entry frame there holds its present value.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn learn(session: &Session<'_>, address: usize, top: &[u64]) -> Result<usize, Unsupported> {
    let (facts, peek, env) = (session.facts, session.peek, session.env);
    let here = (&raw const env) as u64;
    let look = || {
        let words = peek.words(address, facts.thread_local_top_words).unwrap_or_default();
        let named = words.iter().map(|&word| peek.word(word as usize)).collect::<Vec<_>>();
        (words, named)
    };
    // SAFETY: the session's clause **callback**.
    let (words, named) = unsafe { during(env, c"(probe) => { probe() }", look)? }.0.unwrap_or_default();
    let is_it = |&i: &usize| words[i] < here && here < top[i] && named[i] == Some(top[i]);
    let mut places = (0..words.len().min(top.len())).filter(is_it);
    match (places.next(), places.next()) {
        (Some(word), None) => {
            // SAFETY: the session's clause **callback**.
            let named =
                unsafe { during(env, c"(probe) => { probe() }", || entry_words(session, address, word))? };
            let named = named.0.flatten().unwrap_or_default();
            let exit = top.get(facts.exit_frame).copied().unwrap_or_default();
            ensure!(
                exit > here
                    && words[facts.exit_frame] < here
                    && named.iter().skip(HANDLER_WORDS).any(|&word| word == exit),
                "V8's entries of JavaScript do not name the frames they were called from"
            );
            Ok(word)
        }
        _ => Err(Unsupported::Because("V8's entries of JavaScript do not name each other".into())),
    }
}
