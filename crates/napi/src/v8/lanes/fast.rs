//! The fast lane: V8's words of the running stack are copied out of the isolate and into it.
//!
//! A suspended greenlet is a node in V8's own list of archived threads, *always*: the deoptimizer patches return addresses at any
//! moment and has no hook. The node of a running greenlet stays in the list and leads to one shared blank image, so parking and
//! unparking change one pointer there.
//!
//! The clauses **thread**, **learnt**, **live**, **raw** and **parked** are those of `stack/state.rs`.

use std::ptr::NonNull;

use crate::v8::learn::facts::{Abi, BLOCKS, BLOCKS_CAPACITY, BLOCKS_SIZE, Facts, known_for};
use crate::v8::learn::layout::Layout;
use crate::v8::stack::list;
use crate::v8::stack::stacks::{Stacks, free_vectors};
use crate::v8::stack::state::{
    OWNS_LIST, StackState, copy_in, copy_out, image, node_of, put_aside, put_back, set_limit, write_fresh,
};

/// Writes the state of a new greenlet and puts its node into V8's list.
///
/// # Safety
/// The clauses **thread**, **learnt** and **live**; the slot is the greenlet's own.
pub(super) unsafe fn enlist(v8: &Layout, vm: NonNull<StackState>) {
    // SAFETY: the caller's clauses are the ones that `write_fresh` needs; a new state is in no list.
    unsafe {
        write_fresh(v8, vm);
        (*vm.as_ptr()).node.data = image(vm);
        list::link(v8.in_use, node_of(vm));
    }
}

/// Parking and unparking, as compiled for one V8 and for this processor. Chosen once for an isolate.
#[derive(Clone, Copy)]
pub(crate) struct FastLane {
    park: Half,
    unpark: Half,
}

type Half = unsafe fn(&Layout, &Stacks, NonNull<StackState>);

impl FastLane {
    /// The lane for the V8 of these facts.
    pub(crate) fn of(facts: &Facts) -> FastLane {
        match facts.abi {
            Abi::V8_11_3 => FastLane::compiled_for::<{ Abi::V8_11_3 as usize }>(),
            Abi::V8_12_4 => FastLane::compiled_for::<{ Abi::V8_12_4 as usize }>(),
            Abi::V8_13_6 => FastLane::compiled_for::<{ Abi::V8_13_6 as usize }>(),
            Abi::V8_14_6 => FastLane::compiled_for::<{ Abi::V8_14_6 as usize }>(),
        }
    }

    fn compiled_for<const ABI: usize>() -> FastLane {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx") {
            return FastLane { park: avx::park::<ABI>, unpark: avx::unpark::<ABI> };
        }
        FastLane { park: park::<ABI>, unpark: unpark::<ABI> }
    }

    /// Takes the live state into `vm`.
    ///
    /// # Safety
    /// The clauses **thread**, **learnt** and **live**; `vm` is the running stack's, its node is in the list, and the lane is that of
    /// this isolate's V8.
    #[inline(always)]
    pub(crate) unsafe fn park(&self, v8: &Layout, stacks: &Stacks, vm: NonNull<StackState>) {
        // SAFETY: the caller's promise.
        unsafe { (self.park)(v8, stacks, vm) }
    }

    /// Makes `vm` the live state.
    ///
    /// # Safety
    /// The clauses **thread**, **learnt**, **live** and **parked**; `vm` is not quiet, `Stacks::running` names it, and the lane is that
    /// of this isolate's V8.
    #[inline(always)]
    pub(crate) unsafe fn unpark(&self, v8: &Layout, stacks: &Stacks, vm: NonNull<StackState>) {
        // SAFETY: the caller's promise.
        unsafe { (self.unpark)(v8, stacks, vm) }
    }
}

/// The same with copies of 32 bytes at a time.
#[cfg(target_arch = "x86_64")]
mod avx {
    use super::{Layout, NonNull, StackState, Stacks};

    /// # Safety
    /// As for [`super::park`], on a processor with AVX.
    #[target_feature(enable = "avx")]
    pub(super) unsafe fn park<const ABI: usize>(v8: &Layout, stacks: &Stacks, vm: NonNull<StackState>) {
        // SAFETY: the caller's promise.
        unsafe { super::park::<ABI>(v8, stacks, vm) }
    }

    /// # Safety
    /// As for [`super::unpark`], on a processor with AVX.
    #[target_feature(enable = "avx")]
    pub(super) unsafe fn unpark<const ABI: usize>(v8: &Layout, stacks: &Stacks, vm: NonNull<StackState>) {
        // SAFETY: the caller's promise.
        unsafe { super::unpark::<ABI>(v8, stacks, vm) }
    }
}

/// See [`FastLane::park`].
///
/// # Safety
/// The same, and `ABI` is the isolate's.
#[inline(always)]
unsafe fn park<const ABI: usize>(v8: &Layout, stacks: &Stacks, vm: NonNull<StackState>) {
    let facts = known_for::<ABI>();
    // SAFETY: the clauses **learnt**, **live** and **raw**. The interrupt words are not among those that are copied.
    unsafe {
        let (image, state) = (image(vm), vm.as_ptr());
        // Read from the isolate, where they were written long ago: a processor waits for a word that was just copied in another size.
        let list =
            (*v8.handle_scope_implementer.add(BLOCKS), *v8.handle_scope_implementer.add(BLOCKS_CAPACITY));
        let blocks = *v8.handle_scope_implementer.add(BLOCKS_SIZE);
        copy_out::<ABI>(v8, image);
        *image.add(facts.spare) = 0;
        if !(*state).is_main {
            if blocks == 1 {
                stacks.block_list.set(list);
                *image.add(BLOCKS) = &raw mut (*state).first_block as u64;
            } else {
                (*state).unusual = OWNS_LIST;
                stacks.new_block_list();
            }
        }
        (*state).interrupt_scopes = *v8.stack_guard.add(facts.interrupt_scopes());
        put_aside(v8, facts, vm);
        (*state).node.data = image;
    }
}

/// See [`FastLane::unpark`].
///
/// # Safety
/// The same, and `ABI` is the isolate's.
#[inline(always)]
unsafe fn unpark<const ABI: usize>(v8: &Layout, stacks: &Stacks, vm: NonNull<StackState>) {
    let facts = known_for::<ABI>();
    // SAFETY: the clauses **learnt**, **live** and **raw**.
    unsafe {
        let state = vm.as_ptr();
        (*state).node.data = stacks.blank_image();
        let spare = *v8.handle_scope_implementer.add(facts.spare);
        copy_in::<ABI>(v8, image(vm));
        *v8.handle_scope_implementer.add(facts.spare) = spare;
        if !(*state).is_main {
            if (*state).unusual & OWNS_LIST != 0 {
                stacks.drop_block_list();
                (*state).unusual = 0;
            } else {
                let (list, capacity) = stacks.block_list.get();
                *(list as *mut usize) = (*state).first_block;
                *v8.handle_scope_implementer.add(BLOCKS) = list;
                *v8.handle_scope_implementer.add(BLOCKS_CAPACITY) = capacity;
            }
        }
        let (base, limit) = ((*state).stack.base, (*state).stack.limit);
        *v8.thread.stack_start = base;
        *v8.heap_stack_starts[0] = base;
        *v8.heap_stack_starts[1] = base;
        set_limit(v8, facts, limit as u64);
        *v8.stack_guard.add(facts.interrupt_scopes()) = (*state).interrupt_scopes;
        put_back(v8, facts, vm);
    }
}

/// Frees what V8 allocated for the running greenlet, which has ended, and takes its node out of V8's list.
///
/// # Safety
/// The clauses **thread**, **learnt** and **live**; `vm` is the live state, with nothing left on its stack.
pub(super) unsafe fn retire(v8: &Layout, stacks: &Stacks, vm: NonNull<StackState>) {
    // SAFETY: the caller's clauses; the isolate holds the state of the greenlet that has ended, and the node is in the list.
    unsafe {
        free_vectors(v8, v8.handle_scope_implementer);
        stacks.take_block_list_back(v8);
        list::unlink(node_of(vm));
    }
}

/// Frees what V8 allocated for a suspended stack that will never run again.
///
/// # Safety
/// The clauses **live** and **parked**.
pub(super) unsafe fn free(v8: &Layout, vm: NonNull<StackState>) {
    // SAFETY: the clause **parked**: the image holds the stack's handles. A list of blocks that the stack owns is from malloc.
    unsafe {
        let image = image(vm);
        free_vectors(v8, image);
        if (*vm.as_ptr()).unusual & OWNS_LIST != 0 {
            libc::free(*image.add(BLOCKS) as *mut _);
        }
    }
}
