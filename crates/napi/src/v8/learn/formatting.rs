//! Finding the isolate's mark that the stack of an error is being formatted (`Isolate::formatting_stack_trace_`).
//!
//! `stack/formatting.rs` says what the mark does, and why it belongs to a greenlet.
//!
//! An error is formatted whose name is a native function of ours (a getter), which looks at the isolate. V8 asks Node to format the
//! error, by calling JavaScript, and Node reads the name; while the mark is set, V8 formats the error itself and reads the name without
//! any JavaScript below.

use std::ptr::{null, null_mut};

use napi::sys;

use super::probe::{in_callback, look_now, looking, looking_property};
use super::realm::Realm;
use super::session::Session;
use crate::unsupported::{Unsupported, ensure};

/// A byte of the isolate: 1 while an error's stack is being formatted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Formatting(pub(crate) *mut u8);

/// With more candidates than these something else is wrong.
const MAX_PLACES: usize = 4;

/// What V8 notes about each frame that is counted (`StackTraceOptions`, v8-debug.h): as little as possible.
const NO_DETAILS: i32 = 0;

/// Whose errors are formatted.
#[derive(Clone, Copy)]
enum Errors<'a> {
    /// The program's own. It may have switched off `Error.stackTraceLimit`, or its `prepareStackTrace` may not read names.
    Programs,
    /// Those of a realm of our own. Node does not know it, and calls their method `toString`; V8 itself does not call it. Without
    /// Node's hook V8 calls the realm's `prepareStackTrace`.
    Realms(&'a Realm),
}

/// Finds the byte: it is 1 in the middle of formatting, and 0 before, afterwards, and in the middle of any other callback.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn learn(session: &Session<'_>) -> Result<Formatting, Unsupported> {
    // SAFETY: the session's clause **callback**.
    unsafe {
        if let Ok(found) = find(session, Errors::Programs) {
            return Ok(found);
        }
        find(session, Errors::Realms(&Realm::new(session)?))
    }
}

/// # Safety
/// The session's clause **callback** holds.
unsafe fn find(session: &Session<'_>, errors: Errors<'_>) -> Result<Formatting, Unsupported> {
    // SAFETY: the session's clause **callback**.
    let looks = unsafe {
        let look = || session.scan();
        let before = look();
        let one = while_formatting(session, errors, look).unwrap_or_default();
        let other = in_callback(session.env, look).unwrap_or_default();
        let two = while_formatting(session, errors, look).unwrap_or_default();
        [before, one, other, two, look()]
    };
    let length = looks.iter().map(Vec::len).min().unwrap_or(0) * 8;
    let places: Vec<usize> = (0..length)
        .filter(|&i| behaves_like_the_mark(looks.each_ref().map(|look| look[i / 8]), i % 8))
        .filter(|i| session.known.is_none_or(|known| known.formatting == *i))
        .collect();
    // Other bytes may repeat what the calls do. The act below tells them apart.
    ensure!(
        (1..=MAX_PLACES).contains(&places.len()),
        "{} bytes behave like V8's mark of formatting an error",
        places.len()
    );
    // SAFETY: the session's clause **callback**.
    let frames = || unsafe { frames(session) };
    for place in places {
        let formatting = Formatting(session.word_at(0).cast::<u8>().wrapping_add(place));
        // SAFETY: a byte that has just been 1 during such a call and is 0 again. Where it is the mark, V8 formats the error itself; it
        // is 0 again before anything else runs.
        let (asked, alone) = unsafe {
            let asked = while_formatting(session, errors, frames);
            *formatting.0 = 1;
            let alone = while_formatting(session, errors, frames);
            *formatting.0 = 0;
            (asked, alone)
        };
        // It is `None` where our function is not called at all.
        if alone < asked {
            return Ok(formatting);
        }
    }
    Err(Unsupported::Because("V8 asks Node to format an error, whatever its mark says".into()))
}

/// Whether a word had 1 in this byte during both formattings, 0 in it otherwise, and the same in its other bytes each time. A byte of an
/// address may go from 0 to 1 and back, too: that of V8's next handle, or of a place on the stack. But then the lower bytes of the address
/// change as well. Such a byte must not be written.
fn behaves_like_the_mark(looks: [u64; 5], byte: usize) -> bool {
    let [before, one, other, two, after] = looks;
    let mark = 1 << (byte * 8);
    before.to_le_bytes()[byte] == 0 && [other, after] == [before; 2] && [one, two] == [before | mark; 2]
}

/// Formats an error, and calls `look` whenever its name is read, or its method `toString` is called. Returns the last result.
///
/// # Safety
/// The session's clause **callback** holds.
unsafe fn while_formatting<T>(
    session: &Session<'_>,
    errors: Errors<'_>,
    look: impl FnMut() -> T,
) -> Option<T> {
    let env = session.env;
    let (mut scope, mut error, mut result) = (null_mut(), null_mut(), null_mut());
    // SAFETY: the session's clause **callback**: Node-API checks what the program has made of these objects. The scope is closed at
    // the end. The error may be kept by code of the program: `look_now` does nothing then.
    unsafe {
        sys::napi_open_handle_scope(env, &mut scope);
        match errors {
            Errors::Programs => {
                let mut message = null_mut();
                sys::napi_create_string_utf8(env, c"".as_ptr(), 0, &mut message);
                sys::napi_create_error(env, null_mut(), message, &mut error);
                sys::napi_define_properties(env, error, 1, &looking_property(c"name", true));
            }
            Errors::Realms(realm) => {
                let (mut class, mut probe) = (null_mut(), null_mut());
                sys::napi_get_named_property(env, realm.global, c"Error".as_ptr(), &mut class);
                sys::napi_new_instance(env, class, 0, null(), &mut error);
                sys::napi_create_function(
                    env,
                    c"toString".as_ptr(),
                    -1,
                    Some(look_now),
                    null_mut(),
                    &mut probe,
                );
                sys::napi_set_named_property(env, class, c"prepareStackTrace".as_ptr(), probe);
                sys::napi_set_named_property(env, error, c"toString".as_ptr(), probe);
            }
        }
        let format = || sys::napi_get_named_property(env, error, c"stack".as_ptr(), &mut result);
        let (seen, status) = looking(look, format);
        if status != sys::Status::napi_ok {
            // A function of the program has thrown.
            sys::napi_get_and_clear_last_exception(env, &mut result);
        }
        sys::napi_close_handle_scope(env, scope);
        seen
    }
}

/// How many frames of JavaScript are on this stack.
///
/// # Safety
/// The session's clause **callback** holds.
unsafe fn frames(session: &Session<'_>) -> i32 {
    let (symbols, isolate) = (session.symbols, session.isolate);
    // SAFETY: the session's clause **callback**: public API.
    unsafe { (symbols.frame_count)((symbols.stack_trace)(isolate, i32::MAX, NO_DETAILS)) }
}
