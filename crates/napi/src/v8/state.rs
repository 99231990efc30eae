//! park and unpark: moving the state of the running stack out of the isolate and back.
//!
//! An image has the shape of V8's own archive of a thread (ThreadManager::EagerlyArchiveThread, v8threads.cc), as far as the
//! GC and the deoptimizer read it:
//!
//! ```text
//!   HandleScopeImplementer | HandleScopeData | ThreadLocalTop | Relocatable top | zeroes (StackGuard, Debug)
//! ```
//!
//! A greenlet's first handle block lies in its own slot, right above the stack's base: stack and handles are one range.
//!
//! ```text
//!   limit                  sp                base                next       base + 8176
//!     |  free               | frames          | handles           |  free      |
//!                           |<------- live: one range ----------->|
//! ```
//!
//! While another stack lies in the slot, that range is a copy on the heap, in which V8 finds its way as before: its own links
//! were moved along by the core, and the image's here (`relocate`).
//!
//! Two of V8's things belong to the thread, not to a stack, though V8 archives them with it: the vector that lists the
//! handle blocks (V8 may reallocate it; a parked greenlet with one block lists it in its own `first_block` instead), and
//! the spare block.

use std::ptr::NonNull;

use greenlets_core::{Relocation, StackBounds};

use super::doomed;
use super::facts::{
    Abi, BLOCKS, BLOCKS_CAPACITY, BLOCKS_SIZE, HANDLE_BLOCK_WORDS, JS_LIMIT, MAX_ARCHIVE_WORDS, REAL_JS_LIMIT,
};
use super::host::V8Host;
use super::layout::Layout;
use super::list::Node;
use super::locker::{self, StandIn};
use super::roots::Context;
use crate::node::async_hooks::Scope;

/// What V8 keeps for one stack.
#[repr(C)]
pub(crate) struct VmState {
    pub(crate) node: Node,
    pub(crate) image: [u64; MAX_ARCHIVE_WORDS],
    /// Where V8 may run: from the stack's start down to its JavaScript limit, which is above the slot's.
    pub(crate) stack: StackBounds,
    /// Where the continuation-preserved embedder data rests while the stack is parked: a word of the root table.
    pub(crate) embedder_data: *mut u64,
    /// What a greenlet has in the root table; main has none.
    pub(crate) context: Option<NonNull<Context>>,
    /// Its part of Node's stack of async ids; main's stays there.
    pub(crate) scope: Scope,
    /// `StackGuard::interrupt_scopes_`: C++ objects on this stack.
    interrupt_scopes: u64,
    /// What this stack has in the isolate's list of doomed objects; see `doomed.rs`.
    doomed: Vec<u64>,
    /// The list of handle blocks while there is one only.
    pub(crate) first_block: usize,
    /// Which words of the image were moved along with the stack, while it is spilled.
    moved: u64,
    pub(crate) is_main: bool,
    /// What few stacks are: [`OWNS_LIST`], [`QUIET`], [`LOCKED`].
    pub(crate) unusual: u8,
    /// The locker lane: whom V8 takes it for, and whether it has not run yet.
    pub(crate) stand_in: StandIn,
    pub(crate) is_new: bool,
}

/// The image took the thread's list of handle blocks with it: it has more than one.
pub(crate) const OWNS_LIST: u8 = 1;
/// No word of it is a young object; see `quiet.rs`.
pub(crate) const QUIET: u8 = 2;
/// V8 moves its state itself; see `locker.rs`.
pub(crate) const LOCKED: u8 = 4;

impl VmState {
    pub(crate) fn new(layout: &Layout, stack: StackBounds, is_main: bool) -> Self {
        VmState {
            node: Node::new(layout.thread_id, layout.thread_manager, std::ptr::null_mut()),
            image: [0; MAX_ARCHIVE_WORDS],
            stack,
            embedder_data: std::ptr::null_mut(),
            context: None,
            scope: Scope::new(),
            interrupt_scopes: 0,
            doomed: Vec::new(),
            first_block: stack.base,
            moved: 0,
            is_main,
            stand_in: StandIn::default(),
            is_new: false,
            unusual: 0,
        }
    }

    /// Gives the greenlet `context`, of which it counts as a user already.
    pub(crate) fn set_context(&mut self, context: NonNull<Context>) {
        self.context = Some(context);
        // SAFETY: a context of the root table, whose words do not move.
        unsafe {
            self.embedder_data = &raw mut (*context.as_ptr()).frame;
            self.scope.resource = &raw mut (*context.as_ptr()).resource;
        }
    }

    /// ThreadLocalTop in the image.
    pub(crate) fn top(&mut self, layout: &Layout) -> *mut u64 {
        let before = layout.facts.implementer_words + layout.facts.scope_data_words;
        self.image[before..].as_mut_ptr()
    }
}

/// Copies `N` words. In pieces of 16 the compiler inlines the copy; larger ones would call memcpy.
///
/// # Safety
/// As `copy_nonoverlapping`.
#[inline(always)]
unsafe fn copy<const N: usize>(from: *const u64, to: *mut u64) {
    let mut done = 0;
    while done < N {
        let piece = if N - done < 16 { N - done } else { 16 };
        // SAFETY: `done + piece <= N`; the rest is the caller's.
        unsafe { std::ptr::copy_nonoverlapping(from.add(done), to.add(done), piece) };
        done += piece;
    }
}

/// Copies between the isolate and an image; `IN` says into the isolate.
///
/// # Safety
/// `image` has room for the archive of this ABI.
#[inline(always)]
unsafe fn transfer<const IN: bool, const HSI: usize, const HSD: usize, const TOP: usize>(
    v8: &Layout,
    image: *mut u64,
) {
    // SAFETY: the live addresses were learnt for objects of these sizes (`facts.rs`); the image holds them in a row.
    unsafe {
        let parts = (image, image.add(HSI), image.add(HSI + HSD), image.add(HSI + HSD + TOP));
        if IN {
            copy::<HSI>(parts.0, v8.handle_scope_implementer);
            copy::<HSD>(parts.1, v8.handle_scope_data);
            copy::<TOP>(parts.2, v8.thread_local_top);
            copy::<1>(parts.3, v8.relocatable_top);
        } else {
            copy::<HSI>(v8.handle_scope_implementer, parts.0);
            copy::<HSD>(v8.handle_scope_data, parts.1);
            copy::<TOP>(v8.thread_local_top, parts.2);
            copy::<1>(v8.relocatable_top, parts.3);
        }
    }
}

/// [`transfer`] with the sizes of the isolate's V8. They repeat the table's, as constants; `sizes_agree` says so.
///
/// # Safety
/// As `transfer`.
#[inline(always)]
unsafe fn transfer_for<const IN: bool>(v8: &Layout, image: *mut u64) {
    // SAFETY: passed on.
    unsafe {
        match v8.facts.abi {
            Abi::V8_11_3 => transfer::<IN, 15, 4, 25>(v8, image),
            Abi::V8_12_4 => transfer::<IN, 12, 3, 30>(v8, image),
            Abi::V8_13_6 => transfer::<IN, 13, 3, 30>(v8, image),
            Abi::V8_14_6 => transfer::<IN, 13, 3, 29>(v8, image),
        }
    }
}

/// Whether the constants of `transfer_for` are the table's.
pub(crate) fn sizes_agree(v8: &Layout) -> bool {
    let sizes = (v8.facts.implementer_words, v8.facts.scope_data_words, v8.facts.thread_local_top_words);
    sizes
        == match v8.facts.abi {
            Abi::V8_11_3 => (15, 4, 25),
            Abi::V8_12_4 => (12, 3, 30),
            Abi::V8_13_6 => (13, 3, 30),
            Abi::V8_14_6 => (13, 3, 29),
        }
}

/// Takes the live state into `vm`.
///
/// # Safety
/// `vm` belongs to the running stack, and its node is in the list.
#[inline(always)]
pub(crate) unsafe fn park(host: &V8Host, vm: NonNull<VmState>) {
    let v8 = &host.layout;
    // SAFETY: `vm` is live and nobody else holds a reference to it; all words of the isolate are learnt and verified, and
    // only this thread touches them (the interrupt words are not among those copied).
    unsafe {
        if (*vm.as_ptr()).unusual & LOCKED != 0 {
            return locker::park(host, vm);
        }
        let vm = &mut *vm.as_ptr();
        let image = vm.image.as_mut_ptr();
        transfer_for::<false>(v8, image);
        *image.add(v8.facts.spare) = 0;
        if !vm.is_main {
            if *image.add(BLOCKS_SIZE) == 1 {
                host.block_list.set((*image.add(BLOCKS), *image.add(BLOCKS_CAPACITY)));
                *image.add(BLOCKS) = &raw mut vm.first_block as u64;
            } else {
                vm.unusual = OWNS_LIST;
                host.new_block_list();
            }
        }
        vm.interrupt_scopes = *v8.stack_guard.add(v8.facts.interrupt_scopes());
        put_aside(v8, vm);
        vm.node.data = image;
    }
}

/// Makes `vm` the live state.
///
/// # Safety
/// `vm` is parked; the state that was live is parked or nobody's.
#[inline(always)]
pub(crate) unsafe fn unpark(host: &V8Host, vm: NonNull<VmState>) {
    let v8 = &host.layout;
    // SAFETY: as in `park`.
    unsafe {
        host.running.set(vm);
        if (*vm.as_ptr()).unusual & (QUIET | LOCKED) != 0 {
            if (*vm.as_ptr()).unusual & LOCKED != 0 {
                return locker::unpark(host, vm);
            }
            host.quiet.wake(host, vm);
        }
        let vm = &mut *vm.as_ptr();
        vm.node.data = host.blank_image();
        let spare = *v8.handle_scope_implementer.add(v8.facts.spare);
        transfer_for::<true>(v8, vm.image.as_mut_ptr());
        *v8.handle_scope_implementer.add(v8.facts.spare) = spare;
        if !vm.is_main {
            if vm.unusual & OWNS_LIST != 0 {
                host.drop_block_list();
                vm.unusual = 0;
            } else {
                let (list, capacity) = host.block_list.get();
                *(list as *mut usize) = vm.first_block;
                *v8.handle_scope_implementer.add(BLOCKS) = list;
                *v8.handle_scope_implementer.add(BLOCKS_CAPACITY) = capacity;
            }
        }
        *v8.thread.stack_start = vm.stack.base;
        *v8.heap_stack_starts[0] = vm.stack.base;
        *v8.heap_stack_starts[1] = vm.stack.base;
        set_limit(v8, vm.stack.limit as u64);
        *v8.stack_guard.add(v8.facts.interrupt_scopes()) = vm.interrupt_scopes;
        put_back(v8, vm);
    }
}

/// Takes what the isolate has of the running stack though V8 knows nothing of that.
///
/// # Safety
/// As for [`park`].
#[inline(always)]
pub(crate) unsafe fn put_aside(v8: &Layout, vm: &mut VmState) {
    // SAFETY: as in `park`.
    unsafe {
        if let Some(word) = v8.embedder_data {
            *vm.embedder_data = *word;
        }
        if let Some(list) = v8.doomed {
            doomed::take(list, &mut vm.doomed);
        }
    }
}

/// Gives it back.
///
/// # Safety
/// As for [`unpark`].
#[inline(always)]
pub(crate) unsafe fn put_back(v8: &Layout, vm: &mut VmState) {
    // SAFETY: as in `park`.
    unsafe {
        if let Some(word) = v8.embedder_data {
            *word = *vm.embedder_data;
        }
        if let Some(list) = v8.doomed {
            doomed::put_back(list, &mut vm.doomed);
        }
    }
}

/// Where the handles of a parked stack end. A block that is followed by another one is full.
///
/// # Safety
/// `vm` is parked, and not main's.
pub(crate) unsafe fn live_end(host: &V8Host, vm: NonNull<VmState>) -> usize {
    // SAFETY: `vm` is live and nobody else holds a reference to it.
    let vm = unsafe { &*vm.as_ptr() };
    match vm.image[BLOCKS_SIZE] {
        1 => vm.image[host.layout.facts.implementer_words] as usize,
        _ => vm.first_block + HANDLE_BLOCK_WORDS * 8,
    }
}

/// Moves what the image holds along with the stack. Home again, exactly the words move back that were moved away: others may
/// look like addresses in the copy.
///
/// # Safety
/// As for `live_end`; the bytes are where `moved` says.
pub(crate) unsafe fn relocate(host: &V8Host, vm: NonNull<VmState>, moved: &Relocation) {
    let words = host.layout.facts.archive_words();
    let distance = moved.to.wrapping_sub(*moved.from.start()) as u64;
    // SAFETY: as above.
    let vm = unsafe { &mut *vm.as_ptr() };
    if !moved.home {
        let inside = |i: &usize| moved.new_address(vm.image[*i] as usize).is_some();
        vm.moved = (0..words).filter(inside).fold(0, |all, i| all | 1 << i);
    }
    for i in (0..words).filter(|i| vm.moved & 1 << i != 0) {
        vm.image[i] = vm.image[i].wrapping_add(distance);
    }
    vm.first_block = vm.first_block.wrapping_add(distance as usize);
    if vm.unusual & OWNS_LIST != 0 {
        // SAFETY: the list, which names this block first, is the greenlet's own.
        unsafe { *(vm.image[BLOCKS] as *mut usize) = vm.first_block };
    }
    if let Some(callbacks) = host.layout.callbacks {
        // SAFETY: the core spills on the isolate's thread, and calls nothing that collects.
        unsafe { callbacks.relocate(moved) };
    }
}

/// Sets V8's stack limit without losing an interrupt: a requested one (from any thread) stands in `jslimit_` in place of
/// the limit and follows the thread. The order is V8's own (StackGuard::SetStackLimitForStackSwitching, 14.6).
///
/// # Safety
/// On the isolate's thread.
#[inline(always)]
pub(crate) unsafe fn set_limit(v8: &Layout, limit: u64) {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    // SAFETY: the words of the StackGuard, verified by `learn.rs`; V8 writes them atomically too.
    unsafe {
        let word = |index: usize| AtomicU64::from_ptr(v8.stack_guard.add(index));
        let old = word(REAL_JS_LIMIT).load(Relaxed);
        // A failed exchange means that an interrupt is requested: it stays.
        let _ = word(JS_LIMIT).compare_exchange(old, limit, Relaxed, Relaxed);
        word(REAL_JS_LIMIT).store(limit, Relaxed);
        if let Some((real, requested)) = v8.facts.c_limits {
            let _ = word(requested).compare_exchange(old, limit, Relaxed, Relaxed);
            word(real).store(limit, Relaxed);
        }
    }
}

/// Writes the image of a stack on which nothing has run: blank, in the current context, with one empty handle block above
/// its base. Its context is that of the stack that ran last.
///
/// # Safety
/// `vm` is at its final address. The slot behind `vm.stack` is the greenlet's, with room for a handle block above the base.
pub(crate) unsafe fn write_fresh(host: &V8Host, vm: &mut VmState) {
    let v8 = &host.layout;
    let facts = v8.facts;
    let base = vm.stack.base as u64;
    vm.image[0] = v8.isolate as u64;
    vm.image[BLOCKS] = &raw mut vm.first_block as u64;
    vm.image[BLOCKS_CAPACITY] = 8;
    vm.image[BLOCKS_SIZE] = 1;
    let data = &mut vm.image[facts.implementer_words..];
    data[0] = base; // next
    data[1] = base + HANDLE_BLOCK_WORDS as u64 * 8; // limit
    data[2] = 1; // level 1, sealed_level 0
    let top =
        &mut vm.image[facts.implementer_words + facts.scope_data_words..][..facts.thread_local_top_words];
    top.copy_from_slice(&v8.blank_top[..facts.thread_local_top_words]);
    // SAFETY: a word of the live ThreadLocalTop.
    top[v8.context_word] = unsafe { *v8.thread_local_top.add(v8.context_word) };
}
