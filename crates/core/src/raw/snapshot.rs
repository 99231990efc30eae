//! The frames of a suspended stack, and whether they are still valid.

use crate::raw::host::Host;
use crate::raw::id::{Id, State};
use crate::raw::thread::Thread;

/// Why there is no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The greenlet runs: its stack changes while it is read.
    #[error("a running greenlet has no frames to show; only a suspended one has")]
    Running,
    /// The greenlet has ended.
    #[error("the greenlet has ended")]
    Gone,
    /// The greenlet was resumed since.
    #[error("the greenlet was resumed; this snapshot is of epoch {taken}, it is now at {now}")]
    Stale {
        /// Epoch in which the snapshot was taken.
        taken: u64,
        /// The greenlet's epoch now.
        now: u64,
    },
}

/// The frames of one greenlet in one epoch. They are valid until it is resumed; after that reading them is an error, never
/// garbage.
#[derive(Clone, Debug)]
pub struct Snapshot<F> {
    id: Id,
    epoch: u64,
    frames: F,
}

impl<H: Host> Thread<H> {
    /// Reads the frames of a suspended stack; nothing runs, nothing is resumed.
    ///
    /// # Errors
    /// [`SnapshotError::Running`] or [`SnapshotError::Gone`].
    pub fn snapshot(&self, id: Id) -> Result<Snapshot<H::Capture>, SnapshotError> {
        match self.capture(id) {
            Ok((epoch, frames)) => Ok(Snapshot { id, epoch, frames }),
            Err(State::Dead) => Err(SnapshotError::Gone),
            Err(_) => Err(SnapshotError::Running),
        }
    }
}

impl<F> Snapshot<F> {
    /// A part of it, valid as long as the whole; `None` where `part` finds none.
    pub(crate) fn filter_map<P>(self, part: impl FnOnce(F) -> Option<P>) -> Option<Snapshot<P>> {
        Some(Snapshot { id: self.id, epoch: self.epoch, frames: part(self.frames)? })
    }

    /// The greenlet that has these frames.
    pub fn id(&self) -> Id {
        self.id
    }

    /// The epoch they were read in.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether the greenlet has not been resumed since.
    pub fn is_valid<H: Host>(&self, thread: &Thread<H>) -> bool {
        thread.epoch(self.id) == Some(self.epoch)
    }

    /// The frames.
    ///
    /// # Errors
    /// [`SnapshotError::Stale`] or [`SnapshotError::Gone`] where they are no longer valid.
    pub fn frames<H: Host>(&self, thread: &Thread<H>) -> Result<&F, SnapshotError> {
        match thread.epoch(self.id) {
            Some(now) if now == self.epoch => Ok(&self.frames),
            Some(now) => Err(SnapshotError::Stale { taken: self.epoch, now }),
            None => Err(SnapshotError::Gone),
        }
    }

    /// The frames as plain data that stays, whatever happens to the greenlet.
    pub fn detach(self) -> F {
        self.frames
    }
}
