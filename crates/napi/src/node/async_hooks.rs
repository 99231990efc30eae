//! The stack of async ids and how greenlets take their entries off it and put them back; see the module's drawing.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::{addr_of, null_mut};

use napi::sys;

use super::facts::{
    AFTER, ARRAY_LENGTH, BEFORE, DEFAULT_TRIGGER_ID, EXECUTION_ID, IDS_BUFFER, IDS_COUNT, RESOURCES,
    STACK_LENGTH, TRIGGER_ID,
};
use super::resources::{Element, Kind, NONE, Resources};
use crate::mail::Mail;
use crate::v8::learn::symbols::{Isolate, Symbols};
use crate::v8::stack::call;

/// The resource is a pointer, or a variant in two registers.
pub(super) type PushAsyncContext = unsafe extern "C" fn(*mut u64, f64, f64, u64, u64);
/// `AsyncWrap::EmitBefore(environment, id)` and `EmitAfter`.
type EmitHook = unsafe extern "C" fn(*mut c_void, f64);

/// Where everything is.
pub(super) struct Shape {
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

/// The async-hooks stack of one environment.
pub(crate) struct AsyncHooks {
    shape: Shape,
    /// How many entries lie below the running greenlet's: main's; `CLEARED` where it has no base.
    floor: Cell<usize>,
    /// Main's entries while a greenlet runs on an empty stack, each with a reference to its resource, or null.
    hidden: RefCell<Vec<(Entry, sys::napi_ref)>>,
    /// Main's default trigger id and scope depth, while it is parked.
    main_trigger: Cell<f64>,
    main_depth: Cell<u64>,
}

/// What a greenlet has there: its base entry, and what lies above that while it is parked.
pub(crate) struct Scope {
    pub(crate) id: f64,
    pub(crate) trigger: f64,
    /// The handle of its resource: a word that the GC visits, and that does not move.
    pub(crate) resource: *mut u64,
    default_trigger: f64,
    /// Scope depth beyond main's.
    depth: u64,
    parked: Parked,
}

/// What lay above a parked greenlet's base.
enum Parked {
    Nothing,
    Above(Vec<Entry>),
    /// Node has cleared the stack under the greenlet, as it does for an exception that nobody catches. Its base is gone, and
    /// the scopes that it is in will not pop what they pushed, as long as the stack is empty. So from then on it runs on
    /// an empty stack: main's entries are taken off too.
    Cleared(Vec<Entry>),
}

struct Entry {
    id: f64,
    trigger: f64,
    /// A handle in the callback that parked the greenlet, or null.
    resource: sys::napi_value,
    native: Element,
}

impl Scope {
    pub(crate) const fn new() -> Scope {
        // -1: no default (AsyncHooks' constructor, env.cc).
        Scope {
            id: 0.0,
            trigger: 0.0,
            resource: null_mut(),
            default_trigger: -1.0,
            depth: 0,
            parked: Parked::Nothing,
        }
    }
}

/// No length is one more than this.
const CLEARED: usize = usize::MAX - 1;

/// Who is told of entries that come and go.
#[derive(Clone, Copy)]
pub(crate) enum Tell<'a> {
    /// The program's hooks; the mail says meanwhile that they must not switch.
    Hooks(&'a Mail),
    /// V8 is ending JavaScript.
    Nothing,
}

impl AsyncHooks {
    pub(super) fn new(shape: Shape) -> AsyncHooks {
        AsyncHooks {
            shape,
            floor: Cell::new(0),
            hidden: RefCell::new(Vec::new()),
            main_trigger: Cell::new(-1.0),
            main_depth: Cell::new(0),
        }
    }

    /// Whether somebody is to be told of entries that come or go.
    ///
    /// # Safety
    /// On the environment's thread, while it lives.
    #[inline(always)]
    pub(crate) unsafe fn calls_hooks(&self) -> bool {
        // SAFETY: live words of the environment.
        unsafe { *self.field(BEFORE) | *self.field(AFTER) != 0 }
    }

    /// Main is about to be parked: its entries stay where they are.
    ///
    /// # Safety
    /// Main runs, on the environment's thread, while it lives; as for all that follow.
    #[inline(always)]
    pub(crate) unsafe fn leave_main(&self) {
        // SAFETY: live words of the environment.
        unsafe {
            self.main_trigger.set(*self.uid(DEFAULT_TRIGGER_ID));
            self.main_depth.set(*self.shape.depth);
        }
    }

    /// Puts the running greenlet's entries on main's, which are all there are.
    ///
    /// # Safety
    /// See `leave_main`; `scope` is the running stack's, has a resource, and stays where it is until `leave`.
    #[inline(always)]
    pub(crate) unsafe fn enter(&self, scope: *mut Scope, tell: Tell<'_>) {
        // SAFETY: live words of the environment.
        unsafe {
            *self.uid(DEFAULT_TRIGGER_ID) = (*scope).default_trigger;
            *self.shape.depth = (*self.shape.depth).wrapping_add((*scope).depth);
            self.floor.set(self.length());
            if !matches!((*scope).parked, Parked::Nothing) {
                return self.put_back(scope, tell);
            }
            self.push((*scope).id, (*scope).trigger, self.base_element(scope));
            if *self.field(BEFORE) != 0 {
                self.emit(self.shape.symbols.emit_before, (*scope).id, tell);
            }
        }
    }

    /// Takes them off again.
    ///
    /// # Safety
    /// See `leave_main`; `scope` is the running stack's, and `enter` was called for it.
    #[inline(always)]
    pub(crate) unsafe fn leave(&self, scope: *mut Scope, tell: Tell<'_>) {
        // SAFETY: as above; an entry of the stack says what was on top before it.
        unsafe {
            let floor = self.floor.get();
            if self.length() == floor + 1 && *self.field(AFTER) == 0 {
                self.restore_ids(floor);
                self.cut(floor);
            } else {
                self.take_off(scope, tell);
            }
            let (trigger, depth) = (self.uid(DEFAULT_TRIGGER_ID), self.shape.depth);
            (*scope).default_trigger = trigger.replace(self.main_trigger.get());
            (*scope).depth = depth.replace(self.main_depth.get()).wrapping_sub(self.main_depth.get());
        }
    }

    /// Every hook sees pairs that nest: here one `before` for each entry, from the base up.
    #[cold]
    unsafe fn put_back(&self, scope: *mut Scope, tell: Tell<'_>) {
        // SAFETY: passed on. The handles of the entries are those of a callback that has not returned.
        unsafe {
            let entries = match std::mem::replace(&mut (*scope).parked, Parked::Nothing) {
                Parked::Nothing => Vec::new(),
                Parked::Above(entries) => {
                    self.push((*scope).id, (*scope).trigger, self.base_element(scope));
                    self.emit(self.shape.symbols.emit_before, (*scope).id, tell);
                    entries
                }
                Parked::Cleared(entries) => {
                    self.floor.set(CLEARED);
                    self.hide_main();
                    entries
                }
            };
            for entry in entries {
                self.push_entry(&entry, entry.resource);
                self.emit(self.shape.symbols.emit_before, entry.id, tell);
            }
        }
    }

    /// And one `after` for each, down to the base.
    #[cold]
    unsafe fn take_off(&self, scope: *mut Scope, tell: Tell<'_>) {
        // SAFETY: entries from the floor up are the running greenlet's.
        unsafe {
            let length = self.length();
            let (floor, base) = if self.floor.get() == CLEARED { (0, 0) } else { (self.floor.get(), 1) };
            // Where Node has cleared the stack not even the base is left.
            let cleared = base == 0 || length <= floor;
            let entries: Vec<Entry> = (floor + base..length).map(|i| self.read(i, length)).collect();
            for i in (floor..length).rev() {
                self.emit(self.shape.symbols.emit_after, *self.uid(EXECUTION_ID), tell);
                self.restore_ids(i);
            }
            self.cut(self.length());
            if base == 0 {
                self.show_main();
            }
            (*scope).parked = match (cleared, entries.is_empty()) {
                (true, _) => Parked::Cleared(entries),
                (false, false) => Parked::Above(entries),
                (false, true) => Parked::Nothing,
            };
        }
    }

    /// Takes main's entries off.
    unsafe fn hide_main(&self) {
        let (env, length) = (self.shape.env, self.length());
        // SAFETY: passed on.
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
            self.cut(0);
        }
    }

    /// Puts them back, on an empty stack.
    unsafe fn show_main(&self) {
        let env = self.shape.env;
        for (entry, reference) in self.hidden.take() {
            let mut resource = null_mut();
            // SAFETY: passed on; the reference was made for this.
            unsafe {
                if !reference.is_null() {
                    sys::napi_get_reference_value(env, reference, &mut resource);
                    sys::napi_delete_reference(env, reference);
                }
                self.push_entry(&entry, resource);
            }
        }
    }

    /// Pushes what `read` has read, with the handle of its JavaScript resource, or null.
    unsafe fn push_entry(&self, entry: &Entry, resource: sys::napi_value) {
        // SAFETY: passed on.
        unsafe {
            if !resource.is_null() {
                let array = *self.member(RESOURCES) as sys::napi_value;
                sys::napi_set_element(self.shape.env, array, self.length() as u32, resource);
            }
            self.push(entry.id, entry.trigger, entry.native);
        }
    }

    /// The entry at `index`.
    unsafe fn read(&self, index: usize, length: usize) -> Entry {
        let env = self.shape.env;
        // SAFETY: passed on; the handle is made in the callback that runs.
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
            // What was on top before an entry stands in that entry.
            let (id, trigger) = if index + 1 < length {
                let below = self.ids().add(2 * (index + 1));
                (*below, *below.add(1))
            } else {
                (*self.uid(EXECUTION_ID), *self.uid(TRIGGER_ID))
            };
            Entry { id, trigger, resource, native: self.shape.resources.get(index) }
        }
    }

    /// As `AsyncHooks::push_async_context` (env.cc).
    #[inline(always)]
    unsafe fn push(&self, id: f64, trigger: f64, resource: Element) {
        let length = self.length();
        // SAFETY: the ids buffer has `IDS_COUNT` numbers.
        unsafe {
            let room = *self.member(IDS_COUNT) as usize;
            if 2 * length < room && (resource[0] == 0 || self.shape.resources.put(length, resource)) {
                let below = self.ids().add(2 * length);
                *below = self.uid(EXECUTION_ID).replace(id);
                *below.add(1) = self.uid(TRIGGER_ID).replace(trigger);
                *self.field(STACK_LENGTH) = length as u32 + 1;
            } else {
                self.push_slowly(id, trigger, resource);
            }
        }
    }

    /// Node's own function, which makes room.
    #[cold]
    unsafe fn push_slowly(&self, id: f64, trigger: f64, [first, second]: Element) {
        // SAFETY: passed on.
        unsafe { (self.shape.push)(self.shape.object, id, trigger, first, second) }
    }

    /// Pops the entry at `index`, the top one.
    #[inline(always)]
    unsafe fn restore_ids(&self, index: usize) {
        // SAFETY: `index` is below the stack's length.
        unsafe {
            let below = self.ids().add(2 * index);
            *self.uid(EXECUTION_ID) = *below;
            *self.uid(TRIGGER_ID) = *below.add(1);
            *self.field(STACK_LENGTH) = index as u32;
        }
    }

    /// Forgets the resources from `length` on. Node's JavaScript pops the array's last element, whatever its index: it must
    /// not be longer than the stack.
    #[inline(always)]
    unsafe fn cut(&self, length: usize) {
        // SAFETY: passed on.
        unsafe {
            self.shape.resources.cut(length);
            if self.array_length() > length {
                self.cut_array(length);
            }
        }
    }

    #[cold]
    unsafe fn cut_array(&self, length: usize) {
        let env = self.shape.env;
        // SAFETY: the array is Node's own; its handle is the Global's.
        unsafe {
            let array = *self.member(RESOURCES) as sys::napi_value;
            let mut number = null_mut();
            sys::napi_create_uint32(env, length as u32, &mut number);
            sys::napi_set_named_property(env, array, c"length".as_ptr(), number);
        }
    }

    #[cold]
    unsafe fn emit(&self, hook: EmitHook, id: f64, tell: Tell<'_>) {
        let Tell::Hooks(mail) = tell else { return };
        if id == 0.0 {
            return;
        }
        mail.set_in_hook(true);
        // SAFETY: Node's own functions, which call nobody where there is no hook and end the process where one throws.
        // Where V8 ends JavaScript in one, whoever runs next is to end, and not this callback: the stack has to be left in order.
        unsafe {
            hook(self.shape.environment, id);
            call::put_off_termination(&self.shape.symbols, self.shape.isolate);
        }
        mail.set_in_hook(false);
    }

    /// How the container names a greenlet's resource.
    ///
    /// # Safety
    /// `scope` is live.
    #[inline(always)]
    unsafe fn base_element(&self, scope: *mut Scope) -> Element {
        // SAFETY: the caller promises a live scope.
        unsafe {
            match self.shape.resources.kind {
                Kind::VectorOfLocals => [(*scope).resource as u64, NONE[1]],
                _ => [addr_of!((*scope).resource) as u64, NONE[1]],
            }
        }
    }

    #[inline(always)]
    fn member(&self, word: usize) -> *mut u64 {
        self.shape.object.wrapping_add(word)
    }

    #[inline(always)]
    fn field(&self, index: usize) -> *mut u32 {
        self.shape.fields.wrapping_add(index)
    }

    #[inline(always)]
    fn uid(&self, index: usize) -> *mut f64 {
        self.shape.uids.wrapping_add(index)
    }

    #[inline(always)]
    fn ids(&self) -> *mut f64 {
        // SAFETY: a live word; the buffer moves when it grows.
        unsafe { *self.member(IDS_BUFFER) as *mut f64 }
    }

    #[inline(always)]
    fn length(&self) -> usize {
        // SAFETY: a live word.
        unsafe { *self.field(STACK_LENGTH) as usize }
    }

    /// Length of the array of resources, read as V8 keeps it: a call would cost more than the switch.
    #[inline(always)]
    fn array_length(&self) -> usize {
        // SAFETY: a Global's word is the address of a handle; verified by `learn.rs`, with the word of the length.
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
