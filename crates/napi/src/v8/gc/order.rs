//! Keeps our callbacks next to the collection: the last one before it, and the first one after it.
//!
//! A callback of an add-on may allocate so much that V8 collects inside of it, and V8 calls no callbacks for that collection. This
//! must not happen while the quiet stacks are cut off V8's list (`quiet.rs`): a full collection would free what only they hold. So
//! they are cut off only if no other callback runs between our callback before the collection and our callback after it.
//!
//! ```text
//!   before: others ... ours ──► V8 scavenges, nothing is called ──► after: ours ... others
//!                      cut                                                 splice
//! ```
//!
//! V8 appends each new callback to its list. So a newer callback comes after ours, and an older one comes before it. Where this is
//! the wrong order, entries change places, in the list that V8 is not going through at that moment.
//!
//! # Contract
//! - **list**: the call is made on the isolate's thread, outside of collections or in a callback of the *other* list, so that V8 does
//!   not go through this one. Nothing else refers to an entry by its address.

use std::ops::Range;
use std::slice::{from_raw_parts, from_raw_parts_mut};

use crate::v8::learn::collection_callbacks::{CallbackList, Entry};
use crate::v8::learn::symbols::GcCallback;

/// Whether the callback with `data` is the last of the list.
///
/// # Safety
/// The call is made on the isolate's thread.
pub(super) unsafe fn is_last(list: CallbackList, function: GcCallback, data: usize) -> bool {
    // SAFETY: the two words were verified when they were learnt. V8 changes the list only when a callback is added or removed, so
    // what lies between them is entries.
    unsafe {
        let [begin, end] = *list.0;
        begin < end && is_ours(&*end.sub(1), function, data)
    }
}

/// Whether the callback with `data` is the first of the list.
///
/// # Safety
/// The call is made on the isolate's thread.
pub(super) unsafe fn is_first(list: CallbackList, function: GcCallback, data: usize) -> bool {
    // SAFETY: the two words were verified when they were learnt, and what lies between them is entries (see `is_last`).
    unsafe {
        let [begin, end] = *list.0;
        begin < end && is_ours(&*begin, function, data)
    }
}

/// Whether the list has a callback of other code than that in `known`: ours and Node's own, which does not allocate.
///
/// # Safety
/// The call is made on the isolate's thread.
pub(super) unsafe fn has_foreign(list: CallbackList, known: &[Range<usize>]) -> bool {
    // SAFETY: the two words were verified when they were learnt, and what lies between them is entries (see `is_last`).
    let entries = unsafe {
        let [begin, end] = *list.0;
        if begin == end { &[] } else { from_raw_parts(begin, end.offset_from_unsigned(begin)) }
    };
    entries.iter().any(|entry| !known.iter().any(|code| code.contains(&entry.function)))
}

/// Makes the callback with `data` the first of the list. The order of the others stays.
///
/// # Safety
/// The contract's clause **list**.
pub(super) unsafe fn put_first(list: CallbackList, function: GcCallback, data: usize) {
    // SAFETY: the caller's clause is the one that `entries` needs.
    let entries = unsafe { entries(list) };
    if let Some(place) = entries.iter().position(|entry| is_ours(entry, function, data)) {
        entries[..=place].rotate_right(1);
    }
}

/// Makes the callback with `data` the last of the list. The order of the others stays.
///
/// # Safety
/// The contract's clause **list**.
pub(super) unsafe fn put_last(list: CallbackList, function: GcCallback, data: usize) {
    // SAFETY: the caller's clause is the one that `entries` needs.
    let entries = unsafe { entries(list) };
    // Nearly always it is there.
    if entries.last().is_some_and(|entry| is_ours(entry, function, data)) {
        return;
    }
    if let Some(place) = entries.iter().position(|entry| is_ours(entry, function, data)) {
        entries[place..].rotate_left(1);
    }
}

fn is_ours(entry: &Entry, function: GcCallback, data: usize) -> bool {
    entry.function == function as *const () as usize && entry.data == data
}

/// # Safety
/// The contract's clause **list**, as long as the reference exists.
unsafe fn entries<'a>(list: CallbackList) -> &'a mut [Entry] {
    // SAFETY: the two words were verified when they were learnt, and what lies between them is entries (see `is_last`). By the clause
    // **list** nothing else accesses the entries meanwhile.
    unsafe {
        let [begin, end] = *list.0;
        if begin == end { &mut [] } else { from_raw_parts_mut(begin, end.offset_from_unsigned(begin)) }
    }
}
