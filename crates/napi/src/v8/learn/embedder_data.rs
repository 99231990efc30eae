//! Verifying where the isolate keeps its continuation-preserved embedder data, in which Node 24 and later keep the stores of
//! AsyncLocalStorage.

use std::ptr::null_mut;

use napi::sys;

use super::session::Session;
use super::symbols::{SetEmbedderData, set_embedder_data};
use crate::unsupported::{Unsupported, ensure};

/// Words of the isolate that are compared.
const COMPARED_WORDS: usize = 1024;

/// How often the data is set. Another thread of V8 may change a word of the isolate meanwhile, but not each time.
const ROUNDS: usize = 3;

/// The word at `offset` bytes: setting the data by V8's function must change exactly that word.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn learn(session: &Session<'_>, offset: usize) -> Result<*mut u64, Unsupported> {
    let set = set_embedder_data()?;
    let word = session.word_at(offset / 8);
    let mut changed: Vec<usize> = (0..COMPARED_WORDS).collect();
    for _ in 0..ROUNDS {
        // SAFETY: the session's clause **callback**. The word lies inside the isolate: its offset is from V8's public header.
        let (before, after, tagged) = unsafe { while_set(session, set, word) };
        changed.retain(|&i| before.get(i) != after.get(i) && after.get(i) == Some(&tagged));
    }
    ensure!(
        changed == [offset / 8],
        "V8's continuation-preserved embedder data is not where its headers say"
    );
    Ok(word)
}

/// The isolate's words before the data is set to a new object and while it is, and the object's tagged address.
///
/// # Safety
/// The session's clause **callback** holds, and `word` lies inside the isolate.
unsafe fn while_set(
    session: &Session<'_>,
    set: SetEmbedderData,
    word: *mut u64,
) -> (Vec<u64>, Vec<u64>, u64) {
    let (isolate, env) = (session.isolate, session.env);
    let near = || session.peek.words(isolate as usize, COMPARED_WORDS).unwrap_or_default();
    let (mut scope, mut object) = (null_mut(), null_mut());
    // SAFETY: the session's clause **callback**; the scope is closed below.
    unsafe {
        sys::napi_open_handle_scope(env, &mut scope);
        sys::napi_create_object(env, &mut object);
    }
    let before = near();
    // SAFETY: the caller promises the word. The old value is put back right after, with no allocation in between, and so without a
    // collection.
    let after = unsafe {
        let own = word.read_volatile();
        set(isolate, object.cast());
        let after = near();
        word.write_volatile(own);
        after
    };
    // SAFETY: `object` is a handle of the open scope, and a handle is the address of one word.
    let tagged = unsafe { *object.cast::<u64>() };
    // SAFETY: the scope was opened above, and is the innermost one.
    unsafe { sys::napi_close_handle_scope(env, scope) };
    (before, after, tagged)
}
