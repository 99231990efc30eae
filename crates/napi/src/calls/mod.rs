//! What JavaScript calls once it is attached: plain Node-API callbacks, because a switch must not pay for conversions.
//!
//! | file | what it does |
//! |---|---|
//! | `callback` | what all of them begin with: the thread, the arguments |
//! | `switch` | leaving the running stack, the one call that is made often |
//! | `questions` | reading a stack, its context and its size; settings |

pub(crate) mod callback;
mod questions;
pub(crate) mod switch;

use std::ptr::null_mut;

use greenlets_core::raw::Thread;
use napi::sys;

use crate::v8_host::V8Host;

/// Makes the object with the native functions of one thread, which becomes the environment's instance data: a switch reads that
/// faster than a callback's own data.
///
/// # Safety
/// `env` is live on this thread, and `thread` outlives every call: the environment's cleanup hook drops it, after which no
/// JavaScript runs.
pub(crate) unsafe fn functions(env: sys::napi_env, thread: &Thread<V8Host>) -> sys::napi_value {
    let mut object = null_mut();
    // SAFETY: the caller promises a live environment; names are C strings.
    unsafe {
        sys::napi_create_object(env, &mut object);
        callback::remember(env, thread);
        let all: [(_, unsafe extern "C" fn(_, _) -> _); 19] = [
            (c"switch", switch::switch),
            (c"start", switch::start),
            (c"frame", questions::frame),
            (c"frameWord", questions::frame_word),
            (c"setContext", questions::set_context),
            (c"underFrame", questions::under_frame),
            (c"capture", questions::capture),
            (c"sites", questions::sites),
            (c"stackIsNative", questions::stack_is_native),
            (c"restoreStack", questions::restore_stack),
            (c"scriptIds", questions::script_ids),
            (c"epoch", questions::epoch),
            (c"lastResumed", questions::last_resumed),
            (c"stackSize", questions::stack_size),
            (c"isInside", questions::is_inside),
            (c"setCaptureRealm", questions::set_capture_realm),
            (c"findAddons", questions::find_addons),
            (c"filterRejections", questions::filter_rejections),
            (c"clearAsyncIds", questions::clear_async_ids),
        ];
        for (name, callback) in all {
            let mut function = null_mut();
            sys::napi_create_function(env, name.as_ptr(), -1, Some(callback), null_mut(), &mut function);
            sys::napi_set_named_property(env, object, name.as_ptr(), function);
        }
    }
    object
}
