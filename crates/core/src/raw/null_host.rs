//! The host of plain Rust: there is no interpreter, so only the frame chain belongs to a stack.
//!
//! # Contract
//! * "valid": [`Host`] is promised that `vm` is valid until `retire` or `abandon`, and only the thread that owns it uses it.

use std::fmt;
use std::ptr::NonNull;

use crate::fiber::bounds::StackBounds;
use crate::raw::frame::{Chain, Frame};
use crate::raw::host::{Host, Next};
use crate::raw::relocation::Relocation;
use crate::raw::thread::Thread;

/// Runs Rust closures on the core's stacks. [`Greenlet`](crate::Greenlet) is built on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullHost;

/// What [`NullHost`] runs on a new stack: a closure that returns the stack that runs after it has ended.
pub struct Body(Box<Function>);

type Function = dyn FnOnce(&Thread<NullHost>) -> Next<NullHost>;

impl Body {
    /// `closure` must not panic: no code below it could catch the panic, so the process is aborted.
    pub fn new(closure: impl FnOnce(&Thread<NullHost>) -> Next<NullHost> + 'static) -> Body {
        Body(Box::new(closure))
    }

    /// Calls the closure, for a stack that was given this by [`Thread::rest`].
    pub fn run(self, thread: &Thread<NullHost>) -> Next<NullHost> {
        (self.0)(thread)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body(..)")
    }
}

/// [`NullHost`]'s state of a stack: its frame chain.
#[derive(Debug)]
pub struct Parked(Chain);

// SAFETY: no panic leaves `run` (the core aborts). The one thing the host keeps beside the stack, the top of the frame chain, is
// null between `park` and `unpark`. No function here calls the thread, but for `run`.
unsafe impl Host for NullHost {
    const ABOVE_BASE: usize = 0;
    type VmState = Parked;
    type Body = Body;
    /// Innermost first.
    type Capture = Vec<Frame>;

    fn main_state(&self) -> Parked {
        Parked(Chain::empty())
    }

    fn fresh_state(&self, _: StackBounds) -> Parked {
        Parked(Chain::empty())
    }

    unsafe fn enlist(&self, _: NonNull<Parked>, _: StackBounds) {}

    #[inline(always)]
    unsafe fn park(&self, vm: NonNull<Parked>) {
        // SAFETY: contract clause "valid".
        unsafe { vm.write(Parked(Chain::detach())) };
    }

    #[inline(always)]
    unsafe fn unpark(&self, vm: NonNull<Parked>) {
        // SAFETY: contract clause "valid".
        unsafe { vm.as_ref() }.0.attach();
    }

    unsafe fn relocate(&self, vm: NonNull<Parked>, moved: &Relocation) {
        // SAFETY: contract clause "valid".
        unsafe { vm.as_ref() }.0.relocate(moved);
    }

    /// Does nothing: main's frames go on after its [`Thread`] has gone, and a function that has returned has no frames.
    unsafe fn retire(&self, _: NonNull<Parked>) {}

    unsafe fn abandon(&self, _: NonNull<Parked>) {}

    unsafe fn capture(&self, vm: NonNull<Parked>) -> Vec<Frame> {
        // SAFETY: contract clause "valid"; `vm` is parked, so the stack its chain lies on is suspended.
        unsafe { vm.as_ref().0.read() }
    }

    fn run(thread: &Thread<Self>, body: Body) -> Next<Self> {
        body.run(thread)
    }
}
