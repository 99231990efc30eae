//! What one thread keeps for its greenlets: who runs, what is under way between two of them, and their stacks.
//!
//! It is made by the first use on a thread and lasts until the thread ends; then whoever is still suspended is killed.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::deliver;
use crate::error::{Error, Value};
use crate::greenlet::{Greenlet, Inner, Stage};
use crate::null_host::NullHost;
use crate::options::Options;
use crate::slots::StackBounds;
use crate::thread::Thread;
use crate::thrown::{Thrown, Unraisable};

/// At a thread's end, ending greenlets may start others. How often those are killed in turn before they are left alone.
const LAST_ROUNDS: usize = 4;

/// What crosses a switch.
pub(crate) type Parcel = Result<Value, Thrown>;

type Hook = Rc<dyn Fn(&Unraisable)>;

/// All about the greenlets of one thread.
pub(crate) struct Local {
    /// Different for each thread of the process's life, so that a handle knows whether it is at home.
    pub(crate) token: u64,
    /// The stacks; made when the first greenlet starts.
    core: OnceCell<Box<Thread<NullHost>>>,
    options: Cell<Options>,
    pub(crate) main: Greenlet,
    /// Who runs. This handle is what keeps a running greenlet alive; a suspended stack holds none of its own.
    pub(crate) current: RefCell<Greenlet>,
    /// Between two stacks: who left. The side that arrives lets go of it.
    pub(crate) origin: Cell<Option<Greenlet>>,
    /// Between two stacks: what the one that arrives gets.
    pub(crate) parcel: Cell<Option<Parcel>>,
    /// All that are not dead, by age.
    alive: RefCell<BTreeMap<u64, Weak<Inner>>>,
    born: Cell<u64>,
    hook: RefCell<Option<Hook>>,
}

thread_local! {
    // Two, because a value with a destructor cannot be used while the destructor runs; and greenlets killed at the thread's end
    // use everything.
    pub(crate) static LOCAL: Cell<*const Local> = const { Cell::new(null()) };
    static REAPER: Reaper = const { Reaper };
}

/// Ends the thread's greenlets when the thread ends.
struct Reaper;

impl Drop for Reaper {
    fn drop(&mut self) {
        Local::end();
    }
}

impl Local {
    /// This thread's.
    #[inline]
    pub(crate) fn get<'a>() -> &'a Local {
        let mut local = LOCAL.get();
        if local.is_null() {
            local = Local::begin();
        }
        // SAFETY: it was leaked from a box in `begin` and is freed by `end` alone. That runs below all other code of the thread:
        // whatever could still hold this reference has returned, never returns (`exit()`), or lies on a stack that never runs
        // again.
        unsafe { &*local }
    }

    /// This thread's, if it has used greenlets and they have not been ended.
    #[inline]
    pub(crate) fn existing<'a>() -> Option<&'a Local> {
        // SAFETY: as in `get`.
        unsafe { LOCAL.get().as_ref() }
    }

    #[cold]
    fn begin() -> *const Local {
        static TOKENS: AtomicU64 = AtomicU64::new(0);
        let token = TOKENS.fetch_add(1, Ordering::Relaxed);
        let main = Greenlet::from(Rc::new(Inner::main(token)));
        let alive = BTreeMap::from([(0, main.downgrade())]);
        let local = Box::into_raw(Box::new(Local {
            token,
            core: OnceCell::new(),
            options: Cell::new(Options::default()),
            current: RefCell::new(main.clone()),
            main,
            origin: Cell::new(None),
            parcel: Cell::new(None),
            alive: RefCell::new(alive),
            born: Cell::new(1),
            hook: RefCell::new(None),
        }));
        LOCAL.set(local);
        // Fails where the thread ends and its greenlets were ended already. What is made now, by destructors of other
        // thread-locals, works, but nobody ends it: it is leaked.
        let _ = REAPER.try_with(|_| ());
        local
    }

    /// The thread ends: kills whoever is suspended, and abandons whoever would not die.
    fn end() {
        let Some(local) = Local::existing() else { return };
        if local.core.get().is_some_and(|core| !core.on_main()) {
            // `exit()` was called in a greenlet, and runs this on that greenlet's stack. The process ends at once; everything
            // stays as it is.
            return;
        }
        for _ in 0..LAST_ROUNDS {
            for greenlet in local.suspended() {
                deliver::kill_or_abandon(local, &greenlet);
            }
        }
        for greenlet in local.suspended() {
            local.abandon(&greenlet);
            local.report(&greenlet, Thrown::error("its thread ended before it did, and it was abandoned"));
        }
        let local = LOCAL.replace(null()).cast_mut();
        // SAFETY: it came from a box, and `LOCAL` was its only owner; see `get` for who else could still use it.
        drop(unsafe { Box::from_raw(local) });
    }

    /// The stacks.
    ///
    /// # Errors
    /// Where there are none yet and the system refuses the address space.
    pub(crate) fn core(&self) -> io::Result<&Thread<NullHost>> {
        if let Some(core) = self.core.get() {
            return Ok(core);
        }
        // A snapshot of main does not need the bounds of its stack, and asking for them can fail: they are for show.
        let main = StackBounds::of_this_thread().unwrap_or(StackBounds { base: usize::MAX, limit: 0 });
        let core = Thread::new(NullHost, main, self.options.get())?;
        Ok(self.core.get_or_init(|| core))
    }

    /// The stacks, if a greenlet has started.
    pub(crate) fn stacks(&self) -> Option<&Thread<NullHost>> {
        self.core.get().map(|core| &**core)
    }

    pub(crate) fn slots(&self) -> u32 {
        self.options.get().slots
    }

    pub(crate) fn is_current(&self, greenlet: &Greenlet) -> bool {
        *self.current.borrow() == *greenlet
    }

    pub(crate) fn current(&self) -> Greenlet {
        self.current.borrow().clone()
    }

    /// The number of a new greenlet.
    pub(crate) fn next_serial(&self) -> u64 {
        self.born.replace(self.born.get() + 1)
    }

    pub(crate) fn enroll(&self, greenlet: &Greenlet) {
        self.alive.borrow_mut().insert(greenlet.inner().serial, greenlet.downgrade());
    }

    /// `inner` is dead, or gone unused.
    pub(crate) fn strike(&self, inner: &Inner) {
        self.alive.borrow_mut().remove(&inner.serial);
    }

    /// All that are not dead, oldest (main) first.
    pub(crate) fn all(&self) -> Vec<Greenlet> {
        self.alive.borrow().values().filter_map(Weak::upgrade).map(Greenlet::from).collect()
    }

    /// All that have started, of which none runs: called on main.
    fn suspended(&self) -> Vec<Greenlet> {
        let mut all = self.all();
        all.retain(|greenlet| greenlet.inner().has_stack());
        all
    }

    /// Forgets a suspended greenlet that will not end. Its stack stays as it is for good.
    pub(crate) fn abandon(&self, greenlet: &Greenlet) {
        let inner = greenlet.inner();
        if let (Stage::Started(id), Some(stacks)) = (inner.stage.get(), self.stacks()) {
            inner.stage.set(Stage::Dead);
            self.strike(inner);
            stacks.abandon(id);
        }
    }

    /// Tells the hook, or standard error, about something that nobody else can be told.
    #[cold]
    pub(crate) fn report(&self, greenlet: &Greenlet, thrown: Thrown) {
        let unraisable = Unraisable { greenlet: greenlet.name().into_owned(), thrown };
        let hook = self.hook.borrow().clone();
        // Where even the hook panics (its message was printed by then), there is nobody left to tell.
        let _ = catch_unwind(AssertUnwindSafe(|| match hook {
            Some(hook) => hook(&unraisable),
            None => {
                let _ = writeln!(io::stderr(), "greenlets: {unraisable}");
            }
        }));
    }

    /// Drops `value`, whose destructors may be anybody's code. A panic in one must not take away what is under way.
    pub(crate) fn discard<T>(&self, greenlet: &Greenlet, value: T) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
            self.report(greenlet, Thrown::Panic(payload));
        }
    }
}

/// Says how this thread's stacks are kept: how many greenlets it can have under way (started and not finished) at once, and
/// where. [`Options::default`] if it is not called.
///
/// # Errors
/// [`Error::SlotsInUse`] once a greenlet has started on this thread, [`Error::NoSlots`] for no slots.
pub fn configure(options: Options) -> Result<(), Error> {
    let local = Local::get();
    if local.core.get().is_some() {
        return Err(Error::SlotsInUse { slots: local.slots() });
    }
    if options.slots == 0 {
        return Err(Error::NoSlots);
    }
    local.options.set(options);
    Ok(())
}

/// Sets what this thread does with errors that nobody can be told about otherwise; see [`Unraisable`]. Without a hook they are
/// written to standard error. Returns nothing and replaces the hook before.
pub fn set_unraisable_hook(hook: impl Fn(&Unraisable) + 'static) {
    let before = Local::get().hook.replace(Some(Rc::new(hook)));
    drop(before);
}
