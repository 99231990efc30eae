//! Finding the isolate's word for the top of V8's chain of Relocatables.

use std::ptr::{null, null_mut};

use napi::sys;

use super::peek::Peek;
use super::rehearsal::Seen;
use super::session::Session;
use crate::unsupported::{Unsupported, ensure, only};

/// Finds the word: V8 archives it, zeroes it and restores it; and in a native callback that C++ calls, it names a younger object
/// on this stack.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn learn(session: &Session<'_>, seen: &Seen) -> Result<*mut u64, Unsupported> {
    let (env, peek, before) = (session.env, session.peek, &session.words);
    let archived = *seen.archive.last().unwrap_or(&0);
    ensure!(archived != 0, "no Relocatable was alive in the rehearsal");
    let facts = session.facts;
    let mut probe = Probe {
        peek,
        candidates: (0..before.len().min(seen.isolate.len()))
            .filter(|i| before[*i] == archived && seen.isolate[*i] == 0 && !facts.is_in_thread_local_top(*i))
            .map(|i| session.word_at(i) as usize)
            .collect(),
        younger_than: archived,
    };
    let (mut function, mut receiver, mut result) = (null_mut(), null_mut(), null_mut());
    // SAFETY: the session's clause **callback**; the probe outlives the call, after which nothing calls the function again.
    unsafe {
        let data = (&raw mut probe).cast();
        sys::napi_create_function(env, c"probe".as_ptr(), -1, Some(keep_younger), data, &mut function);
        sys::napi_get_undefined(env, &mut receiver);
        sys::napi_call_function(env, receiver, function, 0, null(), &mut result);
    }
    probe.candidates.retain(|&at| peek.word(at) == Some(archived));
    let word = only(&probe.candidates, "words behave like V8's chain of Relocatables")?;
    Ok(word as *mut u64)
}

struct Probe<'a> {
    peek: &'a Peek,
    candidates: Vec<usize>,
    younger_than: u64,
}

/// Keeps the candidates that name an object between this frame and the older object.
unsafe extern "C" fn keep_younger(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut data = null_mut();
    // SAFETY: `info` is this callback's own, and `data` is the probe of `learn`, which waits for this call.
    let probe = unsafe {
        sys::napi_get_cb_info(env, info, null_mut(), null_mut(), null_mut(), &mut data);
        &mut *data.cast::<Probe>()
    };
    let here = (&raw const data) as u64;
    probe
        .candidates
        .retain(|&at| probe.peek.word(at).is_some_and(|word| (here..probe.younger_than).contains(&word)));
    null_mut()
}
