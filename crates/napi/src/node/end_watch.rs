//! Noticing that an environment is ending, while Node has not deleted its objects yet.
//!
//! `Environment::RunCleanup` (env.cc) does this, in this order:
//!
//! ```text
//!   set_stopping   no JavaScript from now on
//!   CleanupHandles ─► uv_run ─► our uv_prepare_t ─► here     handles are closing, all objects exist
//!                          └──► their close callbacks        sockets, ports and pipes are deleted
//!   RunCleanup of the realm                                  all other objects are deleted
//!   cleanup hooks ─► `environment.rs`, `clean_up`            too late to return to C++ of Node
//! ```

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use napi::sys;

use crate::v8::learn::symbols::{Symbols, UvCallback};

/// `UV_PREPARE` (uv.h, `UV_HANDLE_TYPE_MAP`).
const PREPARE: c_int = 9;

/// A handle in the environment's loop. It does not keep the loop alive.
pub(crate) struct EndWatch {
    handle: *mut c_void,
    close: unsafe extern "C" fn(*mut c_void, UvCallback),
}

impl EndWatch {
    /// Calls `on_turn` in each turn of the loop of `env`; `None` where it has no loop, or one that takes no handle.
    ///
    /// # Safety
    /// `env` is live on this thread.
    pub(crate) unsafe fn start(
        symbols: &Symbols,
        env: sys::napi_env,
        on_turn: UvCallback,
    ) -> Option<EndWatch> {
        let mut uv_loop = null_mut();
        // SAFETY: the caller promises a live environment. The handle is as large as libuv says, and lives until its close callback.
        unsafe {
            if sys::napi_get_uv_event_loop(env, &mut uv_loop) != sys::Status::napi_ok {
                return None;
            }
            let handle = libc::calloc(1, (symbols.uv_handle_size)(PREPARE));
            if handle.is_null() || (symbols.uv_prepare_init)(uv_loop.cast(), handle) != 0 {
                libc::free(handle);
                return None;
            }
            // `uv_handle_t.data`, the first member (uv.h).
            *handle.cast() = env;
            (symbols.uv_prepare_start)(handle, on_turn);
            (symbols.uv_unref)(handle);
            Some(EndWatch { handle, close: symbols.uv_close })
        }
    }
}

impl Drop for EndWatch {
    fn drop(&mut self) {
        // SAFETY: the handle was open until now, and the loop runs until its handles are closed.
        unsafe { (self.close)(self.handle, free) };
    }
}

unsafe extern "C" fn free(handle: *mut c_void) {
    // SAFETY: the handle is from calloc, and libuv has closed it.
    unsafe { libc::free(handle) };
}

/// The environment of a handle, where it is ending.
///
/// # Safety
/// `handle` is one that [`EndWatch::start`] has made, and is not closed.
pub(crate) unsafe fn ending_env(handle: *mut c_void) -> Option<sys::napi_env> {
    // SAFETY: `start` has written the environment there. It is live, because its cleanup hook closes the handle.
    unsafe {
        let env = *handle.cast::<sys::napi_env>();
        is_ending(env).then_some(env)
    }
}

/// Whether Node allows no JavaScript any more: every function that may throw checks that before it looks at its arguments, after it
/// has looked for a pending exception (`NAPI_PREAMBLE`, js_native_api_v8.h), and `napi_throw` has no argument here.
///
/// # Safety
/// `env` is live on this thread.
pub(crate) unsafe fn is_ending(env: sys::napi_env) -> bool {
    let mut pending = false;
    // SAFETY: the caller promises a live environment; a null argument is refused.
    unsafe {
        sys::napi_is_exception_pending(env, &mut pending);
        !pending && sys::napi_throw(env, null_mut()) != sys::Status::napi_invalid_arg
    }
}
