//! What can be chosen for the stacks of a thread.

use crate::slots::Vacated;

/// Slots of a thread that asked for no number. A slot costs 1 MiB of address space, and memory only where it was used.
pub const DEFAULT_SLOTS: u32 = 1024;

/// What becomes of a suspended stack whose slot another one needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spilling {
    /// It stays: each slot has one stack, and when all are taken no other can start.
    #[default]
    Never,
    /// It is copied to the heap until it runs again. Any number of stacks share the slots.
    WhenNeeded,
    /// It is copied to the heap whenever it is left, needed or not. For tests.
    Always,
}

/// The stacks of one thread, as they are to be.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many stacks can lie at their place at once, 1 MiB of address space each.
    pub(crate) slots: u32,
    /// How many greenlets can be under way (started and not finished) at once.
    pub(crate) max_greenlets: usize,
    /// With this many bytes in copies of spilled stacks, no greenlet starts. Those that have started go on, whatever they need.
    pub(crate) max_spilled: usize,
    /// What becomes of the memory that a stack has left.
    pub(crate) vacated: Vacated,
    pub(crate) spilling: Spilling,
}

impl Options {
    /// This many slots, one for each stack.
    pub const fn slots(slots: u32) -> Options {
        Options {
            slots,
            max_greenlets: usize::MAX,
            max_spilled: usize::MAX,
            vacated: Vacated::Kept,
            spilling: Spilling::Never,
        }
    }

    /// With at most this many greenlets under way.
    #[must_use]
    pub const fn max_greenlets(self, max_greenlets: usize) -> Options {
        Options { max_greenlets, ..self }
    }

    /// With about this many bytes in copies of spilled stacks at most.
    #[must_use]
    pub const fn max_spilled(self, max_spilled: usize) -> Options {
        Options { max_spilled, ..self }
    }

    /// With this done to the memory that a stack has left.
    #[must_use]
    pub const fn vacated(self, vacated: Vacated) -> Options {
        Options { vacated, ..self }
    }

    /// Lets stacks share slots, so that there can be any number.
    ///
    /// # Safety
    /// While a greenlet is suspended, what lies on its stack may be elsewhere, and other things at its place. So nobody else may
    /// read or write it meanwhile, nor rely on its address: no scoped thread that was lent a local variable, no pinned future
    /// that a reactor has a pointer to. The compiler allows both, so it cannot be a promise of safe code.
    #[must_use]
    pub const unsafe fn spilling(self, spilling: Spilling) -> Options {
        Options { spilling, ..self }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options::slots(DEFAULT_SLOTS)
    }
}
