//! What one thread keeps for its greenlets: the current one, the value that crosses a switch, and their stacks.
//!
//! It is made and ended in `this_thread.rs`.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};

use crate::fiber::bounds::StackBounds;
use crate::fiber::carried::THREAD_GREENLETS;
use crate::greenlet::error::Value;
#[cfg(not(miri))]
use crate::greenlet::overflow::{self, AlternateStack};
use crate::greenlet::record::{Greenlet, GreenletRecord, Lifecycle};
use crate::greenlet::thrown::{Thrown, Unraisable};
use crate::raw::options::Options;
use crate::raw::{NullHost, Thread};

/// What crosses a switch.
pub(crate) type Payload = Result<Value, Thrown>;

pub(crate) type Hook = Rc<dyn Fn(&Unraisable)>;

/// All about the greenlets of one thread.
pub(crate) struct ThreadGreenlets {
    /// Different for each thread that the process ever had, so that a handle knows whether it is used on its own thread.
    pub(crate) token: u64,
    /// For the handler that says when a stack has overflowed; made with the stacks.
    #[cfg(not(miri))]
    signal_stack: Cell<Option<AlternateStack>>,
    /// Made when the first greenlet starts.
    stacks: OnceCell<Rc<Thread<NullHost>>>,
    pub(crate) options: Cell<Options>,
    pub(crate) main: Greenlet,
    /// The running greenlet. This handle keeps it alive; the stack of a suspended greenlet holds no such handle.
    pub(crate) current: Cell<Greenlet>,
    /// During a switch: the greenlet that was left. The side that arrives drops the handle.
    pub(crate) origin: Cell<Option<Greenlet>>,
    /// During a switch: what the greenlet that arrives gets.
    pub(crate) payload: Cell<Option<Payload>>,
    /// All greenlets that are not dead, by age.
    alive: RefCell<BTreeMap<u64, Weak<GreenletRecord>>>,
    next_serial: Cell<u64>,
    pub(crate) hook: RefCell<Option<Hook>>,
}

impl ThreadGreenlets {
    pub(crate) fn new(token: u64) -> ThreadGreenlets {
        let main = Greenlet::from(Rc::new(GreenletRecord::main(token)));
        ThreadGreenlets {
            token,
            #[cfg(not(miri))]
            signal_stack: Cell::new(None),
            stacks: OnceCell::new(),
            options: Cell::new(Options::default()),
            current: Cell::new(main.clone()),
            alive: RefCell::new(BTreeMap::from([(0, main.downgrade())])),
            main,
            origin: Cell::new(None),
            payload: Cell::new(None),
            next_serial: Cell::new(1),
            hook: RefCell::new(None),
        }
    }

    /// This thread's, if it has used greenlets and they have not been ended.
    #[inline]
    pub(crate) fn existing<'a>() -> Option<&'a ThreadGreenlets> {
        let greenlets = THREAD_GREENLETS.get().cast::<ThreadGreenlets>();
        // SAFETY: the pointer is null, or was leaked from a box by `this_thread` and is freed only by `end` (`this_thread.rs`). That
        // one runs below all other code of the thread: code that could still hold this reference has returned, never returns
        // (`exit()`), or lies on a stack that never runs again.
        unsafe { greenlets.as_ref() }
    }

    /// Those of the thread that `token` stands for, if it is this thread.
    pub(crate) fn of_token<'a>(token: u64) -> Option<&'a ThreadGreenlets> {
        ThreadGreenlets::existing().filter(|greenlets| greenlets.token == token)
    }

    /// The stacks, which are made by the first call.
    ///
    /// # Errors
    /// The system refuses the address space.
    pub(crate) fn make_stacks(&self) -> io::Result<&Thread<NullHost>> {
        if let Some(stacks) = self.stacks.get() {
            return Ok(stacks);
        }
        let main = StackBounds::of_this_thread()?;
        // SAFETY: these are the bounds of the thread's own stack. This is the only `Thread` that `Greenlet` uses; of others, the code that
        // makes them promises that they nest. `Greenlet::new` passes the promises about a greenlet's function on.
        let stacks = unsafe { Thread::new(NullHost, main, self.options.get()) }?;
        #[cfg(not(miri))]
        self.signal_stack.set(overflow::watch()?);
        self.main.record().stack.set(Some(stacks.current_target()));
        Ok(self.stacks.get_or_init(|| stacks))
    }

    /// The stacks, if a greenlet has started.
    #[inline(always)]
    pub(crate) fn stacks(&self) -> Option<&Thread<NullHost>> {
        self.stacks.get().map(|stacks| &**stacks)
    }

    pub(crate) fn slots(&self) -> u32 {
        self.options.get().slots
    }

    #[inline(always)]
    pub(crate) fn is_current(&self, greenlet: &Greenlet) -> bool {
        // SAFETY: the reference ends with this expression, in which the cell is not set.
        unsafe { &*self.current.as_ptr() == greenlet }
    }

    pub(crate) fn current(&self) -> Greenlet {
        // SAFETY: the reference ends with this expression, in which the cell is not set.
        unsafe { (*self.current.as_ptr()).clone() }
    }

    /// The parent of the running greenlet; `None` on main.
    #[inline(always)]
    pub(crate) fn parent_of_current(&self) -> Option<Greenlet> {
        // SAFETY: the reference ends with this expression, in which the cell is not set.
        unsafe { (*self.current.as_ptr()).record().killer_or_parent() }
    }

    /// Puts down what the other side of a switch to `to` takes with `arrive`: the payload, and the handle that has kept the running
    /// greenlet alive. So that one stays alive only if there is another handle to it.
    #[inline(always)]
    pub(crate) fn send(&self, payload: Payload, to: Greenlet) {
        // The two cells are empty between switches. Forgetting what was in them saves the destructors.
        forget(self.payload.replace(Some(payload)));
        forget(self.origin.replace(Some(self.current.replace(to))));
    }

    /// The number of a new greenlet.
    pub(crate) fn next_serial(&self) -> u64 {
        self.next_serial.replace(self.next_serial.get() + 1)
    }

    pub(crate) fn register(&self, greenlet: &Greenlet) {
        self.alive.borrow_mut().insert(greenlet.record().serial, greenlet.downgrade());
    }

    /// For a greenlet that has died, or of which the last handle was dropped before it started.
    pub(crate) fn unregister(&self, record: &GreenletRecord) {
        self.alive.borrow_mut().remove(&record.serial);
    }

    /// All that are not dead, oldest (main) first.
    pub(crate) fn all(&self) -> Vec<Greenlet> {
        self.alive.borrow().values().filter_map(Weak::upgrade).map(Greenlet::from).collect()
    }

    /// All that have started: they are suspended, except the current one.
    pub(crate) fn suspended(&self) -> Vec<Greenlet> {
        let mut all = self.all();
        all.retain(|greenlet| greenlet.record().has_stack());
        all
    }

    /// Forgets a suspended greenlet that will not end. Its stack stays as it is for ever.
    pub(crate) fn abandon(&self, greenlet: &Greenlet) {
        let record = greenlet.record();
        if let (Lifecycle::Started(id), Some(stacks)) = (record.lifecycle.get(), self.stacks()) {
            record.die();
            self.unregister(record);
            stacks.abandon(id);
        }
    }

    /// Reports an error that no switch can deliver, to the hook or to standard error.
    #[cold]
    pub(crate) fn report(&self, greenlet: &Greenlet, thrown: Thrown) {
        let unraisable = Unraisable { greenlet: greenlet.record().name().into_owned(), thrown };
        let hook = self.hook.borrow().clone();
        end_panics(|| match hook {
            Some(hook) => hook(&unraisable),
            None => drop(writeln!(io::stderr(), "greenlets: {unraisable}")),
        });
        // Not within the first call: a destructor that panics while the hook's panic unwinds would end the process.
        end_panics(|| drop(unraisable));
    }

    /// Drops `value`, whose destructors may be any code. A panic in one of them is reported, so that it does not end what the
    /// caller is doing.
    pub(crate) fn discard<T>(&self, greenlet: &Greenlet, value: T) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
            self.report(greenlet, Thrown::Panic(payload));
        }
    }
}

/// Calls `report`, and lets no panic out: its message was printed, and there is nowhere else to report it. Its payload is leaked,
/// because the payload's destructor may panic too.
fn end_panics(report: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(report)) {
        std::mem::forget(payload);
    }
}

impl Drop for ThreadGreenlets {
    fn drop(&mut self) {
        // Handles to main may be left, and its stack in the core ends here.
        self.main.record().stack.set(None);
    }
}

impl Drop for GreenletRecord {
    fn drop(&mut self) {
        if let Some(greenlets) = ThreadGreenlets::of_token(self.token) {
            greenlets.unregister(self);
        }
        // A long line of ancestors may be kept alive only by this one. They are dropped one after the other in this loop; otherwise
        // each would be dropped inside the drop of its child, in a deep recursion.
        let mut next = self.parent.take();
        while let Some(greenlet) = next {
            let ends_here = greenlet.is_last_handle() && !greenlet.record().has_stack();
            next = if ends_here { greenlet.record().parent.take() } else { None };
        }
    }
}
