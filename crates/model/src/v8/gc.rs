//! What happens around a collection.

/// The parts without the two ends of a collection.
pub(crate) mod classes {
    #[path = "../../../../../napi/src/v8/gc/classes/class.rs"]
    pub(crate) mod class;
    #[path = "../../../../../napi/src/v8/gc/classes/table.rs"]
    pub(crate) mod table;
    mod tests;
}
#[path = "../../../napi/src/v8/gc/quiet.rs"]
pub(crate) mod quiet;
#[path = "../../../napi/src/v8/gc/roots.rs"]
pub(crate) mod roots;

pub(crate) mod greenlets {
    pub(crate) use crate::collector::Greenlets;
}

use crate::collector::World;

/// The addon's callback before a scavenge.
///
/// # Safety
/// A scavenge begins.
pub(crate) unsafe fn prologue(world: &World) {
    // SAFETY: the caller's promise.
    unsafe { world.quiet.prologue(&world.v8, &world.stacks, &world.roots, world) };
}

/// The addon's callback after a scavenge.
///
/// # Safety
/// A scavenge ends.
pub(crate) unsafe fn epilogue(world: &World) {
    // SAFETY: the caller's promise.
    unsafe { world.quiet.epilogue(&world.v8, &world.roots, world) };
}

/// The addon's callback after a full collection.
///
/// # Safety
/// A full collection ends.
pub(crate) unsafe fn after_full(world: &World) {
    // SAFETY: the caller's promise.
    unsafe { world.quiet.after_full(&world.v8, &world.roots) };
}
