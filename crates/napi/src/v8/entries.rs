//! How often C++ has entered JavaScript on a stack.
//!
//! Each entry puts a `StackHandler` on the stack, which names the one before it (`JSEntry`, builtins-x64.cc;
//! frame-constants and handler in frames.h, 11.3 to 14.6); ThreadLocalTop's `handler_` is the newest:
//!
//! ```text
//!   base of a greenlet ─► entry function ─► ... ─► C++ of Node or an add-on ─► callback ─► ... ─► switch()
//!            [handler: 0] ◄───────────────────────────────────── [handler] ◄── handler_
//! ```
//!
//! Where there are two, C++ lies between JavaScript and JavaScript, and what it holds is given back only by returning to it.

use std::ptr::NonNull;

use napi::sys;

use super::Unsupported;
use super::facts::Facts;
use super::layout::Layout;
use super::peek::Peek;
use super::state::VmState;
use super::watch::during;

/// Finds the word of `handler_` in ThreadLocalTop, whose words now are `top`: in a call below this one it points to a word that
/// says what it is here.
///
/// # Safety
/// In a native callback of `env`, on the isolate's thread; `address` is that of its ThreadLocalTop.
pub(crate) unsafe fn learn(
    facts: &Facts,
    env: sys::napi_env,
    address: usize,
    top: &[u64],
    peek: &Peek,
) -> Result<usize, Unsupported> {
    let here = (&raw const env) as u64;
    let look = || {
        let words = peek.words(address, facts.thread_local_top_words).unwrap_or_default();
        let named = words.iter().map(|&word| peek.word(word as usize)).collect::<Vec<_>>();
        (words, named)
    };
    // SAFETY: passed on.
    let (words, named) = unsafe { during(env, c"(probe) => { probe() }", look)? }.0.unwrap_or_default();
    let is_it = |&i: &usize| words[i] < here && here < top[i] && named[i] == Some(top[i]);
    let mut places = (0..words.len().min(top.len())).filter(is_it);
    match (places.next(), places.next()) {
        (Some(word), None) => Ok(word),
        _ => Err(Unsupported::Because("V8's entries of JavaScript do not name each other".into())),
    }
}

/// Whether C++ has entered JavaScript again on the suspended stack of `vm`.
///
/// # Safety
/// `vm` is parked, and not main's.
pub(crate) unsafe fn are_nested(layout: &Layout, vm: NonNull<VmState>) -> bool {
    // SAFETY: live, and nobody else holds a reference to it. A stack that is parked in a native callback has been entered, so the
    // word is an address on it, or, where it was spilled, in the copy.
    unsafe {
        let top = (*vm.as_ptr()).top(layout);
        let handler = *top.add(layout.handler_word) as *const u64;
        *handler != 0
    }
}
