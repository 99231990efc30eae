//! Stacks without greenlets: the slots that stacks lie in, the registry of stacks, the switch between them, and the host's state
//! that moves along. Imports `fiber`; the room `greenlet` is built on this one.
//!
//! ```text
//!   snapshot  null_host          what is read from a stack; the host of plain Rust
//!        │       │
//!        ▼       ▼
//!      thread ◄──► host          the stacks of one thread and the switch; the trait that hosts implement
//!        │
//!        ├──► residency ──► slots ──► pages        which stack is in which slot; the slots; the kernel
//!        │        │  └────► spilled                the copy of a spilled stack
//!        │        ▼
//!        └──► registry ──► stack_host, id          one record for each stack
//! ```

mod frame;
mod host;
mod id;
mod null_host;
mod options;
mod pages;
mod registry;
mod relocation;
mod residency;
mod slots;
mod snapshot;
mod spilled;
mod stack_host;
mod switch_error;
mod thread;

pub use frame::{Frame, FrameRecord, Guard};
pub use host::{Host, Next};
pub use id::{Id, State};
pub use null_host::{Body, NullHost, Parked};
pub use options::{DEFAULT_SLOTS, Options, Spilling};
pub(crate) use registry::Target;
pub use relocation::Relocation;
pub use slots::{GuardKind, Vacated};
pub use snapshot::{Snapshot, SnapshotError};
pub use switch_error::{Limit, SwitchError};
pub use thread::Thread;
