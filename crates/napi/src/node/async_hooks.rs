//! Node's stack of async ids: how a greenlet takes its entries off it and puts them back. The drawing is in `mod.rs`.
//!
//! # Contract
//! - **thread**: the call is made on the environment's thread, while the environment lives and allows Node-API calls: in a native
//!   callback, or at the base of a greenlet.
//! - **learnt**: `learn.rs` has verified every address in [`HooksLayout`], and each is valid as long as the environment. Only this
//!   thread changes the words there.
//! - **scope**: the pointer leads to a live [`Scope`], which stays at its address until `leave` has returned, and `resource` leads
//!   to a word of the root table. Hooks run JavaScript, so the scope is accessed by the raw pointer only.
//! - **entered**: `enter` was called for the running greenlet's scope, and `leave` was not called since. Node's entries from the
//!   base up are this greenlet's.
//! - **handles**: the handles in an [`Entry`] lie on the stack of its greenlet, in a native callback that has not returned: the one
//!   in which the greenlet was parked.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::{addr_of, null_mut};

use napi::sys;

use super::facts::{
    AFTER, ARRAY_LENGTH, BEFORE, DEFAULT_TRIGGER_ID, EXECUTION_ID, FIELDS_BUFFER, IDS_BUFFER, IDS_COUNT,
    NATIVE_RESOURCES, RESOURCES, STACK_LENGTH, TRIGGER_ID, UIDS_BUFFER,
};
use super::resources::{Element, Kind, NONE, Resources};
use super::scope::{Entry, Parked, Scope};
use crate::mail::Mail;
use crate::v8::learn::report::{Fact, known, learnt};
use crate::v8::learn::symbols::{Isolate, Symbols};
use crate::v8::stack::call;

/// `AsyncHooks::push_async_context(id, trigger, resource)`. The resource is a pointer, or a variant in two registers.
pub(super) type PushAsyncContext = unsafe extern "C" fn(*mut u64, f64, f64, u64, u64);
/// `AsyncWrap::EmitBefore(environment, id)` and `EmitAfter`.
type EmitHook = unsafe extern "C" fn(*mut c_void, f64);

/// Where one environment keeps its async hooks: the addresses and functions that `learn.rs` has found.
pub(super) struct HooksLayout {
    pub(super) env: sys::napi_env,
    pub(super) environment: *mut c_void,
    /// The `AsyncHooks` object.
    pub(super) object: *mut u64,
    pub(super) fields: *mut u32,
    pub(super) uids: *mut f64,
    /// `Environment::async_callback_scope_depth_`.
    pub(super) depth: *mut u64,
    pub(super) resources: Resources,
    pub(super) push: PushAsyncContext,
    pub(super) symbols: Symbols,
    pub(super) isolate: Isolate,
}

/// The stack of async ids of one environment.
pub(crate) struct AsyncHooks {
    layout: HooksLayout,
    /// The index of the running greenlet's base entry, which is the number of main's entries; `NO_BASE` where it has no base entry.
    base_index: Cell<usize>,
    /// Main's entries while they are off the stack, each with a reference to its resource, or null. The entry's own handle is not
    /// used.
    hidden: RefCell<Vec<(Entry, sys::napi_ref)>>,
    /// Main's default trigger id and scope depth, while main is parked.
    main_trigger: Cell<f64>,
    main_depth: Cell<u64>,
}

/// The running greenlet has no base entry. No length is one more than this number, so `leave` takes its slow path.
const NO_BASE: usize = usize::MAX - 1;

/// Which hooks run when entries are pushed and popped.
#[derive(Clone, Copy)]
pub(crate) enum Notify<'a> {
    /// The program's hooks. Meanwhile a flag in the mail forbids them to switch.
    Hooks(&'a Mail),
    /// None, because V8 is ending JavaScript.
    Nothing,
}

impl AsyncHooks {
    /// What was found, for `greenlets doctor`. The head of `facts.rs` has the table.
    pub(crate) fn report(&self) -> Vec<Fact> {
        let HooksLayout {
            env: _,
            environment,
            object,
            fields: _,
            uids: _,
            depth,
            resources,
            push: _,
            symbols: _,
            isolate: _,
        } = &self.layout;
        let word = |at: *mut u64| {
            format!("word {} of Node's Environment", (at as usize - *environment as usize) / 8)
        };
        let numbers = "opening a callback scope changes exactly the expected numbers";
        vec![
            known("async_hooks.ids", format!("word {IDS_BUFFER} of AsyncHooks"), numbers),
            known("async_hooks.fields", format!("word {FIELDS_BUFFER} of AsyncHooks"), numbers),
            known("async_hooks.uids", format!("word {UIDS_BUFFER} of AsyncHooks"), numbers),
            known(
                "async_hooks.execution_async_resources",
                format!("word {RESOURCES} of AsyncHooks"),
                "it is an array, or empty",
            ),
            learnt(
                "async_hooks.object",
                word(*object),
                "its vtable is the exported one, and its three buffers have this isolate",
            ),
            learnt(
                "async_hooks.depth",
                word(*depth),
                "the only word that grows by one with each of two callback scopes",
            ),
            learnt(
                "async_hooks.resources",
                format!("{:?} at word {NATIVE_RESOURCES} of AsyncHooks", resources.kind),
                "its end moves by one element, which leads to the scope's resource",
            ),
            learnt("async_hooks.push", "exported", "its name says which container Node uses"),
        ]
    }

    pub(super) fn new(layout: HooksLayout) -> AsyncHooks {
        AsyncHooks {
            layout,
            base_index: Cell::new(0),
            hidden: RefCell::new(Vec::new()),
            main_trigger: Cell::new(-1.0),
            main_depth: Cell::new(0),
        }
    }

    /// Whether the program has hooks that run when entries are pushed or popped.
    ///
    /// # Safety
    /// The contract's clauses **thread** and **learnt**.
    #[inline(always)]
    pub(crate) unsafe fn calls_hooks(&self) -> bool {
        // SAFETY: the contract's clauses **thread** and **learnt**.
        unsafe { *self.field(BEFORE) | *self.field(AFTER) != 0 }
    }

    /// Remembers main's default trigger id and scope depth, before main is parked. Its entries stay on the stack.
    ///
    /// # Safety
    /// The contract's clauses **thread** and **learnt**; main runs.
    #[inline(always)]
    pub(crate) unsafe fn leave_main(&self) {
        // SAFETY: the contract's clauses **thread** and **learnt**.
        unsafe {
            self.main_trigger.set(*self.uid(DEFAULT_TRIGGER_ID));
            self.main_depth.set(*self.layout.depth);
        }
    }

    /// Puts the running greenlet's entries on the stack, above main's.
    ///
    /// # Safety
    /// The contract's clauses **thread**, **learnt**, **scope** and **handles**; `scope` is the running stack's, and only main's
    /// entries are on the stack.
    #[inline(always)]
    pub(crate) unsafe fn enter(&self, scope: *mut Scope, notify: Notify<'_>) {
        // SAFETY: the caller's clauses.
        unsafe {
            *self.uid(DEFAULT_TRIGGER_ID) = (*scope).default_trigger;
            *self.layout.depth = (*self.layout.depth).wrapping_add((*scope).depth);
            self.base_index.set(self.length());
            if !matches!((*scope).parked, Parked::Nothing) {
                return self.put_back(scope, notify);
            }
            self.push((*scope).id, (*scope).trigger, self.base_element(scope));
            if *self.field(BEFORE) != 0 {
                self.emit(self.layout.symbols.emit_before, (*scope).id, notify);
            }
        }
    }

    /// Takes the running greenlet's entries off the stack.
    ///
    /// # Safety
    /// The contract's clauses **thread**, **learnt**, **scope** and **entered**; `scope` is the running stack's.
    #[inline(always)]
    pub(crate) unsafe fn leave(&self, scope: *mut Scope, notify: Notify<'_>) {
        // SAFETY: the caller's clauses. The fast path is taken where the base is the only entry of the greenlet, so `base` is below
        // the stack's length.
        unsafe {
            let base = self.base_index.get();
            if self.length() == base + 1 && *self.field(AFTER) == 0 {
                self.restore_ids(base);
                self.truncate(base);
            } else {
                self.take_off(scope, notify);
            }
            let (trigger, depth) = (self.uid(DEFAULT_TRIGGER_ID), self.layout.depth);
            (*scope).default_trigger = trigger.replace(self.main_trigger.get());
            (*scope).depth = depth.replace(self.main_depth.get()).wrapping_sub(self.main_depth.get());
        }
    }

    /// Empties the stack, as Node does after an uncaught exception that the program has handled (execution.js,
    /// `createOnGlobalUncaughtException`): calls `after` for each entry, from the top down.
    ///
    /// # Safety
    /// The contract's clauses **thread** and **learnt**.
    pub(crate) unsafe fn clear(&self, mail: &Mail) {
        // SAFETY: the caller's clauses. A hook pushes and pops in pairs, so the stack is as long after it as before.
        unsafe {
            *self.uid(DEFAULT_TRIGGER_ID) = -1.0;
            for i in (0..self.length()).rev() {
                self.emit(self.layout.symbols.emit_after, *self.uid(EXECUTION_ID), Notify::Hooks(mail));
                self.restore_ids(i);
            }
            self.truncate(0);
        }
    }

    /// The slow path of `enter`. Hooks see pairs of calls that nest: this calls `before` for each entry, from the base up.
    ///
    /// # Safety
    /// The contract's clauses **thread**, **learnt**, **scope** and **handles**; only main's entries are on the stack.
    #[cold]
    unsafe fn put_back(&self, scope: *mut Scope, notify: Notify<'_>) {
        // SAFETY: the caller's clauses. By **handles**, those of the entries are valid: the greenlet's callback has not returned.
        unsafe {
            let entries = match std::mem::replace(&mut (*scope).parked, Parked::Nothing) {
                Parked::Nothing => Vec::new(),
                Parked::Above(entries) => {
                    self.push((*scope).id, (*scope).trigger, self.base_element(scope));
                    self.emit(self.layout.symbols.emit_before, (*scope).id, notify);
                    entries
                }
                Parked::Cleared(entries) => {
                    self.base_index.set(NO_BASE);
                    self.hide_main();
                    entries
                }
            };
            for entry in entries {
                self.push_entry(&entry, entry.resource);
                self.emit(self.layout.symbols.emit_before, entry.id, notify);
            }
        }
    }

    /// The slow path of `leave`. This calls `after` for each entry, from the top down to the base.
    ///
    /// # Safety
    /// The contract's clauses **thread**, **learnt**, **scope** and **entered**.
    #[cold]
    unsafe fn take_off(&self, scope: *mut Scope, notify: Notify<'_>) {
        // SAFETY: the caller's clauses. By **entered**, the entries from `first` up are the running greenlet's, and each index is
        // below the stack's length.
        unsafe {
            let length = self.length();
            let has_base = self.base_index.get() != NO_BASE;
            let first = if has_base { self.base_index.get() } else { 0 };
            // Where Node has cleared the stack, even the base is gone.
            let cleared = !has_base || length <= first;
            let above_base = first + usize::from(has_base);
            let entries: Vec<Entry> = (above_base..length).map(|i| self.read(i, length)).collect();
            for i in (first..length).rev() {
                self.emit(self.layout.symbols.emit_after, *self.uid(EXECUTION_ID), notify);
                self.restore_ids(i);
            }
            self.truncate(self.length());
            if !has_base {
                self.show_main();
            }
            (*scope).parked = match (cleared, entries.is_empty()) {
                (true, _) => Parked::Cleared(entries),
                (false, false) => Parked::Above(entries),
                (false, true) => Parked::Nothing,
            };
        }
    }

    /// Takes main's entries off the stack.
    ///
    /// # Safety
    /// The contract's clauses **thread** and **learnt**; only main's entries are on the stack.
    unsafe fn hide_main(&self) {
        let (env, length) = (self.layout.env, self.length());
        // SAFETY: the caller's clauses. `read` returns handles of the running stack, and a strong reference replaces each of them.
        unsafe {
            let hide = |i| {
                let entry = self.read(i, length);
                let mut reference = null_mut();
                if !entry.resource.is_null() {
                    sys::napi_create_reference(env, entry.resource, 1, &mut reference);
                }
                (entry, reference)
            };
            *self.hidden.borrow_mut() = (0..length).map(hide).collect();
            if length > 0 {
                self.restore_ids(0);
            }
            self.truncate(0);
        }
    }

    /// Puts main's entries back.
    ///
    /// # Safety
    /// The contract's clauses **thread** and **learnt**; the stack is empty.
    unsafe fn show_main(&self) {
        let env = self.layout.env;
        for (entry, reference) in self.hidden.take() {
            let mut resource = null_mut();
            // SAFETY: the caller's clauses. The reference is from `hide_main`, and is deleted once.
            unsafe {
                if !reference.is_null() {
                    sys::napi_get_reference_value(env, reference, &mut resource);
                    sys::napi_delete_reference(env, reference);
                }
                self.push_entry(&entry, resource);
            }
        }
    }

    /// Pushes an entry that `read` has returned, with a handle of its JavaScript resource, or null.
    ///
    /// # Safety
    /// The contract's clauses **thread** and **learnt**; `resource` is a live handle or null.
    unsafe fn push_entry(&self, entry: &Entry, resource: sys::napi_value) {
        // SAFETY: the caller's clauses. The array's Global holds the address of a handle, as a `napi_value` does.
        unsafe {
            if !resource.is_null() {
                let array = *self.member(RESOURCES) as sys::napi_value;
                sys::napi_set_element(self.layout.env, array, self.length() as u32, resource);
            }
            self.push(entry.id, entry.trigger, entry.native);
        }
    }

    /// The entry at `index` of a stack of `length` entries.
    ///
    /// # Safety
    /// The contract's clauses **thread** and **learnt**; `index` is below `length`, the stack's length.
    unsafe fn read(&self, index: usize, length: usize) -> Entry {
        let env = self.layout.env;
        // SAFETY: the caller's clauses. The array's Global holds the address of a handle, as a `napi_value` does, and the handle
        // that is made lies on the running stack.
        unsafe {
            let (mut resource, mut kind) = (null_mut(), sys::ValueType::napi_undefined);
            if index < self.array_length() {
                let array = *self.member(RESOURCES) as sys::napi_value;
                sys::napi_get_element(env, array, index as u32, &mut resource);
                if !resource.is_null() {
                    sys::napi_typeof(env, resource, &mut kind);
                }
            }
            if kind == sys::ValueType::napi_undefined {
                resource = null_mut();
            }
            // An entry holds the ids that were on top before it. The ids of the top entry are in the fields.
            let (id, trigger) = if index + 1 < length {
                let below = self.ids().add(2 * (index + 1));
                (*below, *below.add(1))
            } else {
                (*self.uid(EXECUTION_ID), *self.uid(TRIGGER_ID))
            };
            Entry { id, trigger, resource, native: self.layout.resources.get(index) }
        }
    }

    /// Does what `AsyncHooks::push_async_context` does (env.cc).
    ///
    /// # Safety
    /// The contract's clauses **thread** and **learnt**.
    #[inline(always)]
    unsafe fn push(&self, id: f64, trigger: f64, resource: Element) {
        let length = self.length();
        // SAFETY: the caller's clauses. The word `IDS_COUNT` says how many numbers the buffer of ids has, an even number; an entry
        // is written only where two of them are free.
        unsafe {
            let capacity = *self.member(IDS_COUNT) as usize;
            if 2 * length < capacity && (resource[0] == 0 || self.layout.resources.push_at(length, resource))
            {
                let below = self.ids().add(2 * length);
                *below = self.uid(EXECUTION_ID).replace(id);
                *below.add(1) = self.uid(TRIGGER_ID).replace(trigger);
                *self.field(STACK_LENGTH) = length as u32 + 1;
            } else {
                self.push_slowly(id, trigger, resource);
            }
        }
    }

    /// Pushes by Node's own function, which enlarges the buffers.
    ///
    /// # Safety
    /// The contract's clauses **thread** and **learnt**.
    #[cold]
    unsafe fn push_slowly(&self, id: f64, trigger: f64, [first, second]: Element) {
        // SAFETY: the caller's clauses. The resource has the form that the function's signature says (`Kind`).
        unsafe { (self.layout.push)(self.layout.object, id, trigger, first, second) }
    }

    /// Pops the entry at `index` and all entries above it, but not their resources.
    ///
    /// # Safety
    /// The contract's clauses **thread** and **learnt**; `index` is below the stack's length.
    #[inline(always)]
    unsafe fn restore_ids(&self, index: usize) {
        // SAFETY: the caller's clauses: two numbers of the buffer of ids belong to each entry.
        unsafe {
            let below = self.ids().add(2 * index);
            *self.uid(EXECUTION_ID) = *below;
            *self.uid(TRIGGER_ID) = *below.add(1);
            *self.field(STACK_LENGTH) = index as u32;
        }
    }

    /// Removes the resources from `length` on. The array must not be longer than the stack, because Node's JavaScript pops the
    /// array's last element, whatever its index is.
    ///
    /// # Safety
    /// The contract's clauses **thread** and **learnt**.
    #[inline(always)]
    unsafe fn truncate(&self, length: usize) {
        // SAFETY: the caller's clauses, from which those of `resources.rs` follow.
        unsafe {
            self.layout.resources.truncate(length);
            if self.array_length() > length {
                self.truncate_array(length);
            }
        }
    }

    /// Shortens the JavaScript array of resources.
    ///
    /// # Safety
    /// The contract's clauses **thread** and **learnt**.
    #[cold]
    unsafe fn truncate_array(&self, length: usize) {
        let env = self.layout.env;
        // SAFETY: the caller's clauses. The array's Global holds the address of a handle, as a `napi_value` does.
        unsafe {
            let array = *self.member(RESOURCES) as sys::napi_value;
            let mut number = null_mut();
            sys::napi_create_uint32(env, length as u32, &mut number);
            sys::napi_set_named_property(env, array, c"length".as_ptr(), number);
        }
    }

    /// Calls the program's `before` or `after` hooks for the entry with this id. Entries with id 0 have no hooks.
    ///
    /// # Safety
    /// The contract's clauses **thread** and **learnt**.
    #[cold]
    unsafe fn emit(&self, hook: EmitHook, id: f64, notify: Notify<'_>) {
        let Notify::Hooks(mail) = notify else { return };
        if id == 0.0 {
            return;
        }
        mail.set_in_hook(true);
        // SAFETY: the caller's clauses. `hook` is a function of Node: it calls nothing where the program has no hook, and ends the
        // process where a hook throws. Where V8 ends JavaScript in a hook, the next JavaScript on this thread must end instead of
        // this callback, because the stack has to be left in order.
        unsafe {
            hook(self.layout.environment, id);
            call::put_off_termination(&self.layout.symbols, self.layout.isolate);
        }
        mail.set_in_hook(false);
    }

    /// The element of the container of native resources for a greenlet's resource.
    ///
    /// # Safety
    /// The contract's clause **scope**.
    #[inline(always)]
    unsafe fn base_element(&self, scope: *mut Scope) -> Element {
        // SAFETY: the contract's clause **scope**.
        unsafe {
            match self.layout.resources.kind {
                Kind::VectorOfLocals => [(*scope).resource as u64, NONE[1]],
                _ => [addr_of!((*scope).resource) as u64, NONE[1]],
            }
        }
    }

    /// The address of a word of the `AsyncHooks` object.
    #[inline(always)]
    fn member(&self, word: usize) -> *mut u64 {
        self.layout.object.wrapping_add(word)
    }

    /// The address of one of `AsyncHooks::Fields`.
    #[inline(always)]
    fn field(&self, index: usize) -> *mut u32 {
        self.layout.fields.wrapping_add(index)
    }

    /// The address of one of `AsyncHooks::UidFields`.
    #[inline(always)]
    fn uid(&self, index: usize) -> *mut f64 {
        self.layout.uids.wrapping_add(index)
    }

    /// The buffer of ids, two for each entry. It moves when it grows.
    #[inline(always)]
    fn ids(&self) -> *mut f64 {
        // SAFETY: the contract's clauses **thread** and **learnt**, which all callers promise.
        unsafe { *self.member(IDS_BUFFER) as *mut f64 }
    }

    /// How many entries the stack has.
    #[inline(always)]
    fn length(&self) -> usize {
        // SAFETY: the contract's clauses **thread** and **learnt**, which all callers promise.
        unsafe { *self.field(STACK_LENGTH) as usize }
    }

    /// Length of the JavaScript array of resources, read from V8's memory: a call would cost more than the switch.
    #[inline(always)]
    fn array_length(&self) -> usize {
        // SAFETY: the contract's clauses **thread** and **learnt**, which all callers promise. A Global's word is the address of a
        // handle, and `learn.rs` has verified which word of an array holds its length.
        unsafe {
            let global = *self.member(RESOURCES) as *const u64;
            if global.is_null() {
                return 0;
            }
            let array = (*global - 1) as *const u64;
            (*array.add(ARRAY_LENGTH) >> 32) as usize
        }
    }
}
