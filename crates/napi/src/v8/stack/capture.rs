//! Borrowed capture: V8 reads a suspended stack as if it were the running one.
//!
//! V8 walks a stack from ThreadLocalTop. So the running ThreadLocalTop is put aside, the suspended greenlet's is put in its place,
//! V8 captures, and both are put back. The machine stays on its own stack; nothing is resumed and no JavaScript runs.
//!
//! A scavenge may happen meanwhile, and must visit each root slot exactly once:
//!
//! ```text
//!                      visited as live          visited in an image
//!   running stack      its handles              its ThreadLocalTop
//!   suspended one      its ThreadLocalTop       its handles
//! ```
//!
//! A call ([`Wanted::Call`]) is made in the same way: the function runs above the suspended stack, as V8 sees it, and on the running
//! stack, as the machine sees it. The table holds for it too, because its handles and frames are the running stack's. It must not
//! switch.
//!
//! The context is that of a realm of our own with a very high `Error.stackTraceLimit`: the program's setting is neither obeyed nor
//! changed.
//!
//! # Contract
//! - **captured**: the state is parked and its stack was not touched since; the call is made in a native callback of the running
//!   stack, whose state is another one.
//! - **marked**: the collector's side knows about the capture (`gc/quiet.rs`, `borrowed`), because a collection may run in
//!   [`Capture::read`]. While it runs, no reference to either state exists (the clause **raw** of `state.rs`).

use std::cell::Cell;
use std::ptr::{NonNull, copy_nonoverlapping, null_mut};

use napi::sys;

use super::stacks::Stacks;
use super::state::{StackState, image, top_of_image};
use crate::v8::learn::facts::MAX_ARCHIVE_WORDS;
use crate::v8::learn::layout::Layout;
use crate::v8::learn::symbols::Local;

/// `kScriptId | kExposeFramesAcrossSecurityOrigins` (v8-debug.h, StackTrace::StackTraceOptions).
const WITH_SCRIPT_IDS: i32 = 1 << 7 | 1 << 8;

/// What a capture reads. These are two captures, because script ids are rarely asked for and need another walk.
#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    Frames,
    ScriptIds,
    /// Nothing: a function is called. The first one calls the second, and returns whether V8 terminated it.
    Call(unsafe fn(&Layout, sys::napi_ref) -> bool, sys::napi_ref),
}

/// What V8 captured.
pub(crate) enum Captured {
    /// An `Error` whose structured stack is the greenlet's.
    Frames(sys::napi_value),
    /// Script ids of the frames that have a script, innermost first.
    ScriptIds(Vec<i32>),
    /// A function was called. Whether V8 terminated it.
    Called(bool),
}

/// How captures are made.
pub(crate) struct Capture {
    /// A function of the realm whose `Error` captures stacks; null until it is set.
    pub(crate) realm: Cell<sys::napi_ref>,
    /// What the next capture reads.
    pub(crate) wanted: Cell<Wanted>,
}

/// The handles that a capture needs, in the callback's own scope.
pub(crate) struct Handles {
    /// The context of the capture realm.
    pub(crate) context: Local,
    message: sys::napi_value,
    /// Space for one word that the collector visits.
    pub(crate) spare: *mut u64,
}

impl Capture {
    pub(crate) fn new() -> Capture {
        Capture { realm: Cell::new(null_mut()), wanted: Cell::new(Wanted::Frames) }
    }

    /// The context of the capture realm, tagged; `None` where none was set.
    ///
    /// # Safety
    /// The clause **thread** of `state.rs`, in a native callback.
    pub(crate) unsafe fn context(&self, v8: &Layout) -> Option<u64> {
        let mut realm = null_mut();
        // SAFETY: the clause **thread** of `state.rs`: the environment is live, and the handle goes to the callback's own scope. A
        // handle is the address of one word.
        unsafe {
            sys::napi_get_reference_value(v8.env, self.realm.get(), &mut realm);
            (!realm.is_null()).then(|| *(v8.symbols.creation_context)(realm.cast()) as u64)
        }
    }

    /// Makes the handles; `None` where no capture realm was set.
    ///
    /// # Safety
    /// The clause **thread** of `state.rs`, in a native callback.
    pub(crate) unsafe fn handles(&self, v8: &Layout) -> Option<Handles> {
        let (mut realm, mut message, mut spare) = (null_mut(), null_mut(), null_mut());
        if self.realm.get().is_null() {
            return None;
        }
        // SAFETY: the clause **thread** of `state.rs`: the environment is live, and the handles go to the callback's own scope. A
        // function has a creation context.
        unsafe {
            sys::napi_get_reference_value(v8.env, self.realm.get(), &mut realm);
            sys::napi_create_string_utf8(v8.env, c"".as_ptr(), 0, &mut message);
            sys::napi_create_int32(v8.env, 0, &mut spare);
            let context = (v8.symbols.creation_context)(realm.cast());
            Some(Handles { context, message, spare: spare.cast() })
        }
    }

    /// Captures the stack of `vm`. `None` where V8 made no error.
    ///
    /// # Safety
    /// The contract's clauses **captured** and **marked**.
    pub(crate) unsafe fn borrow(
        &self,
        v8: &Layout,
        stacks: &Stacks,
        vm: NonNull<StackState>,
        handles: &Handles,
    ) -> Option<Captured> {
        let words = v8.facts.thread_local_top_words;
        let me = stacks.running.get();
        // SAFETY: the contract's clause **captured**: both states are live and distinct, and are accessed by raw pointers only. V8
        // finds the isolate in a consistent state before and after, as the table above shows.
        unsafe {
            let (my_image, my_top, target_top) = (image(me), top_of_image(v8, me), top_of_image(v8, vm));
            // The collector may move the target's context while it is not in a visited image: a handle holds it.
            *handles.spare = *target_top.add(v8.context_word);
            my_image.write_bytes(0, MAX_ARCHIVE_WORDS);
            *my_image = v8.isolate as u64;
            copy_nonoverlapping(v8.thread_local_top, my_top, words);
            copy_nonoverlapping(target_top, v8.thread_local_top, words);
            copy_nonoverlapping(v8.blank_top.as_ptr(), target_top, words);
            *v8.thread_local_top.add(v8.context_word) = *handles.context as u64;
            (*me.as_ptr()).node.data = my_image;

            let captured = self.read(v8, handles);

            (*me.as_ptr()).node.data = stacks.blank_image();
            copy_nonoverlapping(v8.thread_local_top, target_top, words);
            *target_top.add(v8.context_word) = *handles.spare;
            copy_nonoverlapping(my_top, v8.thread_local_top, words);
            captured
        }
    }

    /// Makes an Error or a StackTrace of the stack that V8 takes for the running one, or calls a function above it. Only the function
    /// runs JavaScript.
    ///
    /// # Safety
    /// The clause **thread** of `state.rs`, in a native callback, with the capture realm's context entered. The function of a call is a
    /// strong reference, and leaves the stack only by returning.
    pub(crate) unsafe fn read(&self, v8: &Layout, handles: &Handles) -> Option<Captured> {
        let (env, isolate, symbols) = (v8.env, v8.isolate, &v8.symbols);
        match self.wanted.get() {
            Wanted::Frames => {
                let mut error = null_mut();
                // SAFETY: the clause **thread**: the environment is live, and the handle goes to the running callback's scope.
                let status = unsafe { sys::napi_create_error(env, null_mut(), handles.message, &mut error) };
                return (status == sys::Status::napi_ok).then_some(Captured::Frames(error));
            }
            // SAFETY: the caller's clauses are the ones that a call needs.
            Wanted::Call(call, function) => return Some(Captured::Called(unsafe { call(v8, function) })),
            Wanted::ScriptIds => {}
        }
        let script_id = |trace, i| {
            let mut scope = null_mut();
            // SAFETY: the frame's handles end with the scope; `i` is below the trace's count.
            unsafe {
                sys::napi_open_handle_scope(env, &mut scope);
                let id = (symbols.script_id)((symbols.frame)(trace, isolate, i as u32));
                sys::napi_close_handle_scope(env, scope);
                id
            }
        };
        // SAFETY: public API with an open handle scope; an empty trace is null.
        unsafe {
            let trace = (symbols.stack_trace)(isolate, i32::MAX, WITH_SCRIPT_IDS);
            let frames = if trace.is_null() { 0 } else { (symbols.frame_count)(trace) };
            Some(Captured::ScriptIds((0..frames).map(|i| script_id(trace, i)).collect()))
        }
    }
}
