//! Learning where one isolate keeps the state of the running stack, and proving each finding.
//!
//! The order matters: each step relies only on what an earlier step has verified. Nothing is written into V8 before it is known
//! that this is the V8 of the facts. Every failure is one sentence and leaves V8 as it was.
//!
//! ```text
//!   facts ─► thread-local words ─► StackGuard ─► handles, heap ─► one rehearsal of v8::Locker, observed
//!                                                                       │
//!     known ◄─ self-test ◄─ layout ◄─ debugger, lists on stacks, microtasks, wasm, entries ◄─ implementer, Relocatables
//! ```
//!
//! | file | what it knows or finds |
//! |---|---|
//! | `facts`, `fault` | the table of what is known beforehand, for each V8; wrong facts on purpose, for the tests |
//! | `symbols`, `peek`, `module`, `tls` | public functions by name; careful reads; V8's module; its thread-local words |
//! | `block` | where the isolate ends, and other memory begins |
//! | `session`, `probe` | what every learner works with; looking at V8 in the middle of a JavaScript program |
//! | `stack_guard`, `handles`, `heap_stack_start` | limits and interrupts; handle scopes; the heap's copy of the stack start |
//! | `rehearsal`, `relocatables`, `embedder_data` | one round of V8's own stack switching; two words found with its help |
//! | `debugger`, `destroy_list`, `epilogue_callbacks`, `js_entries`, `microtasks`, `wasm_stacks` | what else belongs to a stack |
//! | `contexts`, `joins`, `formatting`, `realm` | what the contexts share; a realm for learning, where the program's own does not do |
//! | `frames`, `frame_words` | where V8 begins to follow the frames of a suspended stack |
//! | `collection_callbacks` | the order in which V8 calls what is registered for a collection |
//! | `layout` | the result |
//! | `known`, `places` | where it was found, for the next isolates of the process |
//! | `report` | the list of all facts for `greenlets doctor` |
//! | `flags` | V8's flags that greenlets need, and the hash of all flags |
//! | `self_test` | the program that proves it all together |

use std::ffi::CStr;

use napi::sys;

pub(crate) mod block;
pub(crate) mod collection_callbacks;
mod contexts;
pub(crate) mod debugger;
pub(crate) mod destroy_list;
mod embedder_data;
pub(crate) mod epilogue_callbacks;
pub(crate) mod facts;
#[cfg(feature = "faults")]
pub(crate) mod fault;
pub(crate) mod flags;
pub(crate) mod formatting;
pub(crate) mod frame_words;
pub(crate) mod frames;
mod handles;
mod heap_stack_start;
pub(crate) mod joins;
mod js_entries;
pub(crate) mod known;
pub(crate) mod layout;
pub(crate) mod list_node;
pub(crate) mod microtasks;
mod module;
pub(crate) mod peek;
mod places;
mod probe;
mod realm;
pub(crate) mod rehearsal;
mod relocatables;
pub(crate) mod report;
pub(crate) mod self_test;
mod session;
mod stack_guard;
pub(crate) mod symbols;
mod tls;
pub(crate) mod wasm_stacks;

use crate::unsupported::{Unsupported, ensure};
use debugger::Debugger;
use facts::{Facts, MAX_TOP_WORDS, STACK_GUARD};
use known::Known;
use layout::Layout;
use peek::Peek;
use rehearsal::Seen;
use session::Session;
use symbols::{Isolate, Symbols};

/// The V8 version string of this process.
pub(crate) fn version(symbols: &Symbols) -> String {
    // SAFETY: the function takes no arguments and returns a static C string.
    let version = unsafe { CStr::from_ptr((symbols.version)()) }.to_string_lossy().into_owned();
    #[cfg(feature = "faults")]
    if fault::is("version") {
        return version.replace('.', "0.");
    }
    version
}

/// Learns the layout of the running isolate, and where in an isolate it was found.
///
/// # Safety
/// Runs inside a native callback of `env` that was called from C++ (so that V8's chain of Relocatables is not empty), on the
/// thread's own stack.
pub(crate) unsafe fn learn(symbols: &Symbols, env: sys::napi_env) -> Result<(Layout, Known), Unsupported> {
    let (facts, isolate) = identify(symbols)?;
    if let Some(known) = Known::of_process() {
        // SAFETY: the caller's promise.
        let learnt = unsafe { learn_from(symbols, facts, isolate, env, Some(&known)) };
        // Where what is known leads nowhere, only a search can say why, unless it is because this thread is being ended.
        // SAFETY: the caller's promise.
        if learnt.is_ok() || unsafe { probe::in_callback(env, || ()) }.is_none() {
            return learnt;
        }
    }
    // SAFETY: the caller's promise.
    unsafe { learn_from(symbols, facts, isolate, env, None) }
}

/// Learns the layout where it is `known`, or by searching everywhere.
///
/// # Safety
/// The same as for [`learn`].
unsafe fn learn_from(
    symbols: &Symbols,
    facts: &'static Facts,
    isolate: Isolate,
    env: sys::napi_env,
    known: Option<&Known>,
) -> Result<(Layout, Known), Unsupported> {
    let peek = Peek::new()?;
    let thread = tls::learn(symbols, isolate)?;
    let main = stack_guard::own_stack(facts, isolate, thread, &peek)?;
    // SAFETY: `identify` returned the isolate that is entered on this thread.
    unsafe { stack_guard::verify_interrupts(symbols, facts, isolate, main, &peek)? };
    let session = Session::new(symbols, facts, isolate, env, &peek, thread, known)?;
    let s = &session;
    // SAFETY: this function's own promise is the session's clause **callback**. The order of the steps is explained above.
    unsafe {
        let handle_scope_data = handles::handle_scope_data(s)?;
        handles::make_room(s, handle_scope_data);
        let heap_stack_starts = heap_stack_start::learn(s)?;
        let (seen, debugger) = rehearse(s)?;
        let top = isolate as usize + facts.thread_local_top;
        let live_top = peek.words(top, facts.thread_local_top_words).unwrap_or_default();
        let before_top = facts.implementer_words + facts.scope_data_words;
        ensure!(
            matches_at_one_place(&seen.archive, &live_top) == Some(before_top),
            "ThreadLocalTop is not where it should be in V8's archive"
        );
        // This comes first of the following steps, since every handle that is made may change what it compares.
        let handle_scope_implementer = handles::handle_scope_implementer(s, &seen)?;
        handles::verify_spare(s, handle_scope_implementer)?;
        let mut blank_top = [0; MAX_TOP_WORDS];
        blank_top[..seen.blank_top.len()].copy_from_slice(&seen.blank_top);
        let handler_word = js_entries::learn(s, top, &live_top)?;
        let layout = Layout {
            facts,
            isolate,
            thread,
            heap_stack_starts,
            handle_scope_data,
            handle_scope_implementer,
            thread_local_top: top as *mut u64,
            relocatable_top: relocatables::learn(s, &seen)?,
            stack_guard: (isolate as usize + STACK_GUARD) as *mut u64,
            context_word: context_word(s, &live_top, &seen)?,
            embedder_data: facts.embedder_data.map(|offset| embedder_data::learn(s, offset)).transpose()?,
            destroy_list: facts.has_destroy_list.then(|| destroy_list::learn(s)).transpose()?,
            epilogue_callbacks: facts
                .epilogue_callbacks
                .map(|word| epilogue_callbacks::learn(s, word))
                .transpose()?,
            collection_callbacks: collection_callbacks::learn(s)?,
            microtasks: microtasks::learn(s)?,
            wasm_stacks: wasm_stacks::learn(s, main)?,
            joins: joins::learn(s)?,
            formatting: formatting::learn(s)?,
            handler_word,
            frames: frames::learn(s, top, &live_top, handler_word),
            debugger,
            in_use: seen.anchor,
            thread_manager: seen.thread_manager,
            thread_id: *thread.thread_id,
            main,
            blank_top,
            env,
            symbols: *symbols,
        };
        let known = known.cloned().unwrap_or_else(|| places::places_of(s, &layout));
        Ok((layout, known))
    }
}

/// Which V8 this is, and its isolate.
fn identify(symbols: &Symbols) -> Result<(&'static Facts, Isolate), Unsupported> {
    let version = version(symbols);
    let facts = facts::of(&version).ok_or_else(|| {
        Unsupported::Because(
            "this version of greenlets does not know this V8; use Node.js 20, 22, 24 or 26, or a newer version of greenlets".into(),
        )
    })?;
    #[cfg(feature = "faults")]
    let facts = fault::inject(facts)?;
    // SAFETY: the function takes no arguments.
    let isolate = unsafe { (symbols.current_isolate)() };
    ensure!(!isolate.is_null(), "no isolate is entered on this thread");
    // SAFETY: the isolate is live: it is entered on this thread.
    ensure!(unsafe { (symbols.is_locked)(isolate) }, "Node does not hold the isolate's lock");
    Ok((facts, isolate))
}

/// Plays the rehearsal, and a second time where the first one left more than one place for the debugger's words.
///
/// # Safety
/// The session's clause **callback** holds.
unsafe fn rehearse(session: &Session<'_>) -> Result<(Seen, Debugger), Unsupported> {
    // SAFETY: the caller's promise is what a rehearsal needs; a HandleScope is open in a native callback.
    let seen = unsafe { rehearsal::play(session)? };
    // SAFETY: reads a word of the isolate that is entered on this thread.
    ensure!(unsafe { (session.symbols.is_locked)(session.isolate) }, "the isolate's lock did not come back");
    let mut candidates = debugger::Candidates::find(session, &seen.debugger);
    if candidates.are_ambiguous() {
        // SAFETY: the session's clause **callback** is what a rehearsal needs, and the first one is over.
        let again = unsafe { rehearsal::play(session)? };
        candidates.follow(&again.debugger, session.peek);
    }
    // SAFETY: the rehearsals are over, so V8 has restored every archive that was marked.
    let debugger = unsafe { candidates.unmark()? };
    Ok((seen, debugger))
}

/// The only index at which `needle` stands in `haystack`, all words equal.
fn matches_at_one_place(haystack: &[u64], needle: &[u64]) -> Option<usize> {
    let mut places =
        haystack.windows(needle.len().max(1)).enumerate().filter(|(_, window)| *window == needle);
    let first = places.next()?.0;
    places.next().is_none().then_some(first)
}

/// The word of ThreadLocalTop that holds the current context.
///
/// # Safety
/// The session's clause **callback** holds.
unsafe fn context_word(session: &Session<'_>, live_top: &[u64], seen: &Seen) -> Result<usize, Unsupported> {
    // SAFETY: the session's clause **callback**: a context is entered and a HandleScope is open. The handle is read at once.
    let context = unsafe { *(session.symbols.current_context)(session.isolate) } as u64;
    (0..live_top.len())
        .find(|&i| live_top[i] == context && seen.blank_top[i] == 0)
        .ok_or_else(|| Unsupported::Because("ThreadLocalTop does not hold the current context".into()))
}
