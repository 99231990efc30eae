//! Learning where one environment keeps its stack of async ids, and verifying it by an experiment: two callback scopes, one in the
//! other, with async id 0, so that no hook runs.
//!
//! # Contract
//! - **callback**: the call is made in a native callback of `env`, on the isolate's thread. So a context is entered, and functions
//!   of Node-API, Node and V8 may be called in the order of C++ scopes.

use std::ffi::{CStr, c_void};
use std::ptr::null_mut;

use napi::sys;

use super::async_hooks::{AsyncHooks, HooksLayout, PushAsyncContext};
use super::facts::{
    ARRAY_LENGTH, DEPTH_WORDS, ENVIRONMENT_WORDS, EXECUTION_ID, FIELDS, FIELDS_BUFFER, IDS_BUFFER,
    NATIVE_RESOURCES, OBSERVED_WORDS, RESOURCES, STACK_LENGTH, TRIGGER_ID, UIDS, UIDS_BUFFER, WORDS,
};
use super::resources::{Kind, Resources};
use crate::unsupported::{Unsupported, ensure, only};
use crate::v8::learn::peek::{Peek, halves};
use crate::v8::learn::symbols::{self, CallbackScope, Isolate, Local, Symbols};

/// `AsyncHooks::push_async_context(id, trigger, resource)`: the type of its last parameter says which container Node uses.
const PUSH: [(&CStr, Kind); 3] = [
    (c"_ZN4node10AsyncHooks18push_async_contextEddN2v85LocalINS1_6ObjectEEE", Kind::VectorOfLocals),
    (c"_ZN4node10AsyncHooks18push_async_contextEddPN2v85LocalINS1_6ObjectEEE", Kind::DequeOfPointers),
    (
        c"_ZN4node10AsyncHooks18push_async_contextEddSt7variantIJPN2v85LocalINS2_6ObjectEEEPNS2_6GlobalIS4_EEEE",
        Kind::DequeOfVariants,
    ),
];
const VTABLE: &CStr = c"_ZTVN4node10AsyncHooksE";

/// Learns where the running environment keeps its stack of async ids.
///
/// # Safety
/// The contract's clause **callback**.
pub(crate) unsafe fn learn(symbols: &Symbols, env: sys::napi_env) -> Result<AsyncHooks, Unsupported> {
    let peek = Peek::new()?;
    let (push, kind) = push_async_context()?;
    // SAFETY: the contract's clause **callback**: a context is entered.
    let (isolate, environment) = unsafe {
        let isolate = (symbols.current_isolate)();
        (isolate, (symbols.current_environment)((symbols.current_context)(isolate)))
    };
    ensure!(!environment.is_null(), "the running context has no Node environment");

    let words = peek.prefix(environment as usize, ENVIRONMENT_WORDS, 64);
    let object = (environment as *mut u64).wrapping_add(find_hooks(&words, isolate)?);
    // In an object with this layout, these words are the addresses of its buffers.
    let buffer = |word: usize| peek.word(object.wrapping_add(word) as usize).unwrap_or(0);
    let mut layout = HooksLayout {
        env,
        environment,
        object,
        fields: buffer(FIELDS_BUFFER) as *mut u32,
        uids: buffer(UIDS_BUFFER) as *mut f64,
        depth: null_mut(),
        resources: Resources { kind, address: object.wrapping_add(NATIVE_RESOURCES) },
        push,
        symbols: *symbols,
        isolate,
    };
    ensure!(
        buffer(IDS_BUFFER) != 0 && !layout.fields.is_null() && !layout.uids.is_null(),
        "Node's async hooks have no buffers"
    );
    // SAFETY: the contract's clause **callback**.
    unsafe {
        layout.depth = verify_by_scopes(&layout, &peek)?;
        verify_arrays(&layout, &peek)?;
    }
    Ok(AsyncHooks::new(layout))
}

/// The address of the function, and the kind of container that its signature says.
fn push_async_context() -> Result<(PushAsyncContext, Kind), Unsupported> {
    let found = PUSH.iter().find_map(|&(name, kind)| Some((symbols::find(name).ok()?, kind)));
    let (address, kind) = found.ok_or_else(|| {
        Unsupported::Because("node::AsyncHooks::push_async_context is not exported by this runtime".into())
    })?;
    // SAFETY: the mangled name spells the parameters: the object, two doubles, and one or two words. A variant of two pointers is
    // passed in two registers; a function that takes one word ignores the second register.
    Ok((unsafe { std::mem::transmute::<*mut c_void, PushAsyncContext>(address) }, kind))
}

/// The word of the environment at which `AsyncHooks` begins. The scan may go past the environment's end, and find a stale copy
/// there: the first match is taken, and the callback scopes prove that it is live.
fn find_hooks(words: &[u64], isolate: Isolate) -> Result<usize, Unsupported> {
    let vtable = symbols::find(VTABLE)? as u64 + 16;
    let isolate = isolate as u64;
    let found = words.windows(WORDS).position(|w| {
        w[0] == vtable
            && [w[2], w[9], w[16]] == [isolate; 3]
            && w[1] == w[15]
            && w[3] >= 32
            && w[3].is_multiple_of(2)
            && [w[10], w[17]] == [FIELDS as u64, UIDS as u64]
            && [w[4], w[11], w[18]] == [0; 3]
    });
    found.ok_or_else(|| Unsupported::Because("Node's AsyncHooks are not found in its Environment".into()))
}

/// The trigger id of the two scopes.
const TRIGGER: f64 = 77.0;

/// The words of Node that callback scopes change, at one moment.
struct Observation {
    fields: Vec<u32>,
    uids: [f64; UIDS],
    /// The words from `AsyncHooks` on.
    words: Vec<u64>,
}

impl Observation {
    fn of(layout: &HooksLayout, peek: &Peek) -> Observation {
        let uid = |i| peek.word(layout.uids.wrapping_add(i) as usize).map_or(f64::NAN, f64::from_bits);
        let fields = peek.words(layout.fields as usize, FIELDS.div_ceil(2)).unwrap_or_default();
        let mut fields = halves(&fields);
        fields.truncate(FIELDS);
        let words = peek.prefix(layout.object as usize, OBSERVED_WORDS, 32);
        Observation { fields, uids: std::array::from_fn(uid), words }
    }
}

/// What was observed around and in two callback scopes.
struct Observed {
    before: Observation,
    in_first: Observation,
    in_second: Observation,
    after: Observation,
    /// Whether the last native resource was that of the second scope.
    finds_resource: bool,
    /// The words that may be the scope depth.
    depths: Vec<*mut u64>,
}

/// Opens two callback scopes, one in the other, and observes Node before, in each of them, and after.
///
/// # Safety
/// The contract's clause **callback**.
unsafe fn observe_scopes(layout: &HooksLayout, peek: &Peek) -> Observed {
    let (symbols, isolate) = (&layout.symbols, layout.isolate);
    let (mut scope, mut resource) = (null_mut(), null_mut());
    let (mut outer, mut inner) = (CallbackScope::storage(), CallbackScope::storage());
    // SAFETY: the contract's clause **callback**; this is public API in the order of C++ scopes, with a live object. Once the word
    // of the scope depth is known, it is one higher until the scopes are closed: closing the outer scope does not run microtasks
    // and ticks then, where no scope was open before.
    unsafe {
        sys::napi_open_handle_scope(layout.env, &mut scope);
        sys::napi_create_object(layout.env, &mut resource);
        let object: Local = resource.cast();
        let before = Observation::of(layout, peek);
        (symbols.callback_scope_new)(&mut outer, isolate, object, 0.0, TRIGGER);
        let in_first = Observation::of(layout, peek);
        (symbols.callback_scope_new)(&mut inner, isolate, object, 0.0, TRIGGER);
        let in_second = Observation::of(layout, peek);
        let length = before.fields.get(STACK_LENGTH).copied().unwrap_or(0) as usize + 2;
        let finds_resource = layout.resources.ends_with(length, *object as u64, peek);
        let counters = counters(&before.words, &in_first.words, &in_second.words);
        let depths: Vec<*mut u64> = counters.into_iter().map(|i| layout.object.wrapping_add(i)).collect();
        if let &[depth] = depths.as_slice() {
            *depth += 1;
        }
        (symbols.callback_scope_drop)(&mut inner);
        (symbols.callback_scope_drop)(&mut outer);
        if let &[depth] = depths.as_slice() {
            *depth -= 1;
        }
        let after = Observation::of(layout, peek);
        sys::napi_close_handle_scope(layout.env, scope);
        Observed { before, in_first, in_second, after, finds_resource, depths }
    }
}

/// The indexes of the words that each scope has raised by one, as far as the scope depth may be from `AsyncHooks`.
fn counters(before: &[u64], in_first: &[u64], in_second: &[u64]) -> Vec<usize> {
    let words = before.len().min(in_first.len()).min(in_second.len()).min(DEPTH_WORDS);
    let counts = |&i: &usize| {
        let start = before[i];
        start < 1 << 20 && in_first[i] == start + 1 && in_second[i] == start + 2
    };
    (0..words).filter(counts).collect()
}

/// Verifies the fields, the ids and the container of native resources by two callback scopes; returns the address of the scope
/// depth.
///
/// # Safety
/// The contract's clause **callback**.
unsafe fn verify_by_scopes(layout: &HooksLayout, peek: &Peek) -> Result<*mut u64, Unsupported> {
    // SAFETY: the contract's clause **callback**.
    let observed = unsafe { observe_scopes(layout, peek) };
    let Observed { before, in_first, in_second, after, finds_resource, depths } = observed;
    let counts = |i: usize| {
        in_first.fields[i] == before.fields[i].wrapping_add(1)
            && in_second.fields[i] == before.fields[i].wrapping_add(2)
    };
    let all = [&before, &in_first, &in_second, &after];
    ensure!(all.iter().all(|one| one.fields.len() == FIELDS), "Node's async hook fields cannot be read");
    ensure!(
        (0..FIELDS).all(|i| counts(i) == (i == STACK_LENGTH)) && after.fields == before.fields,
        "Node's stack of async ids does not count callback scopes where it should"
    );
    ensure!(
        [&in_first, &in_second].map(|one| (one.uids[EXECUTION_ID], one.uids[TRIGGER_ID]))
            == [(0.0, TRIGGER); 2]
            && after.uids == before.uids,
        "Node's async ids are not where they should be"
    );
    ensure!(finds_resource, "Node keeps the resources of callback scopes in an unknown way");
    only(&depths, "words behave like Node's callback scope depth")
}

/// Verifies which word of a JSArray holds its length, and that Node keeps resources in a JSArray.
///
/// # Safety
/// The contract's clause **callback**.
unsafe fn verify_arrays(layout: &HooksLayout, peek: &Peek) -> Result<(), Unsupported> {
    let raw_length = |handle: usize| {
        let array = peek.word(handle)?;
        Some((peek.word(array as usize - 1 + ARRAY_LENGTH * 8)? >> 32) as u32)
    };
    let env = layout.env;
    let (mut scope, mut array, mut element) = (null_mut(), null_mut(), null_mut());
    // SAFETY: the contract's clause **callback**; the handles are not used after their scope.
    let (five, twelve) = unsafe {
        sys::napi_open_handle_scope(env, &mut scope);
        sys::napi_create_array_with_length(env, 5, &mut array);
        let five = raw_length(array as usize);
        sys::napi_create_int32(env, 1, &mut element);
        sys::napi_set_element(env, array, 11, element);
        let twelve = raw_length(array as usize);
        sys::napi_close_handle_scope(env, scope);
        (five, twelve)
    };
    ensure!((five, twelve) == (Some(5), Some(12)), "the length of an array is not where it should be");
    let resources = peek.word(layout.object.wrapping_add(RESOURCES) as usize).unwrap_or(0);
    if resources != 0 {
        let (mut is_array, mut length) = (false, 0);
        // SAFETY: the contract's clause **callback**. A Global's word is the address of a handle, as a `napi_value` is, and `peek`
        // has read the handle and its array before Node-API does.
        unsafe {
            ensure!(raw_length(resources as usize).is_some(), "Node's array of resources cannot be read");
            sys::napi_is_array(env, resources as _, &mut is_array);
            sys::napi_get_array_length(env, resources as _, &mut length);
        }
        ensure!(
            is_array && raw_length(resources as usize) == Some(length),
            "Node's resources are not in an array"
        );
    }
    Ok(())
}
