//! Stack slots: the native stacks of one thread, all in one reserved mapping.
//!
//! ```text
//!   mapping (MAP_NORESERVE: costs address space, not memory)
//!   |<---- a power of two --->|<---- the same size ---->| ...      every slot is aligned to its size
//!   +-------+-----------------+
//!   | guard |  stack     <----| base        the stack grows down from `base`,
//!   +-------+-----------------+----+        the host's own bytes grow up from it
//!           ^limit              ^    ^ ABOVE_BASE + colour
//! ```
//!
//! * The guard is a lightweight one (`MADV_GUARD_INSTALL`, Linux 6.13, madvise(2)). It needs no mapping of its own, so
//!   `vm.max_map_count` does not limit the number of stacks. Where the kernel refuses it, `mprotect` is used instead.
//! * Whatever the kernel is asked to do is asked for whole pages, which have 4, 16 or 64 KiB.
//! * `base` differs from slot to slot by a *colour* of 0 to 15 cache lines; without it, the hot words of all stacks would
//!   fall into the same cache sets.
//!
//! # Contract
//! * "owned": the mapping belongs to these [`Slots`] alone, and their owner keeps them until every stack in them has finished or
//!   was abandoned.
//! * "vacant": no stack lies in a slot that is being opened, closed, discarded or unmapped.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use crate::fiber::bounds::{MIN_SLOT_SIZE, StackBounds, guard_size};
use crate::fiber::memcheck::make_defined;
use crate::raw::pages::{self, ValgrindStackRegistration};

/// Most slots of a process with an `mprotect` guard. Each takes two mappings, and there may be 65,530 (`vm.max_map_count`). When
/// none is left, the whole program gets no memory any more.
const MOST_PROTECTED: usize = 16_384;
/// How many slots of the process have one now.
static PROTECTED: AtomicUsize = AtomicUsize::new(0);
const COLOURS: usize = 16;
const CACHE_LINE: usize = 64;
/// Bytes below the lowest known stack pointer of a slot that were probably used too.
const BELOW_STACK_POINTER: usize = 16 << 10;
/// Bytes between the base and the page boundary above it: a fresh stack's first frames and the host's first bytes above
/// the base share a page.
const SHARED_PAGE: usize = 512;

/// What happens to the memory of a slot that no stack occupies any more. For debugging: it finds code that still uses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Vacated {
    /// It stays as it is until the next stack overwrites it.
    #[default]
    Kept,
    /// It is overwritten with 0xDB.
    Filled,
    /// It faults when touched (PROT_NONE).
    Protected,
}

/// The number of a slot in its thread's mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotIndex(pub(crate) u32);

/// How the guards were installed; for diagnostics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuardKind {
    /// `MADV_GUARD_INSTALL`.
    Lightweight,
    /// `mprotect(PROT_NONE)`: one more mapping for each slot.
    Protected,
}

/// The slots of one thread. Unmapped on drop, except those that were abandoned.
#[derive(Debug)]
pub(crate) struct Slots {
    mapping: usize,
    mapping_size: usize,
    first: usize,
    /// Bytes of a slot, guard included: a power of two.
    size: usize,
    /// Bytes of its guard.
    guard_size: usize,
    above_base: usize,
    count: u32,
    /// Slots `0..ready` have their guard; the others were never used.
    ready: Cell<u32>,
    guard: Cell<GuardKind>,
    /// How many of these slots are counted in [`PROTECTED`].
    protected: Cell<usize>,
    vacated: Vacated,
    /// Used before and free now. The last one released is the first one taken, because its pages are warm.
    free: RefCell<Vec<SlotIndex>>,
    abandoned: RefCell<Vec<SlotIndex>>,
    /// Tells valgrind that these are stacks. Otherwise it would take a switch to one for a huge frame, and its contents for
    /// garbage. Without valgrind it does nothing.
    _valgrind: ValgrindStackRegistration,
}

impl Slots {
    /// Reserves `count` slots of at least `stack_size` bytes each, whose bases have at least `above_base` bytes of the slot above
    /// them.
    ///
    /// # Errors
    /// `InvalidInput` where `count` is 0, or where the slots are beyond the address space; otherwise the error of mmap(2).
    pub(crate) fn reserve(
        count: u32,
        stack_size: usize,
        above_base: usize,
        vacated: Vacated,
    ) -> io::Result<Slots> {
        Slots::reserve_pages(count, stack_size, above_base, vacated, pages::size())
    }

    /// As [`Slots::reserve`], for pages of `page` bytes.
    fn reserve_pages(
        count: u32,
        stack_size: usize,
        above_base: usize,
        vacated: Vacated,
        page: usize,
    ) -> io::Result<Slots> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        let least = MIN_SLOT_SIZE.max(8 * page);
        let size = stack_size.max(least).checked_next_power_of_two().ok_or_else(invalid)?;
        let mapping_size =
            (count as usize).checked_add(1).and_then(|n| n.checked_mul(size)).ok_or_else(invalid)?;
        if count == 0 || above_base > size / 4 {
            return Err(invalid());
        }
        let mapping = pages::reserve(mapping_size)?;
        let first = (mapping as usize).next_multiple_of(size);
        // SAFETY: contract clause "owned": the range lies inside the mapping made above; one slot was added for the alignment.
        unsafe { pages::keep_small(first..first + count as usize * size) };
        Ok(Slots {
            mapping: mapping as usize,
            mapping_size,
            first,
            size,
            guard_size: guard_size(size, page),
            above_base: above_base.next_multiple_of(CACHE_LINE),
            count,
            ready: Cell::new(0),
            guard: Cell::new(GuardKind::Lightweight),
            protected: Cell::new(0),
            vacated,
            free: RefCell::default(),
            abandoned: RefCell::default(),
            _valgrind: ValgrindStackRegistration::new(mapping, mapping_size),
        })
    }

    /// How many stacks there can be at once.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of one slot, guard included.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// How the guards installed so far were made.
    pub(crate) fn guard_kind(&self) -> GuardKind {
        self.guard.get()
    }

    /// Takes a free slot; `None` when all are taken.
    ///
    /// # Errors
    /// The kernel refuses the guard; the slot stays free.
    pub(crate) fn acquire(&self) -> io::Result<Option<SlotIndex>> {
        if let Some(slot) = self.free.borrow_mut().pop() {
            return Ok(Some(slot));
        }
        let next = self.ready.get();
        if next == self.count {
            return Ok(None);
        }
        self.install_guard(next)?;
        self.ready.set(next + 1);
        Ok(Some(SlotIndex(next)))
    }

    /// Gives a slot back. Its contents are garbage from now on.
    pub(crate) fn release(&self, slot: SlotIndex) {
        debug_assert!(!self.free.borrow().contains(&slot));
        self.free.borrow_mut().push(slot);
    }

    /// Never hands out `slot` again and leaves its memory as it is for ever: frames that were not unwound lie there, and other
    /// code may have pointers to their values (something pinned, a scoped thread's data).
    pub(crate) fn abandon(&self, slot: SlotIndex) {
        self.abandoned.borrow_mut().push(slot);
    }

    /// As [`Slots::abandon`] for all slots.
    pub(crate) fn abandon_all(&self) {
        *self.abandoned.borrow_mut() = (0..self.count).map(SlotIndex).collect();
    }

    /// The bounds of a stack in `slot`.
    pub(crate) fn bounds(&self, slot: SlotIndex) -> StackBounds {
        let start = self.start(slot);
        let colour = slot.0 as usize % COLOURS * CACHE_LINE;
        let base = start + self.size - self.above_base - SHARED_PAGE - colour;
        StackBounds { base, limit: start + self.guard_size }
    }

    /// How many slots were ever handed out: the slots below this number.
    pub(crate) fn used(&self) -> u32 {
        self.ready.get()
    }

    /// The slots that are not taken; the one that is taken next is last.
    pub(crate) fn free(&self) -> Vec<SlotIndex> {
        self.free.borrow().clone()
    }

    /// Makes a vacant `slot` usable for a stack.
    ///
    /// # Errors
    /// The error of mprotect(2).
    pub(crate) fn open(&self, slot: SlotIndex) -> io::Result<()> {
        match self.vacated {
            Vacated::Protected => self.protect(slot, false),
            Vacated::Kept | Vacated::Filled => Ok(()),
        }
    }

    /// Treats a `slot` that has become vacant as [`Vacated`] says; the last stack used it down to `low`.
    pub(crate) fn close(&self, slot: SlotIndex, low: usize) {
        match self.vacated {
            Vacated::Kept => {}
            Vacated::Filled => {
                let StackBounds { base, limit } = self.bounds(slot);
                // Also the bytes below the last stack pointer that were probably used.
                let from = low.saturating_sub(BELOW_STACK_POINTER).max(limit);
                let size = base + self.above_base - from;
                make_defined(from, size);
                // SAFETY: contract clauses "owned" and "vacant"; the range lies within the slot, above its guard.
                unsafe { (from as *mut u8).write_bytes(0xDB, size) };
            }
            // Where protecting fails, only the debugging aid is missing.
            Vacated::Protected => drop(self.protect(slot, true)),
        }
    }

    fn protect(&self, slot: SlotIndex, protected: bool) -> io::Result<()> {
        // SAFETY: contract clauses "owned" and "vacant".
        unsafe { pages::protect(self.memory(slot), protected) }
    }

    /// The addresses of a slot without its guard.
    fn memory(&self, slot: SlotIndex) -> Range<usize> {
        let start = self.start(slot);
        start + self.guard_size..start + self.size
    }

    /// The lowest address of a slot.
    fn start(&self, slot: SlotIndex) -> usize {
        self.first + slot.0 as usize * self.size
    }

    /// Gives the pages of these vacant slots back to the system. Their next stacks find zeroes.
    pub(crate) fn discard(&self, slots: &[SlotIndex]) {
        let ranges: Vec<_> = slots.iter().map(|slot| self.memory(*slot)).collect();
        // SAFETY: contract clauses "owned" and "vacant".
        unsafe { pages::discard(&ranges) };
    }

    /// The mapping without the abandoned slots.
    fn disposable(&self) -> Vec<Range<usize>> {
        let mut abandoned = self.abandoned.borrow().clone();
        abandoned.sort_unstable_by_key(|slot| slot.0);
        let mut from = self.mapping;
        let mut ranges = Vec::with_capacity(abandoned.len() + 1);
        for slot in abandoned {
            let start = self.start(slot);
            ranges.push(from..start);
            from = start + self.size;
        }
        ranges.push(from..self.mapping + self.mapping_size);
        ranges.retain(|range| !range.is_empty());
        ranges
    }

    /// The addresses of a slot's guard.
    fn guard_of(&self, slot: SlotIndex) -> Range<usize> {
        let start = self.start(slot);
        start..start + self.guard_size
    }

    /// Whether `address` lies in the guard of a slot that was handed out: a stack has overflowed there.
    pub(crate) fn is_guarded(&self, address: usize) -> bool {
        let used = self.first..self.first + self.used() as usize * self.size;
        used.contains(&address) && (address - self.first) % self.size < self.guard_size
    }

    fn install_guard(&self, index: u32) -> io::Result<()> {
        let guard = self.guard_of(SlotIndex(index));
        if self.guard.get() == GuardKind::Lightweight {
            // SAFETY: contract clause "owned"; these are the lowest pages of a slot that was never used.
            if unsafe { pages::guard(guard.clone()) } {
                return Ok(());
            }
            self.guard.set(GuardKind::Protected);
        }
        if PROTECTED.load(Relaxed) >= MOST_PROTECTED {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        // SAFETY: contract clause "owned"; these are the lowest pages of a slot that was never used.
        unsafe { pages::protect(guard, true)? };
        PROTECTED.fetch_add(1, Relaxed);
        self.protected.set(self.protected.get() + 1);
        Ok(())
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let whole = self.mapping..self.mapping + self.mapping_size;
        // SAFETY: contract clauses "owned" and "vacant": every stack has finished or was abandoned, and the slots of stacks that
        // must stay are not in these ranges.
        let unmapped = unsafe { pages::unmap(whole, &self.disposable()) };
        // Holes can make more mappings than `vm.max_map_count` allows. A range then stays reserved, which does no harm.
        debug_assert!(unmapped || !self.abandoned.borrow().is_empty());
        // The guards of abandoned slots still exist; the few of them are not counted.
        PROTECTED.fetch_sub(self.protected.get(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::pipe;
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::fiber::bounds::{LARGEST_GUARD, SLOT_SIZE};

    const MIB: usize = 1 << 20;

    #[test]
    fn zero_slots_and_impossible_numbers_are_refused() {
        assert_eq!(
            Slots::reserve(0, SLOT_SIZE, 0, Vacated::Kept).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        assert!(Slots::reserve(u32::MAX, SLOT_SIZE, 0, Vacated::Kept).is_err(), "4 PiB cannot be reserved");
        assert_eq!(
            Slots::reserve(1, SLOT_SIZE, SLOT_SIZE, Vacated::Kept).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }

    #[test]
    fn a_stack_lies_inside_its_slot_with_host_bytes_above_and_a_guard_below() {
        // What is asked for, and the bytes of a slot.
        let sizes = [(SLOT_SIZE, SLOT_SIZE), (0, MIN_SLOT_SIZE), (100_000, 1 << 17), (MIB + 1, 2 * MIB)];
        for (asked, size) in sizes {
            let slots = Slots::reserve(40, asked, 8192, Vacated::Kept).unwrap();
            assert_eq!(slots.size(), size);
            for i in 0..40 {
                let slot = slots.acquire().unwrap().unwrap();
                let bounds = slots.bounds(slot);
                assert_eq!(slot, SlotIndex(i));
                assert_eq!(bounds.base % 16, 0);
                let start = bounds.base & !(size - 1);
                assert_eq!(bounds.limit, start + guard_size(size, pages::size()));
                assert!(bounds.base + 8192 <= start + size);
                assert!(bounds.size() > size - size / 8 - 8192 - 2048);
            }
            assert_eq!(slots.acquire().unwrap(), None, "all 40 are taken");
        }
    }

    #[test]
    fn sizes_beyond_the_address_space_are_refused() {
        for size in [usize::MAX, (1 << 63) + 1, 1 << 63, 1 << 47] {
            assert!(Slots::reserve(1, size, 0, Vacated::Kept).is_err(), "{size:#x}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no pages")]
    fn the_pages_below_a_stack_cannot_be_touched_with_either_kind_of_guard() {
        for kind in [GuardKind::Lightweight, GuardKind::Protected] {
            let slots = Slots::reserve(2, SLOT_SIZE, 0, Vacated::Kept).unwrap();
            slots.guard.set(kind);
            for _ in 0..2 {
                let slot = slots.acquire().unwrap().unwrap();
                let StackBounds { base, limit } = slots.bounds(slot);
                for readable in [base - 1, limit] {
                    assert!(can_be_read(readable), "{kind:?}");
                }
                for guarded in [limit - 1, limit - slots.guard_size] {
                    assert!(!can_be_read(guarded), "{kind:?}");
                }
            }
            // An old kernel refuses the first kind, and qemu only pretends.
            assert!([kind, GuardKind::Protected].contains(&slots.guard_kind()));
        }
    }

    #[test]
    fn guards_are_wider_than_a_page_of_4_kib_and_whole_pages() {
        for (slot, page, guard) in [
            (1 << 16, 4 << 10, 8 << 10),
            (1 << 20, 4 << 10, LARGEST_GUARD),
            (1 << 17, 16 << 10, 16 << 10),
            (1 << 20, 64 << 10, 64 << 10),
        ] {
            assert_eq!(guard_size(slot, page), guard, "{slot:#x} {page:#x}");
        }
    }

    #[test]
    fn the_kernel_is_asked_for_whole_pages_whatever_their_size_is() {
        for page in [4 << 10, 16 << 10, 64 << 10] {
            for stack_size in [0, SLOT_SIZE] {
                let slots = Slots::reserve_pages(5, stack_size, 8192, Vacated::Protected, page).unwrap();
                let all: Vec<_> = (0..5).map(|_| slots.acquire().unwrap().unwrap()).collect();
                for &slot in &all {
                    slots.close(slot, slots.bounds(slot).base);
                    slots.open(slot).unwrap();
                    let ranges = [slots.guard_of(slot), slots.memory(slot)];
                    assert!(
                        ranges
                            .iter()
                            .all(|range| range.start.is_multiple_of(page) && range.end.is_multiple_of(page))
                    );
                    assert!(slots.bounds(slot).limit.is_multiple_of(page) && slots.size() >= 8 * page);
                }
                slots.discard(&all);
            }
        }
    }

    #[test]
    fn an_overflow_is_told_from_other_addresses() {
        let slots = Slots::reserve(3, SLOT_SIZE, 0, Vacated::Kept).unwrap();
        let [first, second] = [(); 2].map(|()| slots.acquire().unwrap().unwrap());
        for slot in [first, second] {
            let StackBounds { base, limit } = slots.bounds(slot);
            let guarded = [limit - 1, limit - slots.guard_size, limit, base].map(|at| slots.is_guarded(at));
            assert_eq!(guarded, [true, true, false, false]);
        }
        let never_used = slots.bounds(SlotIndex(2)).limit - 1;
        assert!(!slots.is_guarded(never_used) && !slots.is_guarded(0) && !slots.is_guarded(usize::MAX));
    }

    /// Asks the kernel: a bad address is an error there, and no crash.
    fn can_be_read(address: usize) -> bool {
        let (_reader, writer) = pipe().unwrap();
        // SAFETY: write(2) reads one byte at any address, or fails with EFAULT; a pipe reads the bytes it is given.
        unsafe { libc::write(writer.as_raw_fd(), address as *const libc::c_void, 1) == 1 }
    }

    #[test]
    fn the_slot_released_last_is_taken_first() {
        let slots = Slots::reserve(3, SLOT_SIZE, 0, Vacated::Kept).unwrap();
        let (a, b) = (slots.acquire().unwrap().unwrap(), slots.acquire().unwrap().unwrap());
        slots.release(a);
        slots.release(b);
        assert_eq!(slots.acquire().unwrap(), Some(b));
        assert_eq!(slots.acquire().unwrap(), Some(a));
    }

    #[test]
    fn abandoned_slots_are_not_unmapped() {
        let slots = Slots::reserve(4, SLOT_SIZE, 0, Vacated::Kept).unwrap();
        let start = |slot: usize| slots.first + slot * SLOT_SIZE;
        let (low, high) = (slots.mapping, slots.mapping + slots.mapping_size);
        // An expected range may be empty: the mapping may start, or end, with a slot.
        let check = |expected: &[Range<usize>]| {
            let expected: Vec<_> = expected.iter().filter(|range| !range.is_empty()).cloned().collect();
            assert_eq!(slots.disposable(), expected);
        };
        check(std::slice::from_ref(&(low..high)));
        slots.abandon(SlotIndex(2));
        slots.abandon(SlotIndex(0));
        check(&[low..start(0), start(1)..start(2), start(3)..high]);
        slots.abandon(SlotIndex(1));
        check(&[low..start(0), start(3)..high]);
        slots.abandon_all();
        check(&[low..start(0), start(4)..high]);
        // No stack lies in them, so they may be unmapped.
        slots.abandoned.take();
    }

    #[test]
    fn neighbouring_bases_differ_in_their_cache_set() {
        let slots = Slots::reserve(2, SLOT_SIZE, 0, Vacated::Kept).unwrap();
        let (a, b) = (slots.acquire().unwrap().unwrap(), slots.acquire().unwrap().unwrap());
        assert_ne!(slots.bounds(a).base % 4096, slots.bounds(b).base % 4096);
    }
}
