//! The fast lane: V8's words of the running stack are copied out of the isolate and into it.
//!
//! A suspended greenlet is a node in V8's own list of archived threads, *always*: the deoptimizer patches return addresses at any
//! moment and has no hook. The node of a running greenlet stays in the list and leads to one shared blank image, so parking and
//! unparking change one pointer there.
//!
//! The clauses **thread**, **learnt**, **live**, **raw** and **parked** are those of `stack/state.rs`.

use std::ptr::NonNull;

use crate::v8::learn::facts::{BLOCKS, BLOCKS_CAPACITY, BLOCKS_SIZE};
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

/// Takes the live state into `vm`.
///
/// # Safety
/// The clauses **thread**, **learnt** and **live**; `vm` is the running stack's, and its node is in the list.
#[inline(always)]
pub(super) unsafe fn park(v8: &Layout, stacks: &Stacks, vm: NonNull<StackState>) {
    // SAFETY: the clauses **learnt**, **live** and **raw**. The interrupt words are not among those that are copied.
    unsafe {
        let (image, state) = (image(vm), vm.as_ptr());
        copy_out(v8, image);
        *image.add(v8.facts.spare) = 0;
        if !(*state).is_main {
            if *image.add(BLOCKS_SIZE) == 1 {
                stacks.block_list.set((*image.add(BLOCKS), *image.add(BLOCKS_CAPACITY)));
                *image.add(BLOCKS) = &raw mut (*state).first_block as u64;
            } else {
                (*state).unusual = OWNS_LIST;
                stacks.new_block_list();
            }
        }
        (*state).interrupt_scopes = *v8.stack_guard.add(v8.facts.interrupt_scopes());
        put_aside(v8, vm);
        (*state).node.data = image;
    }
}

/// Makes `vm` the live state.
///
/// # Safety
/// The clauses **thread**, **learnt**, **live** and **parked**; `vm` is not quiet, and `Stacks::running` names it.
#[inline(always)]
pub(super) unsafe fn unpark(v8: &Layout, stacks: &Stacks, vm: NonNull<StackState>) {
    // SAFETY: the clauses **learnt**, **live** and **raw**.
    unsafe {
        let state = vm.as_ptr();
        (*state).node.data = stacks.blank_image();
        let spare = *v8.handle_scope_implementer.add(v8.facts.spare);
        copy_in(v8, image(vm));
        *v8.handle_scope_implementer.add(v8.facts.spare) = spare;
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
        set_limit(v8, limit as u64);
        *v8.stack_guard.add(v8.facts.interrupt_scopes()) = (*state).interrupt_scopes;
        put_back(v8, vm);
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
