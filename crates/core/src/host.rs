//! The one seam between the core and whatever runs on its stacks.

use std::ptr::NonNull;

use crate::slots::StackBounds;
use crate::thread::{Next, Thread};

/// What an interpreter (or nothing: [`crate::NullHost`]) keeps for each stack, and how it is taken out and put in.
///
/// The core moves the machine from stack to stack; the host moves its own idea of "the current stack" along:
///
/// ```text
///            park(A)                                     unpark(B)
///   A runs ----------> A's state is in A's VmState  ... ----------> B runs
///                      [ the machine switches to B's stack ]
/// ```
///
/// # Safety
/// [`Host::run`] must not unwind out of a stack the host cannot be unwound through, and between `park` of one stack and
/// `unpark` of the next the host must not rely on any state of the running stack: there is none.
pub unsafe trait Host: Sized + 'static {
    /// Bytes above a stack's base that belong to the host (a V8 handle block, say); they and the stack below the base are
    /// one range.
    const ABOVE_BASE: usize;
    /// The host's state of one suspended stack. It stays at one address for its whole life.
    type VmState: 'static;
    /// What a new greenlet runs.
    type Body: 'static;
    /// What [`Host::capture`] reads from a suspended stack.
    type Capture;

    /// The state of the thread's own stack, on which the [`Thread`] is being made.
    fn main_state(&self) -> Self::VmState;

    /// The state a new stack starts with: as if it had been parked before its first instruction.
    fn fresh_state(&self, stack: StackBounds) -> Self::VmState;

    /// `vm` has got its address, and is parked from now on.
    ///
    /// # Safety
    /// `vm` is valid until `retire` or `abandon`, and this is called once for it.
    unsafe fn enlist(&self, vm: NonNull<Self::VmState>);

    /// Takes the live state away into `vm`: its stack is about to be suspended.
    ///
    /// # Safety
    /// `vm` belongs to the running stack and was enlisted.
    unsafe fn park(&self, vm: NonNull<Self::VmState>);

    /// Makes `vm` the live state: its stack is about to run.
    ///
    /// # Safety
    /// `vm` is parked, and the state that was live before was parked or retired.
    unsafe fn unpark(&self, vm: NonNull<Self::VmState>);

    /// The function on `vm`'s stack has returned; the live state is still `vm`'s and nobody's from now on.
    ///
    /// # Safety
    /// `vm` is the live state. It is freed after this call.
    unsafe fn retire(&self, vm: NonNull<Self::VmState>);

    /// `vm`'s stack will never run again, though it has not finished.
    ///
    /// # Safety
    /// `vm` is parked. It is freed after this call; its stack stays as it is, or is given to others where
    /// [`Thread::abandon_all`] was called.
    unsafe fn abandon(&self, vm: NonNull<Self::VmState>);

    /// Reads the frames of a suspended stack without running it.
    ///
    /// # Safety
    /// `vm` is parked and its stack is where it was when it parked.
    unsafe fn capture(&self, vm: NonNull<Self::VmState>) -> Self::Capture;

    /// Runs `body` on the new stack, whose state is live, and says who runs when it has ended.
    fn run(thread: &Thread<Self>, body: Self::Body) -> Next<Self>;
}
