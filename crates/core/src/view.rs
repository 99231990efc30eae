//! Frames of a suspended greenlet, to be read until it is resumed.

use std::marker::PhantomData;

use crate::error::Error;
use crate::frame::Frame;
use crate::local::Local;
use crate::snapshot::{Snapshot, SnapshotError};

/// What [`Greenlet::stack`](crate::Greenlet::stack) and [`Greenlet::frame`](crate::Greenlet::frame) saw. It is true until the
/// greenlet is resumed; after that it can only say so. [`View::detach`] makes it data that lasts.
///
/// ```
/// use greenlets_core::{Greenlet, Thrown, frame};
///
/// let greenlet = Greenlet::new(|_| {
///     frame!("waits");
///     Greenlet::main().switch(Box::new(()))
/// });
/// greenlet.switch(Box::new(()))?;
///
/// let frame = greenlet.frame().expect("it is suspended in a frame");
/// assert_eq!(frame.get()?.name, "waits");
/// let kept = frame.clone().detach();
///
/// greenlet.switch(Box::new(()))?;
/// assert_eq!(frame.get().unwrap_err().code(), "ERR_GREENLET_STALE_FRAME");
/// assert_eq!(kept.name, "waits");
/// # Ok::<(), Thrown>(())
/// ```
#[derive(Clone, Debug)]
pub struct View<T> {
    /// The thread it belongs to: ids mean nothing on another one.
    token: u64,
    greenlet: Box<str>,
    snapshot: Snapshot<T>,
    _not_send: PhantomData<*const ()>,
}

impl<T> View<T> {
    pub(crate) fn new(token: u64, greenlet: Box<str>, snapshot: Snapshot<T>) -> View<T> {
        View { token, greenlet, snapshot, _not_send: PhantomData }
    }

    /// What was seen.
    ///
    /// # Errors
    /// [`Error::StaleFrame`] where the greenlet has been resumed since, or has ended.
    pub fn get(&self) -> Result<&T, Error> {
        let now = match self.read() {
            Ok(seen) => return Ok(seen),
            Err(SnapshotError::Stale { now, .. }) => Some(now),
            Err(_) => None,
        };
        Err(Error::StaleFrame { greenlet: self.greenlet.to_string(), taken: self.epoch(), now })
    }

    /// Whether [`View::get`] would give it.
    pub fn is_valid(&self) -> bool {
        self.read().is_ok()
    }

    /// The epoch it was read in: how often the greenlet had been resumed by then.
    pub fn epoch(&self) -> u64 {
        self.snapshot.epoch()
    }

    /// What was seen, for good, stale or not.
    pub fn detach(self) -> T {
        self.snapshot.detach()
    }

    fn read(&self) -> Result<&T, SnapshotError> {
        let local = Local::existing().filter(|local| local.token == self.token);
        let stacks = local.and_then(Local::stacks).ok_or(SnapshotError::Gone)?;
        self.snapshot.frames(stacks)
    }
}

impl View<Vec<Frame>> {
    /// The innermost frame alone, as seen at the same time.
    pub(crate) fn innermost(self) -> Option<View<Frame>> {
        let snapshot = self.snapshot.filter_map(|frames| frames.first().copied())?;
        Some(View::new(self.token, self.greenlet, snapshot))
    }
}
