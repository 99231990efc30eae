//! Finding the public functions of V8, and some of Node and libuv, by their names in the running process.
//!
//! Only exported symbols (`V8_EXPORT`, `NODE_EXTERN`) are used: they are in `.dynsym` of every Node from 20 to 26, stripped or
//! not. The symbols of `v8::internal` are hidden from Node 24 on. A missing symbol is a reason to refuse that says its name, never
//! a crash.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::MaybeUninit;

use crate::unsupported::Unsupported;

/// A `v8::Isolate*`.
pub(crate) type Isolate = *mut c_void;

/// A `v8::Local<T>`: the address of a handle, which holds a tagged word. Null where it is empty.
pub(crate) type Local = *mut usize;

/// `v8::Isolate::GCCallbackWithData`; the two ints are `GCType` and `GCCallbackFlags`.
pub(crate) type GcCallback = unsafe extern "C" fn(Isolate, c_int, c_int, *mut c_void);

/// Storage for a `v8::TryCatch` (6 to 7 words in every version; v8-exception.h), aligned as one.
#[repr(C, align(16))]
pub(crate) struct TryCatch([u64; 8]);

impl TryCatch {
    pub(crate) const fn storage() -> Self {
        TryCatch([0; 8])
    }

    /// Writes `new` where `old` is. Where `old` is in no place, or in several, nothing changes.
    pub(crate) fn replace(&mut self, old: usize, new: usize) {
        let mut places = self.0.iter_mut().filter(|word| **word == old as u64);
        if let (Some(place), None) = (places.next(), places.next()) {
            *place = new as u64;
        }
    }
}

macro_rules! symbols {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $name:literal;)*) => {
        /// One function pointer for each symbol in the table of this file.
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct Symbols { $($(#[$doc])* pub(crate) $field: $type,)* }

        impl Symbols {
            /// Looks up all symbols.
            pub(crate) fn resolve() -> Result<Self, Unsupported> {
                Ok(Symbols { $($field: {
                    let address = find($name)?;
                    // SAFETY: the symbol is a function with this signature: a mangled C++ name spells the parameter types. Return
                    // types, and the types of libuv's C functions, are those that the headers declare (V8 11.3 to 14.6).
                    unsafe { std::mem::transmute::<*mut c_void, $type>(address) }
                },)* })
            }
        }
    };
}

/// Storage for a `node::CallbackScope` (an InternalCallbackScope and a TryCatch; node.h), aligned as one.
#[repr(C, align(16))]
pub(crate) struct CallbackScope([u64; 32]);

impl CallbackScope {
    pub(crate) const fn storage() -> Self {
        CallbackScope([0; 32])
    }
}

/// Storage for an `Isolate::AllowJavascriptExecutionScope` (4 words; v8-isolate.h).
pub(crate) type AllowScope = [usize; 8];

/// A returned `std::unique_ptr<MicrotaskQueue>`: the caller provides the memory, and the callee writes one word.
#[repr(C)]
pub(crate) struct ReturnedQueue(pub(crate) MaybeUninit<[u64; 3]>);

/// Storage for a `v8::MicrotasksScope` (3 words; v8-microtask-queue.h).
pub(crate) type MicrotasksScope = [usize; 6];

/// Storage for a `v8::HeapStatistics` (14 or 15 words; v8-statistics.h).
pub(crate) type HeapStatistics = [usize; HEAP_STATISTICS_WORDS];
pub(crate) const HEAP_STATISTICS_WORDS: usize = 32;

/// `uv_prepare_cb` and `uv_close_cb` (uv.h).
pub(crate) type UvCallback = unsafe extern "C" fn(*mut c_void);

symbols! {
    /// `node::GetCurrentEnvironment(context)` (node.h)
    current_environment: unsafe extern "C" fn(Local) -> *mut c_void
        = c"_ZN4node21GetCurrentEnvironmentEN2v85LocalINS0_7ContextEEE";
    /// `node::GetMultiIsolatePlatform(environment)` (node.h)
    platform: unsafe extern "C" fn(*mut c_void) -> *mut c_void = c"_ZN4node23GetMultiIsolatePlatformEPNS_11EnvironmentE";
    /// `node::NodePlatform::FlushForegroundTasks(isolate)` (node_platform.h)
    flush_foreground_tasks: unsafe extern "C" fn(*mut c_void, Isolate) -> bool
        = c"_ZN4node12NodePlatform20FlushForegroundTasksEPN2v87IsolateE";
    /// `node::CallbackScope::CallbackScope(isolate, resource, async_context)`, the last two doubles (node.h)
    callback_scope_new: unsafe extern "C" fn(*mut CallbackScope, Isolate, Local, f64, f64)
        = c"_ZN4node13CallbackScopeC1EPN2v87IsolateENS1_5LocalINS1_6ObjectEEENS_13async_contextE";
    /// `node::CallbackScope::~CallbackScope()` (node.h)
    callback_scope_drop: unsafe extern "C" fn(*mut CallbackScope) = c"_ZN4node13CallbackScopeD1Ev";
    /// `node::AsyncWrap::EmitBefore(environment, async_id)` (async_wrap.h)
    emit_before: unsafe extern "C" fn(*mut c_void, f64) = c"_ZN4node9AsyncWrap10EmitBeforeEPNS_11EnvironmentEd";
    /// `node::AsyncWrap::EmitAfter(environment, async_id)` (async_wrap.h)
    emit_after: unsafe extern "C" fn(*mut c_void, f64) = c"_ZN4node9AsyncWrap9EmitAfterEPNS_11EnvironmentEd";
    /// `uv_handle_size(type)` (uv.h)
    uv_handle_size: unsafe extern "C" fn(c_int) -> usize = c"uv_handle_size";
    /// `uv_prepare_init(loop, handle)` (uv.h)
    uv_prepare_init: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int = c"uv_prepare_init";
    /// `uv_prepare_start(handle, callback)` (uv.h)
    uv_prepare_start: unsafe extern "C" fn(*mut c_void, UvCallback) -> c_int = c"uv_prepare_start";
    /// `uv_unref(handle)` (uv.h)
    uv_unref: unsafe extern "C" fn(*mut c_void) = c"uv_unref";
    /// `uv_close(handle, callback)` (uv.h)
    uv_close: unsafe extern "C" fn(*mut c_void, UvCallback) = c"uv_close";
    /// `Isolate::AllowJavascriptExecutionScope::AllowJavascriptExecutionScope(isolate)`
    allow_javascript: unsafe extern "C" fn(*mut AllowScope, Isolate)
        = c"_ZN2v87Isolate29AllowJavascriptExecutionScopeC1EPS0_";
    /// `Isolate::AllowJavascriptExecutionScope::~AllowJavascriptExecutionScope()`
    allow_javascript_drop: unsafe extern "C" fn(*mut AllowScope)
        = c"_ZN2v87Isolate29AllowJavascriptExecutionScopeD1Ev";
    /// `V8::GetVersion()`
    version: unsafe extern "C" fn() -> *const c_char = c"_ZN2v82V810GetVersionEv";
    /// `V8::SetFlagsFromString(str)`
    set_flags: unsafe extern "C" fn(*const c_char) = c"_ZN2v82V818SetFlagsFromStringEPKc";
    /// `ScriptCompiler::CachedDataVersionTag()`
    cached_data_version_tag: unsafe extern "C" fn() -> u32 = c"_ZN2v814ScriptCompiler20CachedDataVersionTagEv";
    /// `Isolate::GetCurrent()`
    current_isolate: unsafe extern "C" fn() -> Isolate = c"_ZN2v87Isolate10GetCurrentEv";
    /// `Isolate::GetCurrentContext()`
    current_context: unsafe extern "C" fn(Isolate) -> Local = c"_ZN2v87Isolate17GetCurrentContextEv";
    /// `Isolate::Enter()`
    enter: unsafe extern "C" fn(Isolate) = c"_ZN2v87Isolate5EnterEv";
    /// `Isolate::Exit()`
    exit: unsafe extern "C" fn(Isolate) = c"_ZN2v87Isolate4ExitEv";
    /// `Isolate::DiscardThreadSpecificMetadata()`
    discard_thread: unsafe extern "C" fn(Isolate) = c"_ZN2v87Isolate29DiscardThreadSpecificMetadataEv";
    /// `Isolate::SetStackLimit(limit)`
    set_stack_limit: unsafe extern "C" fn(Isolate, usize) = c"_ZN2v87Isolate13SetStackLimitEm";
    /// `Isolate::TerminateExecution()`
    terminate: unsafe extern "C" fn(Isolate) = c"_ZN2v87Isolate18TerminateExecutionEv";
    /// `Isolate::CancelTerminateExecution()`
    cancel_terminate: unsafe extern "C" fn(Isolate) = c"_ZN2v87Isolate24CancelTerminateExecutionEv";
    /// `Isolate::IsExecutionTerminating()`
    is_terminating: unsafe extern "C" fn(Isolate) -> bool = c"_ZN2v87Isolate22IsExecutionTerminatingEv";
    /// `Isolate::LowMemoryNotification()`: collects all garbage now
    collect_all: unsafe extern "C" fn(Isolate) = c"_ZN2v87Isolate21LowMemoryNotificationEv";
    /// `Isolate::RequestInterrupt(callback, data)`
    request_interrupt: unsafe extern "C" fn(Isolate, unsafe extern "C" fn(Isolate, *mut c_void), *mut c_void)
        = c"_ZN2v87Isolate16RequestInterruptEPFvPS0_PvES2_";
    /// `Isolate::AddGCPrologueCallback(callback, data, type)`
    add_gc_prologue: unsafe extern "C" fn(Isolate, GcCallback, *mut c_void, c_int)
        = c"_ZN2v87Isolate21AddGCPrologueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_S2_";
    /// `Isolate::RemoveGCPrologueCallback(callback, data)`
    remove_gc_prologue: unsafe extern "C" fn(Isolate, GcCallback, *mut c_void)
        = c"_ZN2v87Isolate24RemoveGCPrologueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_";
    /// `Isolate::AddGCEpilogueCallback(callback, data, type)`
    add_gc_epilogue: unsafe extern "C" fn(Isolate, GcCallback, *mut c_void, c_int)
        = c"_ZN2v87Isolate21AddGCEpilogueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_S2_";
    /// `Isolate::RemoveGCEpilogueCallback(callback, data)`
    remove_gc_epilogue: unsafe extern "C" fn(Isolate, GcCallback, *mut c_void)
        = c"_ZN2v87Isolate24RemoveGCEpilogueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_";
    /// `Locker::Initialize(isolate)`; a Locker is two words (v8-locker.h)
    locker_initialize: unsafe extern "C" fn(*mut [usize; 2], Isolate) = c"_ZN2v86Locker10InitializeEPNS_7IsolateE";
    /// `Locker::~Locker()`
    locker_drop: unsafe extern "C" fn(*mut [usize; 2]) = c"_ZN2v86LockerD1Ev";
    /// `Locker::IsLocked(isolate)`
    is_locked: unsafe extern "C" fn(Isolate) -> bool = c"_ZN2v86Locker8IsLockedEPNS_7IsolateE";
    /// `Unlocker::Initialize(isolate)`; an Unlocker is one word (v8-locker.h)
    unlocker_initialize: unsafe extern "C" fn(*mut usize, Isolate) = c"_ZN2v88Unlocker10InitializeEPNS_7IsolateE";
    /// `Unlocker::~Unlocker()`
    unlocker_drop: unsafe extern "C" fn(*mut usize) = c"_ZN2v88UnlockerD1Ev";
    /// `base::Stack::GetStackStart()`
    stack_start: unsafe extern "C" fn() -> usize = c"_ZN2v84base5Stack13GetStackStartEv";
    /// `Context::Enter()`
    context_enter: unsafe extern "C" fn(Local) = c"_ZN2v87Context5EnterEv";
    /// `Context::Exit()`
    context_exit: unsafe extern "C" fn(Local) = c"_ZN2v87Context4ExitEv";
    /// `Object::GetCreationContextChecked()`
    creation_context: unsafe extern "C" fn(Local) -> Local = c"_ZN2v86Object25GetCreationContextCheckedEv";
    /// `Function::Call(context, receiver, argc, argv)`
    call: unsafe extern "C" fn(Local, Local, Local, c_int, *const Local) -> Local
        = c"_ZN2v88Function4CallENS_5LocalINS_7ContextEEENS1_INS_5ValueEEEiPS5_";
    /// `Context::GetMicrotaskQueue()`
    microtask_queue: unsafe extern "C" fn(Local) -> *const u64 = c"_ZN2v87Context17GetMicrotaskQueueEv";
    /// `MicrotaskQueue::New(isolate, policy)`
    new_microtask_queue: unsafe extern "C" fn(Isolate, c_int) -> ReturnedQueue
        = c"_ZN2v814MicrotaskQueue3NewEPNS_7IsolateENS_16MicrotasksPolicyE";
    /// `MicrotasksScope::MicrotasksScope(isolate, queue, type)`
    microtasks_scope_new: unsafe extern "C" fn(*mut MicrotasksScope, Isolate, *const u64, c_int)
        = c"_ZN2v815MicrotasksScopeC1EPNS_7IsolateEPNS_14MicrotaskQueueENS0_4TypeE";
    /// `MicrotasksScope::~MicrotasksScope()`
    microtasks_scope_drop: unsafe extern "C" fn(*mut MicrotasksScope) = c"_ZN2v815MicrotasksScopeD1Ev";
    /// `HeapStatistics::HeapStatistics()`
    heap_statistics_new: unsafe extern "C" fn(*mut HeapStatistics) = c"_ZN2v814HeapStatisticsC1Ev";
    /// `Isolate::GetHeapStatistics(statistics)`
    heap_statistics: unsafe extern "C" fn(Isolate, *mut HeapStatistics)
        = c"_ZN2v87Isolate17GetHeapStatisticsEPNS_14HeapStatisticsE";
    /// `Context::Global()`
    context_global: unsafe extern "C" fn(Local) -> Local = c"_ZN2v87Context6GlobalEv";
    /// `Context::GetSecurityToken()`
    security_token: unsafe extern "C" fn(Local) -> Local = c"_ZN2v87Context16GetSecurityTokenEv";
    /// `Context::SetSecurityToken(token)`
    set_security_token: unsafe extern "C" fn(Local, Local)
        = c"_ZN2v87Context16SetSecurityTokenENS_5LocalINS_5ValueEEE";
    /// `PrimitiveArray::Length()`
    array_length: unsafe extern "C" fn(Local) -> c_int = c"_ZNK2v814PrimitiveArray6LengthEv";
    /// `PrimitiveArray::Get(isolate, index)`
    array_get: unsafe extern "C" fn(Local, Isolate, c_int) -> Local
        = c"_ZN2v814PrimitiveArray3GetEPNS_7IsolateEi";
    /// `PrimitiveArray::Set(isolate, index, item)`
    array_set: unsafe extern "C" fn(Local, Isolate, c_int, Local)
        = c"_ZN2v814PrimitiveArray3SetEPNS_7IsolateEiNS_5LocalINS_9PrimitiveEEE";
    /// `TryCatch::TryCatch(isolate)`
    try_catch_new: unsafe extern "C" fn(*mut TryCatch, Isolate) = c"_ZN2v88TryCatchC1EPNS_7IsolateE";
    /// `TryCatch::~TryCatch()`
    try_catch_drop: unsafe extern "C" fn(*mut TryCatch) = c"_ZN2v88TryCatchD1Ev";
    /// `TryCatch::HasTerminated()`
    has_terminated: unsafe extern "C" fn(*const TryCatch) -> bool = c"_ZNK2v88TryCatch13HasTerminatedEv";
    /// `TryCatch::Message()`
    message: unsafe extern "C" fn(*const TryCatch) -> Local = c"_ZNK2v88TryCatch7MessageEv";
    /// `TryCatch::ReThrow()`
    rethrow: unsafe extern "C" fn(*mut TryCatch) -> Local = c"_ZN2v88TryCatch7ReThrowEv";
    /// `Isolate::ThrowException(exception)`
    throw: unsafe extern "C" fn(Isolate, Local) -> Local = c"_ZN2v87Isolate14ThrowExceptionENS_5LocalINS_5ValueEEE";
    /// `Exception::CreateMessage(isolate, exception)`
    create_message: unsafe extern "C" fn(Isolate, Local) -> Local
        = c"_ZN2v89Exception13CreateMessageEPNS_7IsolateENS_5LocalINS_5ValueEEE";
    /// `StackTrace::CurrentStackTrace(isolate, frame_limit, options)`
    stack_trace: unsafe extern "C" fn(Isolate, c_int, c_int) -> Local
        = c"_ZN2v810StackTrace17CurrentStackTraceEPNS_7IsolateEiNS0_17StackTraceOptionsE";
    /// `StackTrace::GetFrameCount()`
    frame_count: unsafe extern "C" fn(Local) -> c_int = c"_ZNK2v810StackTrace13GetFrameCountEv";
    /// `StackTrace::GetFrame(isolate, index)`
    frame: unsafe extern "C" fn(Local, Isolate, u32) -> Local = c"_ZNK2v810StackTrace8GetFrameEPNS_7IsolateEj";
    /// `StackFrame::GetScriptId()`
    script_id: unsafe extern "C" fn(Local) -> c_int = c"_ZNK2v810StackFrame11GetScriptIdEv";
}

/// `Isolate::SetContinuationPreservedEmbedderData(value)`: absent on Node 20.
pub(crate) type SetEmbedderData = unsafe extern "C" fn(Isolate, Local);

/// Finds it.
pub(crate) fn set_embedder_data() -> Result<SetEmbedderData, Unsupported> {
    let address = find(c"_ZN2v87Isolate36SetContinuationPreservedEmbedderDataENS_5LocalINS_5ValueEEE")?;
    // SAFETY: the mangled name spells both parameter types, and v8-isolate.h declares no result (12.4 to 14.6).
    Ok(unsafe { std::mem::transmute::<*mut c_void, SetEmbedderData>(address) })
}

/// `v8::FunctionCallback`; the argument is a `v8::FunctionCallbackInfo*`.
type FunctionCallback<I> = unsafe extern "C" fn(*const I);
/// `FunctionTemplate::New(isolate, callback, data, signature, length, constructor_behavior, side_effect_type, c_function, instance_type,
/// range_start, range_end)`, from 11.3 to 14.6.
type NewTemplate<I> = unsafe extern "C" fn(
    Isolate,
    FunctionCallback<I>,
    Local,
    Local,
    c_int,
    c_int,
    c_int,
    *const c_void,
    u16,
    u16,
    u16,
) -> Local;
/// `FunctionTemplate::GetFunction(context)`.
type GetFunction = unsafe extern "C" fn(Local, Local) -> Local;

/// Makes a function of `context` that calls `callback`. It has no prototype and cannot be called with `new`. V8 keeps it with its
/// template, which makes it cheaper to find in a stack than one by `v8::Function::New`.
///
/// # Safety
/// `isolate` is entered on this thread, and a HandleScope is open.
pub(crate) unsafe fn new_direct_function<I>(
    isolate: Isolate,
    context: Local,
    callback: FunctionCallback<I>,
) -> Result<Local, Unsupported> {
    let new = find(
        c"_ZN2v816FunctionTemplate3NewEPNS_7IsolateEPFvRKNS_20FunctionCallbackInfoINS_5ValueEEEENS_5LocalIS4_EENSA_INS_9SignatureEEEiNS_19ConstructorBehaviorENS_14SideEffectTypeEPKNS_9CFunctionEttt",
    )?;
    let get = find(c"_ZN2v816FunctionTemplate11GetFunctionENS_5LocalINS_7ContextEEE")?;
    // SAFETY: the mangled names spell the parameters, and v8-template.h declares a Local and a MaybeLocal as results. No data and no
    // signature are null. The zeroes are `ConstructorBehavior::kThrow` and `SideEffectType::kHasSideEffect`.
    let function = unsafe {
        let new = std::mem::transmute::<*mut c_void, NewTemplate<I>>(new);
        let get = std::mem::transmute::<*mut c_void, GetFunction>(get);
        let (none, no_function) = (std::ptr::null_mut(), std::ptr::null());
        get(new(isolate, callback, none, none, 0, 0, 0, no_function, 0, 0, 0), context)
    };
    crate::unsupported::ensure!(!function.is_null(), "V8 made no function");
    Ok(function)
}

type W = usize;
/// `Context::New(isolate, ...)`. What follows the isolate is optional, and zeroes mean that it is not given. The longest list, that of
/// 13.6 and 14.6, has 10 words; more are ignored.
type NewContext = unsafe extern "C" fn(Isolate, W, W, W, W, W, W, W, W, W, W, W, W) -> Local;

/// Names of `Context::New`, which got more parameters from 11.3 to 13.6.
const NEW_CONTEXT: [&CStr; 3] = [
    c"_ZN2v87Context3NewEPNS_7IsolateEPNS_22ExtensionConfigurationENS_10MaybeLocalINS_14ObjectTemplateEEENS5_INS_5ValueEEENS_33DeserializeInternalFieldsCallbackEPNS_14MicrotaskQueueENS_30DeserializeContextDataCallbackENS_29DeserializeAPIWrapperCallbackE",
    c"_ZN2v87Context3NewEPNS_7IsolateEPNS_22ExtensionConfigurationENS_10MaybeLocalINS_14ObjectTemplateEEENS5_INS_5ValueEEENS_33DeserializeInternalFieldsCallbackEPNS_14MicrotaskQueueENS_30DeserializeContextDataCallbackE",
    c"_ZN2v87Context3NewEPNS_7IsolateEPNS_22ExtensionConfigurationENS_10MaybeLocalINS_14ObjectTemplateEEENS5_INS_5ValueEEENS_33DeserializeInternalFieldsCallbackEPNS_14MicrotaskQueueE",
];

/// Makes a context (a realm) in which nothing has run.
///
/// # Safety
/// `isolate` is entered on this thread, and a HandleScope is open.
pub(crate) unsafe fn new_context(isolate: Isolate) -> Result<Local, Unsupported> {
    let address =
        NEW_CONTEXT.iter().find_map(|name| find(name).ok()).map_or_else(|| find(NEW_CONTEXT[0]), Ok)?;
    // SAFETY: the mangled names spell the parameters; structures of two words go where two words would go (System V and AAPCS64),
    // and a Local is one word.
    let new = unsafe { std::mem::transmute::<*mut c_void, NewContext>(address) };
    // SAFETY: the caller's promise, and every other parameter may be left out.
    let context = unsafe { new(isolate, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) };
    crate::unsupported::ensure!(!context.is_null(), "V8 made no context");
    Ok(context)
}

/// The address of an exported symbol.
pub(crate) fn find(name: &CStr) -> Result<*mut c_void, Unsupported> {
    // SAFETY: the name is a C string, and dlsym(3) has no other effect.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    #[cfg(feature = "faults")]
    let address = if super::fault::is(&format!("symbol:{}", name.to_string_lossy())) {
        std::ptr::null_mut()
    } else {
        address
    };
    if address.is_null() {
        return Err(Unsupported::Because(format!(
            "V8's symbol {} is not exported by this runtime",
            name.to_string_lossy()
        )));
    }
    Ok(address)
}
