//! The exports of the addon: `runtimeInfo()`, `configure()`, `attach()`.
#![allow(unreachable_pub, reason = "Node-API calls these functions; napi-derive requires them to be public")]

use greenlets_core::raw::Thread;
use napi::bindgen_prelude::*;
use napi::sys;
use napi_derive::napi;

use crate::calls::Native;
use crate::calls::callback::function_reference;
use crate::environment::Environment;
use crate::mail::MAIL_LENGTH;
use crate::settings::{self, ClassUse, Scan, Settings};
use crate::v8::learn::report::{self, Fact};
use crate::v8::learn::symbols::Symbols;
use crate::v8::learn::{self, facts};
use crate::v8::stack::depth;
use crate::v8_host::V8Host;

/// What the addon knows about this process and thread.
#[napi(object, object_from_js = false)]
pub struct RuntimeInfo {
    /// Whether greenlets work here.
    #[napi(readonly)]
    pub supported: bool,
    /// How V8's idea of the running stack is switched; absent where greenlets do not work. With `GREENLETS_LANE=locker` V8 does it
    /// itself, by the code of `v8::Locker`, which is slower.
    #[napi(readonly, ts_type = "'fast' | 'locker'")]
    pub lane: Option<String>,
    /// Why greenlets do not work here; absent where they do.
    #[napi(readonly)]
    pub reason: Option<String>,
    /// The version of V8; absent where this runtime does not export the functions that greenlets need.
    #[napi(readonly)]
    pub v8: Option<String>,
    /// How many stacks of this thread can be in their slots at once; each slot takes 1 MiB of address space, or the next power of two
    /// above a larger stack. Any number of greenlets share the slots: some of the suspended stacks are copied to the heap meanwhile.
    #[napi(readonly)]
    pub slots: Option<u32>,
    /// How many bytes of stack JavaScript has in a greenlet of this thread, at least.
    #[napi(readonly)]
    pub stack_size: Option<f64>,
    /// How many suspended stacks of this thread are copied to the heap now.
    #[napi(readonly)]
    pub spilled: Option<f64>,
    /// The bytes that those copies take.
    #[napi(readonly)]
    pub spilled_bytes: Option<f64>,
    /// How many greenlets of this thread have a stack now: those that have started and not ended.
    #[napi(readonly)]
    pub live: Option<u32>,
    /// How the ends of the stacks are guarded: by the page table alone (`MADV_GUARD_INSTALL`), or by `mprotect`.
    #[napi(readonly, ts_type = "'lightweight' | 'protected'")]
    pub guard: Option<String>,
    /// Which suspended stacks V8 visits in a collection, by `GREENLETS_SCAN`: `'all'`; `'young'`: a minor collection leaves out those
    /// without young objects; `'classes'`: a full one leaves out those that are like another stack, too.
    #[napi(readonly, ts_type = "'all' | 'young' | 'classes'")]
    pub scan: Option<String>,
    /// Why `scan` is not `'classes'` although `GREENLETS_SCAN` allows it; absent where it is, or where the variable says otherwise.
    #[napi(readonly)]
    pub scan_reason: Option<String>,
    /// How many suspended stacks the next full collection leaves out, at least.
    #[napi(readonly)]
    pub settled: Option<u32>,
}

/// Says whether greenlets work here. The first call on a thread learns V8's layout and runs the self-test.
///
/// `execArgv` are Node's command line options, one a line.
#[napi]
pub fn runtime_info(env: Env, exec_argv: Option<String>) -> RuntimeInfo {
    settings::set_arguments(exec_argv.unwrap_or_default());
    let environment = Environment::of(env.raw());
    let thread = environment.thread();
    RuntimeInfo {
        supported: thread.is_ok(),
        lane: thread
            .ok()
            .map(|thread| if thread.host().v8.locker.is_some() { "locker" } else { "fast" }.into()),
        reason: thread.err().map(ToString::to_string),
        v8: Symbols::resolve().ok().map(|symbols| learn::version(&symbols)),
        slots: thread.ok().map(|thread| thread.slots()),
        stack_size: thread.ok().map(|thread| thread.host().v8.depth.in_slots_of(thread.slot_size()) as f64),
        spilled: thread.ok().map(|thread| thread.spilled() as f64),
        spilled_bytes: thread.ok().map(|thread| thread.spilled_bytes() as f64),
        live: thread.ok().map(|thread| thread.live() as u32),
        guard: thread.ok().map(|thread| format!("{:?}", thread.guard_kind()).to_lowercase()),
        scan: thread.ok().map(|thread| scan_of(thread).into()),
        scan_reason: thread.ok().and_then(|thread| match class_use(thread) {
            ClassUse::Off(reason) => Some(reason),
            _ => None,
        }),
        settled: thread
            .ok()
            .map(|thread| thread.host().v8.gc.classes.settled(&thread.host().v8.layout) as u32),
    }
}

fn class_use(thread: &Thread<V8Host>) -> ClassUse {
    thread.host().v8.gc.classes.mode(&thread.host().v8.layout)
}

/// Which suspended stacks V8 visits.
fn scan_of(thread: &Thread<V8Host>) -> &'static str {
    match (class_use(thread), thread.host().v8.gc.quiet.scan.get()) {
        (ClassUse::On | ClassUse::Verify, _) => "classes",
        (_, Scan::All) => "all",
        _ => "young",
    }
}

/// One fact about V8 or Node that greenlets rely on.
#[napi(object, object_from_js = false)]
pub struct LearntFact {
    #[napi(readonly)]
    pub name: String,
    /// A place is relative to an object: no address of this process.
    #[napi(readonly)]
    pub value: String,
    /// Whether it was known beforehand, from the sources of V8 and Node, or was found in this process.
    #[napi(readonly, ts_type = "'table' | 'learnt'")]
    pub source: String,
    /// The act that proves it, each time that a thread starts to use greenlets.
    #[napi(readonly)]
    pub proof: String,
    /// False where the set-up has failed: then it has not come to all acts.
    #[napi(readonly)]
    pub proven: bool,
}

/// All facts, for `greenlets doctor`. Where greenlets do not work, it has what was known beforehand of this V8, if anything.
#[napi]
pub fn learnt_facts(env: Env) -> Vec<LearntFact> {
    let environment = Environment::of(env.raw());
    let thread = environment.thread();
    let found = match thread {
        Ok(thread) => {
            let host = thread.host();
            let layout = &host.v8.layout;
            let (hooks, scopes) = (host.async_hooks.report(), host.addon_scopes.report());
            [report::of_facts(layout.facts), report::of_layout(layout), hooks, scopes].concat()
        }
        Err(_) => {
            let version = Symbols::resolve().ok().map(|symbols| learn::version(&symbols));
            version.as_deref().and_then(facts::of).map_or(vec![], report::of_facts)
        }
    };
    let proven = thread.is_ok();
    let plain = |Fact { name, value, in_table, proof }| LearntFact {
        name: String::from(name),
        value,
        source: if in_table { "table" } else { "learnt" }.into(),
        proof: String::from(proof),
        proven,
    };
    found.into_iter().map(plain).collect()
}

/// The version of the package that this addon belongs to. The loader compares them.
#[napi]
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The global object of the realm that Node made for this thread. A `vm` context has another, and so has each test file of some test
/// runners. Node gives an add-on its own realm wherever the add-on is loaded (node::binding::DLOpen, 20 to 26).
#[napi(ts_return_type = "object")]
pub fn node_realm(env: Env) -> Result<sys::napi_value> {
    let mut global = std::ptr::null_mut();
    // SAFETY: `env` is live on this thread.
    match unsafe { sys::napi_get_global(env.raw(), &mut global) } {
        sys::Status::napi_ok => Ok(global),
        _ => Err(Error::from_reason("there is no global object any more")),
    }
}

/// Sets how this thread's stacks are kept. A number that is not given gets its default. Where the thread has stacks already, it
/// changes nothing and returns false. An error with the status `InvalidArg` says which environment variable has a wrong value; one with
/// `NumberExpected` says how many bytes V8 allows for a stack here; all others say that there is no address space for the slots.
#[napi]
pub fn configure(
    env: Env,
    slots: Option<u32>,
    max_greenlets: Option<f64>,
    memory: Option<f64>,
    stack_size: Option<f64>,
) -> Result<bool> {
    let environment = Environment::of(env.raw());
    let reason = |text: String| Error::from_reason(text);
    let thread = environment.thread().map_err(|unsupported| reason(unsupported.to_string()))?;
    let mut settings = Settings::from_environment()
        .map_err(|unsupported| Error::new(Status::InvalidArg, unsupported.to_string()))?;
    settings.slots = slots.or(settings.slots);
    settings.max_greenlets = max_greenlets.map_or(usize::MAX, |count| count as usize);
    settings.memory = memory.map_or(usize::MAX, |bytes| bytes as usize);
    settings.stack_size = stack_size.map(|bytes| bytes as usize);
    if thread.live() > 0 {
        return Ok(false);
    }
    let v8 = &thread.host().v8;
    let set_depth = |bytes| {
        // SAFETY: the clauses **thread** and **learnt** of `v8/stack/state.rs`: this is a native callback on the environment's
        // thread, and its isolate was learnt. There are no other stacks, so main runs.
        unsafe { v8.depth.set(&v8.layout, bytes) }
    };
    let before = v8.depth.get();
    set_depth(settings.stack_size).map_err(|most| Error::new(Status::NumberExpected, most.to_string()))?;
    let slot_size = depth::slot_size(&v8.layout, settings.stack_size);
    settings.apply(slot_size, |options| thread.configure(options)).map_err(|error| {
        // This depth was possible before, so it is now.
        let _ = set_depth(Some(before));
        reason(error.to_string())
    })?;
    Ok(true)
}

/// Connects JavaScript to this thread's greenlets: `mail` is the array that both sides share, `entry` the function that every
/// greenlet begins with. A thread has one array: throws where another copy of the package has connected it. A program that has lost the
/// result of the first call may call again with the same array.
#[napi(ts_args_type = "mail: Int32Array, entry: () => void")]
pub fn attach(env: Env, mail: Unknown<'_>, entry: Unknown<'_>) -> Result<Native> {
    let environment = Environment::of(env.raw());
    let thread = environment.thread().map_err(|reason| Error::from_reason(reason.to_string()))?;
    let host = thread.host();
    let (mut kind, mut length, mut data) = (0, 0, std::ptr::null_mut());
    let mut reference = std::ptr::null_mut();
    // SAFETY: `env` is live on this thread, and the values are the callback's arguments. The strong reference keeps the array's
    // memory in place as long as the environment lives, and the length is checked: this is the clause **array** of `mail.rs`.
    unsafe {
        let status = sys::napi_get_typedarray_info(
            env.raw(),
            mail.raw(),
            &mut kind,
            &mut length,
            &mut data,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        );
        if status != sys::Status::napi_ok || kind != sys::TypedarrayType::int32_array || length < MAIL_LENGTH
        {
            return Err(Error::from_reason(format!(
                "mail must be an Int32Array of at least {MAIL_LENGTH} numbers"
            )));
        }
        if environment.attached.get() {
            if !host.mail.is(data.cast()) {
                return Err(Error::from_reason("another copy of greenlets is attached to this thread"));
            }
            return Ok(Native::of(env.raw(), thread));
        }
        let entry = function_reference(env.raw(), entry.raw())
            .ok_or_else(|| Error::from_reason("entry must be a function"))?;
        sys::napi_create_reference(env.raw(), mail.raw(), 1, &mut reference);
        host.calls.entry.set(entry);
        host.mail.exchange(data.cast());
        host.mail.set_own(thread.main());
        environment.attached.set(true);
        Ok(Native::of(env.raw(), thread))
    }
}
