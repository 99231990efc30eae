//! Learning where V8 keeps the handles of the running stack: HandleScopeData and HandleScopeImplementer.

use std::ptr::null_mut;

use napi::sys;

use super::facts::{BLOCKS, BLOCKS_SIZE, ENTERED_CONTEXTS_SIZE, Facts, HANDLE_BLOCK_WORDS};
use super::layout::Layout;
use super::learn::scan;
use super::peek::Peek;
use super::rehearsal::Seen;
use super::symbols::Symbols;
use super::{Isolate, Unsupported, ensure};

/// Finds the word that three new handles move by 24 bytes.
pub(super) unsafe fn handle_scope_data(
    facts: &Facts,
    isolate: Isolate,
    env: sys::napi_env,
    peek: &Peek,
) -> Result<*mut u64, Unsupported> {
    let (mut scope, mut inner) = (null_mut(), null_mut());
    // SAFETY: `env` is live on this thread, and scopes close in the order in which they were opened.
    let moved = unsafe {
        sys::napi_open_handle_scope(env, &mut scope);
        let mut moved = moved_by_handles(facts, isolate, env, peek);
        if moved.is_empty() {
            // The three went into a new block. Where three already are in it, the next three do not.
            sys::napi_open_handle_scope(env, &mut inner);
            make_handles(env);
            moved = moved_by_handles(facts, isolate, env, peek);
            sys::napi_close_handle_scope(env, inner);
        }
        sys::napi_close_handle_scope(env, scope);
        moved
    };
    let &[index] = moved.as_slice() else {
        return Err(Unsupported::Because(format!("{} words behave like V8's next handle", moved.len())));
    };
    ensure!(
        facts.scope_data.is_none_or(|offset| offset == index * 8),
        "V8's next handle is at {} in the isolate, not where its headers say",
        index * 8
    );
    Ok((isolate as usize + index * 8) as *mut u64)
}

unsafe fn moved_by_handles(facts: &Facts, isolate: Isolate, env: sys::napi_env, peek: &Peek) -> Vec<usize> {
    let mut scope = null_mut();
    // SAFETY: as in `handle_scope_data`.
    let (before, after) = unsafe {
        sys::napi_open_handle_scope(env, &mut scope);
        let before = scan(facts, isolate, peek);
        make_handles(env);
        let after = scan(facts, isolate, peek);
        sys::napi_close_handle_scope(env, scope);
        (before, after)
    };
    let is_next = |i: &usize| {
        let (next, limit) = (before[*i], before[*i + 1]);
        after[*i] == next.wrapping_add(24) && after[*i + 1] == limit && limit > next && limit - next <= 8176
    };
    (0..before.len().min(after.len()).saturating_sub(1)).filter(is_next).collect()
}

unsafe fn make_handles(env: sys::napi_env) {
    for number in 0..3 {
        let mut handle = null_mut();
        // SAFETY: as in `handle_scope_data`.
        unsafe { sys::napi_create_int32(env, number, &mut handle) };
    }
}

/// Verifies where the spare block of handles is: one more block is filled, and goes.
pub(super) unsafe fn verify_spare(
    facts: &Facts,
    implementer: *mut u64,
    env: sys::napi_env,
    peek: &Peek,
) -> Result<(), Unsupported> {
    let words = || peek.words(implementer as usize, facts.implementer_words).unwrap_or_default();
    let mut scope = null_mut();
    // SAFETY: `env` is live on this thread.
    let during = unsafe {
        sys::napi_open_handle_scope(env, &mut scope);
        for _ in 0..HANDLE_BLOCK_WORDS / 3 + 1 {
            make_handles(env);
        }
        let during = words();
        sys::napi_close_handle_scope(env, scope);
        during
    };
    let after = words();
    let last = during[BLOCKS] as usize + (during[BLOCKS_SIZE] as usize).saturating_sub(1) * 8;
    ensure!(
        facts.spare < after.len() && peek.word(last) == Some(after[facts.spare]),
        "V8's spare block of handles is not where it should be"
    );
    Ok(())
}

/// Finds the live HandleScopeImplementer: it has the archived words, and entering a context pushes to it.
pub(super) unsafe fn handle_scope_implementer(
    symbols: &Symbols,
    facts: &Facts,
    isolate: Isolate,
    peek: &Peek,
    pointers: &[usize],
    seen: &Seen,
) -> Result<*mut u64, Unsupported> {
    let image = &seen.archive[..facts.implementer_words];
    ensure!(image[0] == isolate as u64, "V8's archive does not begin with a HandleScopeImplementer");
    let mut candidates: Vec<usize> = Vec::new();
    peek.each(pointers, facts.implementer_words, |at, words| {
        if (0..image.len()).all(|i| words[i] == image[i] || i == facts.spare) {
            candidates.push(at);
        }
    });
    let entered = |at: usize| peek.word(at + ENTERED_CONTEXTS_SIZE * 8).unwrap_or(0);
    let before: Vec<u64> = candidates.iter().map(|&at| entered(at)).collect();
    // SAFETY: a native callback has a HandleScope and an entered context; entering it once more and leaving it is neutral.
    let during: Vec<u64> = unsafe {
        let context = (symbols.current_context)(isolate);
        (symbols.context_enter)(context);
        let during = candidates.iter().map(|&at| entered(at)).collect();
        (symbols.context_exit)(context);
        during
    };
    // Stale copies in freed memory look the same, but do not move.
    let live: Vec<usize> =
        (0..candidates.len()).filter(|&i| during[i] == before[i] + 1).map(|i| candidates[i]).collect();
    let &[implementer] = live.as_slice() else {
        return Err(Unsupported::Because(format!(
            "{} objects behave like V8's HandleScopeImplementer",
            live.len()
        )));
    };
    Ok(implementer as *mut u64)
}

/// Calls `body` in a HandleScope of its own, as C++ would open one (api.cc, `HandleScope::Initialize` and its destructor): V8 14.6
/// exports none, and those of Node-API are counted, which native callbacks on other stacks would notice.
///
/// # Safety
/// On the isolate's thread. `body` leaves the running stack as it was.
pub(crate) unsafe fn in_scope(v8: &Layout, body: impl FnOnce()) {
    // SAFETY: the live HandleScopeData: next, limit, and level in the low half of the third word (v8-handle-scope.h); and the list of
    // blocks, of which those that came meanwhile hold only handles of `body`. They are from operator new, malloc in Node.
    unsafe {
        let (data, implementer) = (v8.handle_scope_data, v8.handle_scope_implementer);
        let level = data.add(2).cast::<i32>();
        let (next, limit, blocks) = (*data, *data.add(1), *implementer.add(BLOCKS_SIZE));
        *level += 1;
        body();
        *level -= 1;
        *data = next;
        *data.add(1) = limit;
        while *implementer.add(BLOCKS_SIZE) > blocks {
            *implementer.add(BLOCKS_SIZE) -= 1;
            let last = *(*implementer.add(BLOCKS) as *const *mut libc::c_void)
                .add(*implementer.add(BLOCKS_SIZE) as usize);
            libc::free(last);
        }
    }
}
