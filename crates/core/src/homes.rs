//! Who lives in which slot, and who lies in it.
//!
//! Frames hold absolute addresses, so a stack runs in one slot for life, its *home*. While there are more slots than stacks,
//! each has its own, and nothing here is ever done. From then on homes are shared:
//!
//! ```text
//!   slots      0           1           2                  heap
//!           ┌───────┐   ┌───────┐   ┌───────┐
//!           │   A   │   │   D   │   │(empty)│          [B] [C]   live in 0, spilled
//!           └───────┘   └───────┘   └───────┘          [E]       lives in 2, spilled
//!
//!   B is to run:   A ──copy──► [A]      then   [B] ──copy──► slot 0
//! ```
//!
//! A stack is *spilled* when somebody else needs its home, and comes back when it runs again: a conflict costs two copies of
//! what is live (`copy.rs`), and only then. Where a new stack lives is chosen so that few conflicts are to be expected, and
//! cheap ones: a slot of its own, or one that few share and where nobody lies deep.
//!
//! No memory is given back to the system and none is asked for on the way of a switch, apart from the copy's block.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;

use crate::copy::{Copy, Pool};
use crate::fiber::StackPointerWord;
use crate::host::{Host, Relocation};
use crate::options::{Options, Spilling};
use crate::registry::{Machine, Record, Target};
use crate::slots::{GuardKind, SlotIndex, Slots, StackBounds};

/// How many shared slots are looked at when one is chosen.
const CANDIDATES: u32 = 4;
/// What one more inhabitant counts for in the choice, in bytes to copy.
const INHABITANT: usize = 2048;
/// Empty slots that keep their pages in an idle sweep: those that are taken next.
const WARM: usize = 16;

/// The slots of a thread, and the inhabitants of each.
pub(crate) struct Homes<H: Host> {
    slots: Slots,
    homes: RefCell<Vec<Home<H>>>,
    pool: Pool,
    /// Of the suspended stacks.
    stack_pointer: Cell<Option<StackPointerWord>>,
    spilling: Spilling,
    /// The shared slot that was looked at last.
    last: Cell<u32>,
    spilled: Cell<usize>,
    spilled_bytes: Cell<usize>,
}

struct Home<H: Host> {
    /// Who lies in it, if anybody.
    occupant: Option<Target<H>>,
    /// How many live in it.
    inhabitants: u32,
    /// Whether somebody lay in it since its pages were given back.
    touched: bool,
}

impl<H: Host> Homes<H> {
    pub(crate) fn new(options: &Options) -> io::Result<Self> {
        Ok(Homes {
            slots: Slots::reserve(options.slots, H::ABOVE_BASE, options.vacated)?,
            homes: RefCell::default(),
            pool: Pool::new(),
            stack_pointer: Cell::new(None),
            spilling: options.spilling,
            last: Cell::new(0),
            spilled: Cell::new(0),
            spilled_bytes: Cell::new(0),
        })
    }

    /// Finds out where fibers keep their stack pointer: `learn` does, in a slot it gets.
    pub(crate) fn learn(
        &self,
        learn: impl FnOnce(StackBounds) -> Option<StackPointerWord>,
    ) -> io::Result<()> {
        let slot = self.slots.acquire()?.expect("there is at least one slot");
        self.slots.enter(slot)?;
        let word = learn(self.slots.bounds(slot));
        self.slots.vacate(slot, self.slots.bounds(slot).base);
        self.slots.release(slot);
        let unknown = || {
            io::Error::new(
                io::ErrorKind::Unsupported,
                "corosensei hides the stack pointer in a way that is not known",
            )
        };
        self.stack_pointer.set(Some(word.ok_or_else(unknown)?));
        Ok(())
    }

    pub(crate) fn count(&self) -> u32 {
        self.slots.count()
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

    /// Finds a home for a new stack. `parent` is that of the running one, which will switch to it. `None` where all are taken
    /// and none may be shared.
    pub(crate) fn settle(&self, parent: Option<SlotIndex>) -> io::Result<Option<SlotIndex>> {
        let shared =
            || (self.spilling != Spilling::Never && self.slots.used() > 0).then(|| self.choose(parent));
        let slot = match self.slots.acquire() {
            Ok(Some(slot)) => slot,
            Ok(None) => match shared() {
                Some(slot) => slot,
                None => return Ok(None),
            },
            // The kernel gives no more guards; those that are there do.
            Err(error) => shared().ok_or(error)?,
        };
        let mut homes = self.homes.borrow_mut();
        while homes.len() <= slot.0 as usize {
            homes.push(Home { occupant: None, inhabitants: 0, touched: false });
        }
        homes[slot.0 as usize].inhabitants += 1;
        Ok(Some(slot))
    }

    /// The shared slot with the fewest bytes to copy that are to be expected, out of a few in turn.
    fn choose(&self, parent: Option<SlotIndex>) -> SlotIndex {
        let homes = self.homes.borrow();
        let cost = |slot: &SlotIndex| {
            let home = &homes[slot.0 as usize];
            let lying = home.occupant.map_or(0, |occupant| {
                // SAFETY: an occupant is in the registry.
                self.depth(unsafe { occupant.as_ref() })
            });
            home.inhabitants as usize * INHABITANT + lying
        };
        let used = self.slots.used();
        let candidates = (0..CANDIDATES).map(|_| {
            let next = (self.last.get() + 1) % used;
            self.last.set(next);
            SlotIndex(next)
        });
        // The parent would have to make room at once, and again with every switch between the two.
        candidates.filter(|slot| Some(*slot) != parent).min_by_key(cost).unwrap_or(SlotIndex(self.last.get()))
    }

    /// Bytes of a suspended stack below its base; 0 where nobody could learn where it ends, and for main's.
    pub(crate) fn depth(&self, record: &Record<H>) -> usize {
        match (record.home, self.stack_pointer(record)) {
            (Some(slot), Some(low)) => self.slots.bounds(slot).base.saturating_sub(low),
            _ => 0,
        }
    }

    /// Where the stack of a resident or spilled `record` begins; `None` where there is none, or none suspended.
    fn stack_pointer(&self, record: &Record<H>) -> Option<usize> {
        let word = self.stack_pointer.get()?;
        // SAFETY: a shared look at the machine; only the trampoline changes it, and it is not in between.
        let Machine::Fiber(fiber) = (unsafe { &*record.machine.get() }) else { return None };
        Some(fiber.stack_pointer(word)).filter(|&low| low != 0)
    }

    /// The live bytes of `record`, which is suspended.
    ///
    /// # Safety
    /// Its state is parked.
    pub(crate) unsafe fn live_bytes(&self, host: &H, record: &Record<H>) -> Option<Range<usize>> {
        let copy = record.copy.take();
        let range = copy.as_ref().map(|copy| copy.start()..copy.start() + copy.len());
        record.copy.set(copy);
        if range.is_some() || !record.resident.get() {
            return range;
        }
        let low = self.stack_pointer(record)?;
        // SAFETY: it is parked and in its slot.
        let high = unsafe { host.live_end(record.vm(), self.slots.bounds(record.home?)) };
        Some(low..high)
    }

    /// Empties the home of `record`, spilling whoever lies in it.
    ///
    /// # Errors
    /// Where there is no memory for the copy. Nothing has changed.
    ///
    /// # Safety
    /// Whoever lies there is suspended, its state parked.
    pub(crate) unsafe fn clear(&self, host: &H, home: SlotIndex) -> io::Result<()> {
        let occupant = self.homes.borrow()[home.0 as usize].occupant;
        if let Some(occupant) = occupant {
            // SAFETY: an occupant is in the registry; passed on from the caller.
            unsafe { self.spill(host, occupant.as_ref())? };
        }
        self.slots.enter(home)
    }

    /// `target` lies in its home now, which was empty.
    pub(crate) fn occupy(&self, target: Target<H>) {
        // SAFETY: a target is in the registry.
        let record = unsafe { target.as_ref() };
        record.resident.set(true);
        if let Some(home) = record.home {
            let home = &mut self.homes.borrow_mut()[home.0 as usize];
            debug_assert!(home.occupant.is_none());
            home.occupant = Some(target);
            home.touched = true;
        }
    }

    /// Copies `record`'s stack to the heap. Does nothing where it is there already.
    ///
    /// # Errors
    /// As for `clear`.
    ///
    /// # Safety
    /// It is suspended, its state parked.
    pub(crate) unsafe fn spill(&self, host: &H, record: &Record<H>) -> io::Result<()> {
        let (Some(home), true) = (record.home, record.resident.get()) else { return Ok(()) };
        let low = self.stack_pointer(record).expect("a resident stack was started, and spilling learnt");
        let bounds = self.slots.bounds(home);
        // SAFETY: it is parked and in its slot.
        let high = unsafe { host.live_end(record.vm(), bounds) };
        debug_assert!(bounds.limit <= low && low < bounds.base && bounds.base <= high);
        // SAFETY: the live part of a suspended stack; nothing runs on it.
        let copy = unsafe { Copy::make(&self.pool, low, high) };
        let copy = copy.ok_or(io::ErrorKind::OutOfMemory)?;
        let moved = Relocation { from: low..=high, to: copy.start(), home: false };
        // SAFETY: the bytes were copied just now.
        unsafe { host.relocate(record.vm(), &moved) };
        self.spilled.set(self.spilled.get() + 1);
        self.spilled_bytes.set(self.spilled_bytes.get() + copy.cost());
        record.copy.set(Some(copy));
        self.vacate(record, home, low);
        Ok(())
    }

    /// Copies `record`'s stack back to its home, which is empty. Does nothing where it is there already.
    ///
    /// # Safety
    /// It was spilled, or is resident.
    pub(crate) unsafe fn unspill(&self, host: &H, target: Target<H>) {
        // SAFETY: a target is in the registry.
        let record = unsafe { target.as_ref() };
        let Some(copy) = self.take_copy(record) else { return };
        let low = self.stack_pointer(record).expect("it was suspended when it was spilled");
        let moved = Relocation { from: copy.start()..=copy.start() + copy.len(), to: low, home: true };
        // SAFETY: its home is its own again, and as long as it was.
        unsafe {
            copy.restore(&self.pool, low);
            host.relocate(record.vm(), &moved);
        }
        self.occupy(target);
    }

    fn take_copy(&self, record: &Record<H>) -> Option<Copy> {
        let copy = record.copy.take()?;
        self.spilled.set(self.spilled.get() - 1);
        self.spilled_bytes.set(self.spilled_bytes.get() - copy.cost());
        Some(copy)
    }

    fn vacate(&self, record: &Record<H>, home: SlotIndex, low: usize) {
        record.resident.set(false);
        self.homes.borrow_mut()[home.0 as usize].occupant = None;
        self.slots.vacate(home, low);
    }

    /// `record`'s stack will never run again. `keep` where its frames must stay as they are: then nobody gets its slot, unless
    /// slots are shared, where nobody may rely on them.
    pub(crate) fn leave(&self, record: &Record<H>, keep: bool) {
        let Some(home) = record.home else { return };
        if let Some(copy) = self.take_copy(record) {
            copy.free(&self.pool);
        }
        let keep = keep && self.spilling == Spilling::Never;
        if record.resident.get() && !keep {
            let low = self.stack_pointer(record).unwrap_or(self.slots.bounds(home).base);
            self.vacate(record, home, low);
        }
        let mut homes = self.homes.borrow_mut();
        let inhabitants = &mut homes[home.0 as usize].inhabitants;
        *inhabitants -= 1;
        match (*inhabitants, keep) {
            (_, true) => self.slots.abandon(home),
            (0, false) => self.slots.release(home),
            _ => {}
        }
    }

    /// Leaves everything as it is for good.
    pub(crate) fn leave_all(&self) {
        self.slots.abandon_all();
    }

    /// Gives back to the system what is not in use: the pages of empty slots, but for a few, and the blocks kept for copies.
    /// Returns how many slots it was.
    pub(crate) fn trim(&self) -> usize {
        self.pool.empty();
        let free = self.slots.free();
        let warm = &free[free.len().saturating_sub(WARM)..];
        let mut homes = self.homes.borrow_mut();
        let empty: Vec<_> = (0..homes.len() as u32)
            .map(SlotIndex)
            .filter(|slot| {
                let home = &homes[slot.0 as usize];
                home.touched && home.occupant.is_none() && !warm.contains(slot)
            })
            .collect();
        for slot in &empty {
            homes[slot.0 as usize].touched = false;
        }
        self.slots.discard(&empty);
        empty.len()
    }
}
