//! The scopes that add-ons hold open.
//!
//! Each Node-API add-on of an environment has a `napi_env`, with the number of handle scopes and callback scopes it has open.
//! Node compares them before and after every call of a native function and ends the process where they differ
//! (CallIntoModule, js_native_api_v8.h). They belong to a stack: where an add-on calls JavaScript with scopes open and that
//! switches away, the next one begins with none.
//!
//! ```text
//!   napi_env__  ... | int open_handle_scopes | int open_callback_scopes | int refs | ...
//! ```
//!
//! Add-ons do not know of each other, but their environment does: each `napi_env` is the argument of a clean-up hook, in one
//! `std::unordered_set` of `node::Environment` (CleanupQueue, cleanup_queue.h).

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::null_mut;

use napi::sys;

use crate::unsupported::{Unsupported, ensure};
use crate::v8::learn::peek::{Peek, is_plausible};
use crate::v8::learn::symbols::{Isolate, Symbols};

/// Both counters of one add-on, as one word.
type Counters = *mut u64;

/// The counters of all add-ons of an environment but our own.
pub(crate) struct AddonScopes {
    own: sys::napi_env,
    /// Bytes from a `napi_env` to its counters.
    offset: usize,
    /// The first node of the set of clean-up hooks hangs here.
    hooks: *const *const Hook,
    all: RefCell<Vec<Counters>>,
    /// The same, for the switch.
    list: Cell<(*const Counters, usize)>,
}

/// What an add-on held open on a stack that was left.
pub(crate) struct Held(Counters, u64);

/// A node of libstdc++'s `unordered_set<CleanupHookCallback>`.
#[repr(C)]
struct Hook {
    next: *const Hook,
    function: usize,
    argument: *const u64,
    order: u64,
}

/// Words of a `napi_env` that are looked at.
const ENV_WORDS: usize = 40;
/// Words of `node::Environment` in which the set may be.
const ENVIRONMENT_WORDS: usize = 1024;
/// A set of hooks with more members than this is none.
const MOST_HOOKS: usize = 1 << 20;

impl AddonScopes {
    /// Finds the counters by opening scopes, the hooks by adding one.
    ///
    /// # Safety
    /// In a native callback of `env`, on its thread.
    pub(crate) unsafe fn learn(
        symbols: &Symbols,
        isolate: Isolate,
        env: sys::napi_env,
    ) -> Result<AddonScopes, Unsupported> {
        let peek = &Peek::new().map_err(|error| Unsupported::Because(error.to_string()))?;
        // SAFETY: the caller promises a live environment on this thread.
        let offset = unsafe { counters(env, peek)? };
        // SAFETY: a native callback has a current context.
        let environment = unsafe { (symbols.current_environment)((symbols.current_context)(isolate)) };
        ensure!(!environment.is_null(), "this context belongs to no environment of Node");
        let look = || peek.prefix(environment as usize, ENVIRONMENT_WORDS, 128);
        let marker = (&raw const offset) as *mut c_void;
        let before = look();
        // SAFETY: the hook is taken away again at once.
        unsafe { sys::napi_add_env_cleanup_hook(env, Some(nothing), marker) };
        let during = look();
        let holds_env = |first: u64| {
            let mut node = first;
            for _ in 0..MOST_HOOKS {
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
        // SAFETY: added above.
        unsafe { sys::napi_remove_env_cleanup_hook(env, Some(nothing), marker) };
        ensure!(places.len() == 1, "{} words behave like Node's set of clean-up hooks", places.len());
        let hooks = (environment as usize + places[0] * 8) as *const *const Hook;
        let scopes = AddonScopes {
            own: env,
            offset,
            hooks,
            all: RefCell::default(),
            list: Cell::new((std::ptr::null(), 0)),
        };
        scopes.find_addons();
        ensure!(scopes.knows_own(), "Node keeps the add-ons of an environment in another way");
        Ok(scopes)
    }

    /// Looks for add-ons that were loaded meanwhile.
    pub(crate) fn find_addons(&self) {
        let mut all = self.all.borrow_mut();
        *all =
            self.envs().into_iter().filter(|&env| env != self.own).map(|env| self.counters_of(env)).collect();
        self.list.set((all.as_ptr(), all.len()));
    }

    fn counters_of(&self, env: sys::napi_env) -> Counters {
        (env as usize + self.offset) as Counters
    }

    fn knows_own(&self) -> bool {
        self.envs().contains(&self.own)
    }

    /// Every `napi_env` of the environment: the arguments of the hook that ours is an argument of, where they are of our
    /// class.
    fn envs(&self) -> Vec<sys::napi_env> {
        let own = self.own as *const u64;
        let hooks = || {
            // SAFETY: the set was found by a hook of ours in it; it changes on this thread only.
            let mut node = unsafe { *self.hooks };
            std::iter::from_fn(move || {
                // SAFETY: a live node of the set, or null at its end.
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
            // SAFETY: the argument of Node's hook for a `napi_env` is one, and begins with the address of its class.
            .filter(|hook| unsafe { *hook.argument == *own })
            .map(|hook| hook.argument as sys::napi_env)
            .collect();
        envs.sort_unstable();
        envs.dedup();
        envs
    }

    /// 0 where no add-on holds a scope open.
    #[inline(always)]
    pub(crate) fn open(&self) -> u64 {
        let (first, count) = self.list.get();
        let mut open = 0;
        for i in 0..count {
            // SAFETY: `list` is the whole of `all`; the add-ons of an environment live as long as it does.
            open |= unsafe { (*first.add(i)).read_unaligned() };
        }
        open
    }

    /// Takes what the running stack holds open.
    pub(crate) fn take(&self) -> Vec<Held> {
        let take = |&counters: &Counters| {
            // SAFETY: as in `open`.
            let open = unsafe { counters.read_unaligned() };
            // SAFETY: as in `open`.
            unsafe { counters.write_unaligned(0) };
            (open != 0).then_some(Held(counters, open))
        };
        self.all.borrow().iter().filter_map(take).collect()
    }

    /// Gives it back to the running stack.
    pub(crate) fn give_back(&self, held: &[Held]) {
        for Held(counters, open) in held {
            // SAFETY: as in `open`.
            unsafe { counters.write_unaligned(*open) };
        }
    }
}

/// Bytes from `env` to `open_handle_scopes`: two scopes raise it by two. The other counter and `refs` follow.
unsafe fn counters(env: sys::napi_env, peek: &Peek) -> Result<usize, Unsupported> {
    let ints = || {
        let words = peek.words(env as usize, ENV_WORDS).unwrap_or_default();
        words.into_iter().flat_map(|word| [word as u32, (word >> 32) as u32]).collect::<Vec<u32>>()
    };
    let (mut outer, mut inner) = (null_mut(), null_mut());
    let before = ints();
    // SAFETY: `env` is live, and the scopes close in the opposite order.
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
    ensure!(places.len() == 1, "{} numbers behave like Node's count of open scopes", places.len());
    Ok(places[0] * 4)
}

unsafe extern "C" fn nothing(_: *mut c_void) {}

/// Where the module is loaded that holds this code.
fn module_of(code: usize) -> usize {
    let mut info = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: null_mut(),
    };
    // SAFETY: looks an address up, whatever it is.
    unsafe { libc::dladdr(code as *const c_void, &mut info) };
    info.dli_fbase as usize
}
