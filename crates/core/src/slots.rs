//! Stack slots: the native stacks of one thread, all in one reserved mapping.
//!
//! ```text
//!   mapping (MAP_NORESERVE: costs address space, not memory)
//!   |<------ SLOT_SIZE ------>|<------ SLOT_SIZE ------>| ...      every slot is SLOT_SIZE-aligned
//!   +-------+-----------------+
//!   | guard |  stack     <----| base        the stack grows down from `base`,
//!   +-------+-----------------+----+        what the host keeps beside it grows up
//!   ^limit - GUARD_SIZE       ^    ^ ABOVE_BASE + colour
//! ```
//!
//! * The guard is a lightweight one (`MADV_GUARD_INSTALL`, Linux 6.13, madvise(2)): it needs no mapping of its own, so
//!   that `vm.max_map_count` does not bound the number of stacks. Where the kernel refuses it, `mprotect` takes its place.
//! * `base` differs from slot to slot by a *colour* of 0 to 15 cache lines; without it, the hot words of all stacks would
//!   fall into the same cache sets.
//! * A slot's address range is known from any address in it (`addr & !(SLOT_SIZE - 1)`).

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::null_mut;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use crate::memcheck::make_defined;
use crate::pages::{self, ValgrindStackRegistration};

/// Bytes of one slot, guard included; also its alignment. As deep as Node's main stack (984 KiB by default). Less under Miri, where
/// no stack lies in it and all of it takes memory.
pub const SLOT_SIZE: usize = if cfg!(miri) { 1 << 16 } else { 1 << 20 };
/// Bytes at a slot's low end that fault when touched.
pub const GUARD_SIZE: usize = 4096;
/// Most slots of a process with an `mprotect` guard. Each takes two mappings, and there may be 65,530 (`vm.max_map_count`): where
/// none is left, nobody gets memory any more.
const MOST_PROTECTED: usize = 16_384;
/// How many there are now.
static PROTECTED: AtomicUsize = AtomicUsize::new(0);
const COLOURS: usize = 16;
const CACHE_LINE: usize = 64;
/// Room between the base and the page boundary above it: a fresh stack's first frames and the host's first bytes above
/// the base share a page.
const SHARED_PAGE: usize = 512;

/// Where a stack lies: it grows from `base` (highest address, exclusive) down to `limit` (lowest usable address).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackBounds {
    /// Highest address; the first word pushed lies below it.
    pub base: usize,
    /// Lowest address that may be touched.
    pub limit: usize,
}

impl StackBounds {
    /// Those of the stack that the system gave the running thread, as pthread_getattr_np(3) tells them. For main the limit is
    /// where it may grow to.
    ///
    /// # Errors
    /// What the system says; for main it reads `/proc/self/maps`, which need not be there.
    pub fn of_this_thread() -> io::Result<StackBounds> {
        if cfg!(miri) {
            // A local is an allocation of its own there, and can be anywhere.
            return Ok(StackBounds { base: usize::MAX, limit: 0 });
        }
        let check = |status: libc::c_int| match status {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        };
        let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
        // SAFETY: it initialises `attributes` where it returns 0.
        check(unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) })?;
        let (mut limit, mut size) = (null_mut(), 0);
        // SAFETY: `attributes` was initialised above and is destroyed once, here; the results are plain numbers.
        let status = unsafe {
            let status = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut limit, &raw mut size);
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            status
        };
        check(status)?;
        Ok(StackBounds { base: limit as usize + size, limit: limit as usize })
    }

    /// Bytes between the two ends.
    pub fn size(&self) -> usize {
        self.base - self.limit
    }

    /// Whether `address` lies on this stack.
    pub fn contains(&self, address: usize) -> bool {
        (self.limit..self.base).contains(&address)
    }
}

/// What becomes of the memory that a stack has left. For debugging: whoever still uses it is found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vacated {
    /// It stays as it is until the next one comes.
    #[default]
    Kept,
    /// It is overwritten with 0xDB.
    Filled,
    /// It faults when touched (PROT_NONE).
    Protected,
}

/// Which slot of its thread's mapping a stack occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotIndex(pub(crate) u32);

/// How the guards were installed; for diagnostics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    above_base: usize,
    count: u32,
    /// Slots `0..ready` have their guard; the others were never used.
    ready: Cell<u32>,
    guard: Cell<GuardKind>,
    /// How many of [`PROTECTED`] are these slots'.
    protected: Cell<usize>,
    vacated: Vacated,
    /// Used before and free now; the last one released is the first one taken (its pages are warm).
    free: RefCell<Vec<SlotIndex>>,
    abandoned: RefCell<Vec<SlotIndex>>,
    /// Tells valgrind, if we run under it, that these are stacks: it would take a switch to one for a huge frame, and its
    /// contents for garbage. Otherwise it does nothing.
    _valgrind: ValgrindStackRegistration,
}

impl Slots {
    /// Reserves `count` slots whose bases have at least `above_base` bytes of the slot above them.
    ///
    /// # Errors
    /// `InvalidInput` where `count` is 0 or beyond the address space, or what mmap(2) says.
    pub(crate) fn reserve(count: u32, above_base: usize, vacated: Vacated) -> io::Result<Slots> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        let size =
            (count as usize).checked_add(1).and_then(|n| n.checked_mul(SLOT_SIZE)).ok_or_else(invalid)?;
        if count == 0 || above_base > SLOT_SIZE / 4 {
            return Err(invalid());
        }
        let mapping = pages::reserve(size)?;
        let first = (mapping as usize).next_multiple_of(SLOT_SIZE);
        // SAFETY: the range lies inside the mapping made above: one slot was added for the alignment.
        unsafe { pages::keep_small(first..first + count as usize * SLOT_SIZE) };
        Ok(Slots {
            mapping: mapping as usize,
            mapping_size: size,
            first,
            above_base: above_base.next_multiple_of(CACHE_LINE),
            count,
            ready: Cell::new(0),
            guard: Cell::new(GuardKind::Lightweight),
            protected: Cell::new(0),
            vacated,
            free: RefCell::default(),
            abandoned: RefCell::default(),
            _valgrind: ValgrindStackRegistration::new(mapping, size),
        })
    }

    /// How many stacks there can be at once.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// How the guards installed so far were made.
    pub(crate) fn guard_kind(&self) -> GuardKind {
        self.guard.get()
    }

    /// Takes a free slot; `None` when all are occupied.
    ///
    /// # Errors
    /// Where the kernel refuses the guard; the slot stays free.
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

    /// Never gives `slot` to anybody again and leaves its memory as it is, for good: frames that were not unwound lie there,
    /// and what they own may be known elsewhere (something pinned, a scoped thread's data).
    pub(crate) fn abandon(&self, slot: SlotIndex) {
        self.abandoned.borrow_mut().push(slot);
    }

    /// As [`Slots::abandon`] for all slots.
    pub(crate) fn abandon_all(&self) {
        *self.abandoned.borrow_mut() = (0..self.count).map(SlotIndex).collect();
    }

    /// The stack that lies in `slot`.
    pub(crate) fn bounds(&self, slot: SlotIndex) -> StackBounds {
        let start = self.first + slot.0 as usize * SLOT_SIZE;
        let colour = slot.0 as usize % COLOURS * CACHE_LINE;
        let base = start + SLOT_SIZE - self.above_base - SHARED_PAGE - colour;
        StackBounds { base, limit: start + GUARD_SIZE }
    }

    /// How many slots were ever handed out: those below this number.
    pub(crate) fn used(&self) -> u32 {
        self.ready.get()
    }

    /// The slots that nobody has, the one to be taken next last.
    pub(crate) fn free(&self) -> Vec<SlotIndex> {
        self.free.borrow().clone()
    }

    /// A stack comes to lie in `slot`, which may be written from now on.
    ///
    /// # Errors
    /// What mprotect(2) says.
    pub(crate) fn enter(&self, slot: SlotIndex) -> io::Result<()> {
        match self.vacated {
            Vacated::Protected => self.protect(slot, false),
            Vacated::Kept | Vacated::Filled => Ok(()),
        }
    }

    /// No stack lies in `slot` any more; the last one used it down to `low`.
    pub(crate) fn vacate(&self, slot: SlotIndex, low: usize) {
        match self.vacated {
            Vacated::Kept => {}
            Vacated::Filled => {
                let StackBounds { base, limit } = self.bounds(slot);
                // What was used below the last stack pointer, too, as far as it is likely.
                let from = low.saturating_sub(4 * GUARD_SIZE).max(limit);
                let size = base + self.above_base - from;
                make_defined(from, size);
                // SAFETY: within the slot, above its guard, and nobody's.
                unsafe { (from as *mut u8).write_bytes(0xDB, size) };
            }
            // A slot that cannot be protected is only one that finds out nothing.
            Vacated::Protected => drop(self.protect(slot, true)),
        }
    }

    fn protect(&self, slot: SlotIndex, protected: bool) -> io::Result<()> {
        // SAFETY: all of a slot but its guard, in which no stack lies.
        unsafe { pages::protect(self.memory(slot), protected) }
    }

    /// All of a slot but its guard.
    fn memory(&self, slot: SlotIndex) -> Range<usize> {
        let start = self.first + slot.0 as usize * SLOT_SIZE;
        start + GUARD_SIZE..start + SLOT_SIZE
    }

    /// Gives the pages of these slots, in which nothing lies, back to the system. Their next stacks find zeroes.
    pub(crate) fn discard(&self, slots: &[SlotIndex]) {
        let ranges: Vec<_> = slots.iter().map(|slot| self.memory(*slot)).collect();
        // SAFETY: nothing lies in these ranges, which are ours.
        unsafe { pages::discard(&ranges) };
    }

    /// The mapping without the abandoned slots.
    fn disposable(&self) -> Vec<Range<usize>> {
        let mut abandoned = self.abandoned.borrow().clone();
        abandoned.sort_unstable_by_key(|slot| slot.0);
        let mut from = self.mapping;
        let mut ranges = Vec::with_capacity(abandoned.len() + 1);
        for slot in abandoned {
            let start = self.first + slot.0 as usize * SLOT_SIZE;
            ranges.push(from..start);
            from = start + SLOT_SIZE;
        }
        ranges.push(from..self.mapping + self.mapping_size);
        ranges.retain(|range| !range.is_empty());
        ranges
    }

    fn install_guard(&self, index: u32) -> io::Result<()> {
        let start = self.first + index as usize * SLOT_SIZE;
        let page = start..start + GUARD_SIZE;
        if self.guard.get() == GuardKind::Lightweight {
            // SAFETY: the page is the lowest of a slot that is not in use yet; nothing is stored there.
            if unsafe { pages::guard(page.clone()) } {
                return Ok(());
            }
            self.guard.set(GuardKind::Protected);
        }
        if PROTECTED.load(Relaxed) >= MOST_PROTECTED {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        // SAFETY: as above.
        unsafe { pages::protect(page, true)? };
        PROTECTED.fetch_add(1, Relaxed);
        self.protected.set(self.protected.get() + 1);
        Ok(())
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let whole = self.mapping..self.mapping + self.mapping_size;
        // SAFETY: the mapping is ours alone. `Thread`, the only owner, drops this when every stack in it has finished or was given
        // up, and those that must stay are not in these ranges.
        let unmapped = unsafe { pages::unmap(whole, &self.disposable()) };
        // Holes can make more mappings than `vm.max_map_count` allows. A range then stays reserved, which is harmless.
        debug_assert!(unmapped || !self.abandoned.borrow().is_empty());
        // Those of abandoned slots are still there. They are few.
        PROTECTED.fetch_sub(self.protected.get(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::pipe;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "stacks have no addresses there")]
    fn a_thread_knows_its_own_stack() {
        let here = 0_u8;
        let bounds = StackBounds::of_this_thread().unwrap();
        assert!(bounds.contains(&raw const here as usize));
        assert!(bounds.size() >= 64 * 1024);
        let other = std::thread::spawn(StackBounds::of_this_thread).join().unwrap().unwrap();
        assert!(!other.contains(&raw const here as usize));
    }

    #[test]
    fn zero_slots_and_absurd_counts_are_refused() {
        assert_eq!(Slots::reserve(0, 0, Vacated::Kept).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(Slots::reserve(u32::MAX, 0, Vacated::Kept).is_err(), "4 PiB cannot be reserved");
        assert_eq!(
            Slots::reserve(1, SLOT_SIZE, Vacated::Kept).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }

    #[test]
    fn a_stack_lies_inside_its_slot_with_room_above_and_a_guard_below() {
        let slots = Slots::reserve(40, 8192, Vacated::Kept).unwrap();
        for i in 0..40 {
            let slot = slots.acquire().unwrap().unwrap();
            let bounds = slots.bounds(slot);
            assert_eq!(slot, SlotIndex(i));
            assert_eq!(bounds.base % 16, 0);
            let start = bounds.base & !(SLOT_SIZE - 1);
            assert_eq!(bounds.limit, start + GUARD_SIZE);
            assert!(bounds.base + 8192 <= start + SLOT_SIZE);
            assert!(bounds.size() > SLOT_SIZE - GUARD_SIZE - 8192 - 2048);
        }
        assert_eq!(slots.acquire().unwrap(), None, "all 40 are taken");
    }

    #[test]
    #[cfg_attr(miri, ignore = "there are no pages there")]
    fn the_page_below_a_stack_cannot_be_touched_however_it_is_guarded() {
        for kind in [GuardKind::Lightweight, GuardKind::Protected] {
            let slots = Slots::reserve(2, 0, Vacated::Kept).unwrap();
            slots.guard.set(kind);
            for _ in 0..2 {
                let slot = slots.acquire().unwrap().unwrap();
                let StackBounds { base, limit } = slots.bounds(slot);
                for readable in [base - 1, limit] {
                    assert!(can_be_read(readable), "{kind:?}");
                }
                for guarded in [limit - 1, limit - GUARD_SIZE] {
                    assert!(!can_be_read(guarded), "{kind:?}");
                }
            }
            // An old kernel refuses the first kind, and qemu only pretends.
            assert!([kind, GuardKind::Protected].contains(&slots.guard_kind()));
        }
    }

    /// Asks the kernel, for which a bad address is an error and no crash.
    fn can_be_read(address: usize) -> bool {
        let (_reader, writer) = pipe().unwrap();
        // SAFETY: write(2) reads one byte at any address, or fails with EFAULT; a pipe looks at what it gets.
        unsafe { libc::write(writer.as_raw_fd(), address as *const libc::c_void, 1) == 1 }
    }

    #[test]
    fn the_slot_released_last_is_taken_first() {
        let slots = Slots::reserve(3, 0, Vacated::Kept).unwrap();
        let (a, b) = (slots.acquire().unwrap().unwrap(), slots.acquire().unwrap().unwrap());
        slots.release(a);
        slots.release(b);
        assert_eq!(slots.acquire().unwrap(), Some(b));
        assert_eq!(slots.acquire().unwrap(), Some(a));
    }

    #[test]
    fn abandoned_slots_are_left_out_of_what_is_unmapped() {
        let slots = Slots::reserve(4, 0, Vacated::Kept).unwrap();
        let start = |slot: usize| slots.first + slot * SLOT_SIZE;
        let (low, high) = (slots.mapping, slots.mapping + slots.mapping_size);
        // The mapping may start, or end, with a slot.
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
        // Nothing lies there.
        slots.abandoned.take();
    }

    #[test]
    fn neighbouring_bases_differ_in_their_cache_set() {
        let slots = Slots::reserve(2, 0, Vacated::Kept).unwrap();
        let (a, b) = (slots.acquire().unwrap().unwrap(), slots.acquire().unwrap().unwrap());
        assert_ne!(slots.bounds(a).base % 4096, slots.bounds(b).base % 4096);
    }
}
