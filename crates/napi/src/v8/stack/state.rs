//! What V8 keeps for one stack, and the copying between the isolate and that state.
//!
//! An image has the shape of V8's own archive of a thread (ThreadManager::EagerlyArchiveThread, v8threads.cc), as far as the
//! collector and the deoptimizer read it:
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
//! While another stack is in the slot, that range is a copy on the heap. V8 finds its way in the copy as before: the core changed
//! the links inside the range, and `relocate` changes those of the image.
//!
//! Two of V8's things belong to the thread, not to a stack, although V8 archives them with a stack: the vector that lists the
//! handle blocks (V8 may reallocate it; a parked greenlet with one block lists it in its own `first_block` instead), and the spare
//! block.
//!
//! # Contract
//! The functions of `stack`, `gc`, `lanes` and `host` that take states are called under these clauses, and their `SAFETY`
//! sentences name them:
//!
//! - **thread**: the call is made on the isolate's own thread, inside a native callback or a callback of V8's collector.
//! - **learnt**: every address in a [`Layout`] was verified when it was learnt, and is valid as long as the isolate. Only this
//!   thread changes the words there, except for the interrupt words of the StackGuard, which all sides access atomically.
//! - **live**: a pointer to a [`StackState`] leads to a state that stays at one address from `enlist` to `retire` or `abandon`. It
//!   may be used for the whole state, and for what follows it in the core's record.
//! - **raw**: states, images and V8's words are accessed through raw pointers. No reference to them exists while V8, Node or
//!   JavaScript runs: not longer than one expression.
//! - **parked**: the state is that of a suspended stack. Its image holds V8's words, which only the collector and the
//!   deoptimizer change.

use std::ops::Range;
use std::ptr::NonNull;
use std::slice::from_raw_parts;

use greenlets_core::raw::{Relocation, StackBounds};

use super::context_words::ContextWords;
use super::shape::View;
use crate::v8::learn::facts::{
    Abi, BLOCKS, BLOCKS_CAPACITY, BLOCKS_SIZE, Facts, HANDLE_BLOCK_BYTES, JS_LIMIT, MAX_ARCHIVE_WORDS,
    REAL_JS_LIMIT, known_for,
};
use crate::v8::learn::layout::Layout;
use crate::v8::learn::list_node::ListNode;

/// What V8 keeps for one stack.
#[repr(C)]
pub(crate) struct StackState {
    pub(crate) node: ListNode,
    pub(crate) image: [u64; MAX_ARCHIVE_WORDS],
    /// Where V8 may run: from the stack's start down to its JavaScript limit, which is above the slot's.
    pub(crate) stack: StackBounds,
    /// Where the continuation-preserved embedder data is while the stack is parked: a word of the root table.
    pub(crate) embedder_data: *mut u64,
    /// What a greenlet has in the root table; main has nothing there.
    pub(crate) context: Option<NonNull<ContextWords>>,
    /// `StackGuard::interrupt_scopes_`: C++ objects on this stack.
    pub(crate) interrupt_scopes: u64,
    /// What this stack has in the isolate's list of objects to destroy; see `destroy_list.rs`.
    pub(crate) destroy_entries: Vec<u64>,
    /// The list of handle blocks while there is only one.
    pub(crate) first_block: usize,
    /// Which words of the image were moved along with the stack, while it is spilled.
    moved: u64,
    pub(crate) is_main: bool,
    /// How far below the base the TryCatch around the greenlet's JavaScript begins; 0 before it exists. See `unread.rs`.
    pub(crate) guard: u16,
    /// Bits that few stacks have: [`OWNS_LIST`], [`QUIET`], [`LOCKED`].
    pub(crate) unusual: u8,
    /// Its place among the classes of stacks; see `gc/classes/members.rs`. Only quiet stacks have one.
    pub(crate) place: u32,
    /// The locker lane: the thread that V8 takes this stack for, and whether it has not run yet.
    pub(crate) stand_in: StandIn,
    pub(crate) is_new: bool,
}

/// The image has taken the thread's list of handle blocks, because the stack has more than one block.
pub(crate) const OWNS_LIST: u8 = 1;
/// No word of the stack is a young object; see `gc/quiet.rs`.
pub(crate) const QUIET: u8 = 2;
/// V8 moves the state itself; see `lanes/locker.rs`.
pub(crate) const LOCKED: u8 = 4;

/// The thread that V8 takes a stack for, in the locker lane.
#[derive(Debug, Default)]
pub(crate) struct StandIn {
    pub(crate) thread_id: i32,
    /// Whether V8 has seen it.
    pub(crate) is_known: bool,
    /// The `v8::Locker` by which it first came; main's is Node's own.
    pub(crate) locker: [usize; 2],
}

impl StandIn {
    pub(crate) fn of_main(thread_id: i32) -> StandIn {
        StandIn { thread_id, is_known: true, locker: [0; 2] }
    }
}

impl StackState {
    pub(crate) fn new(v8: &Layout, stack: StackBounds, is_main: bool) -> Self {
        StackState {
            node: ListNode::new(v8.thread_id, v8.thread_manager, std::ptr::null_mut()),
            image: [0; MAX_ARCHIVE_WORDS],
            stack,
            embedder_data: std::ptr::null_mut(),
            context: None,
            interrupt_scopes: 0,
            destroy_entries: Vec::new(),
            first_block: stack.base,
            moved: 0,
            is_main,
            stand_in: StandIn::default(),
            is_new: false,
            guard: 0,
            unusual: 0,
            place: 0,
        }
    }
}

/// The state's image, for raw access.
///
/// # Safety
/// The contract's clause **live**.
#[inline(always)]
pub(crate) unsafe fn image(vm: NonNull<StackState>) -> *mut u64 {
    // SAFETY: the contract's clause **live**; no reference is made.
    unsafe { (&raw mut (*vm.as_ptr()).image).cast() }
}

/// ThreadLocalTop in the state's image.
///
/// # Safety
/// The contract's clause **live**.
pub(crate) unsafe fn top_of_image(v8: &Layout, vm: NonNull<StackState>) -> *mut u64 {
    // SAFETY: the contract's clause **live**; an image is longer than what lies before ThreadLocalTop in it.
    unsafe { image(vm).add(v8.facts.implementer_words + v8.facts.scope_data_words) }
}

/// The state's node in V8's list. The pointer may be used for the whole state.
pub(crate) fn node_of(vm: NonNull<StackState>) -> NonNull<ListNode> {
    vm.cast()
}

/// Copies `N` words. In pieces of 16 the compiler inlines the copy; larger ones would call memcpy.
///
/// # Safety
/// `from` and `to` are good for `N` words each, and do not overlap.
#[inline(always)]
unsafe fn copy<const N: usize>(from: *const u64, to: *mut u64) {
    let mut done = 0;
    while done < N {
        let piece = if N - done < 16 { N - done } else { 16 };
        // SAFETY: `done + piece <= N`, and the caller promises `N` words that do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(from.add(done), to.add(done), piece) };
        done += piece;
    }
}

/// Copies between the isolate and an image; `IN` says into the isolate.
///
/// # Safety
/// The contract's clauses **thread** and **learnt**; `image` has space for the archive of this ABI.
#[inline(always)]
unsafe fn transfer<const IN: bool, const HSI: usize, const HSD: usize, const TOP: usize>(
    v8: &Layout,
    image: *mut u64,
) {
    // SAFETY: the contract's clause **learnt**: the objects at these addresses have these sizes (`facts.rs`). The image holds them
    // one after the other.
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

/// [`transfer`] with the sizes of the V8 `ABI`, as constants. `facts_agree` compares them with the table of facts.
///
/// # Safety
/// The same as for [`transfer`].
#[inline(always)]
unsafe fn transfer_for<const ABI: usize, const IN: bool>(v8: &Layout, image: *mut u64) {
    const V8_11_3: usize = Abi::V8_11_3 as usize;
    const V8_12_4: usize = Abi::V8_12_4 as usize;
    const V8_13_6: usize = Abi::V8_13_6 as usize;
    // SAFETY: the caller's promise is the one that `transfer` needs.
    unsafe {
        match ABI {
            V8_11_3 => transfer::<IN, 15, 4, 25>(v8, image),
            V8_12_4 => transfer::<IN, 12, 3, 30>(v8, image),
            V8_13_6 => transfer::<IN, 13, 3, 30>(v8, image),
            _ => transfer::<IN, 13, 3, 29>(v8, image),
        }
    }
}

/// Copies V8's words of the running stack out of the isolate into `image`.
///
/// # Safety
/// The contract's clauses **thread** and **learnt**; `image` belongs to a state, and `ABI` is the isolate's.
#[inline(always)]
pub(crate) unsafe fn copy_out<const ABI: usize>(v8: &Layout, image: *mut u64) {
    // SAFETY: the image of a state has MAX_ARCHIVE_WORDS, enough for every ABI.
    unsafe { transfer_for::<ABI, false>(v8, image) }
}

/// Copies V8's words of a stack from `image` into the isolate.
///
/// # Safety
/// The same as for [`copy_out`], and `image` was filled by it or by [`write_fresh`].
#[inline(always)]
pub(crate) unsafe fn copy_in<const ABI: usize>(v8: &Layout, image: *mut u64) {
    // SAFETY: the image of a state has MAX_ARCHIVE_WORDS, enough for every ABI.
    unsafe { transfer_for::<ABI, true>(v8, image) }
}

/// Whether the constants with which the switch was compiled are the facts that were verified.
pub(crate) fn facts_agree(v8: &Layout) -> bool {
    let (known, sizes) = match v8.facts.abi {
        Abi::V8_11_3 => (known_for::<{ Abi::V8_11_3 as usize }>(), (15, 4, 25)),
        Abi::V8_12_4 => (known_for::<{ Abi::V8_12_4 as usize }>(), (12, 3, 30)),
        Abi::V8_13_6 => (known_for::<{ Abi::V8_13_6 as usize }>(), (13, 3, 30)),
        Abi::V8_14_6 => (known_for::<{ Abi::V8_14_6 as usize }>(), (13, 3, 29)),
    };
    let words = |facts: &Facts| (facts.spare, facts.interrupt_flags, facts.c_limits, facts.has_destroy_list);
    let facts = v8.facts;
    sizes == (facts.implementer_words, facts.scope_data_words, facts.thread_local_top_words)
        && words(facts) == words(known)
        && facts.has_destroy_list == v8.destroy_list.is_some()
}

/// Takes away what belongs to the running stack although V8 does not archive it with a thread.
///
/// # Safety
/// The contract's clauses **thread**, **learnt** and **live**; `vm` is the running stack's, and `facts` are the isolate's.
#[inline(always)]
pub(crate) unsafe fn put_aside(v8: &Layout, facts: &Facts, vm: NonNull<StackState>) {
    let vm = vm.as_ptr();
    // SAFETY: the contract's clause **learnt** for V8's words, **live** and **raw** for the state. `embedder_data` leads to a word
    // of the root table, which does not move.
    unsafe {
        if let Some(word) = v8.embedder_data {
            *(*vm).embedder_data = *word;
        }
        if facts.has_destroy_list
            && let Some(list) = v8.destroy_list
        {
            list.take(&mut (*vm).destroy_entries);
        }
    }
}

/// Gives it back to the stack that runs again.
///
/// # Safety
/// The contract's clauses **thread**, **learnt** and **live**; `vm` is the running stack's, and `facts` are the isolate's.
#[inline(always)]
pub(crate) unsafe fn put_back(v8: &Layout, facts: &Facts, vm: NonNull<StackState>) {
    let vm = vm.as_ptr();
    // SAFETY: the contract's clause **learnt** for V8's words, **live** and **raw** for the state. `embedder_data` leads to a word
    // of the root table, which does not move.
    unsafe {
        if let Some(word) = v8.embedder_data {
            *word = *(*vm).embedder_data;
        }
        if facts.has_destroy_list
            && let Some(list) = v8.destroy_list
        {
            list.put_back(&mut (*vm).destroy_entries);
        }
    }
}

/// Where the handles of a parked stack end. A block that is followed by another one is full.
///
/// # Safety
/// The contract's clauses **live** and **parked**; `vm` is not main's.
pub(crate) unsafe fn live_end(v8: &Layout, vm: NonNull<StackState>) -> usize {
    // SAFETY: the contract's clauses **live** and **parked**: the words are V8's, and nothing changes them meanwhile.
    unsafe {
        let image = image(vm);
        match *image.add(BLOCKS_SIZE) {
            1 => *image.add(v8.facts.implementer_words) as usize,
            _ => (*vm.as_ptr()).first_block + HANDLE_BLOCK_BYTES as usize,
        }
    }
}

/// Changes the addresses in the image that lead into the stack, whose bytes have moved. When the stack is back in its slot, exactly
/// the words that were changed are changed back: others may look like addresses in the copy.
///
/// # Safety
/// The contract's clauses **thread**, **live** and **parked**; the bytes are where `moved` says, and no collection is in progress.
pub(crate) unsafe fn relocate(v8: &Layout, vm: NonNull<StackState>, moved: &Relocation) {
    let words = v8.facts.archive_words();
    let new_address = |address: usize| moved.new_address(address).unwrap_or(address);
    let state = vm.as_ptr();
    // SAFETY: the contract's clauses **live** and **raw**; the image has at least `archive_words` words, fewer than 64.
    unsafe {
        let image = image(vm);
        if !moved.home {
            let inside = |i: &usize| moved.new_address(*image.add(*i) as usize).is_some();
            (*state).moved = (0..words).filter(inside).fold(0, |all, i| all | 1 << i);
        }
        for i in (0..words).filter(|i| (*state).moved & 1 << i != 0) {
            *image.add(i) = new_address(*image.add(i) as usize) as u64;
        }
        (*state).first_block = new_address((*state).first_block);
        if (*state).unusual & OWNS_LIST != 0 {
            // The list is the greenlet's own, and names this block first.
            *(*image.add(BLOCKS) as *mut usize) = (*state).first_block;
        }
        if let Some(callbacks) = v8.epilogue_callbacks {
            callbacks.relocate(moved);
        }
    }
}

/// Sets V8's stack limit without losing an interrupt: a requested one (from any thread) is in `jslimit_` in place of the limit,
/// and belongs to the thread. The order is V8's own (StackGuard::SetStackLimitForStackSwitching, 14.6).
///
/// # Safety
/// The contract's clauses **thread** and **learnt**; `facts` are the isolate's.
#[inline(always)]
pub(crate) unsafe fn set_limit(v8: &Layout, facts: &Facts, limit: u64) {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    // SAFETY: the contract's clause **learnt**: words of the live StackGuard, which V8 also writes atomically.
    unsafe {
        let word = |index: usize| AtomicU64::from_ptr(v8.stack_guard.add(index));
        let old = word(REAL_JS_LIMIT).load(Relaxed);
        // Where the exchange fails, an interrupt is requested: it stays.
        let _ = word(JS_LIMIT).compare_exchange(old, limit, Relaxed, Relaxed);
        word(REAL_JS_LIMIT).store(limit, Relaxed);
        if let Some((real, requested)) = facts.c_limits {
            let _ = word(requested).compare_exchange(old, limit, Relaxed, Relaxed);
            word(real).store(limit, Relaxed);
        }
    }
}

/// V8's stack limit for the running stack.
///
/// # Safety
/// The contract's clauses **thread** and **learnt**.
pub(crate) unsafe fn limit(v8: &Layout) -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    // SAFETY: the contract's clause **learnt**: a word of the live StackGuard, which V8 also accesses atomically.
    unsafe { AtomicUsize::from_ptr(v8.stack_guard.add(REAL_JS_LIMIT).cast()).load(Relaxed) }
}

/// Writes the image of a stack on which nothing has run: blank, in the current context, with one empty handle block above its
/// base. Its context is that of the stack that ran last.
///
/// # Safety
/// The contract's clauses **thread**, **learnt** and **live**. The slot that `StackState::stack` describes is the greenlet's, with
/// space for a handle block above the base.
pub(crate) unsafe fn write_fresh(v8: &Layout, vm: NonNull<StackState>) {
    let facts = v8.facts;
    // SAFETY: the contract's clauses **live** and **raw**. The image is longer than an archive, and `context_word` is a word of the
    // live ThreadLocalTop.
    unsafe {
        let base = (*vm.as_ptr()).stack.base as u64;
        let image = image(vm);
        *image = v8.isolate as u64;
        *image.add(BLOCKS) = &raw mut (*vm.as_ptr()).first_block as u64;
        *image.add(BLOCKS_CAPACITY) = 8;
        *image.add(BLOCKS_SIZE) = 1;
        let data = image.add(facts.implementer_words);
        *data = base; // next
        *data.add(1) = base + HANDLE_BLOCK_BYTES; // limit
        *data.add(2) = 1; // level 1, sealed_level 0
        let top = top_of_image(v8, vm);
        top.copy_from_nonoverlapping(v8.blank_top.as_ptr(), facts.thread_local_top_words);
        *top.add(v8.context_word) = *v8.thread_local_top.add(v8.context_word);
    }
}

/// The words of the suspended stack of `vm`, of which `live` are the bytes.
///
/// # Safety
/// The clauses **live** and **parked**, and nothing writes to the state or the bytes as long as the view exists.
pub(crate) unsafe fn view_of<'a>(vm: NonNull<StackState>, live: Range<usize>) -> View<'a> {
    // SAFETY: the caller's clauses; both ends of `live` are word-aligned.
    unsafe {
        View {
            image: from_raw_parts(image(vm), MAX_ARCHIVE_WORDS),
            live: from_raw_parts(live.start as *const u64, live.len() / 8),
            first_block: (*vm.as_ptr()).first_block as u64,
        }
    }
}
