//! Greenlets without an engine: functions on native stacks of their own that switch to each other from any depth, and whose
//! stacks can be read while they are suspended.
//!
//! A greenlet is not a thread: all greenlets of a thread take turns, and a turn ends where the greenlet itself switches. It is
//! not a future or a generator either: it can switch away inside any function that it calls, through callbacks, comparators and
//! foreign code. For switching, none of these has to be written for it. For ending it is different: a greenlet is told to end by an
//! `Err`, and a callback of C cannot pass that on; the example [qsort] shows what to do.
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
//! // SAFETY: `outer` switches with nothing of a thread-local borrowed, initialised or set (see "Unsoundness").
//! let greenlet = unsafe { Greenlet::new(|_| outer()) };
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
//! An error that is thrown into a greenlet is an `Err` of the `switch` it waits in, and goes on with `?`: no stack is unwound by force.
//!
//! **A panic does not go on by itself.** It arrives as [`Thrown::Panic`], an `Err` like others, which `let _ = greenlet.switch(..)`
//! drops. To go on with it, call [`Thrown::resume_panic`]. [`Generator::next`](Generator) does.
//!
//! # Examples
//!
//! | Example | What it shows |
//! | --- | --- |
//! | [`Generator`] | an iterator whose items a recursive function yields |
//! | [same_fringe] | two trees walked side by side |
//! | [scheduler] | tasks in turns |
//! | [parked] | workers that block deep inside plain functions, and a page that shows where |
//! | [tokio_local_set] | plain functions that wait for futures, with a `LocalSet` |
//! | [qsort] | a switch inside a comparator of C, and what killing means there |
//! | [spilled_frames] | a thousand greenlets on two slots, and their frames |
//!
//! [same_fringe]: https://github.com/greenlets/greenlets/blob/main/crates/core/examples/same_fringe.rs
//! [scheduler]: https://github.com/greenlets/greenlets/blob/main/crates/core/examples/scheduler.rs
//! [parked]: https://github.com/greenlets/greenlets/blob/main/crates/core/examples/parked.rs
//! [tokio_local_set]: https://github.com/greenlets/greenlets/blob/main/crates/core/examples/tokio_local_set.rs
//! [qsort]: https://github.com/greenlets/greenlets/blob/main/crates/core/examples/qsort.rs
//! [spilled_frames]: https://github.com/greenlets/greenlets/blob/main/crates/core/examples/spilled_frames.rs
//!
//! # Ownership
//!
//! ```text
//!   handles                      the thread                      its stacks
//!
//!   Greenlet ──┐            ┌── current, main                 raw::Thread<NullHost>
//!   Greenlet ──┼──► shared ◄┤   payload: what crosses a        ├ table: Id ─► epoch, state, bounds, host's state
//!   a child's ─┘    record  └─· all (weak)     switch now      └ slots: one mapping of K stacks ◄┐
//!   parent           │                                                                           │
//!                    └ name, parent, and while it has a stack: its Id ───────────────────────────┘
//! ```
//!
//! * **Handles keep a greenlet alive**, and the thread keeps the running one alive. Handles stay on their thread. When the last
//!   handle of a suspended greenlet is dropped, the greenlet is killed; see [`Greenlet`].
//! * **A stack belongs to its greenlet alone** from the first switch to the end, always at the same place: one *slot* of 1 MiB of
//!   address space ([`Options::stack_size`]), with a guard at its end. A stack that overflows runs into the guard, and the process
//!   ends with a sentence that names the greenlet. Only the parts that were touched take memory. [`configure`] sets the number of
//!   slots. With none left, a greenlet cannot start, and the error gives the value back. Or stacks share slots, and a stack is
//!   copied to the heap while another one occupies its slot: [`Options::spilling`].
//! * **Values do not touch the core.** The switch itself, [`raw::Thread`], knows stacks and which one runs next. The value that
//!   crosses a switch waits beside it in the thread. So a host with values of its own, such as a JavaScript engine, can put its own
//!   rules on the module [`raw`] instead of [`Greenlet`].
//!
//! # Frames
//!
//! [`frame!`] makes a function visible: a record on the native stack, linked to the one below, at the cost of a few stores. All
//! code on the thread can read the chain of a suspended greenlet with [`Greenlet::stack`]. The result is a [`View`] that knows for
//! which *epoch* (the time between two resumes) it is valid.
//!
//! # Unsoundness
//!
//! Rust code may rely on one order: what a thread entered last it leaves first. A switch breaks this order, and no type says which
//! code relies on it. So making a greenlet is `unsafe`, as in the crate may, and [`Greenlet::new`] says what to promise. These three
//! patterns are undefined behaviour, although each of their lines is safe:
//!
//! * **A thread-local whose initialiser switches.** Another greenlet uses the thread-local meanwhile, so it is initialised twice, and
//!   the standard library drops the value that the other greenlet is looking at.
//!   ```no_run
//!   # use greenlets_core::Greenlet;
//!   thread_local! { static NAME: String = { let _ = Greenlet::main().switch(Box::new(())); "name".repeat(9) } }
//!   ```
//! * **A reference from `LocalKey::with` that is used after the thread-local has been destroyed.** At a thread's end greenlets do not
//!   run again by themselves. But a destructor of a thread-local that resumes or kills one, or drops its last handle, resumes the
//!   code that has the reference.
//!   ```no_run
//!   # use greenlets_core::Greenlet;
//!   # thread_local! { static NAME: String = String::new(); }
//!   NAME.with(|name| { let _ = Greenlet::main().switch(Box::new(())); println!("{name}") })
//!   ```
//!   A destructor that `process::exit` runs inside a greenlet is of the same kind: it must not switch. It cannot if it runs after the
//!   thread's greenlets were given up, and this crate cannot tell if it runs before.
//! * **A scoped thread-local that is set across a switch**: a pointer to a local variable, in a thread-local for as long as a closure
//!   runs, as the crate `scoped-tls` and the contexts of async runtimes set it. Other greenlets see it, also when the variable has gone.
//!
//! corosensei has the third hole with safe functions, where the closure can reach its yielder. Everything else that safe code can do
//! wrong is an error or a panic.
//!
//! # What else the compiler does not check
//!
//! A switch suspends every caller up to the base of the stack, and each of them keeps what it holds meanwhile. None of this is
//! undefined behaviour:
//!
//! * A `RefCell` or a `Mutex` that is borrowed or locked across a switch is still borrowed or locked when other greenlets of the
//!   thread use it: they panic or deadlock.
//! * Greenlets that are suspended when the thread ends are abandoned: what they hold is not dropped, and a report says so. End them
//!   before, with [`kill_all`].
//! * If a greenlet switches away while it unwinds (in a destructor), `std::thread::panicking()` is true for the other greenlets
//!   too.
//! * A panic hook must not switch.
//! * **Rounding mode and exception masks** (MXCSR, the x87 control word, FPCR) belong to the thread and are not switched, as in
//!   corosensei and wasmtime; Python's greenlet does switch them. Rust code may run only with the default ones: under others
//!   the compiler's own calculations would be wrong. So C code that changes them restores them before it calls Rust, and no switch
//!   can happen in between. Saving them would make each switch slower for programs that are wrong already.
//! * Code on a stack of another library (a coroutine, `stacker`, `psm`) cannot switch: the call is refused
//!   ([`Error::OtherStack`]).
//!
//! # Features
//!
//! * `own-switch`: switches stacks by a page of assembly in this crate instead of corosensei.
//! * `anyhow`: `?` makes an `anyhow::Error` of a [`Thrown`].
//! * `sanitizer`: tells AddressSanitizer about every switch.
//!
//! Linux, for now on x86-64 and AArch64.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "greenlets-core runs on Linux only: it asks the kernel for stack slots and guards by Linux's own calls"
);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!(
    "greenlets-core runs on x86-64 and AArch64 only: its switch and its stack checks are written for these"
);
#[cfg(not(target_pointer_width = "64"))]
compile_error!("greenlets-core needs 64-bit addresses: each thread reserves a gigabyte of them for stacks");

// The rooms. Imports go one way: `greenlet` imports `raw` and `fiber`, `raw` imports `fiber`, and `fiber` imports neither.
mod fiber;
mod greenlet;
pub mod raw;

pub use fiber::bounds::SLOT_SIZE;
pub use greenlet::{
    Builder, Error, Generator, Greenlet, GreenletExit, Parcel, Thrown, ThrownError, Unraisable, Value, View,
    Yielder, configure, kill_all, set_unraisable_hook, unpack,
};
pub use raw::frame::Frame;
pub use raw::id::State;
pub use raw::options::{DEFAULT_SLOTS, Options, Spilling};
pub use raw::slots::Vacated;
pub use raw::switch_error::Limit;

/// The examples of the README are tested with those of the docs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// For [`frame!`] alone.
#[doc(hidden)]
pub mod __frame {
    pub use crate::raw::frame::{FrameRecord, Guard};
}
