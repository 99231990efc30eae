//! One Node environment (the main thread's or a Worker's): it is learnt once, proven once, and taken apart at its end.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::io;
use std::ptr::{NonNull, null_mut};
use std::rc::Rc;
use std::sync::Mutex;

use greenlets_core::raw::{StackBounds, Thread};
use greenlets_core::{Options, SLOT_SIZE};
use napi::bindgen_prelude::ToNapiValue;
use napi::sys;

use crate::calls::callback::{forget, function_reference};
use crate::calls::{Native, switch};
use crate::cxx_exceptions::CxxExceptions;
use crate::mail::{Mail, Status};
use crate::node::addon_scopes::AddonScopes;
use crate::node::async_hooks::AsyncHooks;
use crate::node::end_watch::{self, EndWatch};
use crate::node::learn as node_learn;
use crate::node::pauses::Pauses;
use crate::node::rejections;
use crate::objects::c_library;
use crate::other_isolates;
use crate::settings::Settings;
use crate::unsupported::{Unsupported, ensure};
use crate::unwind::unwind;
use crate::v8::lanes::V8;
use crate::v8::lanes::locker::Locker;
use crate::v8::learn::known::Known;
use crate::v8::learn::layout::Layout;
use crate::v8::learn::self_test::{self, broken};
use crate::v8::learn::symbols::Symbols;
use crate::v8::learn::{self, flags};
use crate::v8::stack::call::{self, Calls, Outcome};
use crate::v8::stack::depth;
use crate::v8::stack::state;
use crate::v8_host::{Terminating, V8Host};
use crate::weak::WeakReferences;

/// What an environment has: its greenlets' thread, or the reason why it has none.
pub(crate) struct Environment {
    env: sys::napi_env,
    outcome: Result<Rc<Thread<V8Host>>, Unsupported>,
    /// Set by `attach`: from then on the array shared with JavaScript is its own.
    pub(crate) attached: Cell<bool>,
    end_watch: RefCell<Option<EndWatch>>,
}

thread_local! {
    /// One for each environment of this thread. Node has one, embedders may have more.
    static ENVIRONMENTS: RefCell<Vec<Rc<Environment>>> = const { RefCell::new(Vec::new()) };
}

impl Environment {
    /// The environment of `env`; the first call learns V8's layout and runs the self-test.
    pub(crate) fn of(env: sys::napi_env) -> Rc<Environment> {
        let known = Environment::known(env).or_else(|| {
            // What cannot be settled is a reason that `build` gives.
            let _ = settle_wasm_code_gc();
            // A task of the program may have asked for the environment, too.
            Environment::known(env)
        });
        known.unwrap_or_else(|| {
            let made = Rc::new(Environment {
                env,
                outcome: build_unless_terminating(env),
                attached: Cell::new(false),
                end_watch: RefCell::new(None),
            });
            // This says nothing about the runtime: the next call, if there is one, tries again.
            if made.outcome.as_ref().is_err_and(|reason| !reason.is_final()) {
                return made;
            }
            if let Ok(thread) = made.thread() {
                let symbols = &thread.host().v8.layout.symbols;
                // SAFETY: `env` is live on this thread: it called us.
                made.end_watch.replace(unsafe { EndWatch::start(symbols, env, on_turn) });
                other_isolates::watch(thread);
            }
            ENVIRONMENTS.with_borrow_mut(|all| all.push(made.clone()));
            // SAFETY: `env` is live, and the hook gets it back.
            unsafe { sys::napi_add_env_cleanup_hook(env, Some(clean_up), env.cast()) };
            made
        })
    }

    /// The environment of `env`, if it was asked for before and is not taken apart.
    fn known(env: sys::napi_env) -> Option<Rc<Environment>> {
        ENVIRONMENTS.with_borrow(|all| all.iter().find(|e| e.env == env).cloned())
    }

    /// Stops watching for the environment's end. Returns whether it was watched until now.
    fn stop_watching(&self) -> bool {
        self.end_watch.take().is_some()
    }

    /// The thread of greenlets, or the reason why there is none.
    pub(crate) fn thread(&self) -> Result<&Thread<V8Host>, &Unsupported> {
        self.outcome.as_deref()
    }
}

/// Runs in each turn of the loop. Where the environment is ending, it ends the stacks with C++ in them.
unsafe extern "C" fn on_turn(handle: *mut c_void) {
    // SAFETY: libuv calls this with the open handle that `EndWatch::start` has made.
    let Some(env) = (unsafe { end_watch::ending_env(handle) }) else { return };
    let Some(environment) = Environment::known(env) else { return };
    if environment.stop_watching()
        && let Ok(thread) = environment.thread()
    {
        // SAFETY: on the environment's thread, in its loop, and it is ending.
        unsafe { unwind(thread) };
    }
}

/// Node is about to dispose of the isolate: V8's lists must hold only V8's own memory then, because V8 frees what is in them.
unsafe extern "C" fn clean_up(data: *mut c_void) {
    let env: sys::napi_env = data.cast();
    let environment = ENVIRONMENTS.with_borrow_mut(|all| {
        let index = all.iter().position(|e| e.env == env)?;
        Some(all.swap_remove(index))
    });
    let Some(environment) = environment else { return };
    environment.stop_watching();
    // SAFETY: `env` lives until after its hooks, on this thread.
    unsafe { rejections::remove(env) };
    let Ok(thread) = environment.thread() else { return };
    other_isolates::forget(thread);
    if thread.on_main() {
        // SAFETY: main runs, and no JavaScript will run on the other stacks any more. `env` lives until after its hooks.
        unsafe {
            forget(env);
            thread.abandon_all();
        }
    } else {
        // The environment is ending from inside of a greenlet: nothing is freed, and nothing runs any more.
        let v8 = &thread.host().v8;
        v8.gc.full_gc.want(&v8.layout.symbols, false);
        std::mem::forget(environment);
    }
}

/// Learning reads what the learning of other threads may be changing (the thread-local words of helper threads, V8's flags): one
/// thread learns at a time.
static LEARNING: Mutex<()> = Mutex::new(());

thread_local! {
    /// Whether this thread is building an environment. Code of the program runs meanwhile in a few places (async hooks, a debugger's
    /// evaluation). If it asks for the environment it is refused: it would wait for this same thread.
    static BUILDING: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as one that is building an environment, as long as it exists.
struct Building;

impl Building {
    fn begin() -> Result<Building, Unsupported> {
        match BUILDING.replace(true) {
            false => Ok(Building),
            true => Err(Unsupported::NotNow("by code that runs in the middle of the set-up")),
        }
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        BUILDING.set(false);
    }
}

/// Where V8 began to terminate JavaScript meanwhile, a failure says nothing about this runtime.
///
/// The set-up calls JavaScript, and V8 forgets a termination that such a call has ended with; a request that comes while V8 restores this
/// thread's state is lost, too (`learn/rehearsal.rs`). Where Node is ending the environment, as for `worker.terminate()`, the termination
/// is requested again: otherwise the program would go on.
fn build_unless_terminating(env: sys::napi_env) -> Result<Rc<Thread<V8Host>>, Unsupported> {
    let outcome = build(env);
    // SAFETY: public API in a native callback of `env`: an isolate is entered.
    let must_end = Symbols::resolve().is_ok_and(|symbols| unsafe {
        let isolate = (symbols.current_isolate)();
        let is_ending = end_watch::is_ending(env);
        if is_ending {
            (symbols.terminate)(isolate);
        }
        is_ending || (symbols.is_terminating)(isolate)
    });
    outcome.map_err(|reason| match reason {
        _ if must_end => Unsupported::Interrupted,
        Unsupported::Because(reason) => Unsupported::Because(format!("{reason} ({})", this_runtime(env))),
        not_now => not_now,
    })
}

/// What a report of a failure must say: the versions of Node and V8, the processor and the C library.
fn this_runtime(env: sys::napi_env) -> String {
    let mut node = std::ptr::null();
    // SAFETY: `env` is live on this thread. Where the call succeeds, it gives a record that stays as long as the process.
    let node = unsafe {
        match sys::napi_get_node_version(env, &mut node) {
            sys::Status::napi_ok => format!("Node.js {}.{}.{}", (*node).major, (*node).minor, (*node).patch),
            _ => "Node.js".into(),
        }
    };
    let v8 =
        Symbols::resolve().map_or_else(|_| "of unknown version".into(), |symbols| learn::version(&symbols));
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    format!("{node} with V8 {v8}, linux-{arch}, {}", c_library())
}

fn build(env: sys::napi_env) -> Result<Rc<Thread<V8Host>>, Unsupported> {
    let settings = Settings::from_environment()?;
    let _building = Building::begin()?;
    let _one_at_a_time = LEARNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let symbols = Symbols::resolve()?;
    flags::set(&symbols)?;
    let Learnt { layout, known, addon_scopes, async_hooks } = learn_from_a_callback(env, &symbols)?;
    if !state::facts_agree(&layout) {
        return Err(Unsupported::Because("the switch was compiled for other facts about V8".into()));
    }
    let host = V8Host {
        v8: V8::new(layout, settings.locker.then(Locker::default)),
        mail: Mail::new(),
        calls: Calls::new(),
        async_hooks,
        addon_scopes,
        cxx_exceptions: CxxExceptions::of_this_thread(),
        pauses: Pauses::default(),
        weak: WeakReferences::default(),
        terminating: Cell::new(Terminating::Nothing),
        thread: Cell::new(None),
    };
    // The smallest thread first: the host is made once, and `configure` sets how stacks are kept while there are none.
    let own_stack = StackBounds::of_this_thread().map_err(|error| no_stacks(&error))?;
    // SAFETY: this is the isolate's thread, on its own stack: learning has found V8's stack start there. Add-ons that switch stacks
    // do so below a native call that returns, so their switches and ours nest.
    let thread =
        unsafe { Thread::new(host, own_stack, Options::slots(1)) }.map_err(|error| no_stacks(&error))?;
    thread.host().thread.set(Some(NonNull::from(&*thread)));
    let v8 = &thread.host().v8;
    v8.gc.quiet.scan.set(settings.scan);
    v8.gc.classes.set_mode(&v8.layout, settings.classes.clone());
    // The self-test overflows a stack: one of the usual size, because a large one would take long and keep its memory.
    settings.apply(SLOT_SIZE, |options| thread.configure(options)).map_err(|error| no_stacks(&error))?;
    // SAFETY: the first greenlet is made in a native callback.
    match unsafe { switch::refusal(thread.host(), true) } {
        None => {
            prove(&thread, env)?;
            known.keep();
        }
        Some(Status::Paused) => return Err(Unsupported::NotNow("while the debugger is paused")),
        Some(_) => return Err(Unsupported::NotNow("inside of a promising wasm call")),
    }
    let slot_size = depth::slot_size(&thread.host().v8.layout, None);
    if slot_size != SLOT_SIZE {
        settings.apply(slot_size, |options| thread.configure(options)).map_err(|error| no_stacks(&error))?;
    }
    Ok(thread)
}

/// A collection of wasm code that was in progress when its flag was switched off has left a task for this thread, and that task
/// aborts where it finds an archived stack (WasmGCForegroundTask, wasm-engine.cc). So the waiting tasks run now, before there is
/// one; Node also runs them inside of JavaScript when a debugger pauses. Some of them run code of the program, such as the callbacks
/// of a FinalizationRegistry, which may make greenlets: so no lock is held and nothing is half built meanwhile.
///
/// A collection that ends may begin another one, which was requested before the flag was off (WasmEngine::PotentiallyFinishCurrentGC
/// does not read the flag) and leaves one more task: so this is repeated until no task waits.
fn settle_wasm_code_gc() -> Result<(), Unsupported> {
    Settings::from_environment()?;
    if BUILDING.get() {
        return Ok(());
    }
    let symbols = Symbols::resolve()?;
    {
        let _one_at_a_time = LEARNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        flags::set(&symbols)?;
    }
    /// Tasks of the program may leave tasks for ever.
    const ROUNDS: usize = 16;
    // SAFETY: exported functions, on the isolate's thread and in a native callback, which has a current context. Node has one
    // platform, of the class that exports the last function.
    unsafe {
        let isolate = (symbols.current_isolate)();
        let environment = (symbols.current_environment)((symbols.current_context)(isolate));
        if !environment.is_null() {
            let platform = (symbols.platform)(environment);
            let _ = (0..ROUNDS).find(|_| !(symbols.flush_foreground_tasks)(platform, isolate));
        }
    }
    Ok(())
}

fn no_stacks(error: &io::Error) -> Unsupported {
    Unsupported::Because(format!("no stacks can be reserved: {error}"))
}

/// Runs the self-test on `thread`, with functions and numbers of its own; afterwards the thread has neither.
fn prove(thread: &Thread<V8Host>, env: sys::napi_env) -> Result<(), Unsupported> {
    let host = thread.host();
    let mut scope = null_mut();
    // SAFETY: `env` is live on this thread; all handles of the test end with the scope.
    unsafe { sys::napi_open_handle_scope(env, &mut scope) };
    // SAFETY: `env` is live, and the scope is open.
    let result = unsafe { run_self_test(thread, env) };
    host.mail.reset();
    for reference in [host.calls.entry.replace(null_mut()), host.v8.capture.realm.replace(null_mut())] {
        if !reference.is_null() {
            // SAFETY: the reference was made for the test, and the host no longer has it.
            unsafe { sys::napi_delete_reference(env, reference) };
        }
    }
    // SAFETY: opened above, and the innermost scope.
    unsafe { sys::napi_close_handle_scope(env, scope) };
    let problems = result?;
    ensure!(problems.is_empty(), "the self-test failed: {problems}");
    ensure!(thread.live() == 0, "the self-test left a stack behind");
    Ok(())
}

/// # Safety
/// `env` is live on this thread, with a handle scope open.
unsafe fn run_self_test(thread: &Thread<V8Host>, env: sys::napi_env) -> Result<String, Unsupported> {
    let host = thread.host();
    let v8 = &host.v8.layout;
    // SAFETY: the caller's promise. The shared numbers stay in place until `Mail::reset`: their array is a handle of the open scope.
    unsafe {
        let connect = |numbers| {
            host.mail.exchange(numbers);
            host.mail.set_own(thread.main());
        };
        let native =
            Native::to_napi_value(env, Native::of(env, thread)).map_err(|_| broken("its functions"))?;
        let program = self_test::prepare(env, native, connect)?;
        host.calls.entry.set(function_reference(env, program.entry).ok_or_else(|| broken("entry"))?);
        let run = function_reference(env, program.run).ok_or_else(|| broken("run"))?;
        let outcome = call::call(v8, run);
        sys::napi_delete_reference(env, run);
        match outcome {
            Outcome::Returned(result) => Ok(self_test::problems(env, result.cast())),
            Outcome::Threw => Err(broken("it threw")),
            Outcome::Terminated => {
                // The request ended with the test, but it was meant for the caller.
                (v8.symbols.terminate)(v8.isolate);
                Err(Unsupported::Interrupted)
            }
        }
    }
}

/// What was learnt of one environment.
struct Learnt {
    layout: Layout,
    known: Known,
    addon_scopes: AddonScopes,
    async_hooks: AsyncHooks,
}

struct Lesson<'a> {
    symbols: &'a Symbols,
    learnt: Option<Result<Learnt, Unsupported>>,
}

/// Learns inside a native callback that C++ calls: V8 then has a Relocatable on this stack, which shows where the chain of them
/// begins (FunctionCallbackArguments is one, api-arguments.h).
fn learn_from_a_callback(env: sys::napi_env, symbols: &Symbols) -> Result<Learnt, Unsupported> {
    let mut lesson = Lesson { symbols, learnt: None };
    let (mut scope, mut function, mut receiver, mut result) =
        (null_mut(), null_mut(), null_mut(), null_mut());
    // SAFETY: `env` is live on this thread; `lesson` outlives the call, after which nothing calls the function again.
    unsafe {
        sys::napi_open_handle_scope(env, &mut scope);
        let data = (&raw mut lesson).cast();
        sys::napi_create_function(env, c"learn".as_ptr(), -1, Some(take_lesson), data, &mut function);
        sys::napi_get_undefined(env, &mut receiver);
        sys::napi_call_function(env, receiver, function, 0, std::ptr::null(), &mut result);
        sys::napi_close_handle_scope(env, scope);
    }
    lesson.learnt.unwrap_or_else(|| {
        Err(Unsupported::Because("this environment does not run native callbacks any more".into()))
    })
}

unsafe extern "C" fn take_lesson(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut data = null_mut();
    // SAFETY: `info` is this callback's own, and `data` is the lesson of `learn_from_a_callback`, which waits for this call. C++ calls
    // this on the isolate's thread.
    unsafe {
        sys::napi_get_cb_info(env, info, null_mut(), null_mut(), null_mut(), &mut data);
        let lesson = &mut *data.cast::<Lesson>();
        lesson.learnt = Some(learn_all(lesson.symbols, env));
    }
    null_mut()
}

/// # Safety
/// In a native callback of `env` that C++ called, on the isolate's thread and its own stack.
unsafe fn learn_all(symbols: &Symbols, env: sys::napi_env) -> Result<Learnt, Unsupported> {
    // SAFETY: the caller's promise is the one that each of them needs.
    unsafe {
        let (layout, known) = learn::learn(symbols, env)?;
        let addon_scopes = AddonScopes::learn(symbols, layout.isolate, env)?;
        let async_hooks = node_learn::learn(symbols, env)?;
        Ok(Learnt { layout, known, addon_scopes, async_hooks })
    }
}
