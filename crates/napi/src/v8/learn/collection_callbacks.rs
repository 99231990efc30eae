//! Finding V8's two lists of callbacks: those before and those after a collection.
//!
//! V8 calls the callbacks in the order of the lists (GCCallbacks, gc-callbacks.h, the same from 11.3 to 14.6). Both lists are inside
//! of the isolate:
//!
//! ```text
//!   Heap   ... gc_prologue_callbacks_: begin | end | capacity end ...
//!                                              │
//!             ┌──────────┬─────────┬───────┬───▼──┐
//!             │ function │ isolate │ kinds │ data │ ...
//!             └──────────┴─────────┴───────┴──────┘
//! ```
//!
//! `gc/order.rs` says why the order matters.

use std::ffi::{c_int, c_void};

use super::session::Session;
use super::symbols::{GcCallback, Isolate};
use crate::unsupported::{Unsupported, ensure, only};

/// `GCCallbacks::CallbackData`.
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) function: usize,
    isolate: usize,
    /// `GCType`, bits of the kinds of collection; 4 bytes.
    kinds: u64,
    pub(crate) data: usize,
}

/// The address of a list's begin, which its end follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallbackList(pub(crate) *const [*mut Entry; 2]);

/// Both lists of the isolate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CollectionCallbacks {
    /// Called before a collection.
    pub(crate) prologue: CallbackList,
    /// Called after a collection.
    pub(crate) epilogue: CallbackList,
}

type Add = unsafe extern "C" fn(Isolate, GcCallback, *mut c_void, c_int);
type Remove = unsafe extern "C" fn(Isolate, GcCallback, *mut c_void);

const ENTRY_BYTES: u64 = size_of::<Entry>() as u64;
/// A kind of collection that is one bit of `GCType`: a scavenge.
const KIND: c_int = 1;

/// Finds both lists: each is longer by one entry while one more callback is registered.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn learn(session: &Session<'_>) -> Result<CollectionCallbacks, Unsupported> {
    let symbols = session.symbols;
    // SAFETY: the session's clause **callback**; each pair of functions is of the same list.
    unsafe {
        Ok(CollectionCallbacks {
            prologue: find(session, "before", symbols.add_gc_prologue, symbols.remove_gc_prologue)?,
            epilogue: find(session, "after", symbols.add_gc_epilogue, symbols.remove_gc_epilogue)?,
        })
    }
}

/// # Safety
/// The session's clause **callback** holds; `add` and `remove` are V8's functions for one list.
unsafe fn find(
    session: &Session<'_>,
    when: &str,
    add: Add,
    remove: Remove,
) -> Result<CallbackList, Unsupported> {
    let marker = 0_u8;
    let data = (&raw const marker) as *mut c_void;
    let own = [no_op as *const () as u64, session.isolate as u64, KIND as u64, data as u64];
    // SAFETY: the session's clause **callback**: public functions. The callback is removed before this returns, and does nothing.
    let during = unsafe {
        add(session.isolate, no_op, data, KIND);
        let during = session.scan();
        remove(session.isolate, no_op, data);
        during
    };
    let after = session.scan();
    let is_list = |&i: &usize| {
        let (begin, end) = (during[i], during[i + 1]);
        let shorter = after[i] == begin && after[i + 1] == end.wrapping_sub(ENTRY_BYTES);
        let whole = begin < end && (end - begin).is_multiple_of(ENTRY_BYTES);
        shorter
            && whole
            && session.peek.words((end - ENTRY_BYTES) as usize, 4).is_some_and(|mut entry| {
                entry[2] &= u64::from(u32::MAX);
                entry == own
            })
    };
    let places: Vec<usize> = (0..during.len().min(after.len()).saturating_sub(1)).filter(is_list).collect();
    let place = only(&places, format_args!("places behave like V8's list of callbacks {when} a collection"))?;
    let list = CallbackList(session.word_at(place).cast_const().cast());
    // SAFETY: the two words lie inside the isolate, and are the begin and the end of the list.
    let [begin, end] = unsafe { *list.0 };
    ensure!(begin <= end, "V8's list of callbacks {when} a collection ends before it begins");
    Ok(list)
}

unsafe extern "C" fn no_op(_: Isolate, _: c_int, _: c_int, _: *mut c_void) {}
