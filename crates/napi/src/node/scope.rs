//! What a greenlet has on Node's stack of async ids: its base entry, and what lies above it. The drawing is in `mod.rs`.

use std::ptr::null_mut;

use napi::sys;

use super::resources::Element;

/// A greenlet's part of the stack: its base entry, and the entries above the base while the greenlet is parked.
pub(crate) struct Scope {
    pub(crate) id: f64,
    pub(crate) trigger: f64,
    /// Address of the word that holds its resource. The collector visits the word, which does not move.
    pub(crate) resource: *mut u64,
    pub(super) default_trigger: f64,
    /// Scope depth in addition to main's.
    pub(super) depth: u64,
    pub(super) parked: Parked,
}

/// The entries above a parked greenlet's base.
pub(super) enum Parked {
    Nothing,
    Above(Vec<Entry>),
    /// Node has cleared the stack while the greenlet ran, as it does for an uncaught exception. The greenlet's base is gone. The
    /// scopes that it is in do not pop what they pushed, as long as the stack is empty. So from then on the greenlet runs on an
    /// empty stack: while it runs, main's entries are off the stack too.
    Cleared(Vec<Entry>),
}

pub(super) struct Entry {
    pub(super) id: f64,
    pub(super) trigger: f64,
    /// A handle, or null.
    pub(super) resource: sys::napi_value,
    pub(super) native: Element,
}

impl Scope {
    pub(crate) const fn new() -> Scope {
        // -1 means: no default (AsyncHooks' constructor, env.cc).
        Scope {
            id: 0.0,
            trigger: 0.0,
            resource: null_mut(),
            default_trigger: -1.0,
            depth: 0,
            parked: Parked::Nothing,
        }
    }

    /// Makes it a new one, with the same place for the resource.
    #[inline(always)]
    pub(super) fn clear(&mut self) {
        *self = Scope { resource: self.resource, ..Scope::new() };
    }
}
