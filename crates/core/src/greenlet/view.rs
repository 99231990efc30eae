//! Frames of a suspended greenlet, which can be read until it is resumed.

use std::marker::PhantomData;

use crate::greenlet::error::Error;
use crate::greenlet::thread_greenlets::ThreadGreenlets;
use crate::raw::frame::Frame;
use crate::raw::{Snapshot, SnapshotError};

/// The frames that [`Greenlet::stack`](crate::Greenlet::stack) or [`Greenlet::frame`](crate::Greenlet::frame) read. They are valid
/// until the greenlet is resumed; after that, reading them is an error. [`View::detach`] makes plain data of them that stays.
///
/// ```
/// use greenlets_core::{Greenlet, Thrown, frame};
///
/// let waits = |_| {
///     frame!("waits");
///     Greenlet::main().switch(Box::new(()))
/// };
/// // SAFETY: `waits` switches with nothing of a thread-local borrowed, initialised or set.
/// let greenlet = unsafe { Greenlet::new(waits) };
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
    /// The thread it belongs to: on another thread, the same id stands for another stack.
    token: u64,
    greenlet: Box<str>,
    snapshot: Snapshot<T>,
    _not_send: PhantomData<*const ()>,
}

impl<T> View<T> {
    pub(crate) fn new(token: u64, greenlet: Box<str>, snapshot: Snapshot<T>) -> View<T> {
        View { token, greenlet, snapshot, _not_send: PhantomData }
    }

    /// The frames.
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

    /// Whether [`View::get`] would return the frames.
    pub fn is_valid(&self) -> bool {
        self.read().is_ok()
    }

    /// The epoch it was read in: how often the greenlet had been resumed by then.
    pub fn epoch(&self) -> u64 {
        self.snapshot.epoch()
    }

    /// The frames as plain data, stale or not.
    pub fn detach(self) -> T {
        self.snapshot.detach()
    }

    fn read(&self) -> Result<&T, SnapshotError> {
        let greenlets = ThreadGreenlets::of_token(self.token);
        let stacks = greenlets.and_then(ThreadGreenlets::stacks).ok_or(SnapshotError::Gone)?;
        self.snapshot.frames(stacks)
    }
}

impl View<Vec<Frame>> {
    /// Only the innermost frame, as read at the same time.
    pub(crate) fn innermost(self) -> Option<View<Frame>> {
        let snapshot = self.snapshot.filter_map(|frames| frames.first().copied())?;
        Some(View::new(self.token, self.greenlet, snapshot))
    }
}
