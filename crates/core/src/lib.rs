//! Greenlets without an engine: functions on native stacks of their own that switch to each other from any depth.

mod fiber;
mod host;
mod registry;
mod slots;
mod snapshot;
mod thread;

pub use host::Host;
pub use registry::{Id, State};
pub use slots::{GUARD_SIZE, GuardKind, SLOT_SIZE, StackBounds};
pub use snapshot::{Snapshot, SnapshotError};
pub use thread::{Next, SwitchError, Thread};
