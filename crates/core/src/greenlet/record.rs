//! What is kept for one greenlet, and the handle that all code refers to it by.
//!
//! The public methods of [`Greenlet`] are in `handle.rs`, its destructor is in `kill.rs`.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::hash::{Hash, Hasher};
use std::rc::{Rc, Weak};

use crate::raw::{Body, Id, NullHost, Target};

/// How far a greenlet has come. Whether a started one runs or is suspended is not part of it.
#[derive(Clone, Copy)]
pub(crate) enum Lifecycle {
    /// The thread's own stack. Never dies.
    Main,
    Unstarted,
    /// Has a stack, with this id.
    Started(Id),
    Dead,
}

/// What all handles to one greenlet share.
pub(crate) struct GreenletRecord {
    /// The thread it belongs to: `ThreadGreenlets::token`.
    pub(crate) token: u64,
    /// Its number in the thread, by age.
    pub(crate) serial: u64,
    pub(crate) given_name: Option<Box<str>>,
    pub(crate) lifecycle: Cell<Lifecycle>,
    /// Its stack in the core, while it has one: from its first switch until it ends, and main's until the thread ends. So `Some` says
    /// that this greenlet can be switched to as it is, and on this thread.
    pub(crate) stack: Cell<Option<Target<NullHost>>>,
    /// What it will run; `None` once it has started or died.
    pub(crate) body: Cell<Option<Body>>,
    /// `None` only for main. Parents form no cycle.
    pub(crate) parent: RefCell<Option<Greenlet>>,
    /// The greenlets that wait in a `kill()` of this one. The last one takes the place of the parent. Kept apart from `parent`,
    /// because a killer may be a descendant of its victim.
    pub(crate) killers: RefCell<Vec<Greenlet>>,
}

impl GreenletRecord {
    pub(crate) fn main(token: u64) -> GreenletRecord {
        GreenletRecord {
            token,
            serial: 0,
            given_name: Some("main".into()),
            lifecycle: Cell::new(Lifecycle::Main),
            stack: Cell::new(None),
            body: Cell::new(None),
            parent: RefCell::new(None),
            killers: RefCell::default(),
        }
    }

    /// Has started, and runs on this stack.
    pub(crate) fn start(&self, id: Id, stack: Target<NullHost>) {
        self.lifecycle.set(Lifecycle::Started(id));
        self.stack.set(Some(stack));
    }

    /// Will never run again.
    pub(crate) fn die(&self) {
        self.lifecycle.set(Lifecycle::Dead);
        self.stack.set(None);
    }

    /// Whether it runs or is suspended, on a stack that is not the thread's own.
    pub(crate) fn has_stack(&self) -> bool {
        matches!(self.lifecycle.get(), Lifecycle::Started(_))
    }

    /// The greenlet that gets its result: the one that is killing it, or its parent.
    #[inline(always)]
    pub(crate) fn killer_or_parent(&self) -> Option<Greenlet> {
        // SAFETY: the references end in this function, in which the cells are not set: to copy a handle runs no other code.
        let (killers, parent) =
            unsafe { (self.killers.try_borrow_unguarded(), self.parent.try_borrow_unguarded()) };
        match killers.expect("no borrow lasts").last() {
            Some(killer) => Some(killer.clone()),
            None => parent.expect("no borrow lasts").clone(),
        }
    }

    /// Writes its name, without allocating: for a signal handler.
    #[cfg(not(miri))]
    pub(crate) fn write_name(&self, to: &mut impl std::fmt::Write) -> std::fmt::Result {
        match &self.given_name {
            Some(name) => to.write_str(name),
            None => write!(to, "greenlet-{}", self.serial),
        }
    }

    /// Its name; `greenlet-N` where it was given none.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        match &self.given_name {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(format!("greenlet-{}", self.serial)),
        }
    }
}

/// A function on a stack of its own, which runs when it is switched to and waits when it switches away.
///
/// This is a handle; clones are handles to the same greenlet. It stays on its thread:
///
/// ```compile_fail,E0277
/// # fn check(greenlet: greenlets_core::Greenlet) {
/// std::thread::spawn(move || greenlet.kill());
/// # }
/// ```
///
/// ```compile_fail,E0277
/// # fn check(greenlet: greenlets_core::Greenlet) {
/// std::thread::scope(|scope| { scope.spawn(|| greenlet.is_dead()); });
/// # }
/// ```
///
/// # The last handle
/// Dropping the last handle of a suspended greenlet kills it at once: its switch gives it a [`GreenletExit`](crate::GreenletExit),
/// and what it owns is dropped as it returns. The greenlet that drops the handle takes the place of its parent meanwhile. A
/// greenlet that switches away instead is abandoned (its stack stays as it is and its slot is lost) and reported, see
/// [`Unraisable`](crate::Unraisable). An error that it ends with is reported too. Greenlets that are suspended when the thread ends
/// are abandoned and reported; [`kill_all`](crate::kill_all) ends them before that.
///
/// A handle that lies on the greenlet's own stack counts like any other, also a temporary one:
/// `Greenlet::current().parent().unwrap().switch(..)` holds one. Use [`Greenlet::switch_to_parent`], and drop the handle from
/// [`Greenlet::current`] before you switch away. Otherwise the greenlet lasts until it is killed or its thread ends.
pub struct Greenlet(Rc<GreenletRecord>);

impl Greenlet {
    pub(crate) fn record(&self) -> &GreenletRecord {
        &self.0
    }

    /// Whether this is the only handle.
    pub(crate) fn is_last_handle(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }

    pub(crate) fn downgrade(&self) -> Weak<GreenletRecord> {
        Rc::downgrade(&self.0)
    }
}

impl From<Rc<GreenletRecord>> for Greenlet {
    fn from(record: Rc<GreenletRecord>) -> Greenlet {
        Greenlet(record)
    }
}

impl Clone for Greenlet {
    fn clone(&self) -> Greenlet {
        Greenlet(Rc::clone(&self.0))
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
