//! Why a thread has no greenlets.

use std::fmt::Display;

/// Why a thread has no greenlets.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Unsupported {
    /// This runtime cannot have them. One sentence, for `runtimeInfo().reason`.
    #[error("{0}")]
    Because(String),
    /// An environment variable has a wrong value, which says nothing about the runtime either. It is read once for each thread.
    #[error("{0}")]
    Setting(String),
    /// V8 was terminating JavaScript on this thread during the set-up, which says nothing about the runtime.
    #[error("JavaScript is being terminated on this thread")]
    Interrupted,
    /// The set-up is not possible at this moment, but will be later.
    #[error("greenlets cannot be set up {0}; make the first one after that")]
    NotNow(&'static str),
}

impl Unsupported {
    /// Whether the answer stays the same for this runtime, so that another attempt is pointless.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Unsupported::Because(_) | Unsupported::Setting(_))
    }
}

/// The only one of the places that a search has found. Otherwise the reason is their number and `what_they_are`, such as
/// "2 words behave like V8's next handle".
pub(crate) fn only<T: Copy>(found: &[T], what_they_are: impl Display) -> Result<T, Unsupported> {
    match *found {
        [one] => Ok(one),
        _ => Err(Unsupported::Because(format!("{} {what_they_are}", found.len()))),
    }
}

/// Returns an [`Unsupported`] error where a condition does not hold.
macro_rules! ensure {
    ($condition:expr, $($reason:tt)*) => {
        if !$condition {
            return Err($crate::unsupported::Unsupported::Because(format!($($reason)*)));
        }
    };
}
pub(crate) use ensure;
