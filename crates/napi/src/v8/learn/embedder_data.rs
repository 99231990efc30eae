//! Verifying where the isolate keeps its continuation-preserved embedder data, in which Node 24 and later keep the stores of
//! AsyncLocalStorage.

use std::ptr::null_mut;

use napi::sys;

use super::session::Session;
use super::symbols::set_embedder_data;
use crate::unsupported::{Unsupported, ensure};

/// Words of the isolate that are compared.
const COMPARED_WORDS: usize = 1024;

/// The word at `offset` bytes: setting the data by V8's function must change exactly that word.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn learn(session: &Session<'_>, offset: usize) -> Result<*mut u64, Unsupported> {
    let (isolate, env) = (session.isolate, session.env);
    let set = set_embedder_data()?;
    let word = (isolate as usize + offset) as *mut u64;
    let near = || session.peek.words(isolate as usize, COMPARED_WORDS).unwrap_or_default();
    let (mut scope, mut object) = (null_mut(), null_mut());
    // SAFETY: the session's clause **callback**; the scope is closed below.
    unsafe {
        sys::napi_open_handle_scope(env, &mut scope);
        sys::napi_create_object(env, &mut object);
    }
    let before = near();
    // SAFETY: the word lies inside the isolate (its offset is from V8's public header). The old value is put back right after,
    // with no allocation in between, and so without a collection.
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
    let changed: Vec<usize> = (0..before.len().min(after.len())).filter(|&i| before[i] != after[i]).collect();
    ensure!(
        changed == [offset / 8] && after[offset / 8] == tagged,
        "V8's continuation-preserved embedder data is not where its headers say"
    );
    Ok(word)
}
