//! Greenlets without an engine.

mod deliver;
mod error;
mod fiber;
mod frame;
mod greenlet;
mod host;
mod local;
mod null_host;
mod registry;
mod slots;
mod snapshot;
mod thread;
mod thrown;
mod view;

pub use error::{Error, Value, unpack};
pub use frame::Frame;
pub use greenlet::{Builder, Greenlet};
pub use host::Host;
pub use local::{DEFAULT_SLOTS, set_slots, set_unraisable_hook};
pub use null_host::{Body, NullHost, Parked};
pub use registry::{Id, State};
pub use slots::{GUARD_SIZE, GuardKind, SLOT_SIZE, StackBounds};
pub use snapshot::{Snapshot, SnapshotError};
pub use thread::{Next, SwitchError, Thread};
pub use thrown::{GreenletExit, Thrown, Unraisable};
pub use view::View;

/// For [`frame!`] alone.
#[doc(hidden)]
pub mod __frame {
    pub use crate::frame::{Guard, Record};
}
