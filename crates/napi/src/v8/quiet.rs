//! Generational stack scanning: a scavenge does not visit stacks that cannot hold a young object.
//!
//! Visiting a suspended stack costs microseconds, at *every* scavenge. But a scavenge moves every young object that it meets
//! (Scavenger::ScavengeObject, scavenger-inl.h, 11.3 to 14.6; large ones, which stay, become old), and writes its new address
//! to where it met it. So a stack of which no word has changed over a scavenge holds no young object: it is *quiet*. Nor can it
//! get one before it runs again, or V8 borrows it for a snapshot. The next scavenges need not visit it.
//!
//! ```text
//!   in-use list, as it is      anchor ── main ── roots ── C ── D ─┬─ quiet: A ── B ── E ─┐
//!                                ▲                                │                      │
//!                                └────────────────────────────────┴──────────────────────┘
//!   during a scavenge          anchor ── main ── roots ── C ── D ── (anchor)      A ── B ── E   set aside
//!                                                         │
//!                                                         └ ran since the last one: their words are compared
//! ```
//!
//! The quiet ones are one segment at the list's tail, so that cutting it off (in the prologue) and splicing it back (in the
//! epilogue) is a matter of a few pointers for a million of them. What ran leaves the segment; what did not change joins it.
//! Words that can be pointers to objects, by their tag, are compared with a copy of them: nothing is ever concluded from a checksum. A full collection visits everybody: it
//! moves old objects too. So does a minor mark-sweep (`--minor-ms`), which calls itself by another kind and moves nothing.
//!
//! The root table, where the contexts of all stacks are, is quiet by the block (`roots.rs`): one of which no context belongs to a
//! stack that is awake, and of which no word has changed over a scavenge.
//!
//! Which words: all that V8 visits for a node (ThreadManager::Iterate, v8threads.cc), namely the live bytes of the stack with
//! the first handle block, the further blocks, and the image. A stack with entered or saved contexts in V8's vectors is left
//! out; few have any.

use std::cell::{Cell, RefCell};
use std::mem::offset_of;
use std::process::abort;
use std::ptr::{NonNull, null_mut};
use std::slice::from_raw_parts;

use greenlets_core::Thread;

use super::facts::{BLOCKS, BLOCKS_SIZE, HANDLE_BLOCK_WORDS};
use super::host::V8Host;
use super::list::{self, Node};
use super::state::{QUIET, VmState};

/// Most words that are compared in one scavenge, 128 MiB of them. Whoever is left over is visited, and compared another time.
const MOST_WORDS: usize = 16 << 20;
/// Room for words that is kept from one scavenge to the next.
const KEPT_WORDS: usize = 32 << 10;

/// What a scavenge does about quiet stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    /// It leaves them out.
    Young,
    /// It visits all stacks, and none is found to be quiet.
    All,
    /// It visits all stacks; a quiet one that changes ends the process. To test this room.
    Verify,
}

/// The quiet stacks of one isolate.
pub(crate) struct Quiet {
    pub(crate) scan: Cell<Scan>,
    /// The first node of the segment; null where it is empty.
    first: Cell<*mut Node>,
    /// The segment's ends while it is cut off.
    aside: Cell<Option<(*mut Node, *mut Node)>>,
    /// V8 has one stack's state in another's place: nothing can be concluded.
    pub(crate) borrowed: Cell<bool>,
    watched: RefCell<Watched>,
}

/// Between the two ends of a scavenge: who is compared, each with how many pointers to objects, and all those pointers as they
/// were, one after the other.
#[derive(Default)]
struct Watched {
    stacks: Vec<(NonNull<VmState>, usize)>,
    /// Blocks of the root table, by number.
    blocks: Vec<(usize, usize)>,
    words: Vec<u64>,
}

impl Watched {
    /// # Safety
    /// As for `each_part`.
    unsafe fn add_stack(&mut self, host: &V8Host, thread: &Thread<V8Host>, vm: NonNull<VmState>) {
        let start = self.words.len();
        let see = |part: &[u64]| {
            self.words.extend(part.iter().copied().filter(may_be_object));
            true
        };
        // SAFETY: passed on.
        if unsafe { each_part(host, thread, vm, see) } {
            self.stacks.push((vm, self.words.len() - start));
        } else {
            self.words.truncate(start);
        }
    }

    fn add_block(&mut self, number: usize, block: &[u64]) {
        let start = self.words.len();
        self.words.extend(block.iter().copied().filter(may_be_object));
        self.blocks.push((number, self.words.len() - start));
    }
}

impl Quiet {
    pub(crate) fn new() -> Quiet {
        Quiet {
            scan: Cell::new(Scan::All),
            first: Cell::new(null_mut()),
            aside: Cell::new(None),
            borrowed: Cell::new(false),
            watched: RefCell::default(),
        }
    }

    /// A scavenge begins.
    ///
    /// # Safety
    /// On the isolate's thread; `thread` is the one that `host` belongs to.
    pub(crate) unsafe fn prologue(&self, host: &V8Host, thread: &Thread<V8Host>) {
        let scan = self.scan.get();
        if scan == Scan::All {
            return;
        }
        let anchor = host.layout.in_use;
        let watched = &mut *self.watched.borrow_mut();
        let roots = host.roots();
        roots.next_round();
        // SAFETY: a circular list of live nodes, which only this thread changes; recognised nodes are states of ours.
        unsafe {
            if scan == Scan::Young {
                self.cut(anchor);
                roots.show_loud();
            }
            if let Some(context) = host.running.get().as_ref().context {
                roots.mark_in_use(context);
            }
            let mut node = (*anchor).next;
            while node != anchor && (scan == Scan::Verify || watched.words.len() < MOST_WORDS) {
                if let Some(vm) = suspended(host, node) {
                    let state = vm.as_ref();
                    if let Some(context) = state.context.filter(|_| state.unusual & QUIET == 0) {
                        roots.mark_in_use(context);
                    }
                    if !self.borrowed.get() && !state.is_main {
                        watched.add_stack(host, thread, vm);
                    }
                }
                node = (*node).next;
            }
            if node == anchor {
                for (number, block) in roots.idle(scan == Scan::Verify) {
                    watched.add_block(number, block);
                }
            }
        }
    }

    /// A scavenge ends.
    ///
    /// # Safety
    /// As for `prologue`.
    pub(crate) unsafe fn epilogue(&self, host: &V8Host, thread: &Thread<V8Host>) {
        let anchor = host.layout.in_use;
        // SAFETY: as in `prologue`; between the two no node came or went.
        unsafe { self.splice(anchor) };
        let watched = &mut *self.watched.borrow_mut();
        let mut before = watched.words.as_slice();
        for (vm, count) in watched.stacks.drain(..) {
            let (then, rest) = before.split_at(count);
            before = rest;
            let mut then = then.iter();
            let mut same = true;
            // SAFETY: as in `prologue`.
            unsafe {
                each_part(host, thread, vm, |part| {
                    let now = part.iter().filter(|word| may_be_object(word));
                    same = now.fold(same, |same, word| then.next() == Some(word) && same);
                    true
                });
                // V8 clears the topmost script's context whenever it visits a stack (Isolate::Iterate, isolate.cc, 12.4 to 14.6).
                same &= then.next().is_none();
                let was_quiet = (*vm.as_ptr()).unusual & QUIET != 0;
                match (was_quiet, same) {
                    (true, false) => report_and_abort(&format!("the stack at {:#x}", vm.as_ref().stack.base)),
                    (false, true) => self.join(anchor, vm),
                    _ => {}
                }
            }
        }
        for (number, count) in watched.blocks.drain(..) {
            let (then, rest) = before.split_at(count);
            before = rest;
            let roots = host.roots();
            let same = roots.block(number).iter().filter(|word| may_be_object(word)).eq(then);
            match (roots.is_quiet(number), same) {
                (true, false) => report_and_abort(&format!("block {number} of the root table")),
                (false, true) => roots.hush(number),
                _ => {}
            }
        }
        host.roots().show_all();
        watched.words.clear();
        watched.words.shrink_to(KEPT_WORDS);
    }

    /// # Safety
    /// `vm` is in the list and not quiet.
    unsafe fn join(&self, anchor: *mut Node, vm: NonNull<VmState>) {
        // SAFETY: the caller's promise; the node is the state's first field.
        unsafe {
            let node = vm.cast::<Node>();
            list::unlink(node);
            list::link_last(anchor, node);
            if self.first.get().is_null() {
                self.first.set(node.as_ptr());
            }
            (*vm.as_ptr()).unusual |= QUIET;
        }
    }

    /// `vm` is quiet no more: it is to run, to be borrowed, or to go. It comes to the list's head.
    ///
    /// # Safety
    /// `vm` is in the list, and no scavenge is under way.
    #[cold]
    pub(crate) unsafe fn wake(&self, host: &V8Host, vm: NonNull<VmState>) {
        let anchor = host.layout.in_use;
        // SAFETY: as in `join`.
        unsafe {
            let state = vm.as_ptr();
            if (*state).unusual & QUIET == 0 {
                return;
            }
            (*state).unusual &= !QUIET;
            if let Some(context) = (*state).context {
                host.roots().wake(context);
            }
            let node = vm.cast::<Node>();
            if self.first.get() == node.as_ptr() {
                let next = (*node.as_ptr()).next;
                self.first.set(if next == anchor { null_mut() } else { next });
            }
            list::unlink(node);
            list::link(anchor, node);
        }
    }

    unsafe fn cut(&self, anchor: *mut Node) {
        let first = self.first.get();
        if first.is_null() {
            return;
        }
        // SAFETY: the segment reaches from `first` to the list's last node.
        unsafe {
            let last = (*anchor).previous;
            (*(*first).previous).next = anchor;
            (*anchor).previous = (*first).previous;
            self.aside.set(Some((first, last)));
        }
    }

    unsafe fn splice(&self, anchor: *mut Node) {
        let Some((first, last)) = self.aside.take() else { return };
        // SAFETY: as `cut` left it; the segment's inner links are as they were.
        unsafe {
            let before = (*anchor).previous;
            (*before).next = first;
            (*first).previous = before;
            (*last).next = anchor;
            (*anchor).previous = last;
        }
    }
}

/// The state behind `node`, where it is that of a suspended stack.
///
/// # Safety
/// `node` is in the list.
unsafe fn suspended(host: &V8Host, node: *mut Node) -> Option<NonNull<VmState>> {
    let image = (node as usize + offset_of!(VmState, image)) as *mut u64;
    // SAFETY: every node has `data`; a node whose data is where ours have their image is one of ours. Others' archives are
    // blocks of their own.
    let is_ours = unsafe { (*node).data } == image && node != host.roots_node();
    is_ours.then(|| NonNull::new(node.cast())).flatten()
}

/// Whether the word has the tag of a pointer to an object (`kHeapObjectTag`, v8-internal.h).
fn may_be_object(word: &u64) -> bool {
    word & 3 == 1
}

/// Shows every word that V8 visits for the suspended `vm` to `see`, in parts. False where they cannot all be shown.
///
/// # Safety
/// `vm` is a suspended greenlet's, of `thread`.
unsafe fn each_part(
    host: &V8Host,
    thread: &Thread<V8Host>,
    vm: NonNull<VmState>,
    mut see: impl FnMut(&[u64]) -> bool,
) -> bool {
    let facts = host.layout.facts;
    // SAFETY: the caller's promise. Words of live stacks, blocks and images, which nobody writes meanwhile.
    unsafe {
        let image = &(*vm.as_ptr()).image;
        if facts.vectors.iter().any(|&vector| image[vector + 2] != 0) {
            return false;
        }
        let Some(live) = thread.live_bytes(vm) else { return false };
        if !see(image) || !see(from_raw_parts(live.start as *const u64, live.len() / 8)) {
            return false;
        }
        let blocks = from_raw_parts(image[BLOCKS] as *const *const u64, image[BLOCKS_SIZE] as usize);
        let next = image[facts.implementer_words] as usize;
        blocks.iter().enumerate().skip(1).all(|(i, &block)| {
            let last = i + 1 == blocks.len();
            let words = if last { (next - block as usize) / 8 } else { HANDLE_BLOCK_WORDS };
            see(from_raw_parts(block, words))
        })
    }
}

fn report_and_abort(what: &str) {
    eprintln!(
        "greenlets: GREENLETS_VERIFY_GC: a scavenge changed {what}, which was taken for one without young objects"
    );
    abort();
}
