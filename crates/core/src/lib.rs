//! Greenlets without an engine: functions on native stacks of their own that switch to each other from any depth, and whose
//! stacks can be read while they are suspended.
//!
//! A greenlet is not a thread: all greenlets of a thread take turns, and a turn ends where the greenlet itself switches. It is
//! not a future or a generator either: it can switch away inside any function that it calls, through callbacks, comparators and
//! foreign code, and none of these has to be written for it.
//!
//! ```
//! use greenlets_core::{Greenlet, Thrown, Value, frame, unpack};
//!
//! fn inner() -> Result<Value, Thrown> {
//!     frame!("inner");
//!     Greenlet::main().switch(Box::new(42)) // returns when this greenlet is switched to again
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
//! // It is suspended in `inner` now. Its stack can be read; no code of it runs for that.
//! let stack = greenlet.stack().expect("it is suspended");
//! let names: Vec<_> = stack.get()?.iter().map(|frame| frame.name).collect();
//! assert_eq!(names, ["inner", "outer"]);
//!
//! assert_eq!(unpack::<i32>(greenlet.switch(Box::new(6))?)?, 7); // its result
//! assert!(greenlet.is_dead());
//! assert!(stack.get().is_err()); // the frames are no longer valid
//! # Ok::<(), Thrown>(())
//! ```
//!
//! # The states of a greenlet
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
//! The rules are those of Python's greenlet. Each greenlet has a parent. The value that its function returns goes there, and an
//! error or a panic too, as the same object. A [`GreenletExit`] ends a greenlet quietly: the parent gets it as a value. A dead
//! greenlet hands everything that is sent to it on to its parent. Parents form a tree with main, the thread's own stack, at its
//! root; main never dies.
//!
//! An error that is thrown into a greenlet is an `Err` of the `switch` it waits in, and goes on with `?`: no stack is unwound by
//! force.
//!
//! # Ownership
//!
//! ```text
//!   handles                      the thread                      its stacks
//!
//!   Greenlet ──┐            ┌── current, main                 Thread<NullHost>
//!   Greenlet ──┼──► shared ◄┤   payload: what crosses a        ├ table: Id ─► epoch, state, bounds, host's state
//!   a child's ─┘    record  └─· all (weak)     switch now      └ slots: one mapping of K stacks ◄┐
//!   parent           │                                                                           │
//!                    └ name, parent, and while it has a stack: its Id ───────────────────────────┘
//! ```
//!
//! * **Handles keep a greenlet alive**, and the thread keeps the running one alive. Handles stay on their thread. When the last
//!   handle of a suspended greenlet is dropped, the greenlet is killed; see [`Greenlet`].
//! * **A stack belongs to its greenlet alone** from the first switch to the end, always at the same place: one *slot* of 1 MiB of
//!   address space ([`Options::stack_size`]), with a guard page at its end that a stack overflow runs into. Only the parts that were
//!   touched take memory. [`configure`] sets the number of slots. With none left, a greenlet cannot start, and the error gives the value back. Or
//!   stacks share slots, and a stack is copied to the heap while another one occupies its slot: [`Options::spilling`].
//! * **Values do not touch the core.** The switch itself, [`Thread`], knows stacks and which one runs next. The value that crosses
//!   a switch waits beside it in the thread. So a host with values of its own, such as a JavaScript engine, can put its own rules
//!   on [`Thread`] instead of [`Greenlet`], through one trait: [`Host`].
//!
//! # Frames
//!
//! [`frame!`] makes a function visible: a record on the native stack, linked to the one below, at the cost of a few stores. All
//! code on the thread can read the chain of a suspended greenlet with [`Greenlet::stack`]. The result is a [`View`] that knows for
//! which *epoch* (the time between two resumes) it is valid.
//!
//! # What the compiler cannot check
//!
//! A switch suspends every caller up to the base of the stack, and each of them keeps what it holds meanwhile:
//!
//! * A `RefCell` or a `Mutex` that is borrowed or locked across a switch is still borrowed or locked when other greenlets of the
//!   thread use it: they panic or deadlock.
//! * Greenlets that are suspended when the thread ends are killed by the destructor of a thread-local. Thread-locals that were
//!   first used later than the greenlets have been destroyed by then. **Do not hold the reference that `LocalKey::with` gives
//!   across a switch**; or `kill()` your greenlets before the thread ends.
//! * If a greenlet switches away while it unwinds (in a destructor), `std::thread::panicking()` is true for the other greenlets
//!   too.
//! * A panic hook must not switch.
//!
//! Linux, for now on x86-64 and AArch64.

// The rooms. Imports go one way: `greenlet` imports `raw` and `fiber`, `raw` imports `fiber`, and `fiber` imports neither.
mod fiber;
mod greenlet;
mod raw;

pub use fiber::bounds::{LARGEST_GUARD, SLOT_SIZE, StackBounds};
pub use greenlet::{
    Builder, Error, Generator, Greenlet, GreenletExit, Parcel, Thrown, ThrownError, Unraisable, Value, View,
    Yielder, configure, kill_all, set_unraisable_hook, unpack,
};
pub use raw::{
    Body, DEFAULT_SLOTS, Frame, GuardKind, Host, Id, Limit, Next, NullHost, Options, Parked, Relocation,
    Snapshot, SnapshotError, Spilling, State, SwitchError, Thread, Vacated,
};

/// For [`frame!`] alone.
#[doc(hidden)]
pub mod __frame {
    pub use crate::raw::{FrameRecord, Guard};
}
