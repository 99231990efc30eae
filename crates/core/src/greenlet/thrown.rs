//! Errors, exits and panics that go from greenlet to greenlet.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::panic::resume_unwind;

use crate::greenlet::error::Error;
use crate::greenlet::thread_bound::ThreadBound;

/// Tells a greenlet to end. It is not an error: when it leaves the greenlet's function, the parent gets it as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GreenletExit(Cow<'static, str>);

impl GreenletExit {
    /// With this text as the reason.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        GreenletExit(reason.into())
    }
}

impl Default for GreenletExit {
    fn default() -> Self {
        GreenletExit::new("the greenlet was told to end")
    }
}

impl fmt::Display for GreenletExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for GreenletExit {}

/// What a switch brings instead of a value: the error side of [`Greenlet::switch`](crate::Greenlet::switch).
///
/// A greenlet's function passes it on with `?` if it does not handle it, and so it goes to the parent. It arrives as the same
/// object. Any error type becomes a `Thrown` by `?` or `into()`.
///
/// ```
/// use greenlets_core::{Greenlet, Thrown};
///
/// let parse = |_| {
///     let number: i32 = "forty-two".parse()?;
///     Ok(Box::new(number) as _)
/// };
/// // SAFETY: `parse` does not switch.
/// let parser = unsafe { Greenlet::new(parse) };
/// let thrown = parser.switch(Box::new(())).unwrap_err();
/// assert!(thrown.downcast_ref::<std::num::ParseIntError>().is_some());
/// ```
///
/// `?` also makes a `Box<dyn Error>` of a `Thrown`. It is not an error type itself, as `anyhow::Error` is not, because of that
/// conversion from all error types. [`Thrown::into_error`] makes one that is `Send` and `Sync`. With the feature `anyhow`, `?` also
/// makes an `anyhow::Error`, and `map_err(Thrown::from_anyhow)?` throws one.
///
/// ```
/// # use greenlets_core::{Greenlet, Thrown};
/// fn run() -> Result<(), Box<dyn std::error::Error>> {
///     Greenlet::main().throw(Thrown::error("nothing waits for this"))?;
///     Ok(())
/// }
/// assert_eq!(run().unwrap_err().to_string(), "nothing waits for this");
/// ```
#[non_exhaustive]
pub enum Thrown {
    /// Tells the greenlet to end.
    Exit(GreenletExit),
    /// An error of the program, or of this crate ([`Error`]).
    Error(Box<dyn StdError>),
    /// A greenlet's function panicked; this is the panic's payload.
    Panic(Box<dyn Any + Send>),
}

impl Thrown {
    /// Any error, or a text.
    pub fn error(error: impl Into<Box<dyn StdError>>) -> Thrown {
        let error = match error.into().downcast() {
            Ok(exit) => return Thrown::Exit(*exit),
            Err(error) => error,
        };
        match error.downcast::<ThrownError>() {
            Ok(wrapped) => wrapped.into_thrown().unwrap_or_else(|wrapped| Thrown::Error(Box::new(wrapped))),
            Err(error) => Thrown::Error(error),
        }
    }

    /// What an `anyhow::Error` holds: the same `Thrown` where `?` made it of one.
    #[cfg(feature = "anyhow")]
    pub fn from_anyhow(error: anyhow::Error) -> Thrown {
        Thrown::error(error.reallocate_into_boxed_dyn_error_without_backtrace() as Box<dyn StdError>)
    }

    /// As an error type that may go to other threads, for libraries that ask for one.
    pub fn into_error(self) -> ThrownError {
        ThrownError { message: self.to_string(), thrown: ThreadBound::new(self) }
    }

    /// Whether it ends a greenlet quietly.
    pub fn is_exit(&self) -> bool {
        matches!(self, Thrown::Exit(_))
    }

    /// The error, if it is an `E`.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        match self {
            Thrown::Exit(exit) => (exit as &(dyn StdError + 'static)).downcast_ref(),
            Thrown::Error(error) => error.downcast_ref(),
            Thrown::Panic(_) => None,
        }
    }

    /// The error itself, if it is an `E`.
    ///
    /// # Errors
    /// The same `Thrown`, if it is not.
    pub fn downcast<E: StdError + 'static>(self) -> Result<E, Thrown> {
        let error: Box<dyn StdError> = match self {
            Thrown::Exit(exit) => Box::new(exit),
            Thrown::Error(error) => error,
            Thrown::Panic(_) => return Err(self),
        };
        error.downcast().map(|error| *error).map_err(Thrown::error)
    }

    /// The stable code, if it is an error of this crate.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Thrown::Exit(_) => Some("ERR_GREENLET_EXIT"),
            _ => self.downcast_ref::<Error>().map(Error::code),
        }
    }

    /// Continues a panic here, as if it had happened here; gives anything else back.
    #[must_use = "anything but a panic comes back"]
    pub fn resume_panic(self) -> Thrown {
        match self {
            Thrown::Panic(payload) => resume_unwind(payload),
            other => other,
        }
    }
}

impl<E: StdError + 'static> From<E> for Thrown {
    fn from(error: E) -> Thrown {
        Thrown::error(error)
    }
}

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Thrown::Exit(exit) => exit.fmt(f),
            Thrown::Error(error) => error.fmt(f),
            Thrown::Panic(payload) => match panic_text(&**payload) {
                Some(text) => write!(f, "panicked: {text}"),
                None => f.write_str("panicked"),
            },
        }
    }
}

/// The message, then what caused it: `fn main() -> Result<(), Thrown>` and `unwrap()` print it.
impl fmt::Debug for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let first = match self {
            Thrown::Error(error) => error.source(),
            Thrown::Exit(_) | Thrown::Panic(_) => None,
        };
        let (mut next, mut i) = (first, 0);
        while let Some(cause) = next {
            write!(f, "{}\n    {i}: {cause}", if i == 0 { "\n\nCaused by:" } else { "" })?;
            (next, i) = (cause.source(), i + 1);
        }
        Ok(())
    }
}

impl From<Thrown> for Box<dyn StdError> {
    /// The error itself where it is one; a panic becomes a [`ThrownError`].
    fn from(thrown: Thrown) -> Box<dyn StdError> {
        match thrown {
            Thrown::Exit(exit) => Box::new(exit),
            Thrown::Error(error) => error,
            Thrown::Panic(_) => Box::new(thrown.into_error()),
        }
    }
}

impl From<Thrown> for Box<dyn StdError + Send + Sync> {
    fn from(thrown: Thrown) -> Box<dyn StdError + Send + Sync> {
        Box::new(thrown.into_error())
    }
}

#[cfg(feature = "anyhow")]
impl From<Thrown> for anyhow::Error {
    fn from(thrown: Thrown) -> anyhow::Error {
        anyhow::Error::new(thrown.into_error())
    }
}

/// A [`Thrown`] as an error type that is `Send` and `Sync`, made by [`Thrown::into_error`]. Its message is known on every thread, and
/// what was thrown stays on its own.
pub struct ThrownError {
    message: String,
    thrown: ThreadBound<Thrown>,
}

impl ThrownError {
    /// What was thrown. `None` on another thread than its own.
    pub fn thrown(&self) -> Option<&Thrown> {
        self.thrown.get()
    }

    /// What was thrown, itself.
    ///
    /// # Errors
    /// The same error on another thread than its own.
    pub fn into_thrown(self) -> Result<Thrown, ThrownError> {
        match self.thrown.get() {
            Some(_) => Ok(self.thrown.into_inner().expect("this is its thread")),
            None => Err(self),
        }
    }
}

impl fmt::Display for ThrownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for ThrownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.thrown() {
            Some(thrown) => fmt::Debug::fmt(thrown, f),
            None => f.write_str(&self.message),
        }
    }
}

impl StdError for ThrownError {
    /// The source of the error that was thrown; `None` on another thread than its own.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self.thrown()? {
            Thrown::Error(error) => error.source(),
            Thrown::Exit(_) | Thrown::Panic(_) => None,
        }
    }
}

/// The text of the panic, if `panic!` made one.
fn panic_text(payload: &(dyn Any + Send)) -> Option<&str> {
    payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// An error that no switch could deliver: it comes from a greenlet that was killed because its last handle was dropped or by
/// [`kill_all`](crate::kill_all), or it says that greenlets were suspended when their thread ended. See [`set_unraisable_hook`](crate::set_unraisable_hook).
#[derive(Debug)]
#[non_exhaustive]
pub struct Unraisable {
    /// Name of the greenlet.
    pub greenlet: String,
    /// Its error; [`Error::KillRefused`] if it did not end and was abandoned; [`Error::Abandoned`] if its thread ended first.
    pub thrown: Thrown,
}

impl fmt::Display for Unraisable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.thrown.downcast_ref::<Error>() {
            Some(abandoned @ Error::Abandoned { .. }) => fmt::Display::fmt(abandoned, f),
            _ => write!(f, "greenlet '{}' failed while it was being killed: {}", self.greenlet, self.thrown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_an_exit_in_whatever_way_it_is_made() {
        assert!(Thrown::from(GreenletExit::default()).is_exit());
        assert!(Thrown::error(GreenletExit::new("enough")).is_exit());
        let boxed: Box<dyn StdError> = Box::new(GreenletExit::new("enough"));
        assert!(Thrown::error(boxed).is_exit());
        assert_eq!(Thrown::from(GreenletExit::default()).code(), Some("ERR_GREENLET_EXIT"));
    }

    #[test]
    fn a_downcast_that_fails_gives_the_same_object_back() {
        let thrown = Thrown::from(GreenletExit::new("enough")).downcast::<fmt::Error>().unwrap_err();
        assert_eq!(thrown.downcast::<GreenletExit>().unwrap(), GreenletExit::new("enough"));
        let thrown = Thrown::from(fmt::Error).downcast::<Error>().unwrap_err();
        assert_eq!(thrown.downcast_ref::<fmt::Error>(), Some(&fmt::Error));
        let thrown = Thrown::Panic(Box::new(5)).downcast::<fmt::Error>().unwrap_err();
        assert!(matches!(thrown, Thrown::Panic(payload) if payload.is::<i32>()));
    }

    #[test]
    fn debug_prints_the_message_and_its_causes() {
        let thrown = Thrown::from(Error::NoMemory {
            greenlet: "g".into(),
            source: std::io::Error::other("all gone"),
            parcel: None,
        });
        let text = format!("{thrown:?}");
        assert!(text.starts_with("greenlet 'g' cannot run: no memory for a stack (all gone)"), "{text}");
        assert!(text.ends_with("\n\nCaused by:\n    0: all gone"), "{text}");
        assert_eq!(format!("{:?}", Error::MainKill), Error::MainKill.to_string());
        assert_eq!(format!("{:?}", Thrown::Panic(Box::new("a"))), "panicked: a");
    }

    #[test]
    fn a_thrown_becomes_a_boxed_error_and_comes_back_as_the_same_object() {
        let boxed: Box<dyn StdError> = Thrown::from(fmt::Error).into();
        assert!(boxed.is::<fmt::Error>());
        let boxed: Box<dyn StdError + Send + Sync> = Thrown::Panic(Box::new(7)).into();
        assert_eq!(boxed.to_string(), "panicked");
        assert!(
            matches!(Thrown::error(boxed as Box<dyn StdError>), Thrown::Panic(payload) if *payload.downcast_ref::<i32>().unwrap() == 7)
        );
        fn goes_anywhere<E: StdError + Send + Sync + 'static>(_: &E) {}
        goes_anywhere(&Error::MainKill);
        goes_anywhere(&Thrown::error("text").into_error());
    }

    #[test]
    fn texts_of_panics_are_shown() {
        assert_eq!(Thrown::Panic(Box::new("a")).to_string(), "panicked: a");
        assert_eq!(Thrown::Panic(Box::new(String::from("b"))).to_string(), "panicked: b");
        assert_eq!(Thrown::Panic(Box::new(1)).to_string(), "panicked");
        assert_eq!(Thrown::error("text").to_string(), "text");
    }
}
