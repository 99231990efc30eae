//! The table of a thread's stacks: one record for each, found by its id.
//!
//! An id is never used twice: it names a place in the table and how often that place was given out. So the id of a greenlet that
//! has ended is known to be stale, whatever record takes its place. A place that was given out 2^31 times (half an hour of
//! starting and ending greenlets and nothing else) is not given out again, because its counter would start again.
//!
//! # Contract
//! * "boxed": a record is in a box of its own, so it stays at its address as long as its [`Owned`] exists.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::mem::{ManuallyDrop, offset_of};
use std::ops::{Deref, Range};
use std::ptr::{NonNull, null};

use slotmap::SlotMap;

use crate::fiber::bounds::{Extent, StackBounds};
use crate::fiber::{Exit, Fiber};
use crate::raw::id::{Id, State, TableKey};
use crate::raw::slots::SlotIndex;
use crate::raw::spilled::SpilledStack;
use crate::raw::stack_host::StackHost;

/// A stack suspends itself by naming the record to run next.
pub(crate) type Target<H> = NonNull<StackRecord<H>>;

/// One stack and all that is kept for it. Boxed: its address is fixed for life.
pub(crate) struct StackRecord<H: StackHost> {
    pub(crate) vm: UnsafeCell<H::VmState>,
    pub(crate) execution: UnsafeCell<Execution<H>>,
    /// Way out of the stack, at its base; null until it first ran.
    pub(crate) exit: Cell<*const Exit<Target<H>>>,
    /// The copy of its live bytes while another stack occupies its slot.
    pub(crate) spilled: Cell<Option<SpilledStack>>,
    /// Counts the resumes: what was read from the stack in one epoch is stale in the next.
    pub(crate) epoch: Cell<u64>,
    /// The thread's number of resumes when it was last resumed. Only one stack runs at a time, so the order in which stacks were last
    /// resumed is the order in which they were suspended.
    pub(crate) last_resumed: Cell<u64>,
    /// A stack that takes a second greenlet gets a second id.
    pub(crate) id: Cell<Id>,
    /// The slot it runs in for life; `None` for main.
    pub(crate) slot: Option<SlotIndex>,
    pub(crate) state: Cell<State>,
    /// Where it runs. A cell, because the system may let main's stack grow further than it said at first.
    pub(crate) extent: Cell<Extent>,
    /// Whether it is in its slot, so that it can run.
    pub(crate) resident: Cell<bool>,
}

/// What a stack runs, and how far it has come.
pub(crate) enum Execution<H: StackHost> {
    /// Main runs on the thread's own stack.
    Main,
    /// Nothing was written to its slot yet.
    Unstarted(H::Body),
    Fiber(Fiber<Target<H>, H::Next>),
}

impl<H: StackHost> StackRecord<H> {
    #[expect(clippy::new_ret_no_self, reason = "its owner is as a box of it")]
    pub(crate) fn new(
        id: Id,
        vm: H::VmState,
        execution: Execution<H>,
        slot: Option<SlotIndex>,
        bounds: StackBounds,
    ) -> Owned<H> {
        Owned::of(StackRecord {
            vm: UnsafeCell::new(vm),
            execution: UnsafeCell::new(execution),
            exit: Cell::new(null()),
            spilled: Cell::new(None),
            epoch: Cell::new(0),
            last_resumed: Cell::new(0),
            id: Cell::new(id),
            slot,
            state: Cell::new(State::Suspended),
            extent: Cell::new(Extent::of(bounds)),
            resident: Cell::new(false),
        })
    }

    /// The record that contains a host's state.
    ///
    /// # Safety
    /// `vm` came from [`StackRecord::vm`] of a record that still exists.
    pub(crate) unsafe fn of<'a>(vm: NonNull<H::VmState>) -> &'a StackRecord<H> {
        // SAFETY: an UnsafeCell has the address of its contents, and `vm()` made the pointer from a reference to the whole record.
        unsafe { vm.byte_sub(offset_of!(StackRecord<H>, vm)).cast().as_ref() }
    }

    /// The host's state. The pointer may also be used for the whole record, by `of`: it is made from a reference to all of it.
    #[inline(always)]
    pub(crate) fn vm(&self) -> NonNull<H::VmState> {
        // SAFETY: a field of a live object.
        unsafe { NonNull::from(self).byte_add(offset_of!(StackRecord<H>, vm)).cast() }
    }

    /// Where the copy of its live bytes is, if it is spilled.
    pub(crate) fn spilled_range(&self) -> Option<Range<usize>> {
        // SAFETY: records are not `Sync`, and the reference ends with this expression, in which the cell is not set.
        unsafe { (*self.spilled.as_ptr()).as_ref().map(SpilledStack::range) }
    }
}

/// Owns a record. A `Box` that is moved ends the pointers that others have to its contents; this does not.
pub(crate) struct Owned<H: StackHost>(Target<H>);

impl<H: StackHost> Owned<H> {
    #[inline(always)]
    fn of(record: StackRecord<H>) -> Self {
        Owned(NonNull::from(Box::leak(Box::new(record))))
    }

    #[inline(always)]
    pub(crate) fn target(&self) -> Target<H> {
        self.0
    }

    pub(crate) fn into_inner(self) -> StackRecord<H> {
        let this = ManuallyDrop::new(self);
        // SAFETY: the pointer is from a box, and this is the only owner, which is not dropped.
        *unsafe { Box::from_raw(this.0.as_ptr()) }
    }
}

impl<H: StackHost> Deref for Owned<H> {
    type Target = StackRecord<H>;

    #[inline(always)]
    fn deref(&self) -> &StackRecord<H> {
        // SAFETY: the record lives as long as its owner.
        unsafe { self.0.as_ref() }
    }
}

impl<H: StackHost> Drop for Owned<H> {
    fn drop(&mut self) {
        // SAFETY: the pointer is from a box, and this is the only owner.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// All stacks of one thread that have started and not finished, and main.
pub(crate) struct Registry<H: StackHost> {
    /// `None` is a place that is worn out.
    table: RefCell<SlotMap<TableKey, Option<Owned<H>>>>,
    worn_out: Cell<usize>,
}

/// Whether the place of `id` has no generation left after this one. Generations in use are odd.
fn is_last_generation(id: Id) -> bool {
    id.parts().1 == u32::MAX
}

impl<H: StackHost> Registry<H> {
    pub(crate) fn new() -> Self {
        Registry { table: RefCell::new(SlotMap::with_key()), worn_out: Cell::new(0) }
    }

    /// Adds the record that `make` makes for the new id.
    pub(crate) fn insert(&self, make: impl FnOnce(Id) -> Owned<H>) -> Target<H> {
        let mut table = self.table.borrow_mut();
        let key = table.insert_with_key(|key| Some(make(Id(key))));
        table[key].as_ref().expect("inserted just now").target()
    }

    #[inline(always)]
    pub(crate) fn get(&self, id: Id) -> Option<Target<H>> {
        // SAFETY: the reference ends with this expression, which sets nothing.
        let table = unsafe { self.table.try_borrow_unguarded() };
        table.expect("no borrow lasts").get(id.0)?.as_ref().map(Owned::target)
    }

    pub(crate) fn remove(&self, id: Id) -> Option<Owned<H>> {
        let mut table = self.table.borrow_mut();
        if !is_last_generation(id) {
            return table.remove(id.0)?;
        }
        let record = table.get_mut(id.0)?.take()?;
        self.worn_out.set(self.worn_out.get() + 1);
        Some(record)
    }

    /// How many there are, main included.
    pub(crate) fn len(&self) -> usize {
        self.table.borrow().len() - self.worn_out.get()
    }

    pub(crate) fn ids(&self) -> Vec<Id> {
        self.table.borrow().iter().filter(|(_, record)| record.is_some()).map(|(key, _)| Id(key)).collect()
    }

    /// Leaks all records; their fibers are not unwound.
    pub(crate) fn leak(&self) {
        std::mem::forget(std::mem::take(&mut *self.table.borrow_mut()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::relocation::Relocation;
    use crate::raw::unread::Unread;

    struct TestHost;

    impl StackHost for TestHost {
        const ABOVE_BASE: usize = 0;
        type VmState = u64;
        type Body = ();
        type Next = ();

        unsafe fn live_end(&self, _: NonNull<u64>, stack: StackBounds) -> usize {
            stack.base
        }

        unsafe fn unread(&self, _: NonNull<u64>, _: usize, _: StackBounds) -> Unread {
            Unread::default()
        }

        unsafe fn relocate(&self, _: NonNull<u64>, _: &Relocation) {}
    }

    fn record(id: Id) -> Owned<TestHost> {
        StackRecord::new(id, 4711, Execution::Main, None, StackBounds { base: 0, limit: 0 })
    }

    #[test]
    fn a_record_is_found_by_the_hosts_state_in_it() {
        let registry = Registry::new();
        let target = registry.insert(record);
        // SAFETY: contract clause "boxed": the record stays in the registry, and its state in it.
        let (record, found) = unsafe { (target.as_ref(), StackRecord::<TestHost>::of(target.as_ref().vm())) };
        assert_eq!(found.id.get(), record.id.get());
        assert!(std::ptr::eq(found, record));
    }

    #[test]
    #[ignore = "takes minutes: 2^31 insertions; run it in release after a change here or in slotmap"]
    fn a_place_that_is_worn_out_is_not_given_out_again() {
        let registry = Registry::new();
        // SAFETY: contract clause "boxed": the record stays in the registry while its id is read.
        let insert = || unsafe { registry.insert(record).as_ref() }.id.get();
        let first = insert();
        let mut last = first;
        while !is_last_generation(last) {
            assert!(registry.remove(last).is_some());
            last = insert();
            assert_eq!(last.parts().0, first.parts().0);
        }
        assert!(registry.remove(last).is_some());
        assert_eq!((registry.len(), registry.ids()), (0, Vec::new()));
        assert!(registry.get(last).is_none() && registry.remove(last).is_none());
        let next = insert();
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
