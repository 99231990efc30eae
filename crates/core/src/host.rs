//! The one seam between the core and whatever runs on its stacks.

use std::ops::RangeInclusive;
use std::ptr::NonNull;

use crate::slots::StackBounds;
use crate::thread::{Next, Thread};

/// The live bytes of a suspended stack were copied from one place to another: out of its slot, or back.
#[derive(Clone, Debug)]
pub struct Relocation {
    /// Where they were, first and last address; the last one is just behind the last byte.
    pub from: RangeInclusive<usize>,
    /// Where the first of them is now.
    pub to: usize,
    /// Whether they are back in the stack's slot.
    pub home: bool,
}

impl Relocation {
    /// What `address` is now, where it is one of a moved byte, or the one just behind the last.
    pub fn new_address(&self, address: usize) -> Option<usize> {
        self.from.contains(&address).then(|| self.to.wrapping_add(address - self.from.start()))
    }
}

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

    /// The state a new stack starts with: as if it had been parked before its first instruction. Another stack may still lie
    /// at this place.
    fn fresh_state(&self, stack: StackBounds) -> Self::VmState;

    /// `vm` has got its address, and is parked from now on; its stack is `stack`, which has nothing on it but a few words
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

    /// The live bytes of `vm`'s stack have moved: while another one lies in its slot, they are elsewhere. The addresses among
    /// them that lead to others of them were changed; here the host changes those that `vm` holds. It can follow them then
    /// and change what it finds there, as if the stack had never moved.
    ///
    /// # Safety
    /// `vm` is parked, and the bytes are where `moved` says.
    unsafe fn relocate(&self, vm: NonNull<Self::VmState>, moved: &Relocation);

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
    /// `vm` is parked and its stack is where it was when it parked, or where the last `relocate` said.
    unsafe fn capture(&self, vm: NonNull<Self::VmState>) -> Self::Capture;

    /// Runs `body` on the new stack, whose state is live, and says who runs when it has ended.
    fn run(thread: &Thread<Self>, body: Self::Body) -> Next<Self>;
}
