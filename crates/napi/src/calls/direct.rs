//! Callbacks that V8 calls without Node-API between, for the calls of every switch.
//!
//! ```text
//!   JavaScript ─► V8's API builtin ─► Node's wrapper ─► Node-API's checks ─► callback.rs        6 ns for an empty function
//!   JavaScript ─► V8's API builtin ─► direct.rs                                                 4 ns
//! ```
//!
//! Such a callback gets no environment. It finds its thread in a thread-local word, so the word belongs to one environment: the first
//! of an operating system's thread. Embedders may have more, and theirs use Node-API. So does this one where V8 does not export the
//! functions, or where a trial call fails.
//!
//! # Contract
//! - **callback**: V8 calls these functions on the isolate's thread, in a HandleScope.
//! - **claim**: `Claim::thread` is null or leads to the [`Thread`] of the claiming environment, which is alive as long as the word is
//!   not null. Only functions of that environment are direct.
//! - **status**: `Claim::status` leads to a number that is alive whenever a direct function is called: during a trial call the trial's
//!   own, and later one of the mail's array, which the JavaScript that calls these functions holds.

use std::cell::Cell;
use std::ptr::{from_ref, null, null_mut, without_provenance_mut};

use greenlets_core::raw::Thread;
use napi::sys;

use crate::mail::Status;
use crate::v8::learn::peek::Peek;
use crate::v8::learn::symbols::{Local, Symbols, new_direct_function};
use crate::v8::stack::call::put_off_termination;
use crate::v8_host::V8Host;

/// A `v8::FunctionCallback`.
pub(super) type DirectCallback = unsafe extern "C" fn(*const Info);

/// Which environment has direct functions on this thread.
struct Claim {
    /// Null before the first claim, [`RETIRED`] after that environment's end.
    env: Cell<sys::napi_env>,
    thread: Cell<*const Thread<V8Host>>,
    /// Where a call says that there is no thread.
    status: Cell<*mut i32>,
}

/// No environment has this address.
const RETIRED: sys::napi_env = without_provenance_mut(usize::MAX);

thread_local! {
    static CLAIM: Claim = const {
        Claim { env: Cell::new(null_mut()), thread: Cell::new(null()), status: Cell::new(null_mut()) }
    };
}

/// Whether the direct functions of this operating system's thread belong to `env`, of which this is the thread of greenlets. They do
/// where no other environment was here before.
///
/// # Safety
/// `env` is live on this thread, and `thread` outlives every call of a direct function until [`retire`].
pub(super) unsafe fn claim(env: sys::napi_env, thread: &Thread<V8Host>) -> bool {
    CLAIM.with(|claim| {
        if claim.env.get().is_null() {
            claim.env.set(env);
        }
        let is_own = claim.env.get() == env;
        if is_own {
            claim.thread.set(from_ref(thread));
        }
        is_own
    })
}

/// The thread of `env` is about to be dropped: calls from now on say in the mail that it is gone.
pub(super) fn retire(env: sys::napi_env) {
    CLAIM.with(|claim| {
        if claim.env.get() != env {
            return;
        }
        claim.env.set(RETIRED);
        // SAFETY: the contract's clause **claim**: the thread is about to be dropped.
        if let Some(thread) = unsafe { claim.thread.replace(null()).as_ref() } {
            claim.status.set(thread.host().mail.status_address());
        }
    });
}

/// The thread behind a direct callback. `None`, with a status in the mail, once the environment was torn down.
///
/// # Safety
/// The contract's clauses **callback** and **claim**.
#[inline(always)]
pub(super) unsafe fn thread_here<'a>() -> Option<&'a Thread<V8Host>> {
    // SAFETY: the contract's clause **claim**.
    let thread = unsafe { CLAIM.with(|claim| claim.thread.get()).as_ref() };
    if thread.is_none() {
        say_gone();
    }
    thread
}

#[cold]
fn say_gone() {
    CLAIM.with(|claim| {
        // SAFETY: the contract's clause **status**.
        if let Some(status) = unsafe { claim.status.get().as_mut() } {
            *status = Status::Gone as i32;
        }
    });
}

/// What V8 passes to a callback: the words of a `v8::FunctionCallbackInfo` (v8-function-callback.h).
///
/// ```text
///   to 13.6    | implicit | arguments ─► first, second, ... | count |          [APART]
///   14.6       | count | ... | 10: first | second | ...                        [FLAT]
/// ```
pub(super) type Info = u64;

/// The info has the address of the arguments.
pub(super) const APART: bool = false;
/// The arguments are in the info itself.
pub(super) const FLAT: bool = true;
/// Where they begin there.
const FIRST_ARGUMENT: usize = 10;

/// The place of the first argument, which is a handle, and how many there are. The others follow it.
///
/// # Safety
/// `info` is the running callback's own, and has this shape.
#[inline(always)]
unsafe fn arguments_in<const SHAPE: bool>(info: *const Info) -> (*mut usize, usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match SHAPE {
            APART => (*info.add(1) as *mut usize, *info.add(2) as u32 as usize),
            FLAT => (info.add(FIRST_ARGUMENT).cast_mut().cast(), *info as usize),
        }
    }
}

/// The first arguments of a direct callback, as handles; null for those that were not given.
///
/// # Safety
/// The contract's clause **callback**; `info` is the callback's own, and [`passes_arguments`] was true of this shape.
#[inline(always)]
pub(super) unsafe fn arguments_of<const SHAPE: bool, const N: usize>(
    info: *const Info,
) -> [sys::napi_value; N] {
    // SAFETY: the caller's promise; places behind the last argument are not used.
    unsafe {
        let (first, count) = arguments_in::<SHAPE>(info);
        std::array::from_fn(|i| if i < count { first.add(i).cast() } else { null_mut() })
    }
}

/// Two small integers, and the words by which V8 stands for them (Smi, without pointer compression).
const TRIAL: [i32; 2] = [0x1234_5678, 0x0f1e_2d3c];
const TRIAL_WORDS: [u64; 2] = [(TRIAL[0] as u64) << 32, (TRIAL[1] as u64) << 32];

/// Whether V8 passes the arguments of a callback in this shape: a trial callback gets [`TRIAL`].
///
/// # Safety
/// In a native callback of `env` on the isolate's thread, with a context entered.
pub(super) unsafe fn passes_arguments<const SHAPE: bool>(env: sys::napi_env, symbols: &Symbols) -> bool {
    let mut arguments = [null_mut(); 2];
    // SAFETY: the caller's promise; the handles go to the callback's own scope.
    unsafe {
        for (number, handle) in TRIAL.into_iter().zip(&mut arguments) {
            sys::napi_create_int32(env, number, handle);
        }
        tried(symbols, find_arguments::<SHAPE>, &arguments.map(<*mut _>::cast)).is_some()
    }
}

/// The trial callback. It trusts no word of `info`.
unsafe extern "C" fn find_arguments<const SHAPE: bool>(info: *const Info) {
    let Ok(peek) = Peek::new() else { return };
    let Some(words) = peek.words(info as usize, FIRST_ARGUMENT) else { return };
    // SAFETY: `words` are as many as are read of an info.
    let (first, count) = unsafe { arguments_in::<SHAPE>(words.as_ptr()) };
    let first = if SHAPE == FLAT { info.wrapping_add(FIRST_ARGUMENT) as usize } else { first as usize };
    if count == TRIAL.len() && peek.words(first, TRIAL.len()).as_deref() == Some(&TRIAL_WORDS) {
        say_gone();
    }
}

/// A function of V8 that calls `callback`, once a trial call without a thread has said that the thread is gone.
///
/// # Safety
/// In a native callback on the isolate's thread, with a context entered. The arguments are handles of it.
pub(super) unsafe fn tried(
    symbols: &Symbols,
    callback: DirectCallback,
    arguments: &[Local],
) -> Option<sys::napi_value> {
    let mut status = Status::Ok as i32;
    // SAFETY: the caller's promise for V8's API. `status` outlives the call, and is in the claim only meanwhile.
    unsafe {
        let isolate = (symbols.current_isolate)();
        if (symbols.is_terminating)(isolate) {
            // The set-up ends with it, if no call makes V8 forget it.
            return None;
        }
        let context = (symbols.current_context)(isolate);
        let function = new_direct_function(isolate, context, callback).ok()?;
        let (thread, before) =
            CLAIM.with(|claim| (claim.thread.replace(null()), claim.status.replace(&raw mut status)));
        let result = (symbols.call)(function, context, function, arguments.len() as i32, arguments.as_ptr());
        // A termination that came during the trial is meant for the caller's JavaScript.
        put_off_termination(symbols, isolate);
        CLAIM.with(|claim| {
            claim.thread.set(thread);
            claim.status.set(before);
        });
        (!result.is_null() && status == Status::Gone as i32).then_some(function.cast())
    }
}
