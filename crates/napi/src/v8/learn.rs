//! Learning where one isolate keeps what, and verifying it.
//!
//! The order matters: each step only relies on what an earlier one has verified. Nothing is written into V8 before it is
//! known that this is the V8 of the facts; every failure is a sentence, and leaves V8 as it was.

use std::ffi::CStr;
use std::ptr::null_mut;

use greenlets_core::StackBounds;
use napi::sys;

use super::facts::{Facts, JS_LIMIT, MAX_TOP_WORDS, REAL_JS_LIMIT, STACK_GUARD};
use super::layout::Layout;
use super::peek::{Peek, is_plausible};
use super::rehearsal::{self, Seen};
use super::symbols::{Symbols, set_embedder_data};
use super::tls::{self, ThreadWords};
use crate::scopes::Scopes;

use super::{
    Isolate, Unsupported, callbacks, debug, doomed, ensure, entries, facts, handles, microtasks, wasm,
};

/// More words than `isolate_words` is rounded up by.
const SLACK_WORDS: usize = 600;

/// The isolate's words.
pub(super) fn scan(facts: &Facts, isolate: Isolate, peek: &Peek) -> Vec<u64> {
    peek.prefix(isolate as usize, facts.isolate_words, 64)
}

/// The V8 version string of this process.
pub(crate) fn version(symbols: &Symbols) -> String {
    // SAFETY: returns a static C string.
    let version = unsafe { CStr::from_ptr((symbols.version)()) }.to_string_lossy().into_owned();
    #[cfg(feature = "faults")]
    if super::fault::is("version") {
        return version.replace('.', "0.");
    }
    version
}

/// Learns the layout of the running isolate.
///
/// # Safety
/// Runs inside a native callback of `env` that was called from C++ (so that V8's chain of Relocatables is not empty), on
/// the thread's own stack.
pub(crate) unsafe fn learn(symbols: &Symbols, env: sys::napi_env) -> Result<(Layout, Scopes), Unsupported> {
    let version = version(symbols);
    let facts = facts::of(&version).ok_or_else(|| {
        Unsupported::Because(format!("V8 {version} is not one this version of greenlets knows"))
    })?;
    #[cfg(feature = "faults")]
    let facts = super::fault::inject(facts)?;
    // SAFETY: no arguments.
    let isolate = unsafe { (symbols.current_isolate)() };
    ensure!(!isolate.is_null(), "no isolate is entered on this thread");
    // SAFETY: a live isolate.
    ensure!(unsafe { (symbols.is_locked)(isolate) }, "Node does not hold the isolate's lock");
    let peek = Peek::new().map_err(|error| {
        Unsupported::Because(format!(
            "this sandbox forbids a process to read its own memory carefully: {error}"
        ))
    })?;
    let thread = tls::learn(symbols, isolate)?;
    let guard = (isolate as usize + STACK_GUARD) as *mut u64;
    let main = own_stack(facts, isolate, thread, &peek)?;
    // SAFETY: a live isolate, on its thread.
    unsafe { verify_interrupts(symbols, facts, isolate, &peek)? };

    let words = scan(facts, isolate, &peek);
    ensure!(words.len() >= facts.isolate_words - SLACK_WORDS, "the isolate cannot be read");
    let mut pointers: Vec<usize> = words.iter().filter(|&&w| is_plausible(w)).map(|&w| w as usize).collect();
    pointers.sort_unstable();
    pointers.dedup();

    // SAFETY: passed on from the caller.
    let scope_data = unsafe { handles::handle_scope_data(facts, isolate, env, &peek)? };
    // SAFETY: as above.
    let heap_stack_starts = unsafe { heap_stack_starts(symbols, facts, isolate, thread, &peek, &pointers)? };
    // SAFETY: as above; a native callback has a HandleScope.
    let seen = unsafe { rehearsal::play(symbols, facts, isolate, thread, &peek, &pointers)? };
    // SAFETY: no arguments; reading the thread's own word.
    ensure!(unsafe { (symbols.is_locked)(isolate) }, "the isolate's lock did not come back");

    let mut debug = debug::Candidates::find(&seen.debug, isolate, &peek, &pointers);
    if debug.are_ambiguous() {
        // SAFETY: as for the first one.
        let again = unsafe { rehearsal::play(symbols, facts, isolate, thread, &peek, &pointers)? };
        debug.follow(&again.debug, &peek);
    }
    // SAFETY: the rehearsals are over.
    let debug = unsafe { debug.unmark()? };
    let top = isolate as usize + facts.thread_local_top;
    let live_top = peek.words(top, facts.thread_local_top_words).unwrap_or_default();
    let before_top = facts.implementer_words + facts.scope_data_words;
    ensure!(
        matches_at_one_place(&seen.archive, &live_top) == Some(before_top),
        "ThreadLocalTop is not where it should be in V8's archive"
    );
    // First, since every handle made may change it.
    // SAFETY: passed on from the caller.
    let implementer =
        unsafe { handles::handle_scope_implementer(symbols, facts, isolate, &peek, &pointers, &seen)? };
    // SAFETY: passed on from the caller.
    unsafe { handles::verify_spare(facts, implementer, env, &peek)? };
    // SAFETY: passed on from the caller.
    let relocatable_top = unsafe { relocatable_top(facts, isolate, env, &peek, &words, &seen)? };
    // SAFETY: a native callback has an entered context and a HandleScope; the handle is read at once.
    let context = unsafe { *(symbols.current_context)(isolate) } as u64;
    let context_word = (0..live_top.len()).find(|&i| live_top[i] == context && seen.blank_top[i] == 0);
    let Some(context_word) = context_word else {
        return Err(Unsupported::Because("ThreadLocalTop does not hold the current context".into()));
    };
    let embedder_data = match facts.embedder_data {
        None => None,
        // SAFETY: passed on from the caller.
        Some(offset) => Some(unsafe { embedder_data(isolate, offset, env, &peek)? }),
    };
    let doomed = match facts.has_doomed_list {
        false => None,
        // SAFETY: passed on from the caller.
        true => Some(unsafe { doomed::learn(facts, env, isolate, &peek)? }),
    };
    let callbacks = match facts.callbacks {
        None => None,
        // SAFETY: passed on from the caller.
        Some(word) => Some(unsafe { callbacks::learn(facts, word, env, isolate, &peek, &pointers)? }),
    };
    // SAFETY: passed on from the caller.
    let microtasks = unsafe { microtasks::learn(symbols, isolate, &peek)? };
    // SAFETY: passed on from the caller.
    let wasm_stacks = unsafe { wasm::learn(facts, env, isolate, main, &peek)? };
    // SAFETY: passed on from the caller.
    let handler_word = unsafe { entries::learn(facts, env, top, &live_top, &peek)? };
    let mut blank_top = [0; MAX_TOP_WORDS];
    blank_top[..seen.blank_top.len()].copy_from_slice(&seen.blank_top);
    // SAFETY: passed on from the caller.
    let scopes = unsafe { Scopes::learn(symbols, isolate, env, &peek)? };
    let layout = Layout {
        facts,
        isolate,
        thread,
        heap_stack_starts,
        handle_scope_data: scope_data,
        handle_scope_implementer: implementer,
        thread_local_top: top as *mut u64,
        relocatable_top,
        stack_guard: guard,
        embedder_data,
        doomed,
        callbacks,
        wasm_stacks,
        debug,
        microtasks,
        in_use: seen.anchor,
        thread_manager: seen.thread_manager,
        // SAFETY: this thread's own live TLS word.
        thread_id: unsafe { *thread.thread_id },
        main,
        blank_top,
        context_word,
        handler_word,
    };
    Ok((layout, scopes))
}

/// The stack this runs on, as V8 sees it; verifies the StackGuard's words.
fn own_stack(
    facts: &Facts,
    isolate: Isolate,
    thread: ThreadWords,
    peek: &Peek,
) -> Result<StackBounds, Unsupported> {
    let guard = peek.words(isolate as usize + STACK_GUARD, facts.interrupt_flags + 1).unwrap_or_default();
    ensure!(guard.first() == Some(&(isolate as u64)), "the StackGuard is not where it should be");
    // SAFETY: this thread's own live TLS word.
    let base = unsafe { *thread.stack_start };
    let limit = guard[REAL_JS_LIMIT] as usize;
    let here = (&raw const guard) as usize;
    ensure!(
        limit < base && base - limit < 1 << 32,
        "V8's stack limit {limit:#x} is not below its start {base:#x}"
    );
    ensure!((limit..base).contains(&here), "V8 runs on a stack that is not the thread's own");
    let quiet = guard[facts.interrupt_flags] as u32 == 0;
    ensure!(!quiet || guard[JS_LIMIT] == limit as u64, "the StackGuard's limits have another shape");
    if let Some((real, _)) = facts.c_limits {
        ensure!(guard[real] == limit as u64, "the StackGuard's C++ limits have another shape");
    }
    Ok(StackBounds { base, limit })
}

/// Verifies where the StackGuard keeps requested interrupts. Other threads request some too, as where they have compiled
/// something: then it has to be seen again.
unsafe fn verify_interrupts(
    symbols: &Symbols,
    facts: &Facts,
    isolate: Isolate,
    peek: &Peek,
) -> Result<(), Unsupported> {
    const ATTEMPTS: usize = 8;
    // SAFETY: passed on.
    let seen = (0..ATTEMPTS).any(|_| unsafe { interrupt_is_seen(symbols, facts, isolate, peek) });
    ensure!(seen, "V8's StackGuard keeps interrupts in another way");
    Ok(())
}

/// Requests an interrupt, of the kind that only calls back, and says whether it changed what it must, and nothing else did.
unsafe fn interrupt_is_seen(symbols: &Symbols, facts: &Facts, isolate: Isolate, peek: &Peek) -> bool {
    unsafe extern "C" fn nothing(_: Isolate, _: *mut std::ffi::c_void) {}
    let guard = || peek.words(isolate as usize + STACK_GUARD, facts.interrupt_flags + 2).unwrap_or_default();
    let request = || {
        let before = guard();
        // SAFETY: public API.
        unsafe { (symbols.request_interrupt)(isolate, nothing, null_mut()) };
        (before, guard())
    };
    let flags = facts.interrupt_flags;
    let (mut before, mut after) = request();
    if (after[flags] & !before[flags]).count_ones() > 1 {
        // Another thread has requested one at the same moment, a compiler's perhaps.
        (before, after) = request();
    }
    let limits = match facts.c_limits {
        Some((_, requested)) => vec![JS_LIMIT, requested],
        None => vec![JS_LIMIT],
    };
    let real = facts.c_limits.map_or(0, |(real, _)| real);
    // 12.4 and later keep a byte for each level of interrupts, before interrupt_scopes_.
    let levels = flags - 2;
    // Words that a V8 does not use are as malloc gave them: they may look raised too, but nothing changes them.
    let others = (0..flags).filter(|i| *i != levels && !limits.contains(i)).all(|i| before[i] == after[i]);
    let (was, is) = (before[flags] as u32, after[flags] as u32);
    limits.iter().all(|&i| after[i] > u64::MAX - 16)
        && others
        && real != REAL_JS_LIMIT
        && !limits.contains(&real)
        && (is & !was).count_ones() <= 1
        && is != 0
        && is >> 16 == 0
}

/// Finds the words of the heap that follow the thread's stack start: `Isolate::Enter` refreshes them.
unsafe fn heap_stack_starts(
    symbols: &Symbols,
    facts: &Facts,
    isolate: Isolate,
    thread: ThreadWords,
    peek: &Peek,
    pointers: &[usize],
) -> Result<[*mut usize; 2], Unsupported> {
    // SAFETY: this thread's own live TLS word.
    let start = unsafe { *thread.stack_start };
    let follows = |at: usize, value: usize| peek.word(at) == Some(value as u64);
    let mut candidates: Vec<usize> = Vec::new();
    let mut look = |from: usize, words: &[u64]| {
        candidates.extend((0..words.len()).filter(|&i| words[i] == start as u64).map(|i| from + i * 8));
    };
    look(isolate as usize, &scan(facts, isolate, peek));
    // Several words of objects that end near the end of a mapping can be read where many cannot.
    for count in [256, 32] {
        peek.each(pointers, count, &mut look);
    }
    candidates.sort_unstable();
    candidates.dedup();
    candidates.retain(|&at| at != thread.stack_start as usize);
    for pretended in [start + 4096, start + 8192] {
        // SAFETY: the word is put back before V8 can look at the stack: entering an isolate that is entered already only
        // counts, and copies this word to the heap (isolate.cc, Isolate::Enter).
        unsafe {
            thread.stack_start.write_volatile(pretended);
            (symbols.enter)(isolate);
            (symbols.exit)(isolate);
        }
        candidates.retain(|&at| follows(at, pretended));
    }
    // SAFETY: as above.
    unsafe {
        thread.stack_start.write_volatile(start);
        (symbols.enter)(isolate);
        (symbols.exit)(isolate);
    }
    ensure!(
        candidates.iter().all(|&at| follows(at, start)),
        "the heap's stack start does not follow the thread's"
    );
    match *candidates.as_slice() {
        [one] => Ok([one as *mut usize; 2]),
        [one, two] => Ok([one as *mut usize, two as *mut usize]),
        _ => Err(Unsupported::Because(format!(
            "{} words behave like the heap's stack start",
            candidates.len()
        ))),
    }
}

/// The only index at which `needle` stands in `haystack`, all words equal.
fn matches_at_one_place(haystack: &[u64], needle: &[u64]) -> Option<usize> {
    let mut places =
        haystack.windows(needle.len().max(1)).enumerate().filter(|(_, window)| *window == needle);
    let first = places.next()?.0;
    places.next().is_none().then_some(first)
}

/// Finds the isolate's word for the top of the Relocatable chain: archived, zeroed, restored; and in a native callback
/// called from C++ it names a younger object on this stack.
unsafe fn relocatable_top(
    facts: &Facts,
    isolate: Isolate,
    env: sys::napi_env,
    peek: &Peek,
    before: &[u64],
    seen: &Seen,
) -> Result<*mut u64, Unsupported> {
    let archived = *seen.archive.last().unwrap_or(&0);
    ensure!(archived != 0, "no Relocatable was alive in the rehearsal");
    let top = facts.thread_local_top / 8;
    let top = top..top + facts.thread_local_top_words;
    let mut probe = Probe {
        peek,
        candidates: (0..before.len().min(seen.isolate.len()))
            .filter(|i| before[*i] == archived && seen.isolate[*i] == 0 && !top.contains(i))
            .map(|i| isolate as usize + i * 8)
            .collect(),
        younger_than: archived,
    };
    let (mut function, mut receiver, mut result) = (null_mut(), null_mut(), null_mut());
    // SAFETY: `env` is live on this thread, and the probe outlives the call.
    unsafe {
        let data = (&raw mut probe).cast();
        sys::napi_create_function(env, c"probe".as_ptr(), -1, Some(probe_relocatables), data, &mut function);
        sys::napi_get_undefined(env, &mut receiver);
        sys::napi_call_function(env, receiver, function, 0, std::ptr::null(), &mut result);
    }
    probe.candidates.retain(|&at| peek.word(at) == Some(archived));
    let &[word] = probe.candidates.as_slice() else {
        return Err(Unsupported::Because(format!(
            "{} words behave like V8's chain of Relocatables",
            probe.candidates.len()
        )));
    };
    Ok(word as *mut u64)
}

struct Probe<'a> {
    peek: &'a Peek,
    candidates: Vec<usize>,
    younger_than: u64,
}

unsafe extern "C" fn probe_relocatables(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let mut data = null_mut();
    // SAFETY: the callback's own info; `data` is the probe of `relocatable_top`, which waits for this call.
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

/// Verifies where the continuation-preserved embedder data is: setting it must change exactly that word of the isolate.
unsafe fn embedder_data(
    isolate: Isolate,
    offset: usize,
    env: sys::napi_env,
    peek: &Peek,
) -> Result<*mut u64, Unsupported> {
    let set = set_embedder_data()?;
    let word = (isolate as usize + offset) as *mut u64;
    let near = || peek.words(isolate as usize, 1024).unwrap_or_default();
    let (mut scope, mut object) = (null_mut(), null_mut());
    // SAFETY: `env` is live on this thread.
    unsafe {
        sys::napi_open_handle_scope(env, &mut scope);
        sys::napi_create_object(env, &mut object);
    }
    let before = near();
    // SAFETY: the word is inside the isolate (offset from its public header); what was there is put back right after,
    // with no allocation and so no GC in between.
    let after = unsafe {
        let own = word.read_volatile();
        set(isolate, object.cast());
        let after = near();
        word.write_volatile(own);
        after
    };
    // SAFETY: reading a handle made above.
    let tagged = unsafe { *object.cast::<u64>() };
    // SAFETY: the scope opened above.
    unsafe { sys::napi_close_handle_scope(env, scope) };
    let changed: Vec<usize> = (0..before.len().min(after.len())).filter(|&i| before[i] != after[i]).collect();
    ensure!(
        changed == [offset / 8] && after[offset / 8] == tagged,
        "V8's continuation-preserved embedder data is not where its headers say"
    );
    Ok(word)
}
