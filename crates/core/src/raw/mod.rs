//! Stacks without greenlets, for hosts that put rules and values of their own on them, such as a language's interpreter.
//!
//! A [`Thread`] has the stacks of one OS thread, and switches between them. A [`Host`] says what runs on a new stack, and moves along what
//! belongs to the running stack. [`NullHost`] is the host of plain Rust, on which [`Greenlet`](crate::Greenlet) is built.
//!
//! ```
//! use greenlets_core::Options;
//! use greenlets_core::raw::{Body, Next, NullHost, StackBounds, Thread};
//!
//! let bounds = StackBounds::of_this_thread()?;
//! // SAFETY: these are the bounds of this thread's own stack. Nothing else switches stacks here, and no thread-local is borrowed,
//! // initialised or set across a switch.
//! let thread = unsafe { Thread::new(NullHost, bounds, Options::slots(16)) }?;
//! let body = Body::new(|thread| {
//!     thread.switch(Next::Resume(thread.main())).unwrap(); // returns when this stack is resumed
//!     Next::Resume(thread.main()) // which stack runs when this one has ended
//! });
//! thread.switch(Next::Start(body)).unwrap();
//! let id = *thread.ids().iter().find(|&&id| id != thread.main()).unwrap();
//! thread.switch(Next::Resume(id)).unwrap();
//! assert_eq!(thread.live(), 0);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Contract
//! Less is checked here than for greenlets. What [`Thread::new`] asks for holds as long as the thread has stacks: the bounds are those of
//! the stack that is main, other code that switches stacks on this OS thread does so in pairs that nest, and the code on the stacks
//! keeps what [`Greenlet::new`](crate::Greenlet::new) asks of a greenlet's function. A [`Host`] keeps the clauses of that trait. In
//! return, safe calls do no harm in any order:
//! * A switch is refused with an error, and nothing has changed, if the target has ended, if there is no slot or memory for it, or if the
//!   running code is not on the current stack.
//! * An id of a stack that has ended names no other stack.
//! * A stack that is never resumed is never unwound. Its memory stays as it is, unless stacks share slots or [`Thread::abandon_all`]
//!   says that nothing relies on it.
//!
//! A panic that leaves [`Host::run`] ends the process. A stack overflow is a SIGSEGV in the guard of the stack's slot;
//! [`Thread::is_guarded`] tells a handler so.

// Imports `fiber`; the room `greenlet` is built on this one.
//
//   snapshot  null_host          what is read from a stack; the host of plain Rust
//        │       │
//        ▼       ▼
//      thread ◄──► host          the stacks of one thread and the switch; the trait that hosts implement
//        │
//        ├──► residency ──► slots ──► pages        which stack is in which slot; the slots; the kernel
//        │        │  └────► spilled ──► unread     the copy of a spilled stack; what is left out of it
//        │        ▼
//        └──► registry ──► stack_host, id          one record for each stack

pub(crate) mod frame;
mod host;
pub(crate) mod id;
mod null_host;
pub(crate) mod options;
mod pages;
mod registry;
mod relocation;
mod residency;
pub(crate) mod slots;
mod snapshot;
mod spilled;
mod stack_host;
pub(crate) mod switch_error;
mod thread;
mod unread;

pub use host::{Host, Next};
pub use id::Id;
pub use null_host::{Body, NullHost, Parked};
pub(crate) use registry::Target;
pub use relocation::Relocation;
pub use slots::GuardKind;
pub use snapshot::{Snapshot, SnapshotError};
pub use switch_error::SwitchError;
pub use thread::Thread;
pub use unread::Unread;

pub use crate::fiber::bounds::{LARGEST_GUARD, StackBounds};
