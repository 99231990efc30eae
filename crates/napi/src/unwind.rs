//! The last moment in which suspended stacks can be returned to: an environment is ending, and Node has not deleted its
//! objects yet.
//!
//! A stack that nobody resumes is forgotten, and with it what C++ on it holds. Where that is a reference to one of Node's
//! objects, as of an HTTP/2 session in the middle of `session.receive()`, Node finds an object too many and aborts the process
//! (`CHECK_EQ(base_object_count_, 0)`, node_realm.cc). So stacks with C++ between their JavaScript are ended as V8 ends what
//! runs: uncatchably, from the inside out, and the C++ returns.
//!
//! When? `Environment::RunCleanup` (env.cc) says, in this order:
//!
//! ```text
//!   set_stopping   no JavaScript from now on
//!   CleanupHandles ─► uv_run ─► our uv_prepare_t ─► here     handles are closing, everything is there
//!                          └──► their close callbacks        sockets, ports and pipes are deleted
//!   RunCleanup of the realm                                  all other objects are deleted
//!   cleanup hooks ─► `environment::clean_up`                 too late: the C++ would return to what is gone
//! ```

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use greenlets_core::{Next, Thread};
use napi::sys;

use crate::environment::Environment;
use crate::native;
use crate::v8::host::{Terminating, V8Host};
use crate::v8::symbols::{AllowScope, Symbols, UvCallback};
use crate::v8::{entries, handles};

/// `UV_PREPARE` (uv.h, `UV_HANDLE_TYPE_MAP`).
const PREPARE: c_int = 9;

/// A handle in the environment's loop that keeps nothing alive.
pub(crate) struct Watch {
    handle: *mut c_void,
    close: unsafe extern "C" fn(*mut c_void, UvCallback),
}

impl Watch {
    /// Watches for the end of `env`; `None` where it has no loop, or one that takes no handle.
    ///
    /// # Safety
    /// `env` is live on this thread.
    pub(crate) unsafe fn start(symbols: &Symbols, env: sys::napi_env) -> Option<Watch> {
        let mut uv_loop = null_mut();
        // SAFETY: `env` is live. The handle is as large as libuv says, and lives until its close callback.
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
            Some(Watch { handle, close: symbols.uv_close })
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: open until now, and the loop runs until its handles are closed.
        unsafe { (self.close)(self.handle, free) };
    }
}

unsafe extern "C" fn free(handle: *mut c_void) {
    // SAFETY: from calloc; libuv has closed it.
    unsafe { libc::free(handle) };
}

/// Each turn of the loop.
unsafe extern "C" fn on_turn(handle: *mut c_void) {
    // SAFETY: `start` put it there.
    let env = unsafe { *handle.cast::<sys::napi_env>() };
    if !is_ending(env) {
        return;
    }
    let Some(environment) = Environment::known(env) else { return };
    if environment.stop_watching()
        && let Ok(thread) = environment.thread()
    {
        // SAFETY: on the environment's thread, in its loop.
        unsafe { unwind(thread) };
    }
}

/// Whether Node lets no JavaScript run any more: whatever may throw says so before it looks at its arguments (`NAPI_PREAMBLE`,
/// js_native_api_v8.h), and this one has none.
fn is_ending(env: sys::napi_env) -> bool {
    // SAFETY: `env` is live: its cleanup hook closes the handle that asks.
    unsafe { sys::napi_throw(env, null_mut()) != sys::Status::napi_invalid_arg }
}

/// Ends what is suspended with C++ in it.
///
/// # Safety
/// In the loop of the thread's environment, which is ending.
unsafe fn unwind(thread: &Thread<V8Host>) {
    let host = thread.host();
    if !thread.on_main() {
        return;
    }
    // In the locker lane V8 has put away what would tell.
    // SAFETY: parked stacks of the thread, none of which is main's.
    let is_nested = |vm| host.locker.is_some() || unsafe { entries::are_nested(&host.layout, vm) };
    let ids = thread.ids().into_iter().filter(|&id| id != thread.main());
    let nested: Vec<_> = ids.filter(|&id| thread.vm_state(id).is_some_and(is_nested)).collect();
    if nested.is_empty() {
        return;
    }
    let mut allowed: AllowScope = [0; 8];
    // SAFETY: scopes in the order of C++. Node forbids JavaScript on this thread, but for ours, none of which comes to run: its
    // first check for interrupts ends it (`call::terminate`).
    unsafe {
        (host.symbols.allow_javascript)(&mut allowed, host.layout.isolate);
        host.terminating.set(Terminating::Greenlets);
        handles::in_scope(&host.layout, || {
            for id in nested {
                // One that cannot be resumed, for want of memory, is forgotten as before.
                native::leave(thread, || Next::Resume(id));
            }
        });
        host.terminating.set(Terminating::Nobody);
        (host.symbols.allow_javascript_drop)(&mut allowed);
    }
}
