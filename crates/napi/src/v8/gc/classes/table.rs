//! The table: the words of all settled stacks, which V8 visits in their place.
//!
//! The table is a node in V8's list, like a greenlet, but without frames. Its handle blocks are one array:
//!
//! ```text
//!   words    | of a class | of a stack | of a stack | 0 0 0 (a stack that has left) | of a class | ...    ◄ used
//!   before   | the same, as it was when the full collection began                                 |
//! ```
//!
//! It is in V8's list whenever it has words, except during scavenges, which have nothing to do there: settled stacks hold no young
//! object. So a full collection for which V8 calls no callbacks finds it.
//!
//! # Contract
//! - **table**: only the isolate's thread uses the table. The collector writes to `words` between the two ends of a collection, in
//!   which nothing else does.

use std::ops::Range;
use std::ptr::null_mut;

use crate::fixed::Fixed;
use crate::v8::learn::facts::{BLOCKS, BLOCKS_CAPACITY, BLOCKS_SIZE, HANDLE_BLOCK_WORDS, MAX_ARCHIVE_WORDS};
use crate::v8::learn::layout::Layout;
use crate::v8::learn::list_node::ListNode;
use crate::v8::stack::list;

pub(super) struct Table {
    /// Whole blocks of words.
    words: Vec<u64>,
    used: usize,
    /// How many of those in use belong to nothing any more.
    holes: usize,
    before: Vec<u64>,
    blocks: Vec<*mut u64>,
    node: Fixed<ListNode>,
    image: Fixed<[u64; MAX_ARCHIVE_WORDS]>,
    implementer_words: usize,
    anchor: *mut ListNode,
}

/// An image without frames and handles.
pub(super) fn blank_image(v8: &Layout) -> [u64; MAX_ARCHIVE_WORDS] {
    let (facts, top) = (v8.facts, v8.facts.thread_local_top_words);
    let mut image = [0; MAX_ARCHIVE_WORDS];
    image[0] = v8.isolate as u64;
    image[facts.implementer_words + facts.scope_data_words..][..top].copy_from_slice(&v8.blank_top[..top]);
    image
}

impl Table {
    pub(super) fn new(v8: &Layout) -> Table {
        let image = Fixed::new(blank_image(v8));
        let node = ListNode::new(v8.thread_id, v8.thread_manager, image.get().as_ptr().cast());
        Table {
            words: Vec::new(),
            used: 0,
            holes: 0,
            before: Vec::new(),
            blocks: Vec::new(),
            node: Fixed::new(node),
            image,
            implementer_words: v8.facts.implementer_words,
            anchor: v8.in_use,
        }
    }

    /// How many words are in use.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// The words of a range.
    pub(super) fn words(&self, range: Range<usize>) -> &[u64] {
        &self.words[range]
    }

    /// The words of a range as they were when the full collection began.
    pub(super) fn before(&self, range: Range<usize>) -> &[u64] {
        // An empty range may lie behind the words that were in use.
        self.before.get(range).unwrap_or_default()
    }

    /// Makes space for `more` words. False where there is no memory; then nothing has changed.
    pub(super) fn reserve(&mut self, more: usize) -> bool {
        let need = self.used + more;
        if need <= self.words.len() {
            return true;
        }
        let to = (need + self.words.len() / 2 + HANDLE_BLOCK_WORDS).next_multiple_of(HANDLE_BLOCK_WORDS);
        if u32::try_from(to).is_err() || self.words.try_reserve_exact(to - self.words.len()).is_err() {
            return false;
        }
        self.words.resize(to, 0);
        true
    }

    /// Adds a word. `reserve` has made space for it.
    pub(super) fn push(&mut self, word: u64) {
        self.words[self.used] = word;
        self.used += 1;
    }

    /// Takes words back that were just pushed.
    pub(super) fn truncate(&mut self, to: usize) {
        self.words[to..self.used].fill(0);
        self.used = to;
    }

    /// What these words kept alive is no longer the table's.
    pub(super) fn clear(&mut self, range: Range<usize>) {
        self.holes += range.len();
        self.words[range].fill(0);
        if self.holes == self.used {
            (self.holes, self.used) = (0, 0);
        }
    }

    /// Whether more than half of the words belong to nothing.
    pub(super) fn is_sparse(&self) -> bool {
        self.holes * 2 > self.used + 64 * HANDLE_BLOCK_WORDS
    }

    /// Removes the holes. `ranges` are all others, in the order of the table; each gets its new place.
    pub(super) fn compact<'a>(&mut self, ranges: impl Iterator<Item = &'a mut Range<usize>>) {
        let mut to = 0;
        for range in ranges {
            self.words.copy_within(range.clone(), to);
            *range = to..to + range.len();
            to = range.end;
        }
        self.words[to..].fill(0);
        (self.used, self.holes) = (to, 0);
        let blocks = (to / HANDLE_BLOCK_WORDS + 2) * HANDLE_BLOCK_WORDS;
        self.words.truncate(blocks.max(64 * HANDLE_BLOCK_WORDS));
        self.words.shrink_to_fit();
        self.before = Vec::new();
    }

    /// Keeps the words as they are now. False where there is no memory.
    pub(super) fn keep(&mut self) -> bool {
        self.before.clear();
        let has_memory = self.before.try_reserve(self.used).is_ok();
        if has_memory {
            self.before.extend_from_slice(&self.words[..self.used]);
        }
        has_memory
    }

    /// Shows V8 the words that are in use now.
    ///
    /// # Safety
    /// The contract's clause **table**; V8 does not go through its list now.
    pub(super) unsafe fn show(&mut self) {
        let count = self.used.div_ceil(HANDLE_BLOCK_WORDS);
        let first = self.words.as_mut_ptr();
        self.blocks.clear();
        self.blocks.extend((0..count).map(|i| first.wrapping_add(i * HANDLE_BLOCK_WORDS)));
        let end = first.wrapping_add(self.used) as u64;
        // SAFETY: the image and the node are live as long as the table; V8 reads them only in a collection.
        unsafe {
            let image: *mut u64 = self.image.get().as_ptr().cast();
            *image.add(BLOCKS) = self.blocks.as_mut_ptr() as u64;
            *image.add(BLOCKS_CAPACITY) = self.blocks.capacity() as u64;
            *image.add(BLOCKS_SIZE) = count as u64;
            *image.add(self.implementer_words) = if count == 0 { 0 } else { end }; // next
            *image.add(self.implementer_words + 1) = if count == 0 { 0 } else { end }; // limit
            match (count == 0, list::is_linked(self.node.get())) {
                (false, false) => list::link(self.anchor, self.node.get()),
                (true, true) => list::unlink(self.node.get()),
                _ => {}
            }
        }
    }

    /// Takes the table out of V8's list.
    ///
    /// # Safety
    /// As for `show`.
    pub(super) unsafe fn hide(&mut self) {
        // SAFETY: the node is live as long as the table.
        unsafe {
            if list::is_linked(self.node.get()) {
                list::unlink(self.node.get());
            }
        }
    }

    /// Forgets everything.
    ///
    /// # Safety
    /// As for `show`.
    pub(super) unsafe fn reset(&mut self) {
        // SAFETY: the caller's promise.
        unsafe { self.hide() };
        (self.words, self.before, self.blocks) = (Vec::new(), Vec::new(), Vec::new());
        (self.used, self.holes) = (0, 0);
    }
}

/// A node for V8's list that is in no list.
pub(super) fn new_node(v8: &Layout) -> ListNode {
    ListNode::new(v8.thread_id, v8.thread_manager, null_mut())
}
