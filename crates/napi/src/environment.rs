//! One Node environment (the main thread's or a Worker's): learnt once, proven once, torn down with it.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::io;
use std::ptr::{NonNull, null_mut};
use std::rc::Rc;
use std::sync::Mutex;

use greenlets_core::{Options, Thread};
use napi::sys;

use crate::mail::Status;
use crate::native;
use crate::node;
use crate::node::async_hooks::AsyncHooks;
use crate::scopes::Scopes;
use crate::settings::Settings;
use crate::unwind::Watch;
use crate::v8::host::V8Host;
use crate::v8::layout::Layout;
use crate::v8::locker::Locker;
use crate::v8::symbols::Symbols;
use crate::v8::{Unsupported, flags, learn, leave, self_test, state};

/// What an environment has: its greenlets' thread, or the reason why it has none.
pub(crate) struct Environment {
    pub(crate) env: sys::napi_env,
    outcome: Result<Box<Thread<V8Host>>, Unsupported>,
    /// Set by `attach`: the array shared with JavaScript is its own from then on.
    pub(crate) attached: Cell<bool>,
    watch: RefCell<Option<Watch>>,
}

thread_local! {
    /// One for each environment of this thread; Node has one, embedders may have more.
    static ENVIRONMENTS: RefCell<Vec<Rc<Environment>>> = const { RefCell::new(Vec::new()) };
}

impl Environment {
    /// The environment of `env`; the first call learns V8's layout and runs the self-test.
    pub(crate) fn of(env: sys::napi_env) -> Rc<Environment> {
        Environment::known(env).unwrap_or_else(|| {
            let made = Rc::new(Environment {
                env,
                outcome: build_unless_ended(env),
                attached: Cell::new(false),
                watch: RefCell::new(None),
            });
            // Says nothing about this runtime: the next call, if there is one, tries again.
            if made.outcome.as_ref().is_err_and(|reason| !reason.is_final()) {
                return made;
            }
            if let Ok(thread) = made.thread() {
                // SAFETY: `env` is live, on this thread.
                made.watch.replace(unsafe { Watch::start(&thread.host().symbols, env) });
            }
            ENVIRONMENTS.with_borrow_mut(|all| all.push(made.clone()));
            // SAFETY: `env` is live; the hook gets it back.
            unsafe { sys::napi_add_env_cleanup_hook(env, Some(clean_up), env.cast()) };
            made
        })
    }

    /// The environment of `env`, if it has been asked for before and has not been torn down.
    pub(crate) fn known(env: sys::napi_env) -> Option<Rc<Environment>> {
        ENVIRONMENTS.with_borrow(|all| all.iter().find(|e| e.env == env).cloned())
    }

    /// From now on the environment's end is not looked for. Whether it was until now.
    pub(crate) fn stop_watching(&self) -> bool {
        self.watch.take().is_some()
    }

    /// The thread of greenlets, or why there is none.
    pub(crate) fn thread(&self) -> Result<&Thread<V8Host>, &Unsupported> {
        self.outcome.as_deref()
    }
}

/// Node is about to dispose of the isolate: V8's lists must be its own again, or it frees our memory.
unsafe extern "C" fn clean_up(data: *mut c_void) {
    let env: sys::napi_env = data.cast();
    let environment = ENVIRONMENTS.with_borrow_mut(|all| {
        let index = all.iter().position(|e| e.env == env)?;
        Some(all.swap_remove(index))
    });
    let Some(environment) = environment else { return };
    environment.stop_watching();
    let Ok(thread) = environment.thread() else { return };
    if thread.on_main() {
        // SAFETY: main runs, and no JavaScript will run on the other stacks any more. `env` lives until after its hooks.
        unsafe {
            native::forget(env);
            thread.abandon_all();
        }
    } else {
        // The environment is ending from inside of a greenlet: nothing is freed, and nothing runs any more.
        thread.host().full_gc.want(&thread.host().symbols, false);
        std::mem::forget(environment);
    }
}

/// Learning reads what other threads' loads may be changing (the thread-local words of helper threads, V8's flags): one at
/// a time.
static LEARNING: Mutex<()> = Mutex::new(());

/// Where V8 began to end JavaScript meanwhile, what did not work out says nothing about this runtime.
fn build_unless_ended(env: sys::napi_env) -> Result<Box<Thread<V8Host>>, Unsupported> {
    let is_terminating = || {
        let symbols = Symbols::resolve()?;
        // SAFETY: public API, in a native callback: an isolate is entered.
        Ok::<bool, Unsupported>(unsafe { (symbols.is_terminating)((symbols.current_isolate)()) })
    };
    build(env)
        .map_err(|reason| if is_terminating().unwrap_or(false) { Unsupported::Interrupted } else { reason })
}

fn build(env: sys::napi_env) -> Result<Box<Thread<V8Host>>, Unsupported> {
    let settings = Settings::from_environment()?;
    let _one_at_a_time = LEARNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let symbols = Symbols::resolve()?;
    flags::set(&symbols)?;
    let (layout, scopes, async_hooks) = learn_from_a_callback(env, &symbols)?;
    if !state::sizes_agree(&layout) {
        return Err(Unsupported::Because("the copy sizes do not agree with the table of facts".into()));
    }
    let main = layout.main;
    settle_wasm_code_gc(&symbols, &layout);
    // The smallest thread first: how the stacks are kept can be said again while there are none, the host is made once.
    let host = V8Host::new(symbols, layout, scopes, async_hooks, env, settings.locker.then(Locker::default));
    let thread = Thread::new(host, main, Options::slots(1)).map_err(|error| no_stacks(&error))?;
    thread.host().thread.set(Some(NonNull::from(&*thread)));
    thread.host().quiet.scan.set(settings.scan);
    settings.apply(|options| thread.configure(options)).map_err(|error| no_stacks(&error))?;
    // SAFETY: the first greenlet is made in a native callback.
    match unsafe { leave::refusal(thread.host(), true) } {
        None => self_test::run(&thread, env)?,
        Some(Status::Paused) => return Err(Unsupported::NotNow("while the debugger is paused")),
        Some(_) => return Err(Unsupported::NotNow("inside of a promising wasm call")),
    }
    Ok(thread)
}

/// A collection of wasm code that was under way when its flag went off has left a task for this thread, and that task aborts
/// where it finds an archived stack (WasmGCForegroundTask, wasm-engine.cc). So the tasks that wait run now, before there is
/// one; Node runs them inside of JavaScript too, when a debugger pauses.
fn settle_wasm_code_gc(symbols: &Symbols, layout: &Layout) {
    // SAFETY: exported functions, on the isolate's thread and in a native callback, which has a current context; Node has
    // one platform, of the class that exports the third.
    unsafe {
        let environment = (symbols.current_environment)((symbols.current_context)(layout.isolate));
        if !environment.is_null() {
            (symbols.flush_foreground_tasks)((symbols.platform)(environment), layout.isolate);
        }
    }
}

fn no_stacks(error: &io::Error) -> Unsupported {
    Unsupported::Because(format!("no stacks can be reserved: {error}"))
}

struct Lesson<'a> {
    symbols: &'a Symbols,
    learnt: Option<Result<Learnt, Unsupported>>,
}

type Learnt = (Layout, Scopes, AsyncHooks);

/// Learns inside a native callback that C++ calls: V8 then has a Relocatable on this stack, which shows where their chain
/// hangs (FunctionCallbackArguments is one, api-arguments.h).
fn learn_from_a_callback(env: sys::napi_env, symbols: &Symbols) -> Result<Learnt, Unsupported> {
    let mut lesson = Lesson { symbols, learnt: None };
    let (mut scope, mut function, mut receiver, mut result) =
        (null_mut(), null_mut(), null_mut(), null_mut());
    // SAFETY: `env` is live on this thread; `lesson` outlives the call, after which nobody calls the function again.
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
    // SAFETY: the callback's own info; `data` is the lesson (above). It runs on this thread, called from C++.
    unsafe {
        sys::napi_get_cb_info(env, info, null_mut(), null_mut(), null_mut(), &mut data);
        let lesson = &mut *data.cast::<Lesson>();
        lesson.learnt = Some(
            learn::learn(lesson.symbols, env)
                .and_then(|(layout, scopes)| Ok((layout, scopes, node::learn::learn(lesson.symbols, env)?))),
        );
    }
    null_mut()
}
