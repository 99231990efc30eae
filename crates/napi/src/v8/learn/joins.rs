//! Finding each context's stack of the arrays that are being joined, and the list of all contexts.
//!
//! `stack/joins.rs` says what that stack is for, and why it belongs to a greenlet.

use std::ptr::null_mut;

use napi::sys;

use super::peek::is_plausible;
use super::probe::during_with;
use super::realm::Realm;
use super::session::Session;
use super::symbols::Local;
use crate::unsupported::{Unsupported, ensure, only};

/// Where the contexts of an isolate and their join stacks are. Indexes are words from the beginning of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joins {
    /// `Heap::native_contexts_list_`: the newest context.
    pub(crate) list: *const u64,
    /// A handle of Node's for the context of the program, as long as the environment lives.
    pub(crate) own: *const u64,
    /// The next older context, in a context (`NEXT_CONTEXT_LINK`).
    pub(crate) next: usize,
    /// The stack, in a context (`ARRAY_JOIN_STACK_INDEX`): undefined, or a FixedArray.
    pub(crate) stack: usize,
    /// V8's `undefined`, and what it writes into free elements. Both are read-only objects, which never move.
    pub(crate) undefined: u64,
    pub(crate) hole: u64,
    /// The word of `undefined` at the place where a FixedArray has its first element. No array has this word as an element.
    pub(crate) no_element: u64,
}

/// Words before the first element of a FixedArray and of a context: map and length (fixed-array.h, contexts.h).
pub(crate) const HEADER_WORDS: usize = 2;

/// Words of a context that are searched; a native context has 350 to 450.
const MAX_CONTEXT_WORDS: usize = 1024;

/// Words of a `napi_env` that are searched.
const ENV_WORDS: usize = 16;

/// One join in the realm of `global`.
const PROGRAM: &std::ffi::CStr =
    c"(probe, { list, join }) => { list[0] = { toString() { probe(); return '' } }; join.call(list) }";

/// Finds the list by the new context of `realm`, and the stack by one join in it.
///
/// # Safety
/// The session's clause **callback** holds. `before` are the isolate's words before the realm was made.
pub(super) unsafe fn learn(
    session: &Session<'_>,
    realm: &Realm,
    before: &[u64],
) -> Result<Joins, Unsupported> {
    let env = session.env;
    let (mut undefined, mut list, mut array, mut prototype, mut join, mut argument) =
        (null_mut(), null_mut(), null_mut(), null_mut(), null_mut(), null_mut());
    // SAFETY: the session's clause **callback**: the environment is live, and a handle is the address of one word.
    let (undefined, new, own) = unsafe {
        sys::napi_get_undefined(env, &mut undefined);
        sys::napi_create_array(env, &mut list);
        sys::napi_get_named_property(env, realm.global, c"Array".as_ptr(), &mut array);
        sys::napi_get_named_property(env, array, c"prototype".as_ptr(), &mut prototype);
        sys::napi_get_named_property(env, prototype, c"join".as_ptr(), &mut join);
        sys::napi_create_object(env, &mut argument);
        sys::napi_set_named_property(env, argument, c"list".as_ptr(), list);
        sys::napi_set_named_property(env, argument, c"join".as_ptr(), join);
        let own = (session.symbols.current_context)(session.isolate);
        (*undefined.cast::<u64>(), || *realm.context as u64, *own as u64)
    };
    let now = session.scan();
    let words = || object(session, new()).unwrap_or_default();
    let links = words();
    // A word that was no context before is a stale one, in which a handle of the new context has been by chance.
    let length =
        |context: u64| session.peek.word((context as usize).wrapping_sub(1) + 8).map(|word| word >> 32);
    let is_context = |word: u64| is_tagged(word) && length(word).is_some() && length(word) == length(new());
    let mut places: Vec<(usize, usize)> = (0..before.len().min(now.len()))
        .filter(|&i| now[i] == new() && before[i] != now[i] && is_context(before[i]))
        .flat_map(|i| {
            links.iter().enumerate().filter(move |&(_, &word)| word == before[i]).map(move |(k, _)| (i, k))
        })
        .collect();
    if places.len() > 1 {
        // A block of handles may lie right behind the isolate, and one of its words may have led to this thread's context before, and
        // leads to the new one now. Where one more context is made, only the list begins with that.
        // SAFETY: the session's clause **callback**; the context is read before anything else is made.
        let newest = unsafe { *Realm::new(session)?.context } as u64;
        places.retain(|&(i, _)| session.peek.word(session.word_at(i) as usize) == Some(newest));
        // V8 may have used the same word of that block for both. The block lies behind the isolate, of which the words come first.
        if places.iter().all(|&(_, next)| next == places[0].1) {
            places.truncate(1);
        }
    }
    let (place, next) = only(&places, "words behave like V8's list of contexts")?;

    let look = || {
        // SAFETY: a handle of this callback.
        let joined = unsafe { *list.cast::<u64>() };
        let words = words();
        let holds = |word: u64| {
            session
                .peek
                .words(word.wrapping_sub(1) as usize, HEADER_WORDS + 2)
                .filter(|e| e[HEADER_WORDS] == joined)
        };
        (0..words.len())
            .filter_map(|k| {
                is_tagged(words[k]).then(|| holds(words[k])).flatten().map(|e| (k, e[HEADER_WORDS + 1]))
            })
            .collect::<Vec<_>>()
    };
    // SAFETY: the session's clause **callback**.
    let seen = unsafe { during_with(env, PROGRAM, argument, look)? }.0.unwrap_or_default();
    let after = words();
    let rests = |&(k, hole): &(usize, u64)| {
        links[k] == undefined && session.peek.word(after[k] as usize - 1 + HEADER_WORDS * 8) == Some(hole)
    };
    let places: Vec<(usize, u64)> = seen.into_iter().filter(rests).collect();
    let (stack, hole) = only(&places, "words behave like V8's stack of joined arrays")?;
    let own_handle = find_own(session, own)?;
    let no_element = session.peek.word(undefined as usize - 1 + HEADER_WORDS * 8);
    let no_element =
        no_element.ok_or_else(|| Unsupported::Because("V8's undefined cannot be read".into()))?;
    let joins =
        Joins { list: session.word_at(place), own: own_handle, next, stack, undefined, hole, no_element };
    ensure!(all(session, &joins).contains(&own), "V8's list of contexts does not hold this one");
    // SAFETY: the realm's context is a handle of this callback.
    unsafe { verify_access(session, realm.context, &joins)? };
    // The realms are garbage from now on. V8 would list them until the next full collection, and each switch would look at them.
    // SAFETY: the word is the list's beginning: V8 has just put the realms there. The first one leads to what was there before.
    unsafe { session.word_at(place).write_volatile(links_of(session, &joins, new())) };
    Ok(joins)
}

/// The context behind `context` in the list.
fn links_of(session: &Session<'_>, joins: &Joins, context: u64) -> u64 {
    object(session, context).map_or(joins.undefined, |words| words[joins.next])
}

/// Node's handle for the context `own`: the only word of our `napi_env` that leads to it (`context_persistent`, js_native_api_v8.h). It
/// is not in a block of handles, so it lasts.
fn find_own(session: &Session<'_>, own: u64) -> Result<*const u64, Unsupported> {
    let words = session.peek.words(session.env as usize, ENV_WORDS).unwrap_or_default();
    let leads = |&&word: &&u64| is_plausible(word) && session.peek.word(word as usize) == Some(own);
    let mut handles: Vec<u64> = words.iter().filter(leads).copied().collect();
    handles.dedup();
    Ok(only(&handles, "words behave like Node's handle for this context")? as *const u64)
}

/// V8's functions for a FixedArray read and write a context, with the collector's write barriers: both have map, length, and elements.
///
/// # Safety
/// The session's clause **callback** holds; `context` is a handle.
unsafe fn verify_access(session: &Session<'_>, context: Local, joins: &Joins) -> Result<(), Unsupported> {
    let (symbols, isolate, env) = (session.symbols, session.isolate, session.env);
    // SAFETY: a handle of this callback.
    let word = |index: usize| session.peek.word(unsafe { *context } - 1 + index * 8).unwrap_or_default();
    let index = joins.index();
    let mut undefined = null_mut();
    // SAFETY: the session's clause **callback**. `Length` only reads; the other two are called where it has found the context's length,
    // and so the layout that they rely on.
    unsafe {
        let length = (symbols.array_length)(context);
        ensure!(
            length as u64 == word(1) >> 32 && index < length,
            "V8 reads the length of a context in another way than that of an array"
        );
        let stack = (symbols.array_get)(context, isolate, index);
        ensure!(*stack as u64 == word(joins.stack), "V8 reads a context in another way than an array");
        sys::napi_get_undefined(env, &mut undefined);
        let before = object(session, *context as u64).unwrap_or_default();
        (symbols.array_set)(context, isolate, index, undefined.cast());
        let after = object(session, *context as u64).unwrap_or_default();
        let changed: Vec<usize> = (0..before.len()).filter(|&i| before[i] != after[i]).collect();
        ensure!(
            changed == [joins.stack] && after[joins.stack] == joins.undefined,
            "V8 writes to a context in another way than to an array"
        );
        (symbols.array_set)(context, isolate, index, stack);
        ensure!(word(joins.stack) == *stack as u64, "V8 does not write to a context what it was told");
    }
    Ok(())
}

impl Joins {
    /// The element of a context that is its join stack.
    pub(crate) fn index(&self) -> i32 {
        (self.stack - HEADER_WORDS) as i32
    }
}

/// All contexts of the list, tagged.
fn all(session: &Session<'_>, joins: &Joins) -> Vec<u64> {
    let first = session.peek.word(joins.list as usize).unwrap_or_default();
    let next = |&context: &u64| session.peek.word((context as usize - 1) + joins.next * 8);
    std::iter::successors(Some(first), next)
        .take_while(|&word| word != joins.undefined && is_tagged(word))
        .take(1 << 16)
        .collect()
}

/// The words of the context at `tagged`, as many as its length says.
fn object(session: &Session<'_>, tagged: u64) -> Option<Vec<u64>> {
    let at = is_tagged(tagged).then(|| tagged as usize - 1)?;
    let length = session.peek.words(at, HEADER_WORDS)?[1] >> 32;
    session.peek.words(at, (length as usize).min(MAX_CONTEXT_WORDS) + HEADER_WORDS)
}

/// Whether a word could be the address of an object on V8's heap.
fn is_tagged(word: u64) -> bool {
    word & 3 == 1 && is_plausible(word - 1)
}
