//! Finding each context's stack of the arrays that are being joined.
//!
//! `stack/joins.rs` says what that stack is for, and why it belongs to a greenlet.

use std::ptr::{null, null_mut};

use napi::sys;

use super::contexts::{self, Contexts};
use super::peek::is_plausible;
use super::probe::{looking, looking_property};
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

/// Word of a JSArray that names its elements (js-objects.h).
const ELEMENTS: usize = 2;

/// Words of a context that are searched; a native context has 350 to 450.
pub(super) const MAX_CONTEXT_WORDS: usize = 1024;

/// Elements of a join stack that are searched. It has two, or more where joins are nested.
const MAX_JOINS: usize = 4096;

/// Words of a `napi_env` that are searched.
const ENV_WORDS: usize = 16;

/// Finds the list by V8's count of contexts, and the stack by one join.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn learn(session: &Session<'_>) -> Result<Joins, Unsupported> {
    let env = session.env;
    let (mut undefined, mut global) = (null_mut(), null_mut());
    // SAFETY: the session's clause **callback**: the environment is live, and a handle is the address of one word.
    let (undefined, context) = unsafe {
        sys::napi_get_undefined(env, &mut undefined);
        sys::napi_get_global(env, &mut global);
        (*undefined.cast::<u64>(), (session.symbols.current_context)(session.isolate))
    };
    // SAFETY: a handle of this callback.
    let own = unsafe { *context } as u64;
    // SAFETY: the session's clause **callback**.
    let Contexts { list, next } = unsafe { contexts::learn(session, own, undefined)? };
    // SAFETY: the session's clause **callback**; both pairs of handles are of one context.
    let (joined, Stack { index: stack, hole }) = unsafe {
        match find_stack(session, context, global) {
            Ok(found) => (context, found),
            // The program may have replaced `join` by a function of its own, so that V8 joins nothing.
            Err(_) => {
                let realm = Realm::new(session)?;
                (realm.context, find_stack(session, realm.context, realm.global)?)
            }
        }
    };
    let no_element = session.peek.word(undefined as usize - 1 + HEADER_WORDS * 8);
    let no_element =
        no_element.ok_or_else(|| Unsupported::Because("V8's undefined cannot be read".into()))?;
    let list = session.word_at(list);
    let joins = Joins { list, own: find_own(session, own)?, next, stack, undefined, hole, no_element };
    // SAFETY: the session's clause **callback**; `joined` is a handle of it.
    unsafe { verify_access(session, joined, &joins)? };
    Ok(joins)
}

/// The stack in a context, and what V8 writes into free elements.
#[derive(Clone, Copy)]
struct Stack {
    index: usize,
    hole: u64,
}

/// Finds the stack of `context`, which has the global object `global`: while an array is joined, an element of it is that array.
///
/// # Safety
/// The session's clause **callback** holds; both are handles.
unsafe fn find_stack(
    session: &Session<'_>,
    context: Local,
    global: sys::napi_value,
) -> Result<Stack, Unsupported> {
    let (env, peek) = (session.env, session.peek);
    let (mut list, mut array, mut prototype, mut join, mut element, mut result) =
        (null_mut::<sys::napi_value__>(), null_mut(), null_mut(), null_mut(), null_mut(), null_mut());
    // SAFETY: the session's clause **callback**: Node-API checks what the program has made of these objects.
    unsafe {
        sys::napi_create_array(env, &mut list);
        sys::napi_create_object(env, &mut element);
        sys::napi_define_properties(env, element, 1, &looking_property(c"toString", false));
        sys::napi_set_element(env, list, 0, element);
        sys::napi_get_named_property(env, global, c"Array".as_ptr(), &mut array);
        sys::napi_get_named_property(env, array, c"prototype".as_ptr(), &mut prototype);
        sys::napi_get_named_property(env, prototype, c"join".as_ptr(), &mut join);
    }
    // SAFETY: `list` is a handle of this callback.
    let map = map_of_arrays(session, unsafe { *list.cast::<u64>() });
    let map = map.ok_or_else(|| Unsupported::Because("V8's arrays have another shape".into()))?;
    // SAFETY: the caller's promise: a handle is the address of one word.
    let words = || object(session, unsafe { *context } as u64).unwrap_or_default();
    let look = || {
        // SAFETY: a handle of this callback.
        let joined = unsafe { *list.cast::<u64>() };
        let place =
            |word: u64| array_at(session, word, map)?.iter().skip(HEADER_WORDS).position(|&e| e == joined);
        let in_context = |(index, &word): (usize, &u64)| Some((index, place(word)?));
        words().iter().enumerate().filter_map(in_context).collect::<Vec<_>>()
    };
    // SAFETY: the session's clause **callback**.
    let (seen, status) =
        looking(look, || unsafe { sys::napi_call_function(env, list, join, 0, null(), &mut result) });
    if status != sys::Status::napi_ok {
        let mut error = null_mut();
        // SAFETY: the session's clause **callback**. Where no exception is pending, this returns undefined.
        unsafe { sys::napi_get_and_clear_last_exception(env, &mut error) };
    }
    let after = words();
    // V8 has put the hole where the array was.
    let seen: Vec<Stack> = seen
        .unwrap_or_default()
        .into_iter()
        .filter(|&(index, _)| session.known.is_none_or(|known| known.join_stack == index))
        .filter_map(|(index, place)| {
            let hole = *array_at(session, *after.get(index)?, map)?.get(HEADER_WORDS + place)?;
            // SAFETY: a handle of this callback.
            (is_tagged(hole) && hole != unsafe { *list.cast::<u64>() }).then_some(Stack { index, hole })
        })
        .filter(|stack| peek.word(stack.hole as usize - 1).is_some())
        .collect();
    only(&seen, "words behave like V8's stack of joined arrays")
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
    // and so the layout that they rely on. The stack is put back, and nothing is joined meanwhile.
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
        (symbols.array_set)(context, isolate, index, stack);
        let changed: Vec<usize> = (0..before.len()).filter(|&i| before[i] != after[i]).collect();
        ensure!(
            changed == [joins.stack] && after[joins.stack] == joins.undefined,
            "V8 writes to a context in another way than to an array"
        );
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

/// The words of the context at `tagged`, as many as its length says.
fn object(session: &Session<'_>, tagged: u64) -> Option<Vec<u64>> {
    let at = is_tagged(tagged).then(|| tagged as usize - 1)?;
    let length = session.peek.words(at, HEADER_WORDS)?[1] >> 32;
    session.peek.words(at, (length as usize).min(MAX_CONTEXT_WORDS) + HEADER_WORDS)
}

/// The words of the FixedArray at `tagged`: its header, and its elements. `map` is the map that all FixedArrays have.
fn array_at(session: &Session<'_>, tagged: u64, map: u64) -> Option<Vec<u64>> {
    let at = is_tagged(tagged).then(|| tagged as usize - 1)?;
    let header = session.peek.words(at, HEADER_WORDS)?;
    let length = (header[1] >> 32) as usize;
    let is_array = header[0] == map && (1..=MAX_JOINS).contains(&length);
    is_array.then(|| session.peek.words(at, HEADER_WORDS + length))?
}

/// The map of FixedArrays: that of the elements of an array that has some.
fn map_of_arrays(session: &Session<'_>, array: u64) -> Option<u64> {
    let elements = session.peek.word(array as usize - 1 + ELEMENTS * 8)?;
    is_tagged(elements).then(|| session.peek.word(elements as usize - 1))?
}

/// Whether a word could be the address of an object on V8's heap.
pub(super) fn is_tagged(word: u64) -> bool {
    word & 3 == 1 && is_plausible(word - 1)
}
