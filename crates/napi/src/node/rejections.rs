//! Decides which rejected promises Node is told about: a GreenletExit that an async function has caught is not an unhandled
//! rejection.
//!
//! V8 calls one function of the isolate for each promise that is rejected before it has a handler. Node's function collects these
//! promises, and reports them as `--unhandled-rejections` says when the promise jobs have run. So [`install`] puts a function before
//! Node's: it asks JavaScript whether to keep the reason of each such promise from Node, and calls Node's function for all others. It
//! runs only when a promise without a handler is rejected.
//!
//! | fact | source | verified by |
//! |---|---|---|
//! | Node's function is the exported `node::PromiseRejectCallback` | `SetIsolateMiscHandlers`, api/environment.cc (Node 20 to 26) | a word of the isolate holds its address, and `SetPromiseRejectCallback` replaces exactly that word |
//! | a `PromiseRejectMessage` is three words: promise, event, value | v8-promise.h (V8 11.3 to 14.6); the class can be copied trivially, and is larger than 16 bytes, so C++ and Rust pass it in the same way | disassembly of `node::PromiseRejectCallback`; `__test__/quiet-exits.spec.ts` |
//!
//! # Contract
//! - **callback**: the call is made on the environment's thread, in a native callback, or by V8 in the middle of JavaScript. A
//!   HandleScope is open.

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::mem::transmute;
use std::ptr::null_mut;
use std::sync::OnceLock;

use napi::sys;

use crate::v8::learn::layout::Layout;
use crate::v8::learn::peek::Peek;
use crate::v8::learn::symbols::{Isolate, Local, find};

/// `v8::PromiseRejectMessage` (v8-promise.h).
#[repr(C)]
#[derive(Clone, Copy)]
struct Message {
    promise: Local,
    event: c_int,
    value: Local,
}

/// `v8::kPromiseRejectWithNoHandler`, the first of `PromiseRejectEvent` (v8-promise.h).
const WITH_NO_HANDLER: c_int = 0;

/// `v8::PromiseRejectCallback`.
type Callback = unsafe extern "C" fn(Message);
/// `v8::Isolate::SetPromiseRejectCallback(callback)`.
type SetCallback = unsafe extern "C" fn(Isolate, Callback);

/// Node's functions, which are the same for all threads.
struct Functions {
    node: Callback,
    set: SetCallback,
    current_isolate: unsafe extern "C" fn() -> Isolate,
}

static FUNCTIONS: OnceLock<Functions> = OnceLock::new();

/// The function of one environment that says whether a reason is kept from Node.
#[derive(Clone, Copy)]
struct Filter {
    isolate: Isolate,
    env: sys::napi_env,
    keeps: sys::napi_ref,
}

thread_local! {
    static FILTERS: RefCell<Vec<Filter>> = const { RefCell::new(Vec::new()) };
}

/// Asks the function `keeps` about the reason of each promise that is rejected without a handler. Node is not told about those for
/// which it returns true. Returns false, and changes nothing, if another callback than Node's is in use.
///
/// # Safety
/// The contract's clause **callback**; `keeps` is a strong reference of the environment. [`remove`] is called before the environment
/// has ended.
pub(crate) unsafe fn install(v8: &Layout, keeps: sys::napi_ref) -> bool {
    let (Ok(node), Ok(set)) = (
        find(c"_ZN4node21PromiseRejectCallbackEN2v820PromiseRejectMessageE"),
        find(c"_ZN2v87Isolate24SetPromiseRejectCallbackEPFvNS_20PromiseRejectMessageEE"),
    ) else {
        return false;
    };
    // SAFETY: the mangled names spell the parameter types, and v8-promise.h and v8-isolate.h declare no result.
    let functions = FUNCTIONS.get_or_init(|| unsafe {
        Functions {
            node: transmute::<*mut c_void, Callback>(node),
            set: transmute::<*mut c_void, SetCallback>(set),
            current_isolate: v8.symbols.current_isolate,
        }
    });
    let (node, ours) = (functions.node as usize as u64, on_rejection as *const () as usize as u64);
    let filter = Filter { isolate: v8.isolate, env: v8.env, keeps };
    let shared = FILTERS.with_borrow(|filters| filters.iter().any(|other| other.isolate == v8.isolate));
    if !shared {
        let Ok(peek) = Peek::new() else { return false };
        let words = || peek.isolate(v8.isolate, v8.facts);
        let before = words();
        if !before.contains(&node) {
            return false;
        }
        // SAFETY: public API, on the isolate's thread.
        unsafe { (functions.set)(v8.isolate, on_rejection) };
        let after = words();
        let replaced = |(was, is): (&u64, &u64)| *was == node && *is == ours;
        if before.iter().zip(&after).filter(|&pair| replaced(pair)).count() != 1 {
            // V8 called another function until now, which is unknown. Without a filter, ours does what Node's function does.
            return false;
        }
    }
    FILTERS.with_borrow_mut(|filters| filters.push(filter));
    true
}

/// The environment of `env` is ending: from now on Node is told about every rejection.
///
/// # Safety
/// The environment is live, on this thread.
pub(crate) unsafe fn remove(env: sys::napi_env) {
    let isolate = FILTERS.with_borrow_mut(|filters| {
        let index = filters.iter().position(|filter| filter.env == env)?;
        let isolate = filters.swap_remove(index).isolate;
        (!filters.iter().any(|other| other.isolate == isolate)).then_some(isolate)
    });
    let (Some(isolate), Some(functions)) = (isolate, FUNCTIONS.get()) else { return };
    // SAFETY: public API, on the isolate's thread; the isolate outlives its environments.
    unsafe { (functions.set)(isolate, functions.node) };
}

unsafe extern "C" fn on_rejection(message: Message) {
    // `install` has found the functions before V8 knew this one.
    let Some(functions) = FUNCTIONS.get() else { return };
    // SAFETY: V8 calls this on the isolate's thread, with live handles.
    unsafe {
        if message.event == WITH_NO_HANDLER && is_kept((functions.current_isolate)(), message.value) {
            return;
        }
        (functions.node)(message);
    }
}

/// # Safety
/// The contract's clause **callback**; `reason` is a handle, or null.
unsafe fn is_kept(isolate: Isolate, reason: Local) -> bool {
    // The function may make an environment end, so nothing is borrowed during the call.
    let filter =
        FILTERS.with_borrow(|filters| filters.iter().find(|filter| filter.isolate == isolate).copied());
    let Some(Filter { env, keeps, .. }) = filter else { return false };
    if reason.is_null() {
        return false;
    }
    let (mut scope, mut function, mut receiver, mut result) =
        (null_mut(), null_mut(), null_mut(), null_mut());
    let mut is_kept = false;
    // SAFETY: the contract's clause **callback**. The environment is live: `remove` is called before its end. A Local is a
    // `napi_value` (js_native_api_v8.h, `JsValueFromV8LocalValue`). Where Node allows no JavaScript, the call fails.
    unsafe {
        sys::napi_open_handle_scope(env, &mut scope);
        sys::napi_get_reference_value(env, keeps, &mut function);
        sys::napi_get_undefined(env, &mut receiver);
        let argument: sys::napi_value = reason.cast();
        let status = sys::napi_call_function(env, receiver, function, 1, &argument, &mut result);
        if status == sys::Status::napi_ok {
            sys::napi_get_value_bool(env, result, &mut is_kept);
        } else {
            // The stack has overflowed, or V8 is terminating JavaScript. The same will happen in Node's function.
            let mut error = null_mut();
            sys::napi_get_and_clear_last_exception(env, &mut error);
        }
        sys::napi_close_handle_scope(env, scope);
    }
    is_kept
}
