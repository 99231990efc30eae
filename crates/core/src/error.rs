//! What greenlets can be asked and cannot do.

use std::any::{Any, type_name};
use std::io;

use crate::refusal::Limit;

/// Anything that crosses a switch.
pub type Value = Box<dyn Any>;

/// Something that could not be done. Nothing has changed by it: who ran runs on, and a value that was under way is in the error
/// ([`Error::into_value`]).
///
/// ```
/// use greenlets_core::{Error, Greenlet, Options, configure};
///
/// configure(Options::slots(1))?;
/// let first = Greenlet::new(|_| Greenlet::main().switch(Box::new(())));
/// let second = Greenlet::new(|value| Ok(value));
/// first.switch(Box::new(())).unwrap();
///
/// let error = second.switch(Box::new("precious")).unwrap_err().downcast::<Error>().unwrap();
/// assert_eq!(error.code(), "ERR_GREENLET_NO_SLOT");
/// assert_eq!(*error.into_value().unwrap().downcast::<&str>().unwrap(), "precious");
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A greenlet has to start and every stack slot is in use.
    #[error(
        "greenlet '{greenlet}' cannot start: all {slots} stack slots of this thread are in use; let some greenlets \
         finish, kill() those that are not needed, or call configure() before the first one starts"
    )]
    NoSlot {
        /// Who was to start.
        greenlet: String,
        /// How many slots there are.
        slots: u32,
        /// What it was to start with.
        value: Option<Value>,
    },
    /// A greenlet has to start, and a limit of [`Options`](crate::Options) does not allow for one more.
    #[error(
        "greenlet '{greenlet}' cannot start: {limit}; let some greenlets finish, or kill() those that are not needed"
    )]
    Limit {
        /// Who was to start.
        greenlet: String,
        /// Which limit.
        limit: Limit,
        /// What it was to start with.
        value: Option<Value>,
    },
    /// The system gives no memory for a stack: that of a greenlet that has to start, or the copy of one whose place another
    /// needs.
    #[error(
        "greenlet '{greenlet}' cannot run: no memory for a stack ({source}); let some greenlets finish, or configure() fewer slots"
    )]
    NoMemory {
        /// Who was to start.
        greenlet: String,
        /// What the system said.
        source: io::Error,
        /// What it was to start with.
        value: Option<Value>,
    },
    /// A greenlet was used on a thread that is not its own, or after its thread's end.
    #[error(
        "greenlet '{greenlet}' belongs to another thread, or to one that has ended; use it on the thread that made it"
    )]
    WrongThread {
        /// Who was used.
        greenlet: String,
        /// What was to go to it.
        value: Option<Value>,
    },
    /// The new parent descends from the greenlet itself.
    #[error(
        "greenlet '{parent}' cannot be the parent of '{greenlet}': it descends from it; choose one that does not"
    )]
    ParentCycle {
        /// Whose parent was to be set.
        greenlet: String,
        /// The parent it was to get.
        parent: String,
    },
    /// Main has no parent and cannot get one.
    #[error("main has no parent and cannot get one: what ends on it leaves the thread")]
    MainParent,
    /// Main cannot be killed.
    #[error("main cannot be killed: it ends with its thread; throw() to it instead")]
    MainKill,
    /// `kill()` came back and the greenlet is still alive.
    #[error(
        "greenlet '{greenlet}' was told to end and switched away instead; let it return where switch() gives it a GreenletExit"
    )]
    KillRefused {
        /// Who is still alive.
        greenlet: String,
    },
    /// Frames were read that are not true any more.
    #[error("{}", stale(.greenlet, *.taken, *.now))]
    StaleFrame {
        /// Whose frames they were.
        greenlet: String,
        /// The epoch they were read in.
        taken: u64,
        /// The greenlet's epoch now; `None` where it has ended.
        now: Option<u64>,
    },
    /// The slots of this thread are already reserved.
    #[error(
        "this thread has {slots} stack slots since its first greenlet started; call configure() before that"
    )]
    SlotsInUse {
        /// How many there are.
        slots: u32,
    },
    /// No slots at all were asked for.
    #[error("a thread needs at least one stack slot, not 0")]
    NoSlots,
    /// What came through a switch is of another type.
    #[error(
        "what arrived is no {expected}; get it back by Error::into_value() and downcast it to what was sent"
    )]
    WrongType {
        /// The type that was asked for.
        expected: &'static str,
        /// What arrived.
        value: Value,
    },
}

impl Error {
    /// A stable name for programs. Messages may change, this does not.
    pub fn code(&self) -> &'static str {
        match self {
            Error::NoSlot { .. } => "ERR_GREENLET_NO_SLOT",
            Error::Limit { .. } => "ERR_GREENLET_LIMIT",
            Error::NoMemory { .. } => "ERR_GREENLET_NO_MEMORY",
            Error::WrongThread { .. } => "ERR_GREENLET_WRONG_THREAD",
            Error::ParentCycle { .. } => "ERR_GREENLET_PARENT_CYCLE",
            Error::MainParent | Error::MainKill => "ERR_GREENLET_MAIN",
            Error::KillRefused { .. } => "ERR_GREENLET_KILL_REFUSED",
            Error::StaleFrame { .. } => "ERR_GREENLET_STALE_FRAME",
            Error::SlotsInUse { .. } => "ERR_GREENLET_SLOTS_IN_USE",
            Error::NoSlots | Error::WrongType { .. } => "ERR_GREENLET_INVALID_ARG",
        }
    }

    /// The value that was under way and has arrived nowhere.
    pub fn into_value(self) -> Option<Value> {
        match self {
            Error::NoSlot { value, .. }
            | Error::Limit { value, .. }
            | Error::NoMemory { value, .. }
            | Error::WrongThread { value, .. } => value,
            Error::WrongType { value, .. } => Some(value),
            _ => None,
        }
    }
}

fn stale(greenlet: &str, taken: u64, now: Option<u64>) -> String {
    match now {
        Some(now) => format!(
            "greenlet '{greenlet}' was resumed; this snapshot is of epoch {taken}, it is now at {now}; use detach() to keep one"
        ),
        None => format!(
            "greenlet '{greenlet}' has ended; this snapshot is of its epoch {taken}; use detach() to keep one"
        ),
    }
}

/// Takes a `T` out of what a switch brought.
///
/// ```
/// use greenlets_core::{Greenlet, Thrown, unpack};
///
/// let double = Greenlet::new(|value| Ok(Box::new(unpack::<i32>(value)? * 2)));
/// assert_eq!(unpack::<i32>(double.switch(Box::new(21))?)?, 42);
/// # Ok::<(), Thrown>(())
/// ```
///
/// # Errors
/// [`Error::WrongType`], with the value in it.
pub fn unpack<T: 'static>(value: Value) -> Result<T, Error> {
    match value.downcast() {
        Ok(value) => Ok(*value),
        Err(value) => Err(Error::WrongType { expected: type_name::<T>(), value }),
    }
}
