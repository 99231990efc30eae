//! The few numbers that JavaScript and Rust share: an Int32Array, so that a switch passes no arguments.

use std::cell::{Cell, UnsafeCell};

use greenlets_core::{Id, Next};

use crate::v8::host::{V8Host, next_from};

/// What is where in the array; `js/mail.ts` has the same table.
#[derive(Clone, Copy)]
enum Slot {
    /// In: who is to run; -1 for a new greenlet.
    TargetIndex = 0,
    TargetGeneration = 1,
    /// Out: 0, or why the switch did not happen.
    Status = 2,
    /// Out: the id of the greenlet that begins.
    OwnIndex = 3,
    OwnGeneration = 4,
    /// Out: garbage collections seen while greenlets had stacks; wraps.
    Collections = 5,
    /// Out: 1 after V8 has ended a greenlet that could not say who runs next; JavaScript clears it.
    Ended = 6,
    /// In: how many calls with a time limit are under way on the running greenlet.
    Held = 7,
}

/// Length of the array.
pub(crate) const MAIL_LENGTH: usize = 8;

/// Why a switch did not happen, as JavaScript reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Status {
    Ok = 0,
    NoSlot = 1,
    Gone = 2,
    NoMemory = 3,
    /// A limit that the program has set itself.
    Limit = 4,
    /// This and the following: the running stack must not be left.
    Forbidden = 5,
    InWasm = 6,
    InMicrotasks = 7,
    Paused = 8,
    Collecting = 9,
    Limited = 10,
}

/// The shared array. It can be exchanged: the self-test has one of its own, and JavaScript brings another.
pub(crate) struct Mail {
    array: Cell<*mut i32>,
    /// In use while there is no other: a collection counts whether or not anybody is attached.
    own: Box<UnsafeCell<[i32; MAIL_LENGTH]>>,
}

impl Mail {
    pub(crate) fn new() -> Mail {
        let own = Box::new(UnsafeCell::new([0; MAIL_LENGTH]));
        Mail { array: Cell::new(own.get().cast()), own }
    }

    /// # Safety
    /// `array` points to [`MAIL_LENGTH`] numbers that stay until another array takes their place.
    pub(crate) unsafe fn exchange(&self, array: *mut i32) {
        self.array.set(array);
    }

    /// Uses no other array any more.
    pub(crate) fn reset(&self) {
        self.array.set(self.own.get().cast());
    }

    #[inline(always)]
    fn at(&self, slot: Slot) -> *mut i32 {
        // SAFETY: every slot is below MAIL_LENGTH.
        unsafe { self.array.get().add(slot as usize) }
    }

    /// Who is to run.
    #[inline(always)]
    pub(crate) fn target(&self) -> Next<V8Host> {
        // SAFETY: see `exchange`.
        unsafe { next_from(*self.at(Slot::TargetIndex), *self.at(Slot::TargetGeneration)) }
    }

    /// The id in the target's place.
    pub(crate) fn target_id(&self) -> Id {
        // SAFETY: see `exchange`.
        unsafe { Id::from_parts(*self.at(Slot::TargetIndex) as u32, *self.at(Slot::TargetGeneration) as u32) }
    }

    #[inline(always)]
    pub(crate) fn set_status(&self, status: Status) {
        // SAFETY: see `exchange`.
        unsafe { *self.at(Slot::Status) = status as i32 };
    }

    #[inline(always)]
    pub(crate) fn held(&self) -> u64 {
        // SAFETY: see `exchange`.
        unsafe { *self.at(Slot::Held) as u32 as u64 }
    }

    /// V8 has ended the calls that hold the running stack.
    pub(crate) fn let_go(&self) {
        // SAFETY: see `exchange`.
        unsafe { *self.at(Slot::Held) = 0 };
    }

    pub(crate) fn set_ended(&self) {
        // SAFETY: see `exchange`.
        unsafe { *self.at(Slot::Ended) = 1 };
    }

    pub(crate) fn count_collection(&self) {
        let count = self.at(Slot::Collections);
        // SAFETY: see `exchange`.
        unsafe { *count = (*count).wrapping_add(1) };
    }

    pub(crate) fn set_own(&self, id: Id) {
        let (index, generation) = id.parts();
        // SAFETY: see `exchange`.
        unsafe {
            *self.at(Slot::OwnIndex) = index as i32;
            *self.at(Slot::OwnGeneration) = generation as i32;
        }
    }
}
