//! Finding where V8 keeps the handles of the running stack: HandleScopeData and HandleScopeImplementer.

use std::ptr::null_mut;

use napi::sys;

use super::facts::{BLOCKS, BLOCKS_SIZE, ENTERED_CONTEXTS_SIZE, HANDLE_BLOCK_BYTES, HANDLE_BLOCK_WORDS};
use super::rehearsal::Seen;
use super::session::Session;
use crate::unsupported::{Unsupported, ensure, only};

/// Numbers of handles that are made, one number after the other. Memory behind the isolate may change by accident as one of them
/// says, but not as all of them do.
const FIRST_NUMBER: usize = 3;
const OTHER_NUMBERS: [usize; 2] = [5, 2];

/// Finds HandleScopeData: the word that new handles move by 8 bytes each, and that goes back when their scope is closed.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn handle_scope_data(session: &Session<'_>) -> Result<*mut u64, Unsupported> {
    // SAFETY: the session's clause **callback**.
    let moved_by = |number| unsafe { moved_in_one_block(session, number) };
    let mut moved = moved_by(FIRST_NUMBER);
    for number in OTHER_NUMBERS {
        let again = moved_by(number);
        moved.retain(|index| again.contains(index));
    }
    let index = only(&moved, "words behave like V8's next handle")?;
    ensure!(
        session.facts.scope_data.is_none_or(|offset| offset == index * 8),
        "V8's next handle is at {} in the isolate, not where its headers say",
        index * 8
    );
    Ok(session.word_at(index))
}

/// The words that `number` new handles move, where all of them are in one block.
///
/// # Safety
/// The session's clause **callback** holds.
unsafe fn moved_in_one_block(session: &Session<'_>, number: usize) -> Vec<usize> {
    let env = session.env;
    let (mut scope, mut inner) = (null_mut(), null_mut());
    // SAFETY: the session's clause **callback**; scopes close in the opposite order of opening.
    unsafe {
        sys::napi_open_handle_scope(env, &mut scope);
        let mut moved = moved_by_handles(session, number);
        if moved.is_empty() {
            // They went into a new block. With as many handles in it already, the next ones stay in it.
            sys::napi_open_handle_scope(env, &mut inner);
            make_handles(env, number);
            moved = moved_by_handles(session, number);
            sys::napi_close_handle_scope(env, inner);
        }
        sys::napi_close_handle_scope(env, scope);
        moved
    }
}

/// The words that behave like `next` of HandleScopeData, with `limit` behind it.
///
/// # Safety
/// The session's clause **callback** holds.
unsafe fn moved_by_handles(session: &Session<'_>, number: usize) -> Vec<usize> {
    let env = session.env;
    let mut scope = null_mut();
    // SAFETY: the session's clause **callback**; the scope is closed at the end.
    let (before, during) = unsafe {
        sys::napi_open_handle_scope(env, &mut scope);
        let before = session.scan();
        make_handles(env, number);
        let during = session.scan();
        sys::napi_close_handle_scope(env, scope);
        (before, during)
    };
    let after = session.scan();
    let is_next = |i: &usize| {
        let (next, limit) = (before[*i], before[*i + 1]);
        during[*i] == next.wrapping_add(number as u64 * 8)
            && during[*i + 1] == limit
            && after[*i] == next
            && limit > next
            && limit - next <= HANDLE_BLOCK_BYTES
    };
    let words = before.len().min(during.len()).min(after.len());
    (0..words.saturating_sub(1)).filter(is_next).collect()
}

/// Makes handles in the current scope.
///
/// # Safety
/// `env` is live on this thread, with a scope open.
unsafe fn make_handles(env: sys::napi_env, number: usize) {
    for i in 0..number {
        let mut handle = null_mut();
        // SAFETY: the caller promises a live environment with an open scope.
        unsafe { sys::napi_create_int32(env, i as i32, &mut handle) };
    }
}

/// Makes sure that the block in use has space for all handles of the next steps: V8 itself makes handles where it restores a stack, and
/// a new block would change words that are compared. The handles are released with the scope of the callback.
///
/// # Safety
/// The session's clause **callback** holds, and `data` is the live HandleScopeData.
pub(super) unsafe fn make_room(session: &Session<'_>, data: *mut u64) {
    // SAFETY: the caller promises the words: next, and limit.
    let free = unsafe { (*data.add(1) - *data) as usize / 8 };
    if free < HANDLE_BLOCK_WORDS / 2 {
        // SAFETY: the session's clause **callback**. One handle more than fit begins a new block.
        unsafe { make_handles(session.env, free + 1) };
    }
}

/// Verifies where the spare block of handles is: one more block is filled, and released.
///
/// # Safety
/// The session's clause **callback** holds, and `implementer` is the live HandleScopeImplementer.
pub(super) unsafe fn verify_spare(session: &Session<'_>, implementer: *mut u64) -> Result<(), Unsupported> {
    let (facts, peek, env) = (session.facts, session.peek, session.env);
    let words = || peek.words(implementer as usize, facts.implementer_words).unwrap_or_default();
    let before = words();
    let mut scope = null_mut();
    // SAFETY: the session's clause **callback**; the scope is closed at the end.
    let during = unsafe {
        sys::napi_open_handle_scope(env, &mut scope);
        make_handles(env, HANDLE_BLOCK_WORDS + 1);
        let during = words();
        sys::napi_close_handle_scope(env, scope);
        during
    };
    let after = words();
    // V8 releases the blocks from the last to the first and keeps the first one. `make_room` sees to it that there is only one.
    let first = during[BLOCKS] as usize + before[BLOCKS_SIZE] as usize * 8;
    ensure!(
        facts.spare < after.len() && peek.word(first) == Some(after[facts.spare]),
        "V8's spare block of handles is not where it should be"
    );
    Ok(())
}

/// Finds the live HandleScopeImplementer: it has the archived words, and entering a context adds to it.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn handle_scope_implementer(
    session: &Session<'_>,
    seen: &Seen,
) -> Result<*mut u64, Unsupported> {
    let (symbols, facts, isolate, peek) = (session.symbols, session.facts, session.isolate, session.peek);
    let image = &seen.archive[..facts.implementer_words];
    ensure!(image[0] == isolate as u64, "V8's archive does not begin with a HandleScopeImplementer");
    let mut candidates: Vec<usize> = Vec::new();
    peek.each(&session.pointers, facts.implementer_words, |at, words| {
        if (0..image.len()).all(|i| words[i] == image[i] || i == facts.spare) {
            candidates.push(at);
        }
    });
    let entered = |at: usize| peek.word(at + ENTERED_CONTEXTS_SIZE * 8).unwrap_or(0);
    let before: Vec<u64> = candidates.iter().map(|&at| entered(at)).collect();
    // SAFETY: the session's clause **callback**: a context is entered; entering it once more and leaving it changes nothing.
    let during: Vec<u64> = unsafe {
        let context = (symbols.current_context)(isolate);
        (symbols.context_enter)(context);
        let during = candidates.iter().map(|&at| entered(at)).collect();
        (symbols.context_exit)(context);
        during
    };
    // Stale copies in freed memory look the same, but do not change.
    let live: Vec<usize> =
        (0..candidates.len()).filter(|&i| during[i] == before[i] + 1).map(|i| candidates[i]).collect();
    let implementer = only(&live, "objects behave like V8's HandleScopeImplementer")?;
    Ok(implementer as *mut u64)
}
