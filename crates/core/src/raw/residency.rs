//! Which stack runs in which slot, and whether it is resident there or spilled.
//!
//! Frames hold absolute addresses, so a stack always runs in the same slot, *its own slot*. While there are at least as many slots
//! as stacks, each stack has one for itself and always stays in it. With more stacks, slots are shared:
//!
//! ```text
//!   slots      0           1           2                  heap
//!           ┌───────┐   ┌───────┐   ┌───────┐
//!           │   A   │   │   D   │   │(empty)│          [B] [C]   spilled from 0
//!           └───────┘   └───────┘   └───────┘          [E]       spilled from 2
//!
//!   B is to run:   A ──copy──► [A]      then   [B] ──copy──► slot 0
//! ```
//!
//! A stack is *spilled* when another stack that shares its slot is to run, and comes back when it runs again. Such a conflict
//! costs two copies of live bytes (`spilled.rs`); without one, nothing is copied. The slot of a new stack is chosen so that few
//! conflicts are to be expected, and cheap ones: a free slot, or one that few stacks share and whose occupant is not deep.
//!
//! A switch asks the system for no memory and gives none back, apart from the block of the copy.
//!
//! # Contract
//! * "registered": an occupant, and every target that callers pass, is in the registry, so its record exists.
//! * "parked": callers pass only stacks that are suspended, the host's state of them parked. So no code runs on them.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;
use std::ptr::from_ref;

use crate::fiber::bounds::StackBounds;
use crate::raw::options::{Options, Spilling};
use crate::raw::registry::{Execution, StackRecord, Target};
use crate::raw::relocation::Relocation;
use crate::raw::slots::{GuardKind, SlotIndex, Slots};
use crate::raw::spilled::{BlockPool, Live, SpilledStack};
use crate::raw::stack_host::StackHost;
use crate::raw::unread::Own;

/// How many shared slots are compared when one is chosen.
const CANDIDATES: u32 = 4;
/// What one more stack in a slot counts for in the choice, in bytes to copy.
const COST_OF_SHARING: usize = 2048;
/// Empty slots that keep their pages when memory is given back: the slots that are taken next.
const KEPT_WARM: usize = 16;

/// How many bytes of a stack are fetched before it is copied. Of a deeper one, the copying itself fetches the rest in time.
const PREFETCHED: usize = 4096;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Lets the processor fetch these bytes, without waiting for them.
fn prefetch(bytes: Range<usize>) {
    for _line in bytes.step_by(LINE) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        // SAFETY: fetching has no effect that a program sees, whatever the address.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(_line as *const i8);
        }
    }
}

/// The slots of a thread, and the stacks that run in each.
pub(crate) struct Residency<H: StackHost> {
    slots: Slots,
    /// By slot, for those that were ever assigned.
    usage: RefCell<Vec<SlotUsage<H>>>,
    pool: BlockPool,
    spilling: Spilling,
    /// The shared slot that was compared last.
    last_candidate: Cell<u32>,
    spilled: Cell<usize>,
    spilled_bytes: Cell<usize>,
}

struct SlotUsage<H: StackHost> {
    /// The stack that is resident in it; `None` when it is empty.
    occupant: Option<Target<H>>,
    /// How many stacks it is assigned to.
    assigned: u32,
    /// Whether a stack was resident in it since its pages were last given back.
    touched: bool,
}

impl<H: StackHost> Residency<H> {
    pub(crate) fn new(options: &Options) -> io::Result<Self> {
        let slots = Slots::reserve(options.slots, options.stack_size, H::ABOVE_BASE, options.vacated)?;
        // A thread that cannot have even one guarded slot fails here, and not at its first switch.
        let first = slots.acquire()?.expect("there is at least one slot");
        slots.release(first);
        Ok(Residency {
            slots,
            usage: RefCell::default(),
            pool: BlockPool::new(),
            spilling: options.spilling,
            last_candidate: Cell::new(0),
            spilled: Cell::new(0),
            spilled_bytes: Cell::new(0),
        })
    }

    pub(crate) fn slot_count(&self) -> u32 {
        self.slots.count()
    }

    pub(crate) fn slot_size(&self) -> usize {
        self.slots.size()
    }

    pub(crate) fn is_guarded(&self, address: usize) -> bool {
        self.slots.is_guarded(address)
    }

    pub(crate) fn guard_kind(&self) -> GuardKind {
        self.slots.guard_kind()
    }

    pub(crate) fn bounds(&self, slot: SlotIndex) -> StackBounds {
        self.slots.bounds(slot)
    }

    /// How many stacks are spilled.
    pub(crate) fn spilled(&self) -> usize {
        self.spilled.get()
    }

    /// Bytes that their copies take.
    pub(crate) fn spilled_bytes(&self) -> usize {
        self.spilled_bytes.get()
    }

    /// Assigns a slot to a new stack. `parent` is the slot of the running stack, which will switch to it. `None` where all slots
    /// are taken and none may be shared.
    pub(crate) fn assign(&self, parent: Option<SlotIndex>) -> io::Result<Option<SlotIndex>> {
        let shared = || {
            (self.spilling != Spilling::Never && self.slots.used() > 0).then(|| self.choose_shared(parent))
        };
        let slot = match self.slots.acquire() {
            Ok(Some(slot)) => slot,
            Ok(None) => match shared() {
                Some(slot) => slot,
                None => return Ok(None),
            },
            // The kernel gives no more guards; slots that have one can be shared.
            Err(error) => shared().ok_or(error)?,
        };
        let mut usage = self.usage.borrow_mut();
        while usage.len() <= slot.0 as usize {
            usage.push(SlotUsage { occupant: None, assigned: 0, touched: false });
        }
        usage[slot.0 as usize].assigned += 1;
        Ok(Some(slot))
    }

    /// Of a few slots in turn, the one where the fewest bytes are expected to be copied.
    fn choose_shared(&self, parent: Option<SlotIndex>) -> SlotIndex {
        let usage = self.usage.borrow();
        let cost = |slot: &SlotIndex| {
            let usage = &usage[slot.0 as usize];
            let occupied = usage.occupant.map_or(0, |occupant| {
                // SAFETY: contract clause "registered".
                self.depth(unsafe { occupant.as_ref() })
            });
            usage.assigned as usize * COST_OF_SHARING + occupied
        };
        let used = self.slots.used();
        let candidates = (0..CANDIDATES).map(|_| {
            let next = (self.last_candidate.get() + 1) % used;
            self.last_candidate.set(next);
            SlotIndex(next)
        });
        // In the parent's slot, the parent would be spilled at once, and again with every switch between the two.
        let best = candidates.filter(|slot| Some(*slot) != parent).min_by_key(cost);
        best.unwrap_or(SlotIndex(self.last_candidate.get()))
    }

    /// Whether no other stack has the slot of `record`; false for main, which has none.
    pub(crate) fn is_alone(&self, record: &StackRecord<H>) -> bool {
        record.slot.is_some_and(|slot| self.usage.borrow()[slot.0 as usize].assigned == 1)
    }

    /// Bytes of a suspended stack below its base; 0 where its stack pointer is not known, and for main's.
    pub(crate) fn depth(&self, record: &StackRecord<H>) -> usize {
        match (record.slot, self.stack_pointer(record)) {
            (Some(slot), Some(low)) => self.slots.bounds(slot).base.saturating_sub(low),
            _ => 0,
        }
    }

    /// Where the suspended part of a stack begins, as an address in its slot. `None` for main, and for a stack that has not
    /// started or is not suspended.
    fn stack_pointer(&self, record: &StackRecord<H>) -> Option<usize> {
        // SAFETY: only the trampoline changes `execution`, and it does so neither during this call nor through a reference that is
        // older than it.
        let Execution::Fiber(fiber) = (unsafe { &*record.execution.get() }) else { return None };
        fiber.stack_pointer()
    }

    /// The live bytes of `record`, which is suspended.
    ///
    /// # Safety
    /// The clause "parked" holds for it.
    pub(crate) unsafe fn live_bytes(&self, host: &H, record: &StackRecord<H>) -> Option<Range<usize>> {
        if !record.resident.get() {
            return record.spilled_range();
        }
        let low = self.stack_pointer(record)?;
        // SAFETY: contract clause "parked"; it is resident in its slot.
        let high = unsafe { host.live_end(record.vm(), self.slots.bounds(record.slot?)) };
        Some(low..high)
    }

    /// `target` is about to be copied back, which will read its copy: so the processor fetches that meanwhile.
    pub(crate) fn announce(&self, target: &StackRecord<H>) {
        if let Some(copy) = target.spilled_range() {
            prefetch(copy);
        }
    }

    /// Empties `slot`: spills its occupant, if there is one.
    ///
    /// # Errors
    /// There is no memory for the copy. Nothing has changed.
    ///
    /// # Safety
    /// The clause "parked" holds for the occupant.
    pub(crate) unsafe fn vacate(&self, host: &H, slot: SlotIndex) -> io::Result<()> {
        let occupant = self.usage.borrow()[slot.0 as usize].occupant;
        if let Some(occupant) = occupant {
            // SAFETY: contract clauses "registered" and "parked".
            unsafe { self.spill(host, occupant.as_ref())? };
        }
        self.slots.open(slot)
    }

    /// Records that `target` is resident in its own slot, which was empty.
    pub(crate) fn occupy(&self, target: Target<H>) {
        // SAFETY: contract clause "registered".
        let record = unsafe { target.as_ref() };
        record.resident.set(true);
        if let Some(slot) = record.slot {
            let usage = &mut self.usage.borrow_mut()[slot.0 as usize];
            debug_assert!(usage.occupant.is_none());
            usage.occupant = Some(target);
            usage.touched = true;
        }
    }

    /// Copies `record`'s stack to the heap. Does nothing if it is not resident.
    ///
    /// # Errors
    /// There is no memory for the copy. Nothing has changed.
    ///
    /// # Safety
    /// The clause "parked" holds for it.
    pub(crate) unsafe fn spill(&self, host: &H, record: &StackRecord<H>) -> io::Result<()> {
        let (Some(slot), true) = (record.slot, record.resident.get()) else { return Ok(()) };
        let low = self.stack_pointer(record).expect("a resident stack has started, and is suspended");
        let bounds = self.slots.bounds(slot);
        // All of it at once. The host reads single words of it first, and each would be waited for.
        prefetch(low..bounds.base.min(low + PREFETCHED));
        // SAFETY: contract clause "parked"; it is resident in its slot.
        let high = unsafe { host.live_end(record.vm(), bounds) };
        // `Thread::switch` checks this for the stack that it leaves. Copying anything else would be copying memory of others.
        assert!(bounds.contains(low) && bounds.base <= high, "a suspended stack lies in its slot");
        // SAFETY: contract clause "parked"; it is resident in its slot.
        let unread = unsafe { host.unread(record.vm(), low, bounds) };
        let live = Live { low, high, own: self.own(record, bounds), unread };
        // SAFETY: contract clause "parked": these are the live bytes of a suspended stack, both ends word-aligned. The host promises
        // not to read what it says.
        let copy = unsafe { SpilledStack::copy(&self.pool, &live) };
        let (copy, pieces) = copy.ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: contract clause "parked"; the bytes were copied just now.
        unsafe { host.relocate(record.vm(), &Relocation::out(pieces)) };
        self.spilled.set(self.spilled.get() + 1);
        self.spilled_bytes.set(self.spilled_bytes.get() + copy.cost(&self.pool));
        record.spilled.set(Some(copy));
        self.close(record, slot, low);
        Ok(())
    }

    /// Copies `record`'s stack back to its own slot, which is empty. Does nothing if it is resident.
    ///
    /// # Safety
    /// The clauses "registered" and "parked" hold for it, and it is spilled or resident.
    pub(crate) unsafe fn unspill(&self, host: &H, target: Target<H>) {
        // SAFETY: contract clause "registered".
        let record = unsafe { target.as_ref() };
        let Some(copy) = self.take_spilled(record) else { return };
        let low = self.stack_pointer(record).expect("a spilled stack is suspended");
        let own = self.own(record, self.slots.bounds(record.slot.expect("main is never spilled")));
        // SAFETY: the slot is empty and open, and the bytes came from there. Contract clause "parked" for the host's state.
        unsafe {
            let pieces = copy.restore(&self.pool, low, &own);
            host.relocate(record.vm(), &Relocation::home(pieces));
        }
        self.occupy(target);
    }

    /// Where the addresses lie that the stack's own frames hold.
    fn own(&self, record: &StackRecord<H>, slot: StackBounds) -> Own {
        let record = (from_ref(record) as usize, size_of::<StackRecord<H>>());
        Own { slot, above_base: H::ABOVE_BASE, record }
    }

    fn take_spilled(&self, record: &StackRecord<H>) -> Option<SpilledStack> {
        let copy = record.spilled.take()?;
        self.spilled.set(self.spilled.get() - 1);
        self.spilled_bytes.set(self.spilled_bytes.get() - copy.cost(&self.pool));
        Some(copy)
    }

    /// Records that `record` is not resident any more.
    fn close(&self, record: &StackRecord<H>, slot: SlotIndex, low: usize) {
        record.resident.set(false);
        self.usage.borrow_mut()[slot.0 as usize].occupant = None;
        self.slots.close(slot, low);
    }

    /// Gives up the stack of `record`, which will never run again. With `keep`, its frames stay as they are and its slot is not
    /// used again; not so where slots are shared, because no code may rely on frames there.
    pub(crate) fn remove(&self, record: &StackRecord<H>, keep: bool) {
        let Some(slot) = record.slot else { return };
        if let Some(copy) = self.take_spilled(record) {
            copy.free(&self.pool);
        }
        let keep = keep && self.spilling == Spilling::Never;
        if record.resident.get() && !keep {
            let low = self.stack_pointer(record).unwrap_or(self.slots.bounds(slot).base);
            self.close(record, slot, low);
        }
        let mut usage = self.usage.borrow_mut();
        let usage = &mut usage[slot.0 as usize];
        usage.assigned -= 1;
        if keep {
            // Not touched: `trim` must leave the pages of this slot alone.
            (usage.occupant, usage.touched) = (None, false);
            self.slots.abandon(slot);
        } else if usage.assigned == 0 {
            self.slots.release(slot);
        }
    }

    /// Leaves the memory of all slots as it is for ever.
    pub(crate) fn abandon_all(&self) {
        self.slots.abandon_all();
    }

    /// Gives unused memory back to the system: the pages of empty slots, except a few, and the blocks kept for copies. Returns the
    /// number of these slots.
    pub(crate) fn trim(&self) -> usize {
        self.pool.empty();
        let free = self.slots.free();
        let warm = &free[free.len().saturating_sub(KEPT_WARM)..];
        let mut usage = self.usage.borrow_mut();
        let empty: Vec<_> = (0..usage.len() as u32)
            .map(SlotIndex)
            .filter(|slot| {
                let usage = &usage[slot.0 as usize];
                usage.touched && usage.occupant.is_none() && !warm.contains(slot)
            })
            .collect();
        for slot in &empty {
            usage[slot.0 as usize].touched = false;
        }
        self.slots.discard(&empty);
        empty.len()
    }
}
