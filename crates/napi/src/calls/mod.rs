//! What JavaScript calls once it is attached: plain Node-API callbacks, because a switch must not pay for conversions.
//!
//! | file | what it does |
//! |---|---|
//! | `callback` | what all of them begin with: the thread, the arguments |
//! | `direct` | the same, without Node-API between V8 and the function |
//! | `switch` | leaving the running stack, the one call that is made often |
//! | `rest` | the end of a greenlet, of which the stack takes the next one |
//! | `questions` | reading a stack, its context and its size; settings |
//! | `inspect` | a call above a suspended stack, for the debugger |
//! | `weak` | weak references, which tell in the same job what was collected |
//! | `errors` | throwing an error of another stack |
//!
//! [`Native`] is the list of them, with the types that `js/` compiles against: napi-rs writes js/native/binding.d.cts of it.
#![allow(unreachable_pub, reason = "napi-derive requires the struct and its fields to be public")]

pub(crate) mod callback;
mod direct;
mod errors;
mod inspect;
mod questions;
mod rest;
pub(crate) mod switch;
mod weak;

use greenlets_core::raw::Thread;
use napi::sys;
use napi_derive::napi;

use crate::v8_host::V8Host;
use callback::{Callback, Direct};
use direct::{APART, DirectCallback, FLAT};

/// The functions of this thread's connection to the addon. Arguments and small results are in the mail (see `MailIndex`).
#[napi(object, object_from_js = false)]
pub struct Native {
    /// Runs the stack in `TARGET_*`. Returns when another stack switches back, or at once with a `Status`. The only function that
    /// every switch calls.
    #[napi(readonly, ts_type = "() => void")]
    pub switch: Direct,
    /// As `switch`, but runs a new stack, in an async context: its resource, its frame and, in the mail, its ids.
    #[napi(readonly, ts_type = "(resource: object, frame: unknown) => void")]
    pub start: Direct,
    /// As `switch`, for a greenlet that has ended. Returns when `start` has given the stack to a new greenlet, of which the id is in
    /// `SELF_*`; or at once with a `Status`, where the stack must end.
    #[napi(readonly, ts_type = "() => void")]
    pub rest: Direct,
    /// The frame in which the stack in `SUBJECT_*` runs, as it is now.
    #[napi(readonly, ts_type = "() => unknown")]
    pub frame: Callback,
    /// The word in which V8 keeps the running stack's frame, to be read only; undefined where it keeps none.
    #[napi(readonly, ts_type = "() => ArrayBuffer | undefined")]
    pub frame_word: Callback,
    /// Gives the stack in `SUBJECT_*` another context. Where `index` is given, it shares the frame of that stack.
    #[napi(
        readonly,
        ts_type = "(resource: object, frame: unknown, index?: number, generation?: number) => void"
    )]
    pub set_context: Callback,
    /// Calls `fn` in the frame.
    #[napi(readonly, ts_type = "(frame: object | undefined, fn: () => unknown) => unknown")]
    pub under_frame: Callback,
    /// A borrowed capture of the suspended stack in `SUBJECT_*`, innermost frame first; undefined where it is not suspended.
    #[napi(readonly, ts_type = "() => Error | undefined")]
    pub capture: Callback,
    /// A number that all suspended stacks with the same frames have, until the next collection; 0 where the frames of the stack in
    /// `SUBJECT_*` must be captured to compare them. Takes less than a microsecond.
    #[napi(readonly, ts_type = "() => number")]
    pub frames_number: Callback,
    /// The `stack` of an error that `capture` has made: the frames, even in the middle of a `prepareStackTrace`; a string where too
    /// little stack is left for V8 to make frames.
    #[napi(readonly, ts_type = "(error: Error, getStack: (() => unknown) | undefined) => unknown")]
    pub sites: Callback,
    /// On Node.js 20, whether V8 or native code reads `stack` of this object itself, which must not be a Proxy. Also true where it is
    /// an accessor of JavaScript. False on other versions.
    #[napi(readonly, ts_type = "(error: object) => boolean")]
    pub stack_is_native: Callback,
    /// On Node.js 20, makes `stack` of this object V8's own again, if it is configurable. It must not be a Proxy.
    #[napi(readonly, ts_type = "(error: object) => void")]
    pub restore_stack: Callback,
    /// The script ids of those of its frames that have one, innermost first. Costs another stack walk.
    #[napi(readonly, ts_type = "() => Int32Array | undefined")]
    pub script_ids: Callback,
    /// Calls `fn` as if the suspended stack in `SUBJECT_*` had called it. `fn` cannot switch and must not throw. A pause of the debugger in
    /// it does not wait. The objects of its frames become elements of `objects`, and the pause calls each by its number, as the `subtype`.
    /// Returns a `Status`: `Gone` where the stack is not suspended; or -1 where the inspector of this runtime is not known.
    #[napi(readonly, ts_type = "(fn: () => void, objects: object) => number")]
    pub call_above: Callback,
    /// Whether a session of the inspector has the debugger enabled.
    #[napi(readonly, ts_type = "() => boolean")]
    pub debugger_is_active: Callback,
    /// Whether an object is the global object of a realm. False for all objects until `callAbove` has known the inspector. It must not be
    /// a Proxy.
    #[napi(readonly, ts_type = "(object: object) => boolean")]
    pub is_global: Callback,
    /// A number that changes each time the stack in `SUBJECT_*` is resumed; -1 once it has ended.
    #[napi(readonly, ts_type = "() => number")]
    pub epoch: Callback,
    /// The place of the stack in `SUBJECT_*` in the order in which stacks were last resumed, and so suspended; -1 once it has
    /// ended.
    #[napi(readonly, ts_type = "() => number")]
    pub last_resumed: Callback,
    /// The bytes that the stack in `SUBJECT_*` takes while it is suspended; 0 where it is not.
    #[napi(readonly, ts_type = "() => number")]
    pub stack_size: Callback,
    /// Whether the stack in `SUBJECT_*` is suspended in a call of the library that was loaded from a file of this name. For
    /// debugging: it reads the whole stack. False for main.
    #[napi(readonly, ts_type = "(fileName: string) => boolean")]
    pub is_inside: Callback,
    /// Sets the realm in which `capture` makes its errors, by a function of that realm.
    #[napi(readonly, ts_type = "(fn: () => void) => void")]
    pub set_capture_realm: Callback,
    /// Must be called after an add-on was loaded.
    #[napi(readonly, ts_type = "() => void")]
    pub find_addons: Callback,
    /// From now on Node is not told about a promise that is rejected with a reason for which `keeps` returns true. False where this
    /// runtime does not allow it.
    #[napi(readonly, ts_type = "(keeps: (reason: unknown) => boolean) => boolean")]
    pub filter_rejections: Callback,
    /// Empties Node's stack of async ids, as Node does after an uncaught exception that was handled.
    #[napi(readonly, ts_type = "() => void")]
    pub clear_async_ids: Callback,
    /// Throws an error so that V8 says, where nothing catches it, that it was thrown where its own stack begins.
    #[napi(readonly, ts_type = "(error: unknown) => never")]
    pub throw_from_origin: Callback,
    /// Makes a weak reference, and returns its number; -1 where there is no memory for it.
    #[napi(readonly, ts_type = "(object: object) => number")]
    pub hold_weakly: Callback,
    /// The object of a weak reference; undefined where it was freed.
    #[napi(readonly, ts_type = "(place: number) => object | undefined")]
    pub weakly_held: Callback,
    /// Deletes a weak reference.
    #[napi(readonly, ts_type = "(place: number) => void")]
    pub release: Callback,
    /// The number of a weak reference of which the object was freed. Each call goes on behind the one before; -1 is the end of them.
    #[napi(readonly, ts_type = "() => number")]
    pub collected: Callback,
}

impl Native {
    /// Makes `thread` the environment's instance data: a switch reads that faster than a callback's own data.
    ///
    /// # Safety
    /// `env` is live on this thread, and `thread` outlives every call: the environment's cleanup hook drops it, after which no
    /// JavaScript runs.
    pub(crate) unsafe fn of(env: sys::napi_env, thread: &Thread<V8Host>) -> Native {
        // SAFETY: the caller promises a live environment.
        let is_first = unsafe { callback::remember(env, thread) };
        let symbols = thread.host().v8.layout.symbols;
        // SAFETY: the caller promises a live environment, in a native callback of it.
        let start = unsafe {
            match is_first {
                true if direct::passes_arguments::<APART>(env, &symbols) => {
                    Some(switch::start_directly::<APART> as DirectCallback)
                }
                true if direct::passes_arguments::<FLAT>(env, &symbols) => {
                    Some(switch::start_directly::<FLAT> as DirectCallback)
                }
                _ => None,
            }
        };
        Native {
            switch: Direct {
                direct: is_first.then_some(switch::switch_directly),
                otherwise: Callback(c"switch", switch::switch),
                symbols,
            },
            start: Direct { direct: start, otherwise: Callback(c"start", switch::start), symbols },
            rest: Direct {
                direct: is_first.then_some(rest::rest_directly),
                otherwise: Callback(c"rest", rest::rest),
                symbols,
            },
            frame: Callback(c"frame", questions::frame),
            frame_word: Callback(c"frameWord", questions::frame_word),
            set_context: Callback(c"setContext", questions::set_context),
            under_frame: Callback(c"underFrame", questions::under_frame),
            capture: Callback(c"capture", questions::capture),
            frames_number: Callback(c"framesNumber", questions::frames_number),
            sites: Callback(c"sites", questions::sites),
            stack_is_native: Callback(c"stackIsNative", questions::stack_is_native),
            restore_stack: Callback(c"restoreStack", questions::restore_stack),
            script_ids: Callback(c"scriptIds", questions::script_ids),
            call_above: Callback(c"callAbove", inspect::call_above),
            debugger_is_active: Callback(c"debuggerIsActive", inspect::debugger_is_active),
            is_global: Callback(c"isGlobal", inspect::is_global),
            epoch: Callback(c"epoch", questions::epoch),
            last_resumed: Callback(c"lastResumed", questions::last_resumed),
            stack_size: Callback(c"stackSize", questions::stack_size),
            is_inside: Callback(c"isInside", questions::is_inside),
            set_capture_realm: Callback(c"setCaptureRealm", questions::set_capture_realm),
            find_addons: Callback(c"findAddons", questions::find_addons),
            filter_rejections: Callback(c"filterRejections", questions::filter_rejections),
            clear_async_ids: Callback(c"clearAsyncIds", questions::clear_async_ids),
            throw_from_origin: Callback(c"throwFromOrigin", errors::throw_from_origin),
            hold_weakly: Callback(c"holdWeakly", weak::hold_weakly),
            weakly_held: Callback(c"weaklyHeld", weak::weakly_held),
            release: Callback(c"release", weak::release),
            collected: Callback(c"collected", weak::collected),
        }
    }
}
