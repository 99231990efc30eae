//! What every learner works with: one attempt to learn the layout of one isolate.
//!
//! # Contract
//! - **callback**: a session exists only inside a native callback of `env` that C++ called, on the isolate's thread and on the
//!   thread's own stack. So an isolate and a context are entered, a HandleScope is open, and public functions of V8 and Node-API
//!   may be called in the order in which C++ scopes would call them. On this thread only V8 itself changes
//!   V8's words meanwhile. Its other threads may change words of the isolate: the interrupt words of the StackGuard, counters of the
//!   heap. What is compared is therefore compared more than once, or by more than one word.

use napi::sys;

use super::facts::Facts;
use super::known::Known;
use super::peek::{Peek, is_plausible};
use super::symbols::{Isolate, Symbols};
use super::tls::ThreadWords;
use crate::unsupported::{Unsupported, ensure};

/// See the module.
pub(super) struct Session<'a> {
    pub(super) symbols: &'a Symbols,
    pub(super) facts: &'static Facts,
    pub(super) isolate: Isolate,
    pub(super) env: sys::napi_env,
    pub(super) peek: &'a Peek,
    pub(super) thread: ThreadWords,
    /// The isolate's words before anything was learnt.
    pub(super) words: Vec<u64>,
    /// Those of them that may be addresses, sorted; where they are known, only those that lead to what is looked for.
    pub(super) pointers: Vec<usize>,
    /// Where an earlier learning of this process has found what is looked for. Without it, everything is searched.
    pub(super) known: Option<&'a Known>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        symbols: &'a Symbols,
        facts: &'static Facts,
        isolate: Isolate,
        env: sys::napi_env,
        peek: &'a Peek,
        thread: ThreadWords,
        known: Option<&'a Known>,
    ) -> Result<Session<'a>, Unsupported> {
        let words = peek.isolate(isolate, facts);
        ensure!(words.len() >= facts.isolate_words - Facts::ISOLATE_SLACK, "the isolate cannot be read");
        let is_lead = |i: usize| known.is_none_or(|known| known.leads.binary_search(&i).is_ok());
        let may_lead = |&(i, &word): &(usize, &u64)| is_plausible(word) && is_lead(i);
        let mut pointers: Vec<usize> =
            words.iter().enumerate().filter(may_lead).map(|(_, &word)| word as usize).collect();
        pointers.sort_unstable();
        pointers.dedup();
        Ok(Session { symbols, facts, isolate, env, peek, thread, words, pointers, known })
    }

    /// The isolate's words as they are now.
    pub(super) fn scan(&self) -> Vec<u64> {
        self.peek.isolate(self.isolate, self.facts)
    }

    /// The address of a word of the isolate.
    pub(super) fn word_at(&self, index: usize) -> *mut u64 {
        (self.isolate as usize + index * 8) as *mut u64
    }
}
