//! Why a switch did not happen.

use std::{fmt, io};

use crate::raw::id::Id;

/// Why a switch did not happen. Nothing has changed, and a body that was to start comes back.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SwitchError<B> {
    /// Every stack slot is occupied, and slots are not shared.
    #[error("all stack slots are occupied")]
    NoSlot(B),
    /// The limit of greenlets that have started and not finished, or of spilled bytes, is reached.
    #[error("{1}")]
    Limit(B, Limit),
    /// The system refused the memory of a stack: of a new one, which comes back, or of the copy of the stack that occupies the
    /// target's slot.
    #[error("no memory for a stack: {1}")]
    NoMemory(Option<B>, io::Error),
    /// No suspended stack has this id: it has finished, or never existed.
    #[error("no such greenlet: it has ended")]
    Gone(Id),
    /// The running code is not on the current stack, but on one of another library, such as a coroutine's. A body that was to start
    /// comes back.
    #[error(
        "the running code is on a stack that is not the current greenlet's, such as a coroutine's of another library; \
         switch from the greenlet's own stack"
    )]
    OtherStack(Option<B>),
}

/// Which of the limits in the options was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Limit {
    /// So many greenlets have started and not finished.
    #[error("{0} greenlets have started and not finished, which is the limit")]
    Greenlets(usize),
    /// So many bytes of stacks are spilled, the first number; the second is the limit.
    #[error("{0} bytes of suspended stacks are copied to the heap, and the limit is {1}")]
    SpilledBytes(usize, usize),
}

// By hand, for bodies that are closures and have no `Debug`.
impl<B> fmt::Debug for SwitchError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SwitchError::NoSlot(_) => f.write_str("NoSlot(..)"),
            SwitchError::Limit(_, limit) => write!(f, "Limit(.., {limit:?})"),
            SwitchError::NoMemory(_, error) => write!(f, "NoMemory(.., {error:?})"),
            SwitchError::OtherStack(_) => f.write_str("OtherStack(..)"),
            SwitchError::Gone(id) => f.debug_tuple("Gone").field(id).finish(),
        }
    }
}
