//! The handle scopes and callback scopes that Node-API add-ons have open on the running stack.
//!
//! Each Node-API add-on of an environment has a `napi_env`, which counts the handle scopes and callback scopes that the add-on has
//! open. Node compares the counters before and after every call of a native function, and ends the process where they differ
//! (CallIntoModule, js_native_api_v8.h). Open scopes belong to a stack: where an add-on calls JavaScript with scopes open, and that
//! JavaScript switches away, the next stack begins with no open scopes.
//!
//! ```text
//!   napi_env__  ... | int open_handle_scopes | int open_callback_scopes | int refs | ...
//! ```
//!
//! Node-API does not tell one add-on about the others. They are found in their environment: each `napi_env` is the argument of a
//! clean-up hook, in one `std::unordered_set` of `node::Environment` (CleanupQueue, cleanup_queue.h).
//!
//! # Contract
//! - **callback**: the call is made in a native callback of `env`, on the environment's thread.
//! - **thread**: an [`AddonScopes`] is used on its environment's thread only (its type is not `Sync`), while the environment lives.
//!   Only that thread changes the counters and the set of hooks.
//! - **learnt**: `learn` has verified the offset of the counters and the address of the set of hooks.
//! - **add-ons**: the `napi_env` of each add-on that `find_addons` has found lives as long as the environment.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::null_mut;

use napi::sys;

use crate::objects::object_of;
use crate::unsupported::{Unsupported, ensure, only};
use crate::v8::learn::peek::{Peek, halves, is_plausible};
use crate::v8::learn::report::{Fact, learnt};
use crate::v8::learn::symbols::{Isolate, Symbols};

/// The address of both counters of one add-on, which are read and written as one word.
type Counters = *mut u64;

/// The counters of all add-ons of an environment except this one.
pub(crate) struct AddonScopes {
    own: sys::napi_env,
    /// Bytes from a `napi_env` to its counters.
    offset: usize,
    /// Address of the pointer to the first node of the set of clean-up hooks.
    hooks: *const *const Hook,
    counters: RefCell<Vec<Counters>>,
    /// Address and length of `counters`, for `open`: a switch does not pay for the `RefCell`.
    slice: Cell<(*const Counters, usize)>,
}

/// The scopes that one add-on has open on a stack that was left.
pub(crate) struct OpenScopes {
    counters: Counters,
    open: u64,
}

/// A node of libstdc++'s `unordered_set<CleanupHookCallback>`.
#[repr(C)]
struct Hook {
    next: *const Hook,
    function: usize,
    argument: *const u64,
    order: u64,
}

/// How many words of a `napi_env` are searched.
const ENV_WORDS: usize = 40;
/// How many words of `node::Environment` are searched for the set.
const ENVIRONMENT_WORDS: usize = 1024;
/// A chain of nodes that is longer than this is not the set of hooks.
const MAX_HOOKS: usize = 1 << 20;

impl AddonScopes {
    /// What was found, for `greenlets doctor`.
    pub(crate) fn report(&self) -> Vec<Fact> {
        let AddonScopes { own: _, offset, hooks, counters: _, slice: _ } = self;
        let found = if hooks.is_null() { "not found" } else { "in Node's Environment" };
        vec![
            learnt(
                "addon_scopes.offset",
                format!("byte {offset} of a napi_env"),
                "opening scopes of Node-API raises exactly these counters",
            ),
            learnt(
                "addon_scopes.hooks",
                found,
                "it counts one more while a clean-up hook is added, and lists our napi_env",
            ),
        ]
    }

    /// Finds the counters by opening scopes, and the set of hooks by adding a hook.
    ///
    /// # Safety
    /// The contract's clause **callback**.
    pub(crate) unsafe fn learn(
        symbols: &Symbols,
        isolate: Isolate,
        env: sys::napi_env,
    ) -> Result<AddonScopes, Unsupported> {
        let peek = &Peek::new()?;
        // SAFETY: the contract's clause **callback**.
        let offset = unsafe { find_counters(env, peek)? };
        // SAFETY: the contract's clause **callback**: a context is entered.
        let environment = unsafe { (symbols.current_environment)((symbols.current_context)(isolate)) };
        ensure!(!environment.is_null(), "this context belongs to no environment of Node");
        let look = || peek.prefix(environment as usize, ENVIRONMENT_WORDS, 128);
        let marker = (&raw const offset) as *mut c_void;
        let before = look();
        // SAFETY: the contract's clause **callback**; the hook is removed below, before it can run.
        unsafe { sys::napi_add_env_cleanup_hook(env, Some(no_op), marker) };
        let during = look();
        let holds_env = |first: u64| {
            let mut node = first;
            for _ in 0..MAX_HOOKS {
                let Some(words) = is_plausible(node).then(|| peek.words(node as usize, 4)).flatten() else {
                    break;
                };
                if words[2] == env as u64 {
                    return true;
                }
                node = words[0];
            }
            false
        };
        let places: Vec<usize> = (0..before.len().min(during.len()).saturating_sub(1))
            .filter(|&i| during[i + 1] == before[i + 1].wrapping_add(1) && holds_env(during[i]))
            .collect();
        // SAFETY: the contract's clause **callback**; this function has added the hook.
        unsafe { sys::napi_remove_env_cleanup_hook(env, Some(no_op), marker) };
        let place = only(&places, "words behave like Node's set of clean-up hooks")?;
        let hooks = (environment as usize + place * 8) as *const *const Hook;
        let scopes = AddonScopes {
            own: env,
            offset,
            hooks,
            counters: RefCell::default(),
            slice: Cell::new((std::ptr::null(), 0)),
        };
        scopes.find_addons();
        ensure!(scopes.finds_own(), "Node keeps the add-ons of an environment in another way");
        Ok(scopes)
    }

    /// Finds the add-ons that are loaded now.
    pub(crate) fn find_addons(&self) {
        let mut counters = self.counters.borrow_mut();
        *counters =
            self.envs().into_iter().filter(|&env| env != self.own).map(|env| self.counters_of(env)).collect();
        self.slice.set((counters.as_ptr(), counters.len()));
    }

    fn counters_of(&self, env: sys::napi_env) -> Counters {
        (env as usize + self.offset) as Counters
    }

    /// Whether the set of hooks leads to this add-on's own `napi_env`.
    fn finds_own(&self) -> bool {
        self.envs().contains(&self.own)
    }

    /// Every `napi_env` of the environment. Hooks of Node have our own one as their argument; the others are the arguments of the
    /// same functions, where they have the same C++ class.
    fn envs(&self) -> Vec<sys::napi_env> {
        let own = self.own as *const u64;
        let hooks = || {
            // SAFETY: the contract's clauses **thread** and **learnt**.
            let mut node = unsafe { *self.hooks };
            std::iter::from_fn(move || {
                // SAFETY: the contract's clauses **thread** and **learnt**: this is a live node of the set, or null at its end.
                let hook = unsafe { node.as_ref()? };
                node = hook.next;
                Some(hook)
            })
        };
        let is_nodes = |function: usize| {
            module_of(function) == module_of(sys::napi_open_handle_scope as *const () as usize)
        };
        let functions: Vec<usize> = hooks()
            .filter(|hook| hook.argument == own && is_nodes(hook.function))
            .map(|hook| hook.function)
            .collect();
        let mut envs: Vec<sys::napi_env> = hooks()
            .filter(|hook| functions.contains(&hook.function))
            // SAFETY: our own `napi_env` is an argument of this function of Node, so its other arguments are objects of Node too.
            // Each is alive while its hook is in the set, and begins with the address of its class's virtual functions.
            .filter(|hook| unsafe { *hook.argument == *own })
            .map(|hook| hook.argument as sys::napi_env)
            .collect();
        envs.sort_unstable();
        envs.dedup();
        envs
    }

    /// The counters of all add-ons, combined by OR: 0 where no add-on has a scope open.
    #[inline(always)]
    pub(crate) fn open(&self) -> u64 {
        let (first, count) = self.slice.get();
        let mut open = 0;
        for i in 0..count {
            // SAFETY: `slice` is all of `counters`, which only `find_addons` changes, together with `slice`. By the contract's
            // clauses **thread**, **learnt** and **add-ons**, each of them is the address of live counters.
            open |= unsafe { (*first.add(i)).read_unaligned() };
        }
        open
    }

    /// Sets all counters to 0, and returns the scopes that were open on the running stack.
    pub(crate) fn take(&self) -> Vec<OpenScopes> {
        let take = |&counters: &Counters| {
            // SAFETY: the contract's clauses **thread**, **learnt** and **add-ons**.
            let open = unsafe { counters.read_unaligned() };
            // SAFETY: the contract's clauses **thread**, **learnt** and **add-ons**.
            unsafe { counters.write_unaligned(0) };
            (open != 0).then_some(OpenScopes { counters, open })
        };
        self.counters.borrow().iter().filter_map(take).collect()
    }

    /// Restores the counters of the running stack, which `take` has returned.
    pub(crate) fn give_back(&self, scopes: &[OpenScopes]) {
        for OpenScopes { counters, open } in scopes {
            // SAFETY: the contract's clauses **thread**, **learnt** and **add-ons**.
            unsafe { counters.write_unaligned(*open) };
        }
    }
}

/// Bytes from `env` to `open_handle_scopes`: each of two scopes raises it by one. The other counter and `refs` follow.
///
/// # Safety
/// The contract's clause **callback**.
unsafe fn find_counters(env: sys::napi_env, peek: &Peek) -> Result<usize, Unsupported> {
    let ints = || halves(&peek.padded(env as usize, ENV_WORDS).unwrap_or_default());
    let (mut outer, mut inner) = (null_mut(), null_mut());
    let before = ints();
    // SAFETY: the contract's clause **callback**; the scopes are closed in the opposite order.
    let (one, two) = unsafe {
        sys::napi_open_handle_scope(env, &mut outer);
        let one = ints();
        sys::napi_open_handle_scope(env, &mut inner);
        let two = ints();
        sys::napi_close_handle_scope(env, inner);
        sys::napi_close_handle_scope(env, outer);
        (one, two)
    };
    let after = ints();
    let places: Vec<usize> = (0..before.len().saturating_sub(2))
        .filter(|&i| {
            one[i] == before[i].wrapping_add(1)
                && two[i] == before[i].wrapping_add(2)
                && after[i] == before[i]
        })
        .filter(|&i| before[i + 1] == 0 && (1..1 << 16).contains(&before[i + 2]))
        .collect();
    Ok(only(&places, "numbers behave like Node's count of open scopes")? * 4)
}

/// A clean-up hook that does nothing.
unsafe extern "C" fn no_op(_: *mut c_void) {}

/// The address at which the module that contains `code` is loaded; 0 where there is none.
fn module_of(code: usize) -> usize {
    object_of(code).map_or(0, |object| object.dli_fbase as usize)
}
