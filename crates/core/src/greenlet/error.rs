//! The errors of this crate, and the values that cross a switch.

use std::any::{Any, type_name};
use std::{fmt, io};

use crate::greenlet::thread_bound::ThreadBound;
use crate::greenlet::thrown::Thrown;
use crate::raw::switch_error::Limit;

/// Anything that crosses a switch.
pub type Value = Box<dyn Any>;

/// What could not be delivered: a value, or what was thrown. It stays on its thread, while the error that it is in may go to others.
#[derive(Debug)]
pub struct Parcel(ThreadBound<Result<Value, Thrown>>);

impl Parcel {
    pub(crate) fn new(payload: Result<Value, Thrown>) -> Parcel {
        Parcel(ThreadBound::new(payload))
    }

    /// The value, or what was thrown; `None` on another thread than its own, where it is leaked.
    pub fn open(self) -> Option<Result<Value, Thrown>> {
        self.0.into_inner()
    }
}

/// Something that could not be done. Nothing has changed: the current greenlet runs on, and what was to be delivered is in the error
/// ([`Error::into_parcel`]).
///
/// ```
/// use greenlets_core::{Error, Greenlet, Options, configure};
///
/// configure(Options::slots(1))?;
/// // SAFETY: the functions switch with nothing of a thread-local borrowed, initialised or set.
/// let first = unsafe { Greenlet::new(|_| Greenlet::main().switch(Box::new(()))) };
/// let second = unsafe { Greenlet::new(Ok) };
/// first.switch(Box::new(())).unwrap();
///
/// let error = second.switch(Box::new("precious")).unwrap_err().downcast::<Error>().unwrap();
/// assert_eq!(error.code(), "ERR_GREENLET_NO_SLOT");
/// assert_eq!(*error.into_value().unwrap().downcast::<&str>().unwrap(), "precious");
/// # Ok::<(), Error>(())
/// ```
/// Its `Debug` is the message too, so that `fn main() -> Result<(), Error>` and `unwrap()` print it.
#[derive(thiserror::Error)]
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
        /// What was to be delivered.
        parcel: Option<Parcel>,
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
        /// What was to be delivered.
        parcel: Option<Parcel>,
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
        /// What was to be delivered.
        parcel: Option<Parcel>,
    },
    /// A greenlet was used on a thread that is not its own, or after its thread's end.
    #[error(
        "greenlet '{greenlet}' belongs to another thread, or to one that has ended; use it on the thread that made it"
    )]
    WrongThread {
        /// Name of the greenlet that was used.
        greenlet: String,
        /// What was to be delivered.
        parcel: Option<Parcel>,
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
        /// What was to be delivered.
        parcel: Option<Parcel>,
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
    /// The thread ended while greenlets were suspended. Reported to the hook of [`set_unraisable_hook`](crate::set_unraisable_hook).
    #[error("{}", abandoned(.greenlet, *.others))]
    Abandoned {
        /// Name of the oldest of them.
        greenlet: String,
        /// How many more there were.
        others: usize,
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
        parcel: Parcel,
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
            Error::Abandoned { .. } => "ERR_GREENLET_ABANDONED",
            Error::StaleFrame { .. } => "ERR_GREENLET_STALE_FRAME",
            Error::SlotsInUse { .. } => "ERR_GREENLET_SLOTS_IN_USE",
            Error::NoSlots | Error::WrongType { .. } => "ERR_GREENLET_INVALID_ARG",
        }
    }

    /// What was to be delivered and was not: a value, or what was thrown. `None` where there was nothing to deliver, and on another
    /// thread than the one that made the error.
    pub fn into_parcel(self) -> Option<Result<Value, Thrown>> {
        match self {
            Error::NoSlot { parcel, .. }
            | Error::Limit { parcel, .. }
            | Error::NoMemory { parcel, .. }
            | Error::OtherStack { parcel, .. }
            | Error::WrongThread { parcel, .. } => parcel?.open(),
            Error::WrongType { parcel, .. } => parcel.open(),
            _ => None,
        }
    }

    /// The value that was to be delivered and was not. `None` where something was thrown instead; see [`Error::into_parcel`].
    pub fn into_value(self) -> Option<Value> {
        self.into_parcel()?.ok()
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn abandoned(greenlet: &str, others: usize) -> String {
    let subject = match others {
        0 => format!("greenlet '{greenlet}' was"),
        others => format!("greenlet '{greenlet}' and {others} more were"),
    };
    format!(
        "{subject} suspended when the thread ended, so what is on the stack is never dropped; call kill_all() before the thread ends"
    )
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
/// // SAFETY: the function does not switch.
/// let double = unsafe { Greenlet::new(|value| Ok(Box::new(unpack::<i32>(value)? * 2))) };
/// assert_eq!(unpack::<i32>(double.switch(Box::new(21))?)?, 42);
/// # Ok::<(), Thrown>(())
/// ```
///
/// # Errors
/// [`Error::WrongType`], with the value in it.
pub fn unpack<T: 'static>(value: Value) -> Result<T, Error> {
    match value.downcast() {
        Ok(value) => Ok(*value),
        Err(value) => Err(Error::WrongType { expected: type_name::<T>(), parcel: Parcel::new(Ok(value)) }),
    }
}
