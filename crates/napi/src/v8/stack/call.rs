//! Entering JavaScript at the base of a stack, and terminating it.
//!
//! # Contract
//! - **base**: the running stack's state is in the isolate, with space for handles, and a context is entered.
//! - **api**: all functions that are called are V8's public API or Node-API, in the order of C++ scopes, on the isolate's thread.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::{NonNull, from_ref, null, null_mut};

use napi::sys;

use super::state::StackState;
use crate::v8::learn::layout::Layout;
use crate::v8::learn::symbols::{Isolate, Local, Symbols, TryCatch};

/// How a function came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It returned this.
    Returned(Local),
    /// It threw something.
    Threw,
    /// V8 is terminating JavaScript on this thread (`worker.terminate()`, `process.exit()` in a worker).
    Terminated,
}

/// The functions of one environment that are called at the base of a stack.
pub(crate) struct Calls {
    /// The function that each greenlet begins with.
    pub(crate) entry: Cell<sys::napi_ref>,
    /// A function that calls what is in `action`; null until it is first needed.
    caller: Cell<sys::napi_ref>,
    action: Cell<Option<*mut dyn FnMut()>>,
}

impl Calls {
    pub(crate) fn new() -> Calls {
        Calls { entry: Cell::new(null_mut()), caller: Cell::new(null_mut()), action: Cell::new(None) }
    }

    /// Terminates JavaScript on the running stack at once: requests it, then enters JavaScript, whose first stack check obeys.
    ///
    /// # Safety
    /// The contract's clauses **base** and **api**; nothing of ours lies between this call and the JavaScript that is to end.
    #[cold]
    pub(crate) unsafe fn terminate(&self, v8: &Layout) {
        // SAFETY: the contract's clause **api**. The entry function itself never runs: the stack check in its prologue throws
        // first.
        unsafe {
            (v8.symbols.terminate)(v8.isolate);
            enter(v8, self.entry.get());
        }
    }

    /// Calls `action` in a native callback, from the base of a stack. At a base, a TryCatch in other code makes V8 forget that it is
    /// terminating JavaScript (`~TryCatch`, api.cc: where no call is below it); in a callback V8 remembers it. Returns whether
    /// `action` was called: it is not where V8 allows no more calls.
    ///
    /// # Safety
    /// The contract's clauses **base** and **api**. This object stays where it is as long as the environment.
    pub(crate) unsafe fn in_callback(&self, v8: &Layout, mut action: impl FnMut()) -> bool {
        let env = v8.env;
        let mut done = false;
        let mut noted = || {
            done = true;
            action();
        };
        let noted: &mut dyn FnMut() = &mut noted;
        // SAFETY: the contract's clause **api**. The callback takes `action` out of its cell during the call, so the pointer does
        // not outlive the closure; and this object outlives the environment's functions.
        unsafe {
            let mut scope = null_mut();
            sys::napi_open_handle_scope(env, &mut scope);
            if self.caller.get().is_null() {
                let (mut function, mut reference) = (null_mut(), null_mut());
                let data = from_ref(self).cast_mut().cast();
                sys::napi_create_function(env, null(), 0, Some(act_in_callback), data, &mut function);
                sys::napi_create_reference(env, function, 1, &mut reference);
                self.caller.set(reference);
            }
            let noted: *mut (dyn FnMut() + '_) = noted;
            self.action.set(Some(std::mem::transmute::<*mut (dyn FnMut() + '_), *mut dyn FnMut()>(noted)));
            if !self.caller.get().is_null() {
                call(v8, self.caller.get());
            }
            self.action.set(None);
            sys::napi_close_handle_scope(env, scope);
        }
        done
    }
}

unsafe extern "C" fn act_in_callback(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut data: *mut c_void = null_mut();
    // SAFETY: `info` is this callback's own, and `data` is the object of `in_callback`. The action is alive until the call is over.
    unsafe {
        sys::napi_get_cb_info(env, info, null_mut(), null_mut(), null_mut(), &mut data);
        if let Some(action) = (*data.cast::<Calls>()).action.take() {
            (*action)();
        }
    }
    null_mut()
}

/// Calls `function` without arguments. V8 ends a termination at the outermost call of a stack unless there is a TryCatch around
/// it: without one, it would be lost at a greenlet's base.
///
/// # Safety
/// The contract's clauses **base** and **api**; `function` is a strong reference of the environment.
pub(crate) unsafe fn call(v8: &Layout, function: sys::napi_ref) -> Outcome {
    // SAFETY: the caller's clauses.
    unsafe { call_in(&mut TryCatch::storage(), v8, function) }
}

/// The same for a greenlet's own JavaScript: notes in the running stack's state where the TryCatch is.
///
/// # Safety
/// The contract's clauses **base** and **api**; `function` is a strong reference of the environment, and `vm` is the running stack's
/// state, which stays at its address.
pub(crate) unsafe fn call_at_base(v8: &Layout, function: sys::napi_ref, vm: NonNull<StackState>) -> Outcome {
    let mut guard = TryCatch::storage();
    // SAFETY: the caller's clauses. No JavaScript runs before the call, so no reference to the state is needed during it.
    unsafe {
        let distance = (*vm.as_ptr()).stack.base.wrapping_sub((&raw const guard) as usize);
        (*vm.as_ptr()).guard = u16::try_from(distance).unwrap_or(0);
        call_in(&mut guard, v8, function)
    }
}

/// # Safety
/// As for [`call`]; `guard` is on the running stack.
#[inline(always)]
unsafe fn call_in(guard: &mut TryCatch, v8: &Layout, function: sys::napi_ref) -> Outcome {
    // SAFETY: the contract's clause **api**; the TryCatch is dropped before its storage.
    unsafe {
        (v8.symbols.try_catch_new)(guard, v8.isolate);
        let result = enter(v8, function);
        let terminated = (v8.symbols.has_terminated)(guard);
        (v8.symbols.try_catch_drop)(guard);
        match (result.is_null(), terminated) {
            (false, _) => Outcome::Returned(result),
            (true, true) => Outcome::Terminated,
            (true, false) => Outcome::Threw,
        }
    }
}

/// Where V8 has begun to terminate JavaScript in a call that C++ made and that has returned, and nothing of ours is to be unwound
/// for it: requests the termination again, for the next JavaScript on this thread.
///
/// # Safety
/// The contract's clause **api**; in a native callback, after the call.
pub(crate) unsafe fn put_off_termination(symbols: &Symbols, isolate: Isolate) {
    // SAFETY: the contract's clause **api**.
    unsafe {
        if (symbols.is_terminating)(isolate) {
            (symbols.cancel_terminate)(isolate);
            (symbols.terminate)(isolate);
        }
    }
}

/// Calls `function` without a TryCatch. Returns null where it did not return.
///
/// # Safety
/// The contract's clauses **base** and **api**; `function` is a strong reference of the environment.
unsafe fn enter(v8: &Layout, function: sys::napi_ref) -> Local {
    let mut handle = null_mut();
    // SAFETY: the contract's clauses **base** and **api**: the call's handles go to the running stack's own block.
    unsafe {
        let status = sys::napi_get_reference_value(v8.env, function, &mut handle);
        debug_assert_eq!(status, sys::Status::napi_ok);
        let context = (v8.symbols.current_context)(v8.isolate);
        (v8.symbols.call)(handle.cast(), context, handle.cast(), 0, null())
    }
}

/// Throws `error`, with a message of V8's that names the place where the error's own stack begins. V8 gives an error that is thrown a
/// message with the place of the running JavaScript, except to one that a TryCatch throws on. So the error is thrown into a TryCatch,
/// and the message there is replaced.
///
/// # Safety
/// The contract's clause **api**, in a native callback with a HandleScope, which returns without calling V8 again.
pub(crate) unsafe fn throw_from_its_origin(v8: &Layout, error: Local) {
    let Symbols { try_catch_new, try_catch_drop, throw, message, rethrow, create_message, .. } = v8.symbols;
    let mut guard = TryCatch::storage();
    // SAFETY: the contract's clause **api**; the TryCatch is dropped before its storage. A handle is the address of a tagged word. The
    // one word of the TryCatch that equals the message's is that of its message, which the collector visits and updates as it does the
    // message's handle; no collection is between the comparison and the write, and both are messages.
    unsafe {
        let wanted = create_message(v8.isolate, error);
        try_catch_new(&mut guard, v8.isolate);
        throw(v8.isolate, error);
        let given = message(&guard);
        if !given.is_null() && !wanted.is_null() {
            guard.replace(*given, *wanted);
        }
        rethrow(&mut guard);
        try_catch_drop(&mut guard);
    }
}
