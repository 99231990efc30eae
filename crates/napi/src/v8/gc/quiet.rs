//! Generational stack scanning: a scavenge does not visit stacks that cannot hold a young object.
//!
//! Visiting a suspended stack costs microseconds, at *every* scavenge. But a scavenge moves every young object that it meets
//! (Scavenger::ScavengeObject, scavenger-inl.h, 11.3 to 14.6; large ones, which stay, become old), and writes the new address to the
//! word where it met the object. So a stack of which no word has changed during a scavenge holds no young object: it is *quiet*. It
//! cannot get one before it runs again, or V8 borrows it for a snapshot. The next scavenges need not visit it.
//!
//! ```text
//!   in-use list, normally      anchor ── main ── roots ── C ── D ─┬─ quiet: A ── B ── E ─┐
//!                                ▲                                │                      │
//!                                └────────────────────────────────┴──────────────────────┘
//!   during a scavenge          anchor ── main ── roots ── C ── D ── (anchor)      A ── B ── E   set aside
//!                                                         │
//!                                                         └ active since the last one: their words are compared
//! ```
//!
//! The quiet ones are one segment at the list's tail, so that cutting it off (in the prologue) and splicing it back (in the
//! epilogue) changes a few pointers even for a million stacks. A stack that runs leaves the segment; a stack that did not change
//! joins it. Words that can be pointers to objects, by their tag, are compared with a copy: a checksum would not be proof. A full
//! collection visits every stack, because it moves old objects too. It leaves no young object (`full.rs`), so after it all suspended
//! stacks are quiet. A minor mark-sweep (`--minor-ms`), which V8 announces as another kind and which moves nothing, visits every stack.
//!
//! The blocks of the root table are quiet or active too (`roots.rs`): a block is quiet when none of its contexts belongs to an
//! active stack, and none of its words has changed during a scavenge.
//!
//! The words that count are all that V8 visits for a node (ThreadManager::Iterate, v8threads.cc): the live bytes of the stack with
//! the first handle block, the further blocks, and the image. A stack with entered or saved contexts in V8's vectors is left out;
//! few have any.
//!
//! # Contract
//! - **scavenge**: `prologue` and `epilogue` run on the isolate's thread at the two ends of one scavenge. Between them no node is
//!   added or removed, and only the collector writes to stacks, blocks and images.
//! - **member**: a node of V8's list is live. A node that `suspended` recognizes is the first field of a [`StackState`], and the
//!   pointer in the list may be used for the whole state (`stack/state.rs`, `node_of`).
//! - **words**: the words that `each_part` shows are live, and nothing writes to them while they are shown. The references end
//!   with the call.

use std::cell::{Cell, RefCell};
use std::mem::offset_of;
use std::process::abort;
use std::ptr::{NonNull, null_mut};
use std::slice::from_raw_parts;

use super::greenlets::Greenlets;
use super::roots::Roots;
use crate::settings::Scan;
use crate::v8::learn::facts::{BLOCKS, BLOCKS_SIZE, HANDLE_BLOCK_WORDS, MAX_ARCHIVE_WORDS};
use crate::v8::learn::layout::Layout;
use crate::v8::learn::list_node::ListNode;
use crate::v8::stack::list;
use crate::v8::stack::shape::may_be_object;
use crate::v8::stack::stacks::Stacks;
use crate::v8::stack::state::{QUIET, StackState, image, node_of};

/// Most words that are compared in one scavenge, 128 MiB of them. The other stacks are visited, and compared another time.
const MOST_WORDS: usize = 16 << 20;
/// Capacity for words that is kept from one scavenge to the next.
const KEPT_WORDS: usize = 32 << 10;

/// The quiet stacks of one isolate.
pub(crate) struct Quiet {
    pub(crate) scan: Cell<Scan>,
    /// The first node of the segment; null where it is empty.
    first: Cell<*mut ListNode>,
    /// The first node of its end part, the settled stacks (`classes`); null where there are none.
    settled: Cell<*mut ListNode>,
    /// The ends of what is cut off.
    aside: Cell<Option<(*mut ListNode, *mut ListNode)>>,
    /// A capture has put the state of another stack into the isolate (`stack/capture.rs`), so words must not be compared.
    pub(crate) borrowed: Cell<bool>,
    watched: RefCell<Watched>,
}

/// Between the two ends of a scavenge: the stacks and blocks that are compared, each with its number of words that can be pointers,
/// and all those words as they were, one after the other.
#[derive(Default)]
struct Watched {
    stacks: Vec<(NonNull<StackState>, usize)>,
    /// Blocks of the root table, by number.
    blocks: Vec<(usize, usize)>,
    words: Vec<u64>,
}

impl Watched {
    /// # Safety
    /// The contract's clauses **scavenge** and **words**; `vm` is a suspended greenlet's.
    unsafe fn add_stack(&mut self, v8: &Layout, greenlets: &dyn Greenlets, vm: NonNull<StackState>) {
        let start = self.words.len();
        let see = |part: &[u64]| {
            self.words.extend(part.iter().copied().filter(|&word| may_be_object(word)));
            true
        };
        // SAFETY: the caller's clauses are the ones that `each_part` needs.
        if unsafe { each_part(v8, greenlets, vm, see) } {
            self.stacks.push((vm, self.words.len() - start));
        } else {
            self.words.truncate(start);
        }
    }

    fn add_block(&mut self, number: usize, block: &[u64]) {
        let start = self.words.len();
        self.words.extend(block.iter().copied().filter(|&word| may_be_object(word)));
        self.blocks.push((number, self.words.len() - start));
    }
}

impl Quiet {
    pub(crate) fn new() -> Quiet {
        Quiet {
            scan: Cell::new(Scan::All),
            first: Cell::new(null_mut()),
            settled: Cell::new(null_mut()),
            aside: Cell::new(None),
            borrowed: Cell::new(false),
            watched: RefCell::default(),
        }
    }

    /// A scavenge begins.
    ///
    /// # Safety
    /// The contract's clause **scavenge**.
    pub(super) unsafe fn prologue(
        &self,
        v8: &Layout,
        stacks: &Stacks,
        roots: &Roots,
        greenlets: &dyn Greenlets,
    ) {
        let scan = self.scan.get();
        if scan == Scan::All {
            return;
        }
        let anchor = v8.in_use;
        let watched = &mut *self.watched.borrow_mut();
        roots.next_round();
        // SAFETY: the contract's clauses **scavenge** and **member**.
        unsafe {
            if scan == Scan::Young {
                self.cut(anchor, self.first.get());
                roots.show_active();
            }
            if let Some(context) = (*stacks.running.get().as_ptr()).context {
                roots.mark_in_use(context);
            }
            let mut node = (*anchor).next;
            while node != anchor && (scan == Scan::Verify || watched.words.len() < MOST_WORDS) {
                if let Some(vm) = suspended(roots, node) {
                    let state = vm.as_ptr();
                    if let Some(context) = (*state).context.filter(|_| (*state).unusual & QUIET == 0) {
                        roots.mark_in_use(context);
                    }
                    if !self.borrowed.get() && !(*state).is_main {
                        watched.add_stack(v8, greenlets, vm);
                    }
                }
                node = (*node).next;
            }
            if node == anchor {
                roots.each_idle(scan == Scan::Verify, |number, block| watched.add_block(number, block));
            }
        }
    }

    /// A scavenge ends.
    ///
    /// # Safety
    /// The contract's clause **scavenge**.
    pub(super) unsafe fn epilogue(&self, v8: &Layout, roots: &Roots, greenlets: &dyn Greenlets) {
        let anchor = v8.in_use;
        // SAFETY: the contract's clause **scavenge**: the list is as `cut` left it.
        unsafe { self.splice(anchor) };
        let watched = &mut *self.watched.borrow_mut();
        let mut before = watched.words.as_slice();
        for (vm, count) in watched.stacks.drain(..) {
            let (then, rest) = before.split_at(count);
            before = rest;
            let mut then = then.iter();
            let mut same = true;
            // SAFETY: the contract's clauses **scavenge** and **words**: the stack is still suspended.
            unsafe {
                each_part(v8, greenlets, vm, |part| {
                    let now = part.iter().filter(|&&word| may_be_object(word));
                    same = now.fold(same, |same, word| then.next() == Some(word) && same);
                    true
                });
                // V8 clears the topmost script's context whenever it visits a stack (Isolate::Iterate, isolate.cc, 12.4 to 14.6).
                same &= then.next().is_none();
                let state = vm.as_ptr();
                let was_quiet = (*state).unusual & QUIET != 0;
                match (was_quiet, same) {
                    (true, false) => report_change(&format!("the stack at {:#x}", (*state).stack.base)),
                    (false, true) => self.join(anchor, vm),
                    _ => {}
                }
            }
        }
        for (number, count) in watched.blocks.drain(..) {
            let (then, rest) = before.split_at(count);
            before = rest;
            let unchanged = |block: &[u64]| block.iter().filter(|&&word| may_be_object(word)).eq(then);
            // SAFETY: the contract's clause **scavenge**: the collector is done with the table.
            let same = unsafe { roots.block_is(number, unchanged) };
            match (roots.is_quiet(number), same) {
                (true, false) => report_change(&format!("block {number} of the root table")),
                (false, true) => roots.mark_quiet(number),
                _ => {}
            }
        }
        roots.show_all();
        watched.words.clear();
        watched.words.shrink_to(KEPT_WORDS);
    }

    /// A full collection has ended. V8 has visited every suspended stack and has left no young object, so all of them are quiet, without
    /// a comparison.
    ///
    /// # Safety
    /// The contract's clause **member**. No scavenge is in progress, and no JavaScript has run since the full collection.
    pub(super) unsafe fn after_full(&self, v8: &Layout, roots: &Roots) {
        // During a capture, V8's words of two stacks are in the isolate and in an image that change places afterwards.
        if self.scan.get() == Scan::All || self.borrowed.get() {
            return;
        }
        let anchor = v8.in_use;
        // SAFETY: the contract's clause **member**. `join` moves a node behind all that are left, so the next one is read before.
        unsafe {
            let mut node = (*anchor).next;
            while node != anchor {
                let next = (*node).next;
                if let Some(vm) = suspended(roots, node) {
                    let state = vm.as_ptr();
                    if (*state).unusual & QUIET != 0 {
                        // The segment, which is the list's end.
                        return;
                    }
                    if !(*state).is_main && !has_contexts(v8, vm) {
                        self.join(anchor, vm);
                    }
                }
                node = next;
            }
        }
    }

    /// Moves a stack into the segment, before the settled ones.
    ///
    /// # Safety
    /// The contract's clause **member**; `vm` is in the list.
    unsafe fn join(&self, anchor: *mut ListNode, vm: NonNull<StackState>) {
        let node = node_of(vm);
        // SAFETY: the contract's clause **member**; the node is in the list, so it can be moved.
        unsafe {
            self.take_out(anchor, node);
            let settled = self.settled.get();
            list::link_last(if settled.is_null() { anchor } else { settled }, node);
            if self.first.get() == settled {
                self.first.set(node.as_ptr());
            }
            (*vm.as_ptr()).unusual |= QUIET;
        }
    }

    /// Takes a node out of the list.
    ///
    /// # Safety
    /// The contract's clause **member**; nothing is cut off.
    unsafe fn take_out(&self, anchor: *mut ListNode, node: NonNull<ListNode>) {
        // SAFETY: the contract's clause **member**.
        unsafe {
            let next = (*node.as_ptr()).next;
            for first in [&self.first, &self.settled] {
                if first.get() == node.as_ptr() {
                    first.set(if next == anchor { null_mut() } else { next });
                }
            }
            list::unlink(node);
        }
    }

    /// Moves a stack that is not quiet into the segment. It holds no young object after the full collection that begins.
    ///
    /// # Safety
    /// The contract's clause **member**; `vm` is in the list.
    pub(super) unsafe fn join_where_new(&self, anchor: *mut ListNode, vm: NonNull<StackState>) {
        // SAFETY: the caller's clause.
        unsafe {
            if (*vm.as_ptr()).unusual & QUIET == 0 {
                self.join(anchor, vm);
            }
        }
    }

    /// Moves a stack to the settled ones at the segment's end. It is quiet, or will be after the full collection that begins.
    ///
    /// # Safety
    /// The contract's clause **member**; `vm` is in the list.
    pub(super) unsafe fn settle(&self, anchor: *mut ListNode, vm: NonNull<StackState>) {
        let node = node_of(vm);
        // SAFETY: the contract's clause **member**; the node is in the list, so it can be moved to its end.
        unsafe {
            self.take_out(anchor, node);
            list::link_last(anchor, node);
            for first in [&self.first, &self.settled] {
                if first.get().is_null() {
                    first.set(node.as_ptr());
                }
            }
            (*vm.as_ptr()).unusual |= QUIET;
        }
    }

    /// Moves a settled stack to the other quiet ones.
    ///
    /// # Safety
    /// The contract's clause **member**; `vm` is in the list.
    pub(super) unsafe fn unsettle(&self, anchor: *mut ListNode, vm: NonNull<StackState>) {
        // SAFETY: the caller's clause.
        unsafe { self.join(anchor, vm) };
    }

    /// The first settled stack's node, or the list's anchor.
    pub(super) fn first_settled(&self, anchor: *mut ListNode) -> *mut ListNode {
        let settled = self.settled.get();
        if settled.is_null() { anchor } else { settled }
    }

    /// Cuts the settled stacks off, for a full collection.
    ///
    /// # Safety
    /// The contract's clause **scavenge**, for that collection.
    pub(super) unsafe fn cut_settled(&self, anchor: *mut ListNode) {
        // SAFETY: the caller's clause.
        unsafe { self.cut(anchor, self.settled.get()) };
    }

    /// Takes `vm` out of the segment where it is there, because its stack is about to run, to be borrowed, or to be abandoned. It
    /// is put at the list's head.
    ///
    /// # Safety
    /// The contract's clause **member**; `vm` is in the list, and no scavenge is in progress.
    #[cold]
    pub(crate) unsafe fn mark_active(&self, v8: &Layout, roots: &Roots, vm: NonNull<StackState>) {
        let anchor = v8.in_use;
        let state = vm.as_ptr();
        // SAFETY: the contract's clause **member**; the context of a state is one of the root table.
        unsafe {
            if (*state).unusual & QUIET == 0 {
                return;
            }
            (*state).unusual &= !QUIET;
            if let Some(context) = (*state).context {
                roots.mark_active(context);
            }
            let node = node_of(vm);
            self.take_out(anchor, node);
            list::link(anchor, node);
        }
    }

    /// Cuts off the nodes from `first` to the list's end.
    ///
    /// # Safety
    /// The contract's clause **scavenge**; `first` is null or a node of the segment.
    unsafe fn cut(&self, anchor: *mut ListNode, first: *mut ListNode) {
        if first.is_null() {
            return;
        }
        // SAFETY: the contract's clause **member**: the segment goes from `first` to the list's last node.
        unsafe {
            let last = (*anchor).previous;
            (*(*first).previous).next = anchor;
            (*anchor).previous = (*first).previous;
            self.aside.set(Some((first, last)));
        }
    }

    /// Puts them back at the list's end.
    ///
    /// # Safety
    /// The contract's clause **scavenge**.
    pub(super) unsafe fn splice(&self, anchor: *mut ListNode) {
        let Some((first, last)) = self.aside.take() else { return };
        // SAFETY: the contract's clause **scavenge**: the segment's inner links are as `cut` left them.
        unsafe {
            let before = (*anchor).previous;
            (*before).next = first;
            (*first).previous = before;
            (*last).next = anchor;
            (*anchor).previous = last;
        }
    }
}

/// The state behind `node`, where it is that of a suspended stack of ours.
///
/// # Safety
/// The contract's clause **member**.
pub(super) unsafe fn suspended(roots: &Roots, node: *mut ListNode) -> Option<NonNull<StackState>> {
    let image = (node as usize + offset_of!(StackState, image)) as *mut u64;
    // SAFETY: the contract's clause **member**: each node has `data`. A node with its data where our states have their image is one
    // of ours; archives of other threads are blocks of their own.
    let is_ours = unsafe { (*node).data } == image && node != roots.node().as_ptr();
    is_ours.then(|| NonNull::new(node.cast())).flatten()
}

/// Whether V8 keeps contexts for the suspended `vm` in vectors of its own: few stacks have any, and those are never quiet.
///
/// # Safety
/// The contract's clause **member**; `vm` is a suspended greenlet's.
pub(super) unsafe fn has_contexts(v8: &Layout, vm: NonNull<StackState>) -> bool {
    // SAFETY: the contract's clause **member**. A vector is three words of the image: memory, capacity and size.
    unsafe {
        let image = image(vm);
        v8.facts.vectors.iter().any(|&vector| *image.add(vector + 2) != 0)
    }
}

/// Shows every word that V8 visits for the suspended `vm` to `see`, in parts. Returns false where they cannot all be shown.
///
/// # Safety
/// The contract's clauses **scavenge** and **words**; `vm` is a suspended greenlet's.
unsafe fn each_part(
    v8: &Layout,
    greenlets: &dyn Greenlets,
    vm: NonNull<StackState>,
    mut see: impl FnMut(&[u64]) -> bool,
) -> bool {
    let facts = v8.facts;
    // SAFETY: the contract's clause **words** for live stacks, blocks and images. The blocks but the first are full up to the last
    // one, which is in use up to `next`.
    unsafe {
        if has_contexts(v8, vm) {
            return false;
        }
        let image = image(vm).cast_const();
        let Some(live) = greenlets.live_bytes(vm) else { return false };
        if !see(from_raw_parts(image, MAX_ARCHIVE_WORDS))
            || !see(from_raw_parts(live.start as *const u64, live.len() / 8))
        {
            return false;
        }
        let (list, count) = (*image.add(BLOCKS) as *const *const u64, *image.add(BLOCKS_SIZE) as usize);
        let next = *image.add(facts.implementer_words) as usize;
        (1..count).all(|i| {
            let block = *list.add(i);
            let words = if i + 1 == count { (next - block as usize) / 8 } else { HANDLE_BLOCK_WORDS };
            see(from_raw_parts(block, words))
        })
    }
}

fn report_change(what: &str) -> ! {
    report_and_abort(&format!("a scavenge changed {what}, which was marked as holding no young object"))
}

/// Ends the process, because a guess about a collection was wrong.
pub(super) fn report_and_abort(what: &str) -> ! {
    eprintln!("greenlets: GREENLETS_VERIFY_GC: {what}");
    abort();
}
