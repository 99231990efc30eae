//! The public methods of a greenlet.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use crate::greenlet::deliver::{self, deliver, end_unstarted, enter};
use crate::greenlet::error::{Error, Value};
use crate::greenlet::kill::kill_suspended;
use crate::greenlet::record::{Greenlet, GreenletRecord, Lifecycle};
use crate::greenlet::this_thread::this_thread;
use crate::greenlet::thread_greenlets::ThreadGreenlets;
use crate::greenlet::thrown::{GreenletExit, Thrown};
use crate::greenlet::view::View;
use crate::raw::Body;
use crate::raw::frame::Frame;
use crate::raw::id::State;

impl Greenlet {
    /// A new greenlet that will run `function` when it is first switched to, with the value of that switch. Its parent is the
    /// current greenlet.
    ///
    /// The value that the function returns goes to the parent. So does an error that it returns (it *throws* it), and a panic, as
    /// [`Thrown::Panic`].
    ///
    /// # Safety
    /// The function, all code that it calls, and the code that switches to this greenlet do not switch **where other code relies on
    /// being left in the reverse order of being entered**, which the compiler takes for granted:
    /// * While a thread-local is being initialised or destroyed.
    /// * With a reference from `LocalKey::with`, unless this greenlet ends before the thread destroys its thread-locals. Greenlets
    ///   that are suspended at their thread's end do not run again, except where a destructor of a thread-local kills them or drops
    ///   their last handle.
    /// * While a *scoped* thread-local is set: a pointer to a local variable in a thread-local, as the crate `scoped-tls` and the
    ///   contexts of async runtimes set it. Other greenlets would see it, and it may be gone when they do.
    ///
    /// The crate's documentation shows what goes wrong, in its section "Unsoundness".
    pub unsafe fn new(function: impl FnOnce(Value) -> Result<Value, Thrown> + 'static) -> Greenlet {
        let greenlets = this_thread();
        Greenlet::make(greenlets, None, greenlets.current(), function)
    }

    /// For a greenlet with a name, or with another parent than the current one.
    pub fn builder() -> Builder {
        Builder { name: None, parent: None }
    }

    fn make(
        greenlets: &ThreadGreenlets,
        name: Option<Box<str>>,
        parent: Greenlet,
        function: impl FnOnce(Value) -> Result<Value, Thrown> + 'static,
    ) -> Greenlet {
        let greenlet = Greenlet::from(Rc::new(GreenletRecord {
            token: greenlets.token,
            serial: greenlets.next_serial(),
            given_name: name,
            lifecycle: Cell::new(Lifecycle::Unstarted),
            stack: Cell::new(None),
            body: Cell::new(Some(Body::new(move |thread| enter(thread, function)))),
            parent: RefCell::new(Some(parent)),
            killers: RefCell::default(),
        }));
        greenlets.register(&greenlet);
        greenlet
    }

    /// The running greenlet.
    pub fn current() -> Greenlet {
        this_thread().current()
    }

    /// The thread's own stack.
    pub fn main() -> Greenlet {
        this_thread().main.clone()
    }

    /// All greenlets of this thread that are not dead, oldest first; so main is the first. The list keeps them alive, the thread
    /// does not.
    pub fn all() -> Vec<Greenlet> {
        this_thread().all()
    }

    /// Suspends the current greenlet and runs this one, with `value`. A new greenlet starts with the value; in a suspended one,
    /// `switch` returns it. Returns the value that the next switch to the calling greenlet brings.
    ///
    /// If this greenlet is dead, its parent is switched to. If it is the current one, the value comes back at once.
    ///
    /// # Errors
    /// An error that another greenlet threw into the calling one; it should be passed on with `?`. An [`Error`] of this crate where
    /// the switch was not possible.
    pub fn switch(&self, value: Value) -> Result<Value, Thrown> {
        deliver(this_thread(), self.clone(), Ok(value))
    }

    /// Switches to the parent of the current greenlet, as a generator does with each value.
    ///
    /// `Greenlet::current().parent().unwrap().switch(value)` is not quite the same. Until it returns, a handle to the current
    /// greenlet lies on its own stack, so dropping the other handles would not end it. This function keeps no such handle.
    ///
    /// # Errors
    /// As [`Greenlet::switch`]; [`Error::MainParent`] on main.
    pub fn switch_to_parent(value: Value) -> Result<Value, Thrown> {
        let greenlets = this_thread();
        let Some(parent) = greenlets.parent_of_current() else { return Err(Error::MainParent.into()) };
        deliver(greenlets, parent, Ok(value))
    }

    /// As [`Greenlet::switch`], but throws `thrown` into this greenlet. In a suspended greenlet, `switch` returns it as an error. An
    /// unstarted greenlet ends without having run. Then, and if this greenlet is dead, it goes on to the parent.
    ///
    /// # Errors
    /// As [`Greenlet::switch`].
    pub fn throw(&self, thrown: impl Into<Thrown>) -> Result<Value, Thrown> {
        deliver::throw(this_thread(), self.clone(), thrown.into())
    }

    /// Throws a [`GreenletExit`] and returns when the greenlet is dead. Meanwhile the current greenlet takes the place of its
    /// parent. If this *is* the current greenlet, returns the exit as an error, to be passed on with `?`.
    ///
    /// # Errors
    /// The error that the greenlet threw as it ended, or an [`Error`]: [`Error::KillRefused`] where it switched back here alive,
    /// [`Error::MainKill`] for main.
    pub fn kill(&self) -> Result<(), Thrown> {
        let greenlets = this_thread();
        match self.record().lifecycle.get() {
            Lifecycle::Dead => Ok(()),
            _ if self.record().token != greenlets.token => {
                Err(Error::WrongThread { greenlet: self.name().into_owned(), parcel: None }.into())
            }
            Lifecycle::Main => Err(Error::MainKill.into()),
            _ if greenlets.is_current(self) => Err(GreenletExit::default().into()),
            Lifecycle::Unstarted => {
                end_unstarted(greenlets, self);
                Ok(())
            }
            Lifecycle::Started(_) => {
                kill_suspended(greenlets, self, GreenletExit::default())?;
                match self.is_dead() {
                    true => Ok(()),
                    false => Err(Error::KillRefused { greenlet: self.name().into_owned() }.into()),
                }
            }
        }
    }

    /// The greenlet that gets the result of this one. `None` only for main. While this one is being killed, it is the greenlet
    /// that kills it.
    pub fn parent(&self) -> Option<Greenlet> {
        self.record().killer_or_parent()
    }

    /// Makes `parent` the parent. Also for a dead greenlet: switches to it go to its parent.
    ///
    /// # Errors
    /// [`Error::ParentCycle`], [`Error::MainParent`] for main, [`Error::WrongThread`].
    pub fn set_parent(&self, parent: &Greenlet) -> Result<(), Error> {
        if let Lifecycle::Main = self.record().lifecycle.get() {
            return Err(Error::MainParent);
        }
        let token = this_thread().token;
        if let Some(stranger) = [self, parent].into_iter().find(|it| it.record().token != token) {
            return Err(Error::WrongThread { greenlet: stranger.name().into_owned(), parcel: None });
        }
        let mut ancestor = Some(parent.clone());
        while let Some(greenlet) = ancestor {
            if greenlet == *self {
                return Err(Error::ParentCycle {
                    greenlet: self.name().into_owned(),
                    parent: parent.name().into_owned(),
                });
            }
            ancestor = greenlet.record().parent.borrow().clone();
        }
        let before = self.record().parent.replace(Some(parent.clone()));
        // The new parent gets the result, also if another greenlet is just killing this one.
        let killers = self.record().killers.take();
        drop((before, killers));
        Ok(())
    }

    /// Its name; `greenlet-N` where it was given none.
    pub fn name(&self) -> Cow<'_, str> {
        self.record().name()
    }

    /// Whether it is unstarted, running, suspended or dead.
    pub fn state(&self) -> State {
        let greenlets = ThreadGreenlets::of_token(self.record().token);
        match (self.record().lifecycle.get(), greenlets) {
            (Lifecycle::Unstarted, _) => State::Unstarted,
            (Lifecycle::Dead, _) | (_, None) => State::Dead,
            (_, Some(greenlets)) if greenlets.is_current(self) => State::Running,
            _ => State::Suspended,
        }
    }

    /// Whether it has ended: its function has returned, or thrown, or will never run.
    pub fn is_dead(&self) -> bool {
        self.state() == State::Dead
    }

    /// The frame that switched away, that is, the innermost one on its stack. `None` if it is not suspended, or if no function on
    /// its stack is a [`frame!`](crate::frame!).
    pub fn frame(&self) -> Option<View<Frame>> {
        self.stack()?.innermost()
    }

    /// All frames on its stack that are a [`frame!`](crate::frame!), innermost first. `None` if it is not suspended. This runs and
    /// resumes nothing, and it makes no switch slower.
    pub fn stack(&self) -> Option<View<Vec<Frame>>> {
        let greenlets = ThreadGreenlets::of_token(self.record().token)?;
        let stacks = greenlets.stacks()?;
        let id = match self.record().lifecycle.get() {
            Lifecycle::Started(id) => id,
            Lifecycle::Main => stacks.main(),
            Lifecycle::Unstarted | Lifecycle::Dead => return None,
        };
        let snapshot = stacks.snapshot(id).ok()?;
        Some(View::new(greenlets.token, self.name().into(), snapshot))
    }
}

impl fmt::Debug for Greenlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Greenlet").field("name", &self.name()).field("state", &self.state()).finish()
    }
}

/// Makes a greenlet with a name, or with another parent than the current one.
///
/// ```
/// use greenlets_core::Greenlet;
///
/// // SAFETY: neither function switches.
/// let supervisor = unsafe { Greenlet::builder().name("supervisor").build(Ok) }?;
/// let worker = unsafe { Greenlet::builder().name("worker").parent(&supervisor).build(Ok) }?;
/// assert_eq!(worker.name(), "worker");
/// assert_eq!(worker.parent(), Some(supervisor));
/// # Ok::<(), greenlets_core::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder makes no greenlet until build() is called"]
pub struct Builder {
    name: Option<Box<str>>,
    parent: Option<Greenlet>,
}

impl Builder {
    /// The name it has in errors and in `Debug`.
    pub fn name(mut self, name: impl Into<Box<str>>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// Its parent, instead of the current greenlet.
    pub fn parent(mut self, parent: &Greenlet) -> Builder {
        self.parent = Some(parent.clone());
        self
    }

    /// Makes it. See [`Greenlet::new`] about `function`.
    ///
    /// # Errors
    /// [`Error::WrongThread`] if the parent belongs to another thread.
    ///
    /// # Safety
    /// As for [`Greenlet::new`].
    pub unsafe fn build(
        self,
        function: impl FnOnce(Value) -> Result<Value, Thrown> + 'static,
    ) -> Result<Greenlet, Error> {
        let greenlets = this_thread();
        let parent = self.parent.unwrap_or_else(|| greenlets.current());
        if parent.record().token != greenlets.token {
            return Err(Error::WrongThread { greenlet: parent.name().into_owned(), parcel: None });
        }
        Ok(Greenlet::make(greenlets, self.name, parent, function))
    }
}
