//! The proof before the first use: one greenlet that is parked during a collection, throws, overflows its stack, is captured
//! and ends. The program is in `self_test.js`; `environment.rs` runs it.

use std::ptr::null_mut;

use napi::sys;

use crate::mail::MAIL_LENGTH;
use crate::unsupported::Unsupported;

/// The program, ready to run.
pub(crate) struct Program {
    /// The function that each of its greenlets begins with.
    pub(crate) entry: sys::napi_value,
    /// The function that runs the test on main. It returns a string: what went wrong, or nothing.
    pub(crate) run: sys::napi_value,
}

/// The reason where a step of the test could not be done.
pub(crate) fn broken(step: &str) -> Unsupported {
    Unsupported::Because(format!("the self-test could not run: {step}"))
}

/// Compiles the program, which gets `functions`: the native functions of a thread. `connect` gets the numbers that the program
/// shares with Rust, [`MAIL_LENGTH`] of them, before the program reads them.
///
/// # Safety
/// `env` is live on this thread, a handle scope is open, and `functions` is a handle of it.
pub(crate) unsafe fn prepare(
    env: sys::napi_env,
    functions: sys::napi_value,
    connect: impl FnOnce(*mut i32),
) -> Result<Program, Unsupported> {
    let (mut source, mut make, mut data, mut buffer, mut numbers) =
        (null_mut(), null_mut(), null_mut(), null_mut(), null_mut());
    let (mut receiver, mut parts, mut entry, mut run) = (null_mut(), null_mut(), null_mut(), null_mut());
    let text = include_str!("self_test.js");
    let ok = |status, step| if status == sys::Status::napi_ok { Ok(()) } else { Err(broken(step)) };
    // SAFETY: the caller promises a live environment with an open scope, and every result is checked before it is used.
    unsafe {
        let made = sys::napi_create_string_utf8(env, text.as_ptr().cast(), text.len() as isize, &mut source);
        ok(made, "source")?;
        ok(sys::napi_run_script(env, source, &mut make), "script")?;
        ok(sys::napi_create_arraybuffer(env, MAIL_LENGTH * 4, &mut data, &mut buffer), "buffer")?;
        let kind = sys::TypedarrayType::int32_array;
        ok(sys::napi_create_typedarray(env, kind, MAIL_LENGTH, buffer, 0, &mut numbers), "array")?;
        connect(data.cast());

        let arguments = [functions, numbers];
        sys::napi_get_undefined(env, &mut receiver);
        let made = sys::napi_call_function(env, receiver, make, 2, arguments.as_ptr(), &mut parts);
        ok(made, "set-up")?;
        ok(sys::napi_get_named_property(env, parts, c"entry".as_ptr(), &mut entry), "entry")?;
        ok(sys::napi_get_named_property(env, parts, c"run".as_ptr(), &mut run), "run")?;
    }
    Ok(Program { entry, run })
}

/// The failure that the test reports; empty where it passes.
///
/// # Safety
/// `env` is live on this thread, and `result` is what `Program::run` returned.
pub(crate) unsafe fn problems(env: sys::napi_env, result: sys::napi_value) -> String {
    let (mut length, mut bytes) = (0, [0u8; 512]);
    // SAFETY: the caller promises a live environment and handle; the buffer has the size that is given.
    unsafe {
        sys::napi_get_value_string_utf8(env, result, bytes.as_mut_ptr().cast(), bytes.len(), &mut length)
    };
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}
