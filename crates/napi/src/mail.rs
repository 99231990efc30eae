//! The few numbers that JavaScript and Rust share: an Int32Array, so that a switch passes no arguments.

use std::cell::{Cell, UnsafeCell};

use greenlets_core::Id;

use crate::context::AsyncIds;

/// What is where in the array; `js/mail.ts` has the same table.
#[derive(Clone, Copy)]
enum Slot {
    /// In: which greenlet is to run; -1 where a stack ends and a new one is to begin.
    TargetIndex = 0,
    TargetGeneration = 1,
    /// Out: 0, or why the switch did not happen.
    Status = 2,
    /// Out: the id of the greenlet that begins.
    OwnIndex = 3,
    OwnGeneration = 4,
    /// Out: garbage collections seen while greenlets had stacks; wraps.
    Collections = 5,
    /// Out: see [`Flag`].
    Flags = 6,
    /// In: how many calls with a time limit are under way on the running greenlet.
    Held = 7,
    /// In: the async id and the trigger id of a context, two doubles.
    AsyncIds = 8,
    /// In: which greenlet a question is about. Apart from the target, for a debugger may ask in the middle of a switch.
    SubjectIndex = 12,
    SubjectGeneration = 13,
}

/// Length of the array.
pub(crate) const MAIL_LENGTH: usize = 14;

/// Bits of `Slot::Flags`: what JavaScript must heed before it switches.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
enum Flag {
    /// V8 has ended a greenlet that could not say who runs next; JavaScript clears it.
    Ended = 1,
    /// An async hook runs on behalf of a greenlet that is half on Node's stack of ids.
    InHook = 2,
}

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

    /// Whether `array` is the one in use.
    pub(crate) fn is(&self, array: *mut i32) -> bool {
        self.array.get() == array
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

    /// Who is to run; none for a new greenlet.
    pub(crate) fn target(&self) -> Option<Id> {
        // SAFETY: see `exchange`.
        (unsafe { *self.at(Slot::TargetIndex) } >= 0).then(|| self.target_id())
    }

    /// The id in the target's place. -1 names nobody.
    #[inline(always)]
    pub(crate) fn target_id(&self) -> Id {
        // SAFETY: see `exchange`.
        unsafe { Id::from_parts(*self.at(Slot::TargetIndex) as u32, *self.at(Slot::TargetGeneration) as u32) }
    }

    /// Whom a question is about.
    pub(crate) fn subject(&self) -> Id {
        // SAFETY: see `exchange`.
        unsafe {
            Id::from_parts(*self.at(Slot::SubjectIndex) as u32, *self.at(Slot::SubjectGeneration) as u32)
        }
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

    /// The ids of the context that a call is about.
    #[inline(always)]
    pub(crate) fn async_ids(&self) -> AsyncIds {
        // SAFETY: see `exchange`; two doubles lie within MAIL_LENGTH.
        unsafe { self.at(Slot::AsyncIds).cast::<AsyncIds>().read_unaligned() }
    }

    pub(crate) fn set_ended(&self) {
        // SAFETY: see `exchange`.
        unsafe { *self.at(Slot::Flags) |= Flag::Ended as i32 };
    }

    /// Not 0 while a hook runs in which nobody can switch.
    #[inline(always)]
    pub(crate) fn in_hook(&self) -> u64 {
        // SAFETY: see `exchange`.
        unsafe { (*self.at(Slot::Flags) & Flag::InHook as i32) as u64 }
    }

    pub(crate) fn set_in_hook(&self, running: bool) {
        let flags = self.at(Slot::Flags);
        // SAFETY: see `exchange`.
        unsafe { *flags = *flags & !(Flag::InHook as i32) | if running { Flag::InHook as i32 } else { 0 } };
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
