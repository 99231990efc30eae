//! Finding the isolate's mark that the stack of an error is being formatted (`Isolate::formatting_stack_trace_`).
//!
//! `stack/formatting.rs` says what the mark does, and why it belongs to a greenlet.

use super::probe::during_with;
use super::realm::Realm;
use super::session::Session;
use crate::unsupported::{Unsupported, ensure};

/// A byte of the isolate: 1 while an error's stack is being formatted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Formatting(pub(crate) *mut u8);

/// Formats an error of the realm. Node calls `toString` of errors whose realm it does not know (PrepareStackTraceCallback, errors.cc).
/// Without Node's hook V8 calls the realm's `prepareStackTrace`.
const PROGRAM: &std::ffi::CStr = c"(probe, { Error }) => {
  Error.stackTraceLimit = 10
  Error.prepareStackTrace = probe
  const error = new Error()
  error.toString = () => { probe(); return '' }
  void error.stack
}";

/// With more candidates than these something else is wrong.
const MAX_PLACES: usize = 4;

/// Finds the byte: it is 1 in the middle of formatting, and 0 before, afterwards, and in the middle of any other callback.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn learn(session: &Session<'_>, realm: &Realm) -> Result<Formatting, Unsupported> {
    let bytes = || session.scan().into_iter().flat_map(u64::to_le_bytes).collect::<Vec<u8>>();
    // SAFETY: the session's clause **callback**; the global object is a handle.
    let looks = unsafe {
        let before = bytes();
        let one = during_with(session.env, PROGRAM, realm.global, bytes)?.0.unwrap_or_default();
        let other =
            during_with(session.env, c"(probe) => { probe() }", realm.global, bytes)?.0.unwrap_or_default();
        let two = during_with(session.env, PROGRAM, realm.global, bytes)?.0.unwrap_or_default();
        [before, one, other, two, bytes()]
    };
    let length = looks.iter().map(Vec::len).min().unwrap_or(0);
    let places: Vec<usize> =
        (0..length).filter(|&i| looks.each_ref().map(|look| look[i]) == [0, 1, 0, 1, 0]).collect();
    // Other bytes may repeat what the calls do, some of them in memory right behind the isolate. The act below tells them apart.
    ensure!(
        (1..=MAX_PLACES).contains(&places.len()),
        "{} bytes behave like V8's mark of formatting an error",
        places.len()
    );
    for place in places {
        let formatting = Formatting(session.word_at(0).cast::<u8>().wrapping_add(place));
        // SAFETY: a byte that has just been 1 during such a call and is 0 again. Where it is the mark, V8 formats the error without
        // calling back; it is 0 again before anything else runs.
        let called = unsafe {
            *formatting.0 = 1;
            let called = during_with(session.env, PROGRAM, realm.global, || ());
            *formatting.0 = 0;
            called?.0
        };
        if called.is_none() {
            return Ok(formatting);
        }
    }
    Err(Unsupported::Because("V8 calls back while it formats an error, whatever its mark says".into()))
}
