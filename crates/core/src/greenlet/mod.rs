//! Greenlets: parents, values and errors, on top of the stacks of `raw`. The upper room; no other room imports it.
//!
//! ```text
//!   handle                        the public methods of a Greenlet
//!     │
//!     ├──► this_thread ──► kill   the thread's greenlets, from the first use to the thread's end
//!     │                     │
//!     ├──► deliver ◄────────┘     which greenlet gets a value or an error, and the switch there
//!     │       │
//!     └──► view                   frames that were read
//!             │
//!             ▼
//!        thread_greenlets ──► record, thrown, error, thread_bound
//! ```

mod deliver;
mod error;
mod generator;
mod handle;
mod kill;
#[cfg(not(miri))]
mod overflow;
mod record;
mod this_thread;
mod thread_bound;
mod thread_greenlets;
mod thrown;
mod view;

pub use error::{Error, Parcel, Value, unpack};
pub use generator::{Generator, Yielder};
pub use handle::Builder;
pub use record::Greenlet;
pub use this_thread::{configure, kill_all, set_unraisable_hook};
pub use thrown::{GreenletExit, Thrown, ThrownError, Unraisable};
pub use view::View;
