//! The errors of this crate, and the values that cross a switch.

use std::any::{Any, type_name};
use std::io;

use crate::raw::Limit;

/// Anything that crosses a switch.
pub type Value = Box<dyn Any>;

/// Something that could not be done. Nothing has changed: the current greenlet runs on, and a value that was to be delivered is in
/// the error ([`Error::into_value`]).
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
        /// Name of the greenlet that was to start.
        greenlet: String,
        /// How many slots there are.
        slots: u32,
        /// The value it was to start with.
        value: Option<Value>,
    },
    /// A greenlet has to start, and a limit of [`Options`](crate::Options) does not allow one more.
    #[error(
        "greenlet '{greenlet}' cannot start: {limit}; let some greenlets finish, or kill() those that are not needed"
    )]
    Limit {
        /// Name of the greenlet that was to start.
        greenlet: String,
        /// The limit that is reached.
        limit: Limit,
        /// The value it was to start with.
        value: Option<Value>,
    },
    /// The system gives no memory for a stack: for that of a greenlet that has to start, or for the copy of the stack that occupies
    /// the slot.
    #[error(
        "greenlet '{greenlet}' cannot run: no memory for a stack ({source}); let some greenlets finish, or configure() fewer slots"
    )]
    NoMemory {
        /// Name of the greenlet that was to run.
        greenlet: String,
        /// The error of the system.
        source: io::Error,
        /// The value that was to be delivered to it.
        value: Option<Value>,
    },
    /// A greenlet was used on a thread that is not its own, or after its thread's end.
    #[error(
        "greenlet '{greenlet}' belongs to another thread, or to one that has ended; use it on the thread that made it"
    )]
    WrongThread {
        /// Name of the greenlet that was used.
        greenlet: String,
        /// The value that was to be delivered to it.
        value: Option<Value>,
    },
    /// A switch was asked for on a stack that is not the current greenlet's: another library runs code there, such as a coroutine, or
    /// a function on a stack of its own (the crates stacker and psm).
    #[error(
        "greenlet '{greenlet}' cannot switch here: the running code is on a stack of another library, such as a \
         coroutine's; switch from the greenlet's own stack"
    )]
    OtherStack {
        /// Name of the current greenlet.
        greenlet: String,
        /// The value that was to be delivered.
        value: Option<Value>,
    },
    /// The new parent is the greenlet itself or descends from it.
    #[error(
        "greenlet '{parent}' cannot be the parent of '{greenlet}': parents would form a cycle; choose one that does not descend from it"
    )]
    ParentCycle {
        /// Name of the greenlet that was to get a parent.
        greenlet: String,
        /// Name of the parent it was to get.
        parent: String,
    },
    /// Main has no parent and cannot get one.
    #[error("the main greenlet has no parent, and none can be set: it is the thread's own stack")]
    MainParent,
    /// Main cannot be killed.
    #[error("the main greenlet cannot be killed, it ends with its thread; throw() to it instead")]
    MainKill,
    /// `kill()` came back and the greenlet is still alive.
    #[error(
        "greenlet '{greenlet}' was told to end and switched away instead; let it return where switch() gives it a GreenletExit"
    )]
    KillRefused {
        /// Name of the greenlet that is still alive.
        greenlet: String,
    },
    /// Frames were read that are no longer valid.
    #[error("{}", stale(.greenlet, *.taken, *.now))]
    StaleFrame {
        /// Name of the greenlet that has the frames.
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
    /// The number of slots that was asked for is 0.
    #[error("a thread needs at least one stack slot, not 0")]
    NoSlots,
    /// The value that a switch brought has another type.
    #[error(
        "expected a value of type {expected}, got another type; take the value out with Error::into_value() and downcast it"
    )]
    WrongType {
        /// The type that was asked for.
        expected: &'static str,
        /// The value.
        value: Value,
    },
}

impl Error {
    /// A stable name for programs. Messages may change; the code does not.
    pub fn code(&self) -> &'static str {
        match self {
            Error::NoSlot { .. } => "ERR_GREENLET_NO_SLOT",
            Error::Limit { .. } => "ERR_GREENLET_LIMIT",
            Error::NoMemory { .. } => "ERR_GREENLET_NO_MEMORY",
            Error::WrongThread { .. } => "ERR_GREENLET_WRONG_THREAD",
            Error::OtherStack { .. } => "ERR_GREENLET_OTHER_STACK",
            Error::ParentCycle { .. } => "ERR_GREENLET_PARENT_CYCLE",
            Error::MainParent | Error::MainKill => "ERR_GREENLET_MAIN",
            Error::KillRefused { .. } => "ERR_GREENLET_KILL_REFUSED",
            Error::StaleFrame { .. } => "ERR_GREENLET_STALE_FRAME",
            Error::SlotsInUse { .. } => "ERR_GREENLET_SLOTS_IN_USE",
            Error::NoSlots | Error::WrongType { .. } => "ERR_GREENLET_INVALID_ARG",
        }
    }

    /// The value that was to be delivered and was not.
    pub fn into_value(self) -> Option<Value> {
        match self {
            Error::NoSlot { value, .. }
            | Error::Limit { value, .. }
            | Error::NoMemory { value, .. }
            | Error::OtherStack { value, .. }
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

/// Takes a `T` out of the value that a switch brought.
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
