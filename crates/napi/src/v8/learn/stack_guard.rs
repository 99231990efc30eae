//! Verifying V8's StackGuard: the limits of the running stack, and the words of requested interrupts.

use std::ffi::c_void;
use std::ptr::null_mut;

use greenlets_core::raw::StackBounds;

use super::facts::{Facts, JS_LIMIT, REAL_JS_LIMIT, STACK_GUARD};
use super::peek::Peek;
use super::symbols::{Isolate, Symbols};
use super::tls::ThreadWords;
use crate::unsupported::{Unsupported, ensure};

/// The running stack as V8 sees it; verifies the limits in the StackGuard.
pub(super) fn own_stack(
    facts: &Facts,
    isolate: Isolate,
    thread: ThreadWords,
    peek: &Peek,
) -> Result<StackBounds, Unsupported> {
    let guard = peek.words(isolate as usize + STACK_GUARD, facts.interrupt_flags + 1).unwrap_or_default();
    ensure!(guard.first() == Some(&(isolate as u64)), "the StackGuard is not where it should be");
    // SAFETY: a live thread-local word of this thread, which `tls` has verified.
    let base = unsafe { *thread.stack_start };
    let limit = guard[REAL_JS_LIMIT] as usize;
    let here = (&raw const guard) as usize;
    ensure!(
        limit < base && base - limit < 1 << 32,
        "V8's stack limit {limit:#x} is not below its start {base:#x}"
    );
    ensure!((limit..base).contains(&here), "V8 runs on a stack that is not the thread's own");
    let no_interrupt = guard[facts.interrupt_flags] as u32 == 0;
    ensure!(!no_interrupt || guard[JS_LIMIT] == limit as u64, "the StackGuard's limits have another shape");
    if let Some((real, _)) = facts.c_limits {
        ensure!(guard[real] == limit as u64, "the StackGuard's C++ limits have another shape");
    }
    Ok(StackBounds { base, limit })
}

/// Verifies where the StackGuard keeps requested interrupts. `main` is the running stack. Other threads request interrupts too, for example when they have
/// compiled something; then the check is repeated.
///
/// # Safety
/// `isolate` is live, and this is its thread.
pub(super) unsafe fn verify_interrupts(
    symbols: &Symbols,
    facts: &Facts,
    isolate: Isolate,
    main: StackBounds,
    peek: &Peek,
) -> Result<(), Unsupported> {
    const ATTEMPTS: usize = 8;
    // SAFETY: the caller promises a live isolate on its own thread, which is all that the check needs.
    let seen = (0..ATTEMPTS).any(|_| unsafe { interrupt_is_seen(symbols, facts, isolate, main, peek) });
    ensure!(seen, "V8's StackGuard keeps interrupts in another way");
    Ok(())
}

/// Requests an interrupt that only calls back, and says whether it changed the words that it must change, and no other.
///
/// # Safety
/// `isolate` is live, and this is its thread.
unsafe fn interrupt_is_seen(
    symbols: &Symbols,
    facts: &Facts,
    isolate: Isolate,
    main: StackBounds,
    peek: &Peek,
) -> bool {
    unsafe extern "C" fn nothing(_: Isolate, _: *mut c_void) {}
    let guard = || peek.words(isolate as usize + STACK_GUARD, facts.interrupt_flags + 2).unwrap_or_default();
    let request = || {
        let before = guard();
        // SAFETY: a public function that may be called on a live isolate at any time; the callback needs no data.
        unsafe { (symbols.request_interrupt)(isolate, nothing, null_mut()) };
        (before, guard())
    };
    let flags = facts.interrupt_flags;
    let (mut before, mut after) = request();
    if (after[flags] & !before[flags]).count_ones() > 1 {
        // Another thread, for example a compiler's, requested one at the same moment.
        (before, after) = request();
    }
    let limits = match facts.c_limits {
        Some((_, requested)) => vec![JS_LIMIT, requested],
        None => vec![JS_LIMIT],
    };
    let real = facts.c_limits.map_or(0, |(real, _)| real);
    // 12.4 and later keep a byte for each level of interrupts, before interrupt_scopes_.
    let levels = flags - 2;
    // A word that this V8 does not use is as malloc gave it: it may look raised too, but nothing changes it.
    let others = (0..flags).filter(|i| *i != levels && !limits.contains(i)).all(|i| before[i] == after[i]);
    // The word before the flags is interrupt_scopes_: null, or an object on the stack. In a second attempt the interrupt is requested
    // already and nothing changes any more. Then this word tells the flags from a word behind them, which may have any value.
    let scopes = after[flags - 1] as usize;
    let behind_scopes = scopes == 0 || (main.limit..main.base).contains(&scopes);
    let (was, is) = (before[flags] as u32, after[flags] as u32);
    limits.iter().all(|&i| after[i] > u64::MAX - 16)
        && others
        && behind_scopes
        && real != REAL_JS_LIMIT
        && !limits.contains(&real)
        && (is & !was).count_ones() <= 1
        && is != 0
        && is >> 16 == 0
}
