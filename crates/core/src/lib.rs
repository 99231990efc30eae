//! Greenlets without an engine: functions on native stacks of their own that switch to each other from any depth, and whose
//! stacks can be read while they are suspended.
//!
//! A greenlet is not a thread: all greenlets of a thread take turns, and a turn ends where the greenlet itself switches. It is
//! not a future or a generator either: it can switch away inside any function that it calls, through callbacks, comparators and
//! foreign code, and none of them has to know.
//!
//! ```
//! use greenlets_core::{Greenlet, Thrown, Value, frame, unpack};
//!
//! fn inner() -> Result<Value, Thrown> {
//!     frame!("inner");
//!     Greenlet::main().switch(Box::new(42)) // away, and some day back
//! }
//!
//! fn outer() -> Result<Value, Thrown> {
//!     frame!("outer");
//!     let answer: i32 = unpack(inner()?)?;
//!     Ok(Box::new(answer + 1))
//! }
//!
//! let greenlet = Greenlet::new(|_| outer());
//! assert_eq!(unpack::<i32>(greenlet.switch(Box::new(()))?)?, 42);
//!
//! // It stands in `inner` now, and everybody can see it. Nothing runs for that.
//! let stack = greenlet.stack().expect("it is suspended");
//! let names: Vec<_> = stack.get()?.iter().map(|frame| frame.name).collect();
//! assert_eq!(names, ["inner", "outer"]);
//!
//! assert_eq!(unpack::<i32>(greenlet.switch(Box::new(6))?)?, 7); // its result
//! assert!(greenlet.is_dead());
//! assert!(stack.get().is_err()); // what was seen is not true any more
//! # Ok::<(), Thrown>(())
//! ```
//!
//! # The life of a greenlet
//!
//! ```text
//!               switch()                    switch() elsewhere
//!   Unstarted ────────────► Running ─────────────────────────────► Suspended
//!       │                      │  ▲                                    │
//!       │ throw(), kill()      │  └────────────────────────────────────┘
//!       ▼                      ▼         switch(), throw(), kill()
//!      Dead ◄──────────────────┘ its function returns or panics
//! ```
//!
//! The rules are those of Python's greenlet. Each greenlet has a parent: what its function returns goes there, and an error or a
//! panic too, as the object it was. A [`GreenletExit`] ends a greenlet quietly: the parent gets it as a value. A dead greenlet
//! hands on to its parent what is sent to it. Parents form a tree with main, the thread's own stack, at its root; main never
//! dies.
//!
//! An error that is thrown into a greenlet is an `Err` of the `switch` it waits in, and goes on with `?`: nobody is unwound by
//! force.
//!
//! # Who owns what
//!
//! ```text
//!   handles                      the thread                      its stacks
//!
//!   Greenlet ──┐            ┌── current, main                 Thread<NullHost>
//!   Greenlet ──┼──► shared ◄┤   parcel: what crosses a         ├ table: Id ─► epoch, state, bounds, host's state
//!   a child's ─┘    part    └─· all (weak)     switch now      └ slots: one mapping of K stacks ◄┐
//!   parent           │                                                                           │
//!                    └ name, parent, and while it has a stack: its Id ───────────────────────────┘
//! ```
//!
//! * **Handles keep a greenlet alive**, and what runs is kept alive by the thread. Handles stay on their thread. When the last one
//!   of a suspended greenlet is dropped, the greenlet is killed; see [`Greenlet`].
//! * **A stack belongs to its greenlet alone** from the first switch to the end, always at the same place: one *slot* of 1 MiB
//!   address space, of which what was touched takes memory, with a guard page that a stack overflow runs into. [`configure`] says
//!   how many there are; with none left, a greenlet cannot start, and the error tells so and gives the value back. Or stacks
//!   share slots, and whoever is in the way is copied to the heap meanwhile: [`Options::spilling`].
//! * **Values do not touch the core.** The switch itself, [`Thread`], knows stacks and who runs next. What crosses a switch waits
//!   beside it in the thread. That is why a host with values of its own, such as a JavaScript engine, can do without [`Greenlet`]
//!   and put its own rules on [`Thread`], through one trait: [`Host`].
//!
//! # Frames
//!
//! [`frame!`] makes a function visible: a record on the native stack, linked to the one below, at the price of a few stores. The
//! chain of a suspended greenlet can be read by anybody on the thread, [`Greenlet::stack`], as a [`View`] that knows for which
//! *epoch* (the time between two resumes) it holds.
//!
//! # What the compiler cannot check
//!
//! A switch suspends every caller up to the base of the stack, so what they hold stays as it is meanwhile:
//!
//! * A `RefCell` or a `Mutex` that is borrowed or locked across a switch is found so by the others, which are on the same thread:
//!   a panic or a deadlock.
//! * What is suspended when the thread ends is killed by the destructor of a thread-local. Thread-locals that were first used later
//!   than the greenlets have gone by then. **Do not hold the reference that `LocalKey::with` gives across a switch**; or `kill()`
//!   your greenlets before the thread ends.
//! * A greenlet that switches away while it unwinds (in a destructor) leaves `std::thread::panicking()` true for the others.
//! * A panic hook must not switch.
//!
//! Linux, for now on x86-64 and AArch64.

mod copy;
mod deliver;
mod error;
mod fiber;
mod frame;
mod greenlet;
mod homes;
mod host;
mod local;
mod memcheck;
mod null_host;
mod options;
mod pages;
mod refusal;
mod registry;
mod slots;
mod snapshot;
mod thread;
mod thrown;
mod view;

pub use error::{Error, Value, unpack};
pub use frame::Frame;
pub use greenlet::{Builder, Greenlet};
pub use host::{Host, Relocation};
pub use local::{configure, set_unraisable_hook};
pub use null_host::{Body, NullHost, Parked};
pub use options::{DEFAULT_SLOTS, Options, Spilling};
pub use refusal::{Limit, SwitchError};
pub use registry::{Id, State};
pub use slots::{GUARD_SIZE, GuardKind, SLOT_SIZE, StackBounds, Vacated};
pub use snapshot::{Snapshot, SnapshotError};
pub use thread::{Next, Thread};
pub use thrown::{GreenletExit, Thrown, Unraisable};
pub use view::View;

/// For [`frame!`] alone.
#[doc(hidden)]
pub mod __frame {
    pub use crate::frame::{Guard, Record};
}
