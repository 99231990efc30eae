//! What Node's client of the inspector does at a pause of the debugger, while a suspended stack is read.
//!
//! At a pause, V8 describes each object that a frame has for the sessions whose debugger is enabled (V8DebuggerAgentImpl::didPause),
//! and then Node runs a loop until a session resumes (NodeInspectorClient::runMessageLoopOnPause, inspector_agent.cc, 20 to 26). Three
//! virtual functions of the client are replaced meanwhile, by another table:
//!
//! - **runMessageLoopOnPause** returns at once. It would wait where another session is connected from outside: DevTools, or a Worker that
//!   watches this thread. None of these was told of the pause, so none would end it.
//! - **valueSubtype** gets each object before V8 describes it. It keeps the object, and calls it a kind of its own: its number. So the
//!   objects need not be asked for by the protocol, which works in one realm only.
//! - **descriptionForValueSubtype** describes an object of such a kind. V8's own description of an error or a date would call getters of
//!   the program (value-mirror.cc).

use std::cell::{Cell, OnceCell};
use std::ffi::{CStr, c_int, c_void};
use std::ptr::null_mut;

use napi::sys;

use crate::v8::learn::layout::Layout;
use crate::v8::learn::peek::{Peek, is_plausible};
use crate::v8::learn::symbols::{self, Local};

const VTABLE: &CStr = c"_ZTVN4node9inspector19NodeInspectorClientE";
const RUN_LOOP: &CStr = c"_ZN4node9inspector19NodeInspectorClient21runMessageLoopOnPauseEi";
const DEFAULT_CONTEXT: &CStr = c"_ZN4node9inspector19NodeInspectorClient27ensureDefaultContextInGroupEi";
const CREATION_CONTEXT: &CStr = c"_ZN2v86Object18GetCreationContextEv";
const CREATE_STRING: &CStr = c"_ZN12v8_inspector12StringBuffer6createENS_10StringViewE";

/// Words of the table, in the order of V8InspectorClient (v8-inspector.h, 11.3 to 14.6). Before the first function are the offset to the
/// object's top and its type. The first and the last of these are proven by their names, and the others lie between them.
const FUNCTIONS: usize = 2;
const RUN_LOOP_AT: usize = 4;
const VALUE_SUBTYPE_AT: usize = 13;
const DESCRIPTION_AT: usize = 14;
const DEFAULT_CONTEXT_AT: usize = 16;
/// More words than the table has.
const TABLE_WORDS: usize = 96;
/// Words of an environment that are searched.
const ENVIRONMENT_WORDS: usize = 4096;

/// The client of one environment, once it was looked for; `None` where it was not found.
#[derive(Default)]
pub(crate) struct Pauses(OnceCell<Option<Client>>);

struct Client {
    /// The client's first word, which names its table.
    object: *mut usize,
    table: Box<[u64]>,
    create_string: CreateString,
    creation_context: CreationContext,
}

/// `v8_inspector::StringView`.
#[repr(C)]
struct StringView {
    is_8_bit: bool,
    length: usize,
    characters: *const u8,
}

/// A `std::unique_ptr` that C++ returns through memory; the first word is written.
#[repr(C)]
struct Returned([u64; 3]);

/// `Object::GetCreationContext()`. Null where the object has none, as one of `napi_create_external`.
type CreationContext = unsafe extern "C" fn(Local) -> Local;
type CreateString = unsafe extern "C" fn(StringView) -> Returned;

/// The objects that are kept at the next pause.
#[derive(Clone, Copy)]
struct Kept {
    env: sys::napi_env,
    /// The object whose elements they become.
    objects: sys::napi_value,
    count: u32,
    create_string: CreateString,
}

thread_local! {
    static KEPT: Cell<Option<Kept>> = const { Cell::new(None) };
}

impl Pauses {
    /// Calls `action`. A pause in it returns at once, and the objects that V8 describes for it become elements of `objects`. `None`,
    /// without calling it, where Node's client is not found.
    ///
    /// # Safety
    /// The clause **thread** of `v8/stack/state.rs`, in a native callback. `objects` is a handle of an object of the caller's, without
    /// setters.
    pub(crate) unsafe fn keep<T>(
        &self,
        v8: &Layout,
        objects: sys::napi_value,
        action: impl FnOnce() -> T,
    ) -> Option<T> {
        // SAFETY: the caller's clause is the one that `find` needs.
        let client = self.0.get_or_init(|| unsafe { find(v8) }).as_ref()?;
        KEPT.set(Some(Kept { env: v8.env, objects, count: 0, create_string: client.create_string }));
        // SAFETY: the client lives as long as its environment, and only this thread calls its virtual functions. The copy has the same
        // functions but three, and stays where it is as long as this object.
        let result = unsafe {
            let table = client.object.replace(client.table[FUNCTIONS..].as_ptr() as usize);
            let result = action();
            *client.object = table;
            result
        };
        KEPT.set(None);
        Some(result)
    }
}

impl Pauses {
    /// Whether an object is the global object of its realm. False where Node's client was not looked for.
    ///
    /// # Safety
    /// The clause **thread** of `v8/stack/state.rs`, in a native callback. `object` is a handle of an object.
    pub(crate) unsafe fn is_global(&self, v8: &Layout, object: sys::napi_value) -> bool {
        let Some(Some(client)) = self.0.get() else { return false };
        let mut is_global = false;
        // SAFETY: public functions of V8 and of Node-API, on the isolate's thread, in the scope of a callback. The comparison of two objects
        // runs no code.
        unsafe {
            let context = (client.creation_context)(object.cast());
            if !context.is_null() {
                let global = (v8.symbols.context_global)(context);
                sys::napi_strict_equals(v8.env, object, global.cast(), &mut is_global);
            }
        }
        is_global
    }
}

/// In place of the loop.
unsafe extern "C" fn return_at_once(_client: *mut c_void, _group: c_int) {}

/// In place of `valueSubtype`: keeps an object, and returns its number.
unsafe extern "C" fn number_object(returned: *mut u64, _client: *mut c_void, value: Local) -> *mut u64 {
    // SAFETY: V8 calls this on the isolate's thread, with a handle and with space for a pointer. `objects` is still a handle, because
    // `keep` has not returned.
    unsafe {
        *returned = 0;
        let (mut kind, value) = (0, value.cast());
        let Some(mut kept) = KEPT.get() else { return returned };
        sys::napi_typeof(kept.env, value, &mut kind);
        if kind == sys::ValueType::napi_object || kind == sys::ValueType::napi_function {
            *returned = kept.string(&kept.count.to_string());
            sys::napi_set_element(kept.env, kept.objects, kept.count, value);
            kept.count += 1;
            KEPT.set(Some(kept));
        }
    }
    returned
}

/// In place of `descriptionForValueSubtype`.
unsafe extern "C" fn describe_object(
    returned: *mut u64,
    _client: *mut c_void,
    _context: Local,
    _value: Local,
) -> *mut u64 {
    // SAFETY: V8 calls this with space for a pointer.
    unsafe { *returned = KEPT.get().map_or(0, |kept| kept.string("")) };
    returned
}

impl Kept {
    /// A `v8_inspector::StringBuffer` with this text, for V8 to own.
    fn string(&self, text: &str) -> u64 {
        let view = StringView { is_8_bit: true, length: text.len(), characters: text.as_ptr() };
        // SAFETY: a public function of V8, which copies the text.
        unsafe { (self.create_string)(view) }.0[0]
    }
}

/// The address of a function that returns through memory, as C++ calls it. On x86-64 the memory is the first argument.
#[cfg(target_arch = "x86_64")]
fn returning_functions() -> [u64; 2] {
    [number_object as *const () as u64, describe_object as *const () as u64]
}

/// On AArch64 the memory is in a register of its own.
#[cfg(target_arch = "aarch64")]
fn returning_functions() -> [u64; 2] {
    /// # Safety
    /// As [`number_object`], with its first argument in x8.
    #[unsafe(naked)]
    unsafe extern "C" fn number_object_x8() {
        core::arch::naked_asm!("mov x2, x1", "mov x1, x0", "mov x0, x8", "b {}", sym number_object)
    }
    /// # Safety
    /// As [`describe_object`], with its first argument in x8.
    #[unsafe(naked)]
    unsafe extern "C" fn describe_object_x8() {
        core::arch::naked_asm!("mov x3, x2", "mov x2, x1", "mov x1, x0", "mov x0, x8", "b {}", sym describe_object)
    }
    [number_object_x8 as *const () as u64, describe_object_x8 as *const () as u64]
}

/// Finds the client: an environment has an address of its `inspector::Agent`, whose first two words are the environment and the client
/// (inspector_agent.h). The client's table is that of its class.
///
/// # Safety
/// The clause **thread** of `v8/stack/state.rs`, in a native callback.
unsafe fn find(v8: &Layout) -> Option<Client> {
    let peek = Peek::new().ok()?;
    let table = symbols::find(VTABLE).ok()? as usize;
    let [run_loop, default_context, create_string, creation_context] =
        [RUN_LOOP, DEFAULT_CONTEXT, CREATE_STRING, CREATION_CONTEXT]
            .map(|name| symbols::find(name).unwrap_or(null_mut()));
    if create_string.is_null() || creation_context.is_null() {
        return None;
    }
    let mut copy = peek.padded(table, TABLE_WORDS)?;
    if [copy[RUN_LOOP_AT], copy[DEFAULT_CONTEXT_AT]]
        != [run_loop, default_context].map(|function| function as u64)
    {
        return None;
    }
    // SAFETY: the caller's clause: a context is entered.
    let environment =
        unsafe { (v8.symbols.current_environment)((v8.symbols.current_context)(v8.isolate)) } as u64;
    let functions = (table + FUNCTIONS * 8) as u64;
    let client_of = |agent: u64| {
        let words = peek.words(agent as usize, 2).filter(|words| words[0] == environment)?;
        (peek.word(words[1] as usize)? == functions).then_some(words[1] as *mut usize)
    };
    let words = peek.prefix(environment as usize, ENVIRONMENT_WORDS, 64);
    let object = words.into_iter().filter(|&word| is_plausible(word)).find_map(client_of)?;
    copy[RUN_LOOP_AT] = return_at_once as *const () as u64;
    [copy[VALUE_SUBTYPE_AT], copy[DESCRIPTION_AT]] = returning_functions();
    // SAFETY: the name spells the parameter; a `std::unique_ptr` is returned through memory.
    let create_string = unsafe { std::mem::transmute::<*mut c_void, CreateString>(create_string) };
    // SAFETY: the name spells the parameter; a `MaybeLocal` is a pointer, and is returned as one.
    let creation_context = unsafe { std::mem::transmute::<*mut c_void, CreationContext>(creation_context) };
    Some(Client { object, table: copy.into_boxed_slice(), create_string, creation_context })
}
