//! The table of a thread's stacks: generational ids, states, epochs.
//!
//! An id is never used twice: it names a place in the table and how often that place was given away, so that the id of a
//! greenlet that ended is known to be stale, whatever lies in its place now. A place that was given away 2^31 times (half
//! an hour of nothing but births and deaths) is given away no more: its counter would start again.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::mem::offset_of;
use std::ptr::{NonNull, null};

use slotmap::{Key, KeyData, SlotMap};

use crate::copy::Copy;
use crate::fiber::{Exit, Fiber};
use crate::host::Host;
use crate::slots::SlotIndex;
use crate::thread::Next;

slotmap::new_key_type! {
    /// Names one greenlet of one thread for ever.
    pub struct Id;
}

impl Id {
    /// The two halves, for hosts that carry an id as numbers: place in the table, generation.
    #[inline]
    pub fn parts(self) -> (u32, u32) {
        let bits = self.data().as_ffi();
        (bits as u32, (bits >> 32) as u32)
    }

    /// The id with these halves. It need not exist; asking for it then finds nothing.
    #[inline]
    pub fn from_parts(index: u32, generation: u32) -> Id {
        Id::from(KeyData::from_ffi(u64::from(generation) << 32 | u64::from(index)))
    }
}

/// Where a greenlet is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Made, never run: it has no stack yet.
    Unstarted,
    /// The one that runs now.
    Running,
    /// Its stack waits to be switched to.
    Suspended,
    /// Its function returned, or threw, or will never run.
    Dead,
}

/// A stack suspends itself by naming the record to run next.
pub(crate) type Target<H> = NonNull<Record<H>>;

/// One stack and all that is kept for it. Boxed: its address is fixed for life.
pub(crate) struct Record<H: Host> {
    pub(crate) vm: UnsafeCell<H::VmState>,
    pub(crate) machine: UnsafeCell<Machine<H>>,
    /// Way out of the stack, at its base; null until it first ran.
    pub(crate) exit: Cell<*const Exit<Target<H>>>,
    /// Where its live bytes are while another stack lies in its slot.
    pub(crate) copy: Cell<Option<Copy>>,
    /// Counts the resumes: what was read from the stack in one epoch is stale in the next.
    pub(crate) epoch: Cell<u64>,
    pub(crate) id: Id,
    /// The slot it lives in for life; `None` for main.
    pub(crate) home: Option<SlotIndex>,
    pub(crate) state: Cell<State>,
    /// Whether it lies in its slot, so that it can run.
    pub(crate) resident: Cell<bool>,
}

/// The machine state of a stack.
pub(crate) enum Machine<H: Host> {
    /// Main runs on the thread's own stack.
    Main,
    /// Nothing was written to its slot yet.
    Unborn(H::Body),
    Fiber(Fiber<Target<H>, Next<H>>),
}

impl<H: Host> Record<H> {
    pub(crate) fn new(id: Id, vm: H::VmState, machine: Machine<H>, home: Option<SlotIndex>) -> Box<Self> {
        Box::new(Record {
            vm: UnsafeCell::new(vm),
            machine: UnsafeCell::new(machine),
            exit: Cell::new(null()),
            copy: Cell::new(None),
            epoch: Cell::new(0),
            id,
            home,
            state: Cell::new(State::Suspended),
            resident: Cell::new(false),
        })
    }

    /// The record that a host's state is part of.
    ///
    /// # Safety
    /// `vm` is what [`Record::vm`] gave of a record that lives.
    pub(crate) unsafe fn of<'a>(vm: NonNull<H::VmState>) -> &'a Record<H> {
        // SAFETY: an UnsafeCell has the address of what is in it, and the pointer may be used for the whole record.
        unsafe { vm.byte_sub(offset_of!(Record<H>, vm)).cast().as_ref() }
    }

    /// The host's state. Its address is also that of the record, for `of`: it comes from a reference to all of it.
    #[inline(always)]
    pub(crate) fn vm(&self) -> NonNull<H::VmState> {
        // SAFETY: a field of a live object.
        unsafe { NonNull::from(self).byte_add(offset_of!(Record<H>, vm)).cast() }
    }
}

/// All stacks of one thread that have started and not finished, and main.
pub(crate) struct Registry<H: Host> {
    /// `None` is a place that is worn out.
    table: RefCell<SlotMap<Id, Option<Box<Record<H>>>>>,
    worn_out: Cell<usize>,
}

/// Whether the place of `id` has no generation left after this one. Those in use are odd.
fn is_last_generation(id: Id) -> bool {
    id.parts().1 == u32::MAX
}

impl<H: Host> Registry<H> {
    pub(crate) fn new() -> Self {
        Registry { table: RefCell::new(SlotMap::with_key()), worn_out: Cell::new(0) }
    }

    /// Makes a record; `make` is told the id it gets.
    pub(crate) fn insert(&self, make: impl FnOnce(Id) -> Box<Record<H>>) -> Target<H> {
        let mut table = self.table.borrow_mut();
        let id = table.insert_with_key(|id| Some(make(id)));
        NonNull::from(&**table[id].as_ref().expect("inserted just now"))
    }

    #[inline(always)]
    pub(crate) fn get(&self, id: Id) -> Option<Target<H>> {
        self.table.borrow().get(id)?.as_deref().map(NonNull::from)
    }

    pub(crate) fn remove(&self, id: Id) -> Option<Box<Record<H>>> {
        let mut table = self.table.borrow_mut();
        if !is_last_generation(id) {
            return table.remove(id)?;
        }
        let record = table.get_mut(id)?.take()?;
        self.worn_out.set(self.worn_out.get() + 1);
        Some(record)
    }

    /// How many there are, main included.
    pub(crate) fn len(&self) -> usize {
        self.table.borrow().len() - self.worn_out.get()
    }

    pub(crate) fn ids(&self) -> Vec<Id> {
        self.table.borrow().iter().filter(|(_, record)| record.is_some()).map(|(id, _)| id).collect()
    }

    /// Leaves all records where they are for ever, their fibers not unwound.
    pub(crate) fn forget(&self) {
        std::mem::forget(std::mem::take(&mut *self.table.borrow_mut()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::null_host::NullHost;

    #[test]
    fn an_id_survives_the_way_through_its_parts() {
        let mut table = SlotMap::<Id, ()>::with_key();
        let first = table.insert(());
        table.remove(first);
        let second = table.insert(());
        assert_ne!(first, second);
        assert_eq!(first.parts().0, second.parts().0, "the same place");
        for id in [first, second] {
            let (index, generation) = id.parts();
            assert_eq!(Id::from_parts(index, generation), id);
        }
    }

    #[test]
    fn a_record_is_found_by_the_hosts_state_in_it() {
        let registry = Registry::<NullHost>::new();
        let target = registry.insert(|id| Record::new(id, NullHost.main_state(), Machine::Main, None));
        // SAFETY: the record stays in the registry, and its state in it.
        let (record, found) = unsafe { (target.as_ref(), Record::<NullHost>::of(target.as_ref().vm())) };
        assert_eq!(found.id, record.id);
        assert!(std::ptr::eq(found, record));
    }

    #[test]
    #[ignore = "takes minutes: 2^31 births; run it in release after a change here or in slotmap"]
    fn a_place_that_is_worn_out_is_left() {
        let registry = Registry::<NullHost>::new();
        let make = |id| Record::new(id, NullHost.main_state(), Machine::Main, None);
        // SAFETY: the record stays in the registry while its id is read.
        let born = || unsafe { registry.insert(make).as_ref() }.id;
        let first = born();
        let mut last = first;
        while !is_last_generation(last) {
            assert!(registry.remove(last).is_some());
            last = born();
            assert_eq!(last.parts().0, first.parts().0);
        }
        assert!(registry.remove(last).is_some());
        assert_eq!((registry.len(), registry.ids()), (0, Vec::new()));
        assert!(registry.get(last).is_none() && registry.remove(last).is_none());
        let next = born();
        assert_ne!(next.parts().0, first.parts().0, "another place");
        assert_eq!((registry.len(), registry.ids()), (1, vec![next]));
        assert!(registry.get(first).is_none());
    }

    #[test]
    fn only_the_last_generation_wears_a_place_out() {
        assert!(!is_last_generation(Id::from_parts(7, 1)));
        assert!(!is_last_generation(Id::from_parts(7, u32::MAX - 2)));
        assert!(is_last_generation(Id::from_parts(7, u32::MAX)));
    }
}
