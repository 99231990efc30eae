//! Learning where one environment keeps its stack of async ids, and verifying it by an act: two callback scopes, one in the
//! other, without an async id of their own, so that no hook runs.

use std::ffi::{CStr, c_void};
use std::ptr::null_mut;

use napi::sys;

use super::async_hooks::{AsyncHooks, PushAsyncContext, Shape};
use super::facts::{
    ARRAY_LENGTH, ENVIRONMENT_WORDS, EXECUTION_ID, FIELDS, FIELDS_BUFFER, IDS_BUFFER, NATIVE_RESOURCES, NEAR,
    RESOURCES, STACK_LENGTH, TRIGGER_ID, UIDS, UIDS_BUFFER, WORDS,
};
use super::resources::{Kind, Resources};
use crate::unsupported::{Unsupported, ensure};
use crate::v8::learn::peek::Peek;
use crate::v8::learn::symbols::{self, CallbackScope, Isolate, Local, Symbols};

/// `AsyncHooks::push_async_context(id, trigger, resource)`: the type of the resource tells how Node keeps them.
const PUSH: [(&CStr, Kind); 3] = [
    (c"_ZN4node10AsyncHooks18push_async_contextEddN2v85LocalINS1_6ObjectEEE", Kind::VectorOfLocals),
    (c"_ZN4node10AsyncHooks18push_async_contextEddPN2v85LocalINS1_6ObjectEEE", Kind::DequeOfPointers),
    (
        c"_ZN4node10AsyncHooks18push_async_contextEddSt7variantIJPN2v85LocalINS2_6ObjectEEEPNS2_6GlobalIS4_EEEE",
        Kind::DequeOfVariants,
    ),
];
const VTABLE: &CStr = c"_ZTVN4node10AsyncHooksE";

/// Learns the async-hooks stack of the running environment.
///
/// # Safety
/// Runs inside a native callback of `env`, on the isolate's thread.
pub(crate) unsafe fn learn(symbols: &Symbols, env: sys::napi_env) -> Result<AsyncHooks, Unsupported> {
    let peek = Peek::new().map_err(|error| Unsupported::Because(error.to_string()))?;
    let (push, kind) = push_async_context()?;
    // SAFETY: a native callback has an entered context.
    let (isolate, environment) = unsafe {
        let isolate = (symbols.current_isolate)();
        (isolate, (symbols.current_environment)((symbols.current_context)(isolate)))
    };
    ensure!(!environment.is_null(), "the running context has no Node environment");

    let words = peek.prefix(environment as usize, ENVIRONMENT_WORDS, 64);
    let object = (environment as *mut u64).wrapping_add(place_of_hooks(&words, isolate)?);
    // The shape says that these are the object's buffers.
    let buffer = |word: usize| peek.word(object.wrapping_add(word) as usize).unwrap_or(0);
    let mut shape = Shape {
        env,
        environment,
        object,
        fields: buffer(FIELDS_BUFFER) as *mut u32,
        uids: buffer(UIDS_BUFFER) as *mut f64,
        depth: null_mut(),
        resources: Resources { kind, at: object.wrapping_add(NATIVE_RESOURCES) },
        push,
        symbols: *symbols,
        isolate,
    };
    ensure!(
        buffer(IDS_BUFFER) != 0 && !shape.fields.is_null() && !shape.uids.is_null(),
        "Node's async hooks have no buffers"
    );
    // SAFETY: passed on from the caller.
    unsafe {
        shape.depth = watch(symbols, isolate, &shape, &peek)?;
        verify_arrays(&shape, &peek)?;
    }
    Ok(AsyncHooks::new(shape))
}

fn push_async_context() -> Result<(PushAsyncContext, Kind), Unsupported> {
    let found = PUSH.iter().find_map(|&(name, kind)| Some((symbols::find(name).ok()?, kind)));
    let (address, kind) = found.ok_or_else(|| {
        Unsupported::Because("node::AsyncHooks::push_async_context is not exported by this runtime".into())
    })?;
    // SAFETY: its mangled name spells the parameters: the object, two doubles, and one or two words (a variant of two
    // pointers is passed in two registers; where one word is expected, the second is ignored).
    Ok((unsafe { std::mem::transmute::<*mut c_void, PushAsyncContext>(address) }, kind))
}

/// Word of AsyncHooks in the environment. The scan may run past the environment into a stale copy: the first one counts, and
/// watching it proves that it lives.
fn place_of_hooks(words: &[u64], isolate: Isolate) -> Result<usize, Unsupported> {
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

/// The trigger id of the scopes.
const TRIGGER: f64 = 77.0;
/// Words behind AsyncHooks in which the scope depth is looked for.
const DEPTH_WITHIN: usize = 128;

/// What one look sees.
struct Look {
    fields: Vec<u32>,
    uids: [f64; UIDS],
    words: Vec<u64>,
}

/// Opens two callback scopes and looks at what follows; returns where the scope depth is.
unsafe fn watch(
    symbols: &Symbols,
    isolate: Isolate,
    shape: &Shape,
    peek: &Peek,
) -> Result<*mut u64, Unsupported> {
    let uid = |i| peek.word(shape.uids.wrapping_add(i) as usize).map_or(f64::NAN, f64::from_bits);
    let look = || {
        let fields = peek.words(shape.fields as usize, FIELDS.div_ceil(2)).unwrap_or_default();
        let fields: Vec<u32> =
            fields.iter().flat_map(|&two| [two as u32, (two >> 32) as u32]).take(FIELDS).collect();
        Look { fields, uids: std::array::from_fn(uid), words: peek.prefix(shape.object as usize, NEAR, 32) }
    };
    let (mut scope, mut resource) = (null_mut(), null_mut());
    let (mut outer, mut inner) = (CallbackScope::storage(), CallbackScope::storage());
    // SAFETY: public API in the order of C++ scopes, with a live object. The scope depth is held above one meanwhile, once it
    // is known, so that closing the outer scope does not run microtasks and ticks where none was open before.
    let (before, first, second, leads, after, depths) = unsafe {
        sys::napi_open_handle_scope(shape.env, &mut scope);
        sys::napi_create_object(shape.env, &mut resource);
        let object: Local = resource.cast();
        let before = look();
        (symbols.callback_scope_new)(&mut outer, isolate, object, 0.0, TRIGGER);
        let first = look();
        (symbols.callback_scope_new)(&mut inner, isolate, object, 0.0, TRIGGER);
        let second = look();
        let length = before.fields.get(STACK_LENGTH).copied().unwrap_or(0) as usize + 2;
        let leads = shape.resources.ends_with(length, *object as u64, peek);
        let counted = |i: &usize| {
            let start = before.words[*i];
            start < 1 << 20 && first.words[*i] == start + 1 && second.words[*i] == start + 2
        };
        // It is 528 to 792 bytes behind, in 20.20 to 26.10. What lies further away may be anybody's counter.
        let shortest = before.words.len().min(first.words.len()).min(second.words.len()).min(DEPTH_WITHIN);
        let depths: Vec<*mut u64> =
            (0..shortest).filter(counted).map(|i| shape.object.wrapping_add(i)).collect();
        if let &[depth] = depths.as_slice() {
            *depth += 1;
        }
        (symbols.callback_scope_drop)(&mut inner);
        (symbols.callback_scope_drop)(&mut outer);
        if let &[depth] = depths.as_slice() {
            *depth -= 1;
        }
        let after = look();
        sys::napi_close_handle_scope(shape.env, scope);
        (before, first, second, leads, after, depths)
    };
    let counting = |i: usize| {
        first.fields[i] == before.fields[i].wrapping_add(1)
            && second.fields[i] == before.fields[i].wrapping_add(2)
    };
    let looks = [&before, &first, &second, &after];
    ensure!(looks.iter().all(|look| look.fields.len() == FIELDS), "Node's async hook fields cannot be read");
    ensure!(
        (0..FIELDS).all(|i| counting(i) == (i == STACK_LENGTH)) && after.fields == before.fields,
        "Node's stack of async ids does not count callback scopes where it should"
    );
    ensure!(
        [&first, &second].map(|look| (look.uids[EXECUTION_ID], look.uids[TRIGGER_ID])) == [(0.0, TRIGGER); 2]
            && after.uids == before.uids,
        "Node's async ids are not where they should be"
    );
    ensure!(leads, "Node keeps the resources of callback scopes in an unknown way");
    ensure!(depths.len() == 1, "{} words behave like Node's callback scope depth", depths.len());
    Ok(depths[0])
}

/// Verifies where a JSArray's length is, and that Node's array of resources is one.
unsafe fn verify_arrays(shape: &Shape, peek: &Peek) -> Result<(), Unsupported> {
    let raw_length = |handle: usize| {
        let array = peek.word(handle)?;
        Some((peek.word(array as usize - 1 + ARRAY_LENGTH * 8)? >> 32) as u32)
    };
    let env = shape.env;
    let (mut scope, mut array, mut element) = (null_mut(), null_mut(), null_mut());
    // SAFETY: `env` is live; all handles end with the scope.
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
    let resources = peek.word(shape.object.wrapping_add(RESOURCES) as usize).unwrap_or(0);
    if resources != 0 {
        let (mut is_array, mut length) = (false, 0);
        // SAFETY: a Global's word is the address of a handle, as a `napi_value` is; `peek` has read through it.
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
