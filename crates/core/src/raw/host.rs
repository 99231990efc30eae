//! The trait between the core and the program that runs on its stacks.
//!
//! It and [`Thread`] name each other: the only two files of the crate that do.

use std::ptr::NonNull;

use crate::fiber::bounds::StackBounds;
use crate::raw::id::Id;
use crate::raw::relocation::Relocation;
use crate::raw::stack_host::StackHost;
use crate::raw::thread::Thread;
use crate::raw::unread::Unread;

/// The stack that is to run.
pub enum Next<H: Host> {
    /// A stack that is suspended.
    Resume(Id),
    /// A new stack, running this.
    Start(H::Body),
}

impl<H: Host> Next<H> {
    /// The body, where a new stack was to run.
    pub(crate) fn into_body(self) -> Option<H::Body> {
        match self {
            Next::Resume(_) => None,
            Next::Start(body) => Some(body),
        }
    }
}

/// What an interpreter (or nothing: [`NullHost`](crate::raw::NullHost)) keeps for each stack, and how it is taken out and put in.
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
/// * [`Host::run`] must not unwind out of a stack the host cannot be unwound through.
/// * Between `park` of one stack and `unpark` of the next, the host must not rely on any state of the running stack: there is
///   none.
/// * [`Host::fresh_state`] is called while the registry of stacks is mutably borrowed. It must not call the [`Thread`]: that
///   panics.
/// * [`Host::live_end`] and [`Host::relocate`] are called while the slots are borrowed, in the middle of a switch. They must not
///   call the [`Thread`] either.
pub unsafe trait Host: Sized + 'static {
    /// Bytes above a stack's base that belong to the host (for example, a block of an engine's handles). They and the stack below
    /// the base are one range.
    const ABOVE_BASE: usize;
    /// The host's state of one suspended stack. It stays at one address for its whole life.
    type VmState: 'static;
    /// What a new greenlet runs.
    type Body: 'static;
    /// What [`Host::capture`] reads from a suspended stack.
    type Capture;

    /// The state of the thread's own stack, on which the [`Thread`] is being made.
    fn main_state(&self) -> Self::VmState;

    /// The state a new stack starts with: as if it had been parked before its first instruction. Another stack may still lie
    /// at this place.
    fn fresh_state(&self, stack: StackBounds) -> Self::VmState;

    /// `vm` is at its final address, and is parked from now on; its stack is `stack`, which has nothing on it but a few words
    /// below its base. For main, which runs, `stack` is the thread's own.
    ///
    /// # Safety
    /// `vm` is valid until `retire` or `abandon`, and this is called once for it.
    unsafe fn enlist(&self, vm: NonNull<Self::VmState>, stack: StackBounds);

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

    /// Where the live bytes above the base of `vm`'s stack end.
    ///
    /// # Safety
    /// `vm` is parked and its stack, `stack`, is in its slot.
    unsafe fn live_end(&self, _vm: NonNull<Self::VmState>, stack: StackBounds) -> usize {
        stack.base
    }

    /// The parts of `vm`'s stack, which begins at `low`, that the host does not read while the stack is spilled, and of which no code
    /// follows an address into them meanwhile. They are not among the bytes of the copy, and come back as they were.
    ///
    /// # Safety
    /// `vm` is parked and its stack, `stack`, is in its slot.
    unsafe fn unread(&self, _vm: NonNull<Self::VmState>, _low: usize, _stack: StackBounds) -> Unread {
        Unread::default()
    }

    /// The live bytes of `vm`'s stack have moved: out of its slot, because another stack needs it, or back. Addresses among these
    /// bytes that lead to others of them were changed by the core. Here the host changes the addresses that `vm` holds. It can
    /// follow them then and change what it finds there, as if the stack had never moved.
    ///
    /// # Safety
    /// `vm` is parked, and the bytes are where `moved` says.
    unsafe fn relocate(&self, vm: NonNull<Self::VmState>, moved: &Relocation);

    /// The function on `vm`'s stack has returned. The live state is still `vm`'s; from now on it belongs to no stack.
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
    /// `vm` is parked and its stack is where it was when it parked, or where the last `relocate` said.
    unsafe fn capture(&self, vm: NonNull<Self::VmState>) -> Self::Capture;

    /// Runs `body` on the new stack, whose state is live, and returns the stack that runs after it has ended.
    fn run(thread: &Thread<Self>, body: Self::Body) -> Next<Self>;
}

impl<H: Host> StackHost for H {
    const ABOVE_BASE: usize = <H as Host>::ABOVE_BASE;
    type VmState = <H as Host>::VmState;
    type Body = <H as Host>::Body;
    type Next = Next<H>;

    unsafe fn live_end(&self, vm: NonNull<<H as Host>::VmState>, stack: StackBounds) -> usize {
        // SAFETY: the caller promises the same as for `Host::live_end`: parked, and in its slot.
        unsafe { Host::live_end(self, vm, stack) }
    }

    unsafe fn unread(&self, vm: NonNull<<H as Host>::VmState>, low: usize, stack: StackBounds) -> Unread {
        // SAFETY: the caller promises the same as for `Host::unread`: parked, and in its slot.
        unsafe { Host::unread(self, vm, low, stack) }
    }

    unsafe fn relocate(&self, vm: NonNull<<H as Host>::VmState>, moved: &Relocation) {
        // SAFETY: the caller promises the same as for `Host::relocate`: parked, and moved as described.
        unsafe { Host::relocate(self, vm, moved) }
    }
}
