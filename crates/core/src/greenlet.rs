//! The handle to a greenlet, and what can be asked of one.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::{Rc, Weak};

use crate::deliver;
use crate::error::{Error, Value};
use crate::frame::Frame;
use crate::local::Local;
use crate::null_host::Body;
use crate::registry::{Id, State};
use crate::thrown::{GreenletExit, Thrown};
use crate::view::View;

/// Where a greenlet is in its life, as far as it is not a matter of who runs.
#[derive(Clone, Copy)]
pub(crate) enum Stage {
    /// The thread's own stack. Never dies.
    Main,
    Unstarted,
    /// Has a stack, with this id.
    Started(Id),
    Dead,
}

/// What all handles to one greenlet share.
pub(crate) struct Inner {
    /// Whose thread's: [`Local::token`].
    pub(crate) token: u64,
    /// Its number in the thread, by age.
    pub(crate) serial: u64,
    name: Option<Box<str>>,
    pub(crate) stage: Cell<Stage>,
    /// What it will run; there until it starts or dies.
    pub(crate) body: Cell<Option<Body>>,
    /// `None` for main alone. Parents form no cycle.
    pub(crate) parent: RefCell<Option<Greenlet>>,
    /// Who is waiting in a `kill()` of it; the last one takes the place of its parent. Apart from `parent`, because a killer may
    /// well descend from its victim.
    pub(crate) killers: RefCell<Vec<Greenlet>>,
}

impl Inner {
    pub(crate) fn main(token: u64) -> Inner {
        Inner {
            token,
            serial: 0,
            name: Some("main".into()),
            stage: Cell::new(Stage::Main),
            body: Cell::new(None),
            parent: RefCell::new(None),
            killers: RefCell::default(),
        }
    }

    /// Whether it runs or is suspended, on a stack that is not the thread's own.
    pub(crate) fn has_stack(&self) -> bool {
        matches!(self.stage.get(), Stage::Started(_))
    }

    /// Who gets what comes of it.
    fn receiver(&self) -> Option<Greenlet> {
        let killer = self.killers.borrow().last().cloned();
        killer.or_else(|| self.parent.borrow().clone())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(local) = Local::existing().filter(|local| local.token == self.token) {
            local.strike(self);
        }
        // A long line of ancestors that only their children kept alive: one after the other, not each inside the one before.
        let mut next = self.parent.take();
        while let Some(greenlet) = next {
            let goes = Rc::strong_count(&greenlet.0) == 1 && !greenlet.0.has_stack();
            next = if goes { greenlet.0.parent.take() } else { None };
        }
    }
}

/// A function on a stack of its own, which runs when it is switched to and waits when it switches away.
///
/// This is a handle; clones are handles to the same greenlet. It stays on its thread:
///
/// ```compile_fail,E0277
/// let greenlet = greenlets_core::Greenlet::new(|value| Ok(value));
/// std::thread::spawn(move || greenlet.kill());
/// ```
///
/// ```compile_fail,E0277
/// let greenlet = greenlets_core::Greenlet::new(|value| Ok(value));
/// std::thread::scope(|scope| { scope.spawn(|| greenlet.is_dead()); });
/// ```
///
/// # The last handle
/// Dropping the last handle of a suspended greenlet kills it there and then: its switch gives it a [`GreenletExit`], and what it
/// owns is dropped as it returns. The dropper takes the place of its parent meanwhile. A greenlet that switches away instead is
/// abandoned (its stack stays as it is and its slot is lost) and reported, see [`Unraisable`](crate::Unraisable); so is an error
/// that comes out of it. What is suspended when the thread ends is killed in the same way.
///
/// A handle that lies on the greenlet's own stack counts like any other, also a temporary one:
/// `Greenlet::current().parent().unwrap().switch(..)` holds one. Use [`Greenlet::switch_to_parent`], and drop what
/// [`Greenlet::current`] gave before you switch away. Otherwise the greenlet lasts until it is killed or its thread ends.
pub struct Greenlet(Rc<Inner>);

impl Greenlet {
    /// A new greenlet that will run `function` when it is first switched to, with the value of that switch. Its parent is the
    /// current greenlet.
    ///
    /// What the function returns goes to the parent. So does what it throws, that is, returns as an error; and a panic, as
    /// [`Thrown::Panic`].
    pub fn new(function: impl FnOnce(Value) -> Result<Value, Thrown> + 'static) -> Greenlet {
        let local = Local::get();
        Greenlet::make(local, None, local.current(), function)
    }

    /// For a greenlet with a name, or with another parent than the current one.
    pub fn builder() -> Builder {
        Builder { name: None, parent: None }
    }

    fn make(
        local: &Local,
        name: Option<Box<str>>,
        parent: Greenlet,
        function: impl FnOnce(Value) -> Result<Value, Thrown> + 'static,
    ) -> Greenlet {
        let greenlet = Greenlet(Rc::new(Inner {
            token: local.token,
            serial: local.next_serial(),
            name,
            stage: Cell::new(Stage::Unstarted),
            body: Cell::new(Some(Body::new(move |thread| deliver::enter(thread, function)))),
            parent: RefCell::new(Some(parent)),
            killers: RefCell::default(),
        }));
        local.enroll(&greenlet);
        greenlet
    }

    /// The greenlet that runs.
    pub fn current() -> Greenlet {
        Local::get().current()
    }

    /// The thread's own stack.
    pub fn main() -> Greenlet {
        Local::get().main.clone()
    }

    /// All greenlets of this thread that are not dead, oldest first; so main is the first. The list keeps them alive, the thread
    /// does not.
    pub fn all() -> Vec<Greenlet> {
        Local::get().all()
    }

    /// Suspends the current greenlet and runs this one, with `value`: a new one starts with it, in a suspended one `switch`
    /// returns it. Returns what the next switch to the calling greenlet brings.
    ///
    /// Where this one is dead, its parent is switched to. Where it is the current one, the value comes back at once.
    ///
    /// # Errors
    /// Whatever was thrown here; it should be passed on with `?`. An [`Error`] of this crate where the switch was not possible.
    pub fn switch(&self, value: Value) -> Result<Value, Thrown> {
        deliver::deliver(Local::get(), self, Ok(value))
    }

    /// Switches to the parent of the current greenlet: what a generator does with each value.
    ///
    /// `Greenlet::current().parent().unwrap().switch(value)` is not quite the same. Until it returns, a handle to the current
    /// greenlet lies on its own stack, and so dropping the others would not end it. Here there is none.
    ///
    /// # Errors
    /// As [`Greenlet::switch`]; [`Error::MainParent`] on main.
    pub fn switch_to_parent(value: Value) -> Result<Value, Thrown> {
        let local = Local::get();
        let parent = local.current.borrow().parent().ok_or(Error::MainParent)?;
        deliver::deliver(local, &parent, Ok(value))
    }

    /// As [`Greenlet::switch`], but `thrown` is thrown there: in a suspended greenlet, `switch` returns it as an error. An
    /// unstarted one dies of it without having run, and it goes on to the parent, as it does where this one is dead.
    ///
    /// # Errors
    /// As [`Greenlet::switch`].
    pub fn throw(&self, thrown: impl Into<Thrown>) -> Result<Value, Thrown> {
        deliver::deliver(Local::get(), self, Err(thrown.into()))
    }

    /// Throws a [`GreenletExit`] and returns when the greenlet is dead. Meanwhile the current greenlet takes the place of its
    /// parent. Where this *is* the current greenlet, returns the exit as an error, to be passed on with `?`.
    ///
    /// # Errors
    /// What the greenlet threw as it ended, or an [`Error`]: [`Error::KillRefused`] where it switched back here alive,
    /// [`Error::MainKill`] for main.
    pub fn kill(&self) -> Result<(), Thrown> {
        let local = Local::get();
        match self.0.stage.get() {
            Stage::Dead => Ok(()),
            _ if self.0.token != local.token => {
                Err(Error::WrongThread { greenlet: self.name().into_owned(), value: None }.into())
            }
            Stage::Main => Err(Error::MainKill.into()),
            _ if local.is_current(self) => Err(GreenletExit::default().into()),
            Stage::Unstarted => {
                deliver::succumb(local, self);
                Ok(())
            }
            Stage::Started(_) => {
                deliver::kill_suspended(local, self, GreenletExit::default())?;
                match self.is_dead() {
                    true => Ok(()),
                    false => Err(Error::KillRefused { greenlet: self.name().into_owned() }.into()),
                }
            }
        }
    }

    /// Who gets what comes of this one. `None` for main alone. While it is killed, that is who kills it.
    pub fn parent(&self) -> Option<Greenlet> {
        self.0.receiver()
    }

    /// Makes `parent` the parent. Also for a dead greenlet: it decides where switches to it go.
    ///
    /// # Errors
    /// [`Error::ParentCycle`], [`Error::MainParent`] for main, [`Error::WrongThread`].
    pub fn set_parent(&self, parent: &Greenlet) -> Result<(), Error> {
        if let Stage::Main = self.0.stage.get() {
            return Err(Error::MainParent);
        }
        if let Some(stranger) = [self, parent].into_iter().find(|it| it.0.token != Local::get().token) {
            return Err(Error::WrongThread { greenlet: stranger.name().into_owned(), value: None });
        }
        let mut ancestor = Some(parent.clone());
        while let Some(greenlet) = ancestor {
            if greenlet == *self {
                return Err(Error::ParentCycle {
                    greenlet: self.name().into_owned(),
                    parent: parent.name().into_owned(),
                });
            }
            ancestor = greenlet.0.parent.borrow().clone();
        }
        let before = self.0.parent.replace(Some(parent.clone()));
        // It shall get what comes of this one, also if somebody is just killing it.
        let killers = self.0.killers.take();
        drop((before, killers));
        Ok(())
    }

    /// Its name; `greenlet-N` where it was given none.
    pub fn name(&self) -> Cow<'_, str> {
        match &self.0.name {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(format!("greenlet-{}", self.0.serial)),
        }
    }

    /// Where it is in its life.
    pub fn state(&self) -> State {
        let local = Local::existing().filter(|local| local.token == self.0.token);
        match (self.0.stage.get(), local) {
            (Stage::Unstarted, _) => State::Unstarted,
            (Stage::Dead, _) | (_, None) => State::Dead,
            (_, Some(local)) if local.is_current(self) => State::Running,
            _ => State::Suspended,
        }
    }

    /// Whether it has ended: its function has returned, or thrown, or will never run.
    pub fn is_dead(&self) -> bool {
        self.state() == State::Dead
    }

    /// The frame that switched away, that is, the innermost one on its stack. `None` where it is not suspended, or no function on
    /// its stack is a [`frame!`](crate::frame!).
    pub fn frame(&self) -> Option<View<Frame>> {
        self.stack()?.innermost()
    }

    /// All frames on its stack that are a [`frame!`](crate::frame!), innermost first. `None` where it is not suspended. Nothing
    /// is run or resumed by it, and switches are no slower for it.
    pub fn stack(&self) -> Option<View<Vec<Frame>>> {
        let local = Local::existing().filter(|local| local.token == self.0.token)?;
        let stacks = local.stacks()?;
        let id = match self.0.stage.get() {
            Stage::Started(id) => id,
            Stage::Main => stacks.main(),
            Stage::Unstarted | Stage::Dead => return None,
        };
        let snapshot = stacks.snapshot(id).ok()?;
        Some(View::new(local.token, self.name().into(), snapshot))
    }

    pub(crate) fn inner(&self) -> &Rc<Inner> {
        &self.0
    }

    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Rc::downgrade(&self.0)
    }
}

impl From<Rc<Inner>> for Greenlet {
    fn from(inner: Rc<Inner>) -> Greenlet {
        Greenlet(inner)
    }
}

impl Clone for Greenlet {
    fn clone(&self) -> Greenlet {
        Greenlet(Rc::clone(&self.0))
    }
}

impl Drop for Greenlet {
    #[inline]
    fn drop(&mut self) {
        // Who runs, and who is just switching, is held by the thread; so with one handle left, it is suspended if it has a stack.
        if Rc::strong_count(&self.0) == 1
            && self.0.has_stack()
            && let Some(local) = Local::existing().filter(|local| local.token == self.0.token)
        {
            deliver::kill_or_abandon(local, self);
        }
    }
}

impl PartialEq for Greenlet {
    /// Whether both are handles to the same greenlet.
    fn eq(&self, other: &Greenlet) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Greenlet {}

impl Hash for Greenlet {
    fn hash<S: Hasher>(&self, state: &mut S) {
        (self.0.token, self.0.serial).hash(state);
    }
}

impl fmt::Debug for Greenlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Greenlet").field("name", &self.name()).field("state", &self.state()).finish()
    }
}

/// A greenlet in the making.
///
/// ```
/// use greenlets_core::Greenlet;
///
/// let supervisor = Greenlet::builder().name("supervisor").build(|error| Ok(error))?;
/// let worker = Greenlet::builder().name("worker").parent(&supervisor).build(|job| Ok(job))?;
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
    /// [`Error::WrongThread`] about the parent.
    pub fn build(
        self,
        function: impl FnOnce(Value) -> Result<Value, Thrown> + 'static,
    ) -> Result<Greenlet, Error> {
        let local = Local::get();
        let parent = self.parent.unwrap_or_else(|| local.current());
        if parent.0.token != local.token {
            return Err(Error::WrongThread { greenlet: parent.name().into_owned(), value: None });
        }
        Ok(Greenlet::make(local, self.name, parent, function))
    }
}
