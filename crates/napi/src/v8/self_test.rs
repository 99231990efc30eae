//! The proof before the first use: one greenlet that is parked over a collection, throws, overflows its stack, is captured
//! and ends. The program is in `self_test.js`.

use std::ptr::null_mut;

use greenlets_core::Thread;
use napi::sys;

use super::call::{self, Outcome};
use super::host::V8Host;
use super::{Unsupported, ensure};
use crate::mail::MAIL_LENGTH;
use crate::native;

/// Runs it on `thread`, with functions and numbers of its own; afterwards the thread has neither.
pub(crate) fn run(thread: &Thread<V8Host>, env: sys::napi_env) -> Result<(), Unsupported> {
    let mut scope = null_mut();
    // SAFETY: `env` is live on this thread; all handles of the test end with the scope.
    unsafe { sys::napi_open_handle_scope(env, &mut scope) };
    // SAFETY: as above.
    let result = unsafe { program(thread, env) };
    let host = thread.host();
    host.mail.reset();
    for reference in [host.entry.replace(null_mut()), host.capture_realm.replace(null_mut())] {
        if !reference.is_null() {
            // SAFETY: made for the test and taken out of the host.
            unsafe { sys::napi_delete_reference(env, reference) };
        }
    }
    // SAFETY: opened above.
    unsafe { sys::napi_close_handle_scope(env, scope) };
    let problems = result?;
    ensure!(problems.is_empty(), "the self-test failed: {problems}");
    ensure!(thread.live() == 0, "the self-test left a stack behind");
    Ok(())
}

unsafe fn program(thread: &Thread<V8Host>, env: sys::napi_env) -> Result<String, Unsupported> {
    let broken =
        |step: &'static str| move || Unsupported::Because(format!("the self-test could not run: {step}"));
    let host = thread.host();
    let (mut source, mut make, mut data, mut buffer, mut numbers) =
        (null_mut(), null_mut(), null_mut(), null_mut(), null_mut());
    let text = include_str!("self_test.js");
    let ok = |status| (status == sys::Status::napi_ok).then_some(());
    // SAFETY: `env` is live, the caller opened a scope, and every result is checked before it is used.
    unsafe {
        let made = sys::napi_create_string_utf8(env, text.as_ptr().cast(), text.len() as isize, &mut source);
        ok(made).ok_or_else(broken("source"))?;
        ok(sys::napi_run_script(env, source, &mut make)).ok_or_else(broken("script"))?;
        ok(sys::napi_create_arraybuffer(env, MAIL_LENGTH * 4, &mut data, &mut buffer))
            .ok_or_else(broken("buffer"))?;
        let kind = sys::TypedarrayType::int32_array;
        ok(sys::napi_create_typedarray(env, kind, MAIL_LENGTH, buffer, 0, &mut numbers))
            .ok_or_else(broken("array"))?;
        host.mail.exchange(data.cast());
        host.mail.set_own(thread.main());

        let arguments = [native::functions(env, thread), numbers];
        let (mut receiver, mut parts, mut entry, mut run) = (null_mut(), null_mut(), null_mut(), null_mut());
        sys::napi_get_undefined(env, &mut receiver);
        let made = sys::napi_call_function(env, receiver, make, 2, arguments.as_ptr(), &mut parts);
        ok(made).ok_or_else(broken("set-up"))?;
        ok(sys::napi_get_named_property(env, parts, c"entry".as_ptr(), &mut entry))
            .ok_or_else(broken("entry"))?;
        ok(sys::napi_get_named_property(env, parts, c"run".as_ptr(), &mut run)).ok_or_else(broken("run"))?;
        host.entry.set(native::function_reference(env, entry).ok_or_else(broken("entry"))?);
        let run = native::function_reference(env, run).ok_or_else(broken("run"))?;
        let outcome = call::call(host, run);
        sys::napi_delete_reference(env, run);
        let result = match outcome {
            Outcome::Returned(result) => result,
            Outcome::Threw => return Err(broken("it threw")()),
            Outcome::Terminated => {
                // The request ended with the test; it was meant for what called us.
                (host.symbols.terminate)(host.layout.isolate);
                return Err(Unsupported::Interrupted);
            }
        };
        let (mut length, mut bytes) = (0, [0u8; 512]);
        sys::napi_get_value_string_utf8(
            env,
            result.cast(),
            bytes.as_mut_ptr().cast(),
            bytes.len(),
            &mut length,
        );
        Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }
}
