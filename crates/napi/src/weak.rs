//! Weak references to the objects of greenlets, by number. A WeakRef keeps its target until the job ends in which it was made or read,
//! and a FinalizationRegistry calls back in a later turn. These references do neither, so JavaScript can ask in the same job which
//! objects a collection has freed.
//!
//! # Contract
//! - **env**: the calls are made on the environment's thread in a native callback, with a HandleScope, and `env` is always that of the
//!   object. Nothing else deletes its references before the environment is gone.

use std::cell::{Cell, RefCell};
use std::ptr::null_mut;

use napi::sys;

/// How many objects are looked at before their handles are given back.
const BATCH: usize = 64;

/// The references of one environment. It deletes those that are left at its end.
#[derive(Default)]
pub(crate) struct WeakReferences {
    all: RefCell<Vec<sys::napi_ref>>,
    /// The places in `all` that are null.
    free: RefCell<Vec<usize>>,
    /// How many of them `collected` has looked at.
    seen: Cell<usize>,
}

impl WeakReferences {
    /// Makes a weak reference, and returns its place; `None` where there is no memory for it.
    ///
    /// # Safety
    /// The contract's clause **env**; `object` is a handle of an object.
    pub(crate) unsafe fn hold(&self, env: sys::napi_env, object: sys::napi_value) -> Option<usize> {
        let mut reference = null_mut();
        // SAFETY: the contract's clause **env**; with a count of 0 the reference is weak.
        let status = unsafe { sys::napi_create_reference(env, object, 0, &mut reference) };
        if status != sys::Status::napi_ok || reference.is_null() {
            return None;
        }
        let mut all = self.all.borrow_mut();
        if let Some(place) = self.free.borrow_mut().pop() {
            all[place] = reference;
            return Some(place);
        }
        all.push(reference);
        Some(all.len() - 1)
    }

    /// The object at a place; null where it was freed, or where the place is none.
    ///
    /// # Safety
    /// The contract's clause **env**.
    pub(crate) unsafe fn held(&self, env: sys::napi_env, place: usize) -> sys::napi_value {
        let mut value = null_mut();
        if let Some(&reference) = self.all.borrow().get(place)
            && !reference.is_null()
        {
            // SAFETY: the contract's clause **env**: the reference was not deleted.
            unsafe { sys::napi_get_reference_value(env, reference, &mut value) };
        }
        value
    }

    /// Deletes the reference at a place, if there is one.
    ///
    /// # Safety
    /// The contract's clause **env**.
    pub(crate) unsafe fn release(&self, env: sys::napi_env, place: usize) {
        let mut all = self.all.borrow_mut();
        let Some(reference) = all.get_mut(place).filter(|reference| !reference.is_null()) else { return };
        // SAFETY: the contract's clause **env**: the reference was not deleted, and is forgotten now.
        unsafe { sys::napi_delete_reference(env, std::mem::replace(reference, null_mut())) };
        self.free.borrow_mut().push(place);
    }

    /// The place of a reference of which the object was freed. Each call goes on behind the one before, and at the end of all references
    /// it is `None`, after which they are looked at anew.
    ///
    /// # Safety
    /// The contract's clause **env**.
    pub(crate) unsafe fn collected(&self, env: sys::napi_env) -> Option<usize> {
        let all = self.all.borrow();
        while self.seen.get() < all.len() {
            let start = self.seen.get();
            let batch = &all[start..all.len().min(start + BATCH)];
            let mut scope = null_mut();
            // SAFETY: the contract's clause **env**: the scope ends here, and no JavaScript runs meanwhile.
            let freed = unsafe {
                sys::napi_open_handle_scope(env, &mut scope);
                let freed = batch.iter().position(|&reference| is_freed(env, reference));
                sys::napi_close_handle_scope(env, scope);
                freed
            };
            self.seen.set(start + freed.map_or(batch.len(), |at| at + 1));
            if let Some(at) = freed {
                return Some(start + at);
            }
        }
        self.seen.set(0);
        None
    }
}

/// # Safety
/// The contract's clause **env**; `reference` is null, or was not deleted.
unsafe fn is_freed(env: sys::napi_env, reference: sys::napi_ref) -> bool {
    let mut value = null_mut();
    // SAFETY: the caller's clause.
    !reference.is_null()
        && unsafe { sys::napi_get_reference_value(env, reference, &mut value) } == sys::Status::napi_ok
        && value.is_null()
}
