//! The switch.

#[path = "../../../napi/src/v8/lanes/fast.rs"]
pub(crate) mod fast;

use std::ptr::NonNull;

use crate::collector::World;
use crate::v8::stack::state::StackState;

/// Makes V8 know a new stack.
///
/// # Safety
/// `vm` is at its final address.
pub(crate) unsafe fn enlist(world: &World, vm: NonNull<StackState>) {
    // SAFETY: the caller's promise.
    unsafe { fast::enlist(&world.v8, vm) };
}

/// Takes the state of the running stack, `vm`.
///
/// # Safety
/// `vm` is the running stack.
pub(crate) unsafe fn park(world: &World, vm: NonNull<StackState>) {
    // SAFETY: the caller's promise.
    unsafe { fast::FastLane::of(world.v8.facts).park(&world.v8, &world.stacks, vm) };
}

/// Makes `vm` the running stack.
///
/// # Safety
/// `vm` is suspended, and no stack runs.
pub(crate) unsafe fn unpark(world: &World, vm: NonNull<StackState>) {
    // SAFETY: the caller's promise.
    unsafe { fast::FastLane::of(world.v8.facts).unpark(&world.v8, &world.stacks, vm) };
}
