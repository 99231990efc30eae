//! What can be chosen for the stacks of a thread.

use crate::fiber::bounds::SLOT_SIZE;
use crate::raw::slots::Vacated;

/// Slots of a thread, where no other number is asked for. A slot costs address space ([`Options::stack_size`]), and memory only
/// where it was used.
pub const DEFAULT_SLOTS: u32 = 1024;

/// What happens to a suspended stack when another stack needs its slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spilling {
    /// It stays: each slot has one stack, and when all slots are taken no other stack can start.
    #[default]
    Never,
    /// It is copied to the heap until it runs again. Any number of stacks share the slots.
    WhenNeeded,
    /// It is copied to the heap with every switch away from it, needed or not. For tests.
    Always,
}

/// How the stacks of one thread are kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many stacks can be in their slots at once.
    pub(crate) slots: u32,
    /// Bytes of a slot, not yet rounded up to a power of two.
    pub(crate) stack_size: usize,
    /// How many greenlets can have started and not finished at once.
    pub(crate) max_greenlets: usize,
    /// With this many bytes in copies of spilled stacks, no greenlet starts. Greenlets that have started go on, whatever memory
    /// they need.
    pub(crate) max_spilled: usize,
    /// What happens to the memory of a slot that no stack occupies any more.
    pub(crate) vacated: Vacated,
    pub(crate) spilling: Spilling,
}

impl Options {
    /// This many slots, one for each stack.
    pub const fn slots(slots: u32) -> Options {
        Options {
            slots,
            stack_size: SLOT_SIZE,
            max_greenlets: usize::MAX,
            max_spilled: usize::MAX,
            vacated: Vacated::Kept,
            spilling: Spilling::Never,
        }
    }

    /// With stacks of at least this many bytes, guard included; 1 MiB where it is not called. Each slot takes the next power of two
    /// of address space, at least 64 KiB (8 pages, where pages are larger), and memory only where it was used. Where the address space has no place for all slots,
    /// [`Thread::new`](crate::raw::Thread::new) and [`Thread::configure`](crate::raw::Thread::configure) fail, and so does a size of which
    /// the next power of two does not exist.
    ///
    /// ```
    /// use greenlets_core::{Greenlet, Options, configure, unpack};
    ///
    /// /// Takes about `kilobytes` KiB of stack.
    /// fn dig(kilobytes: usize) -> u8 {
    ///     let block = std::hint::black_box([1_u8; 1024]);
    ///     if kilobytes == 0 { 0 } else { dig(kilobytes - 1) + block[kilobytes % 1024] - 1 }
    /// }
    ///
    /// configure(Options::slots(16).stack_size(8 << 20))?;
    /// // SAFETY: the function does not switch.
    /// let greenlet = unsafe { Greenlet::new(|_| Ok(Box::new(dig(3 << 10)))) }; // 3 MiB
    /// assert_eq!(unpack::<u8>(greenlet.switch(Box::new(()))?)?, 0);
    /// # Ok::<(), greenlets_core::Thrown>(())
    /// ```
    #[must_use]
    pub const fn stack_size(self, bytes: usize) -> Options {
        Options { stack_size: bytes, ..self }
    }

    /// With at most this many greenlets that have started and not finished.
    #[must_use]
    pub const fn max_greenlets(self, max_greenlets: usize) -> Options {
        Options { max_greenlets, ..self }
    }

    /// With about this many bytes in copies of spilled stacks at most.
    #[must_use]
    pub const fn max_spilled(self, max_spilled: usize) -> Options {
        Options { max_spilled, ..self }
    }

    /// With this done to the memory of a slot that no stack occupies any more.
    #[must_use]
    pub const fn vacated(self, vacated: Vacated) -> Options {
        Options { vacated, ..self }
    }

    /// Lets stacks share slots, so that there can be any number.
    ///
    /// # Safety
    /// While a greenlet is suspended, the contents of its stack may be elsewhere, with other data at their place. So no other code
    /// may read or write them meanwhile, nor rely on their address: no scoped thread that was lent a local variable, no pinned
    /// future that a reactor has a pointer to. The compiler allows both, so it cannot be a promise of safe code.
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
