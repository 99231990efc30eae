//! Errors, exits and panics that go from greenlet to greenlet.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::panic::resume_unwind;

use crate::greenlet::error::Error;

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
/// let parser = Greenlet::new(|_| {
///     let number: i32 = "forty-two".parse()?;
///     Ok(Box::new(number))
/// });
/// let thrown = parser.switch(Box::new(())).unwrap_err();
/// assert!(thrown.downcast_ref::<std::num::ParseIntError>().is_some());
/// ```
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
        match error.into().downcast() {
            Ok(exit) => Thrown::Exit(*exit),
            Err(error) => Thrown::Error(error),
        }
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

impl fmt::Debug for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Thrown::Exit(exit) => exit.fmt(f),
            Thrown::Error(error) => f.debug_tuple("Error").field(error).finish(),
            Thrown::Panic(payload) => f.debug_tuple("Panic").field(&panic_text(&**payload)).finish(),
        }
    }
}

/// The text of the panic, if `panic!` made one.
fn panic_text(payload: &(dyn Any + Send)) -> Option<&str> {
    payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// An error that no switch could deliver: it comes from a greenlet that was killed because its last handle was dropped, or because
/// its thread ends. See [`set_unraisable_hook`](crate::set_unraisable_hook).
#[derive(Debug)]
#[non_exhaustive]
pub struct Unraisable {
    /// Name of the greenlet.
    pub greenlet: String,
    /// Its error, or [`Error::KillRefused`] if it did not end and was abandoned.
    pub thrown: Thrown,
}

impl fmt::Display for Unraisable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "greenlet '{}' failed while it was being killed: {}", self.greenlet, self.thrown)
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
    fn texts_of_panics_are_shown() {
        assert_eq!(Thrown::Panic(Box::new("a")).to_string(), "panicked: a");
        assert_eq!(Thrown::Panic(Box::new(String::from("b"))).to_string(), "panicked: b");
        assert_eq!(Thrown::Panic(Box::new(1)).to_string(), "panicked");
        assert_eq!(Thrown::error("text").to_string(), "text");
    }
}
