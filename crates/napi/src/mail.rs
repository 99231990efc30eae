//! The numbers that JavaScript and Rust share: an Int32Array, so that a switch passes no arguments.
//!
//! # Contract
//! - **array**: `Mail::array` points to [`MAIL_LENGTH`] numbers that stay in place until `exchange` or `reset` installs others, and
//!   only this thread reads and writes them.
//!
//! The enums are JavaScript's too: `make build` makes js/native/constants.ts of them.
#![allow(unreachable_pub, reason = "napi-derive requires the enums to be public")]

use std::cell::Cell;

use greenlets_core::raw::Id;
use napi_derive::napi;

use crate::fixed::Fixed;

/// An async id and a trigger id.
pub(crate) type AsyncIds = [f64; 2];

/// The index of each number in the array.
#[napi(js_name = "MailIndex")]
#[derive(Clone, Copy)]
pub enum Slot {
    /// In: the id of the stack to run next. -1 as `TARGET_INDEX`, when a stack ends, starts a new stack.
    TargetIndex = 0,
    /// In: see `TARGET_INDEX`.
    TargetGeneration = 1,
    /// Out, written by `switch`: 0, or why it refused, a `Status`.
    Status = 2,
    /// Out, written before `entry` is called, and for main by `attach`: the id of the running stack.
    SelfIndex = 3,
    /// Out: see `SELF_INDEX`.
    SelfGeneration = 4,
    /// Out: garbage collections seen while greenlets had stacks; wraps.
    Collections = 5,
    /// Out: bits that JavaScript must look at before a switch, of `MailFlag`.
    Flags = 6,
    /// In, counted by JavaScript: calls on the running greenlet's stack during which it must not be left, for example those with a
    /// time limit. Native sets a bit above them.
    Held = 7,
    /// In: the async id and the trigger id of a context, two doubles.
    AsyncIds = 8,
    /// In: the id of the stack that a question is about. It has a place of its own, because a debugger may ask in the middle of a
    /// switch.
    SubjectIndex = 12,
    /// In: see `SUBJECT_INDEX`.
    SubjectGeneration = 13,
    /// Out: those of `COLLECTIONS` that have looked at all objects; wraps. The last number of the array.
    FullCollections = 14,
}

/// Length of the array.
pub(crate) const MAIL_LENGTH: usize = Slot::FullCollections as usize + 1;

/// A bit of `Slot::Held`, above the count: the running stack is inside of another isolate, and a suspended one is, too.
const IN_ISOLATE: i32 = 1 << 30;

/// Bits of `FLAGS`, set by native.
#[napi(js_name = "MailFlag")]
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub enum Flag {
    /// V8 has ended JavaScript on stacks, for example at the time limit of a `vm` script, and these stacks could not say which stack
    /// runs next. `SELF_*` is the running stack. JavaScript clears the bit.
    Ended = 1,
    /// An async hook runs because of a switch that is in progress: the stack's entries are partly on Node's stack of async ids.
    InHook = 2,
}

/// Why a switch did not happen.
#[napi]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// It did happen.
    Ok = 0,
    /// All stack slots are in use.
    NoSlot = 1,
    /// The stack has ended.
    Gone = 2,
    /// The system gives no more memory.
    NoMemory = 3,
    /// A limit that the program has set by `configure()` is reached.
    Limit = 4,
    /// This and all above: the running stack must not be left.
    Forbidden = 5,
    /// It is inside of a promising wasm call (JSPI).
    InWasm = 6,
    /// It is inside of promise jobs that a vm context or an add-on runs.
    InMicrotasks = 7,
    /// A debugger is paused.
    Paused = 8,
    /// It is in a callback of the garbage collector.
    Collecting = 9,
    /// It is inside of a vm script or an evaluation with a time limit or `breakOnSigint`.
    Limited = 10,
    /// It is inside of another isolate, and so is a suspended one.
    InIsolate = 11,
    /// The running code is on a stack of an add-on's.
    OtherStack = 12,
}

/// The shared array. The self-test uses one of its own, and JavaScript brings another later.
pub(crate) struct Mail {
    array: Cell<*mut i32>,
    /// Used while JavaScript has brought none: collections are counted before JavaScript attaches, too.
    own: Fixed<[i32; MAIL_LENGTH]>,
}

impl Mail {
    pub(crate) fn new() -> Mail {
        let own = Fixed::new([0; MAIL_LENGTH]);
        Mail { array: Cell::new(own.get().as_ptr().cast()), own }
    }

    /// Uses `array` from now on.
    ///
    /// # Safety
    /// `array` keeps the contract's clause **array**.
    pub(crate) unsafe fn exchange(&self, array: *mut i32) {
        self.array.set(array);
    }

    /// Whether `array` is the one in use.
    pub(crate) fn is(&self, array: *mut i32) -> bool {
        self.array.get() == array
    }

    /// Uses the array of this object again.
    pub(crate) fn reset(&self) {
        self.array.set(self.own.get().as_ptr().cast());
    }

    #[inline(always)]
    fn at(&self, slot: Slot) -> *mut i32 {
        // SAFETY: every slot is below MAIL_LENGTH, the array's length by the contract's clause **array**.
        unsafe { self.array.get().add(slot as usize) }
    }

    /// The id of the greenlet that is to run; `None` for a new greenlet.
    pub(crate) fn target(&self) -> Option<Id> {
        // SAFETY: the contract's clause **array**.
        (unsafe { *self.at(Slot::TargetIndex) } >= 0).then(|| self.target_id())
    }

    /// The id in the target's place. Index -1 names no greenlet.
    #[inline(always)]
    pub(crate) fn target_id(&self) -> Id {
        // SAFETY: the contract's clause **array**.
        unsafe { Id::from_parts(*self.at(Slot::TargetIndex) as u32, *self.at(Slot::TargetGeneration) as u32) }
    }

    /// The id of the greenlet that a question is about.
    pub(crate) fn subject(&self) -> Id {
        // SAFETY: the contract's clause **array**.
        unsafe {
            Id::from_parts(*self.at(Slot::SubjectIndex) as u32, *self.at(Slot::SubjectGeneration) as u32)
        }
    }

    #[inline(always)]
    pub(crate) fn set_status(&self, status: Status) {
        // SAFETY: the contract's clause **array**.
        unsafe { *self.at(Slot::Status) = status as i32 };
    }

    /// Where the status is.
    pub(crate) fn status_address(&self) -> *mut i32 {
        self.at(Slot::Status)
    }

    /// Not 0 while calls with a time limit are active on the running greenlet, or while [`Mail::is_in_isolate`].
    #[inline(always)]
    pub(crate) fn held(&self) -> u64 {
        // SAFETY: the contract's clause **array**.
        unsafe { *self.at(Slot::Held) as u32 as u64 }
    }

    /// V8 has ended the calls with a time limit on the running stack.
    pub(crate) fn clear_held(&self) {
        // SAFETY: the contract's clause **array**.
        unsafe { *self.at(Slot::Held) = 0 };
    }

    /// Whether the running stack and a suspended one are inside of other isolates.
    pub(crate) fn is_in_isolate(&self) -> bool {
        self.held() & IN_ISOLATE as u64 != 0
    }

    pub(crate) fn hold_in_isolate(&self, hold: bool) {
        let held = self.at(Slot::Held);
        // SAFETY: the contract's clause **array**.
        unsafe { *held = *held & !IN_ISOLATE | if hold { IN_ISOLATE } else { 0 } };
    }

    /// The ids of the context that a call is about.
    #[inline(always)]
    pub(crate) fn async_ids(&self) -> AsyncIds {
        // SAFETY: the contract's clause **array**; two doubles lie within MAIL_LENGTH, and the read does not need alignment.
        unsafe { self.at(Slot::AsyncIds).cast::<AsyncIds>().read_unaligned() }
    }

    pub(crate) fn set_ended(&self) {
        // SAFETY: the contract's clause **array**.
        unsafe { *self.at(Slot::Flags) |= Flag::Ended as i32 };
    }

    /// Not 0 while an async hook runs, in which a switch is refused.
    #[inline(always)]
    pub(crate) fn in_hook(&self) -> u64 {
        // SAFETY: the contract's clause **array**.
        unsafe { (*self.at(Slot::Flags) & Flag::InHook as i32) as u64 }
    }

    pub(crate) fn set_in_hook(&self, running: bool) {
        let flags = self.at(Slot::Flags);
        // SAFETY: the contract's clause **array**.
        unsafe { *flags = *flags & !(Flag::InHook as i32) | if running { Flag::InHook as i32 } else { 0 } };
    }

    /// How many collections were seen; wraps.
    pub(crate) fn collections(&self) -> i32 {
        // SAFETY: the contract's clause **array**.
        unsafe { *self.at(Slot::Collections) }
    }

    pub(crate) fn count_collection(&self) {
        let count = self.at(Slot::Collections);
        // SAFETY: the contract's clause **array**.
        unsafe { *count = (*count).wrapping_add(1) };
    }

    pub(crate) fn count_full_collection(&self) {
        let count = self.at(Slot::FullCollections);
        // SAFETY: the contract's clause **array**.
        unsafe { *count = (*count).wrapping_add(1) };
    }

    /// Tells JavaScript the id of the greenlet that begins.
    pub(crate) fn set_own(&self, id: Id) {
        let (index, generation) = id.parts();
        // SAFETY: the contract's clause **array**.
        unsafe {
            *self.at(Slot::SelfIndex) = index as i32;
            *self.at(Slot::SelfGeneration) = generation as i32;
        }
    }
}
