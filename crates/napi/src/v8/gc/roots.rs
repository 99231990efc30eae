//! The root table: words of our own that the collector visits, once each, while at least one greenlet has a stack.
//!
//! The table is a node in V8's list, like a greenlet, but without frames. Its handle blocks are the table:
//!
//! ```text
//!   block 0   | a scavenge's | main's | a probe's | context | context | ...        339 of them, 3 words each
//!   block 1   |    number    |   -    |     -     | context | ...
//! ```
//!
//! Each stack has [`ContextWords`] there, or shares them. Its async context is there while it is parked, not on the stack: so it
//! can be read and shared wherever the stack is.
//!
//! With a million stacks the table has 3,000 blocks, 24 MB, which a scavenge would read completely. So blocks are quiet or active as
//! stacks are (`quiet.rs`), and a scavenge is shown only the active ones. Only the running stack writes to its context: a block stays
//! quiet until a stack of one of its contexts becomes active, or one of its contexts is given to another stack.
//!
//! # Contract
//! - **table**: a context that is given to these functions is one of this table. Blocks never move, and live as long as the table.
//! - **words**: only the isolate's thread accesses the words of the table, by raw pointers or in one expression. The collector does so
//!   between the prologue and the epilogue of a collection, in which none of these functions runs.

use std::cell::RefCell;
use std::ptr::NonNull;

use crate::fixed::Fixed;
use crate::v8::learn::facts::{BLOCKS, BLOCKS_CAPACITY, BLOCKS_SIZE, HANDLE_BLOCK_WORDS};
use crate::v8::learn::layout::Layout;
use crate::v8::learn::list_node::ListNode;
use crate::v8::stack::context_words::ContextWords;
use crate::v8::stack::list;
use crate::v8::stack::state::{StackState, image, node_of, top_of_image};

type Block = [u64; HANDLE_BLOCK_WORDS];

/// Words at the start of a block that belong to no context.
const FIXED: usize = 3;
const CONTEXT_WORDS: usize = size_of::<ContextWords>() / 8;
const CONTEXTS: usize = (HANDLE_BLOCK_WORDS - FIXED) / CONTEXT_WORDS;

/// The table. It grows and never shrinks.
pub(crate) struct Roots {
    /// What V8 sees as the table's stack.
    state: Fixed<StackState>,
    table: RefCell<Table>,
    implementer_words: usize,
}

struct Table {
    blocks: Vec<*mut Block>,
    /// The blocks that a scavenge visits: the first one, and those that are not quiet.
    active: Vec<*mut Block>,
    marks: Vec<Mark>,
    /// Counts scavenges.
    round: u32,
    free: Vec<NonNull<ContextWords>>,
}

/// What is remembered of a block.
#[derive(Clone, Copy)]
struct Mark {
    is_quiet: bool,
    /// The last scavenge before which an active stack had a context there.
    in_use: u32,
}

/// The number of a context's block.
///
/// # Safety
/// The contract's clauses **table** and **words**.
unsafe fn block_of(context: NonNull<ContextWords>) -> usize {
    // SAFETY: the contract's clauses **table** and **words**.
    unsafe { (*context.as_ptr()).users as usize >> 32 }
}

/// The number of a block. For the first block the word is used otherwise.
///
/// # Safety
/// The contract's clauses **table** and **words**; the block is not the first one.
unsafe fn number_of(block: *mut Block) -> usize {
    // SAFETY: the contract's clauses **table** and **words**: the first word of a block.
    unsafe { *block.cast::<u64>() as usize >> 32 }
}

/// The words of a block.
///
/// # Safety
/// The contract's clauses **table** and **words**, as long as the reference exists.
unsafe fn words_of<'a>(block: *mut Block) -> &'a [u64] {
    // SAFETY: the contract's clauses **table** and **words**.
    unsafe { &*block }
}

impl Roots {
    pub(crate) fn new(v8: &Layout) -> Roots {
        let facts = v8.facts;
        let roots = Roots {
            state: Fixed::new(StackState::new(v8, v8.main, false)),
            table: RefCell::new(Table {
                blocks: Vec::new(),
                active: Vec::new(),
                marks: Vec::new(),
                round: 0,
                free: Vec::new(),
            }),
            implementer_words: facts.implementer_words,
        };
        // SAFETY: the state has its address for the table's life, and V8 does not know it yet.
        unsafe {
            let state = roots.state();
            *image(state) = v8.isolate as u64;
            top_of_image(v8, state)
                .copy_from_nonoverlapping(v8.blank_top.as_ptr(), facts.thread_local_top_words);
            (*state.as_ptr()).node.data = image(state);
        }
        roots.grow(&mut roots.table.borrow_mut());
        roots
    }

    fn state(&self) -> NonNull<StackState> {
        self.state.get()
    }

    /// The table's node in V8's list.
    pub(crate) fn node(&self) -> NonNull<ListNode> {
        node_of(self.state())
    }

    pub(crate) fn is_listed(&self) -> bool {
        // SAFETY: the node is live as long as the table.
        unsafe { list::is_linked(self.node()) }
    }

    /// Where the running stack's embedder data is during a scavenge.
    pub(crate) fn during_scavenge(&self) -> *mut u64 {
        self.table.borrow().blocks[0].cast()
    }

    /// Where main's embedder data is while main is parked.
    pub(crate) fn of_main(&self) -> *mut u64 {
        self.during_scavenge().wrapping_add(1)
    }

    /// Where a young object is for the next scavenge (`classes`).
    pub(super) fn of_probe(&self) -> *mut u64 {
        self.during_scavenge().wrapping_add(2)
    }

    /// A context for one stack.
    pub(crate) fn take(&self) -> NonNull<ContextWords> {
        let context = {
            let table = &mut *self.table.borrow_mut();
            if table.free.is_empty() {
                self.grow(table);
            }
            table.free.pop().expect("the table has grown")
        };
        // SAFETY: the contract's clause **table**: it was a free one of this table.
        unsafe { self.share(context) };
        context
    }

    /// One more stack has the context, and is active.
    ///
    /// # Safety
    /// The contract's clauses **table** and **words**.
    pub(crate) unsafe fn share(&self, context: NonNull<ContextWords>) {
        // SAFETY: the contract's clauses **table** and **words**.
        unsafe {
            (*context.as_ptr()).users += 2;
            self.mark_active(context);
        }
    }

    /// One stack no longer has the context.
    ///
    /// # Safety
    /// The contract's clauses **table** and **words**; the stack had the context, from `take` or by `share`.
    pub(crate) unsafe fn release(&self, context: NonNull<ContextWords>) {
        let words = context.as_ptr();
        // SAFETY: the contract's clauses **table** and **words**. The low half of `users` is 0 where no stack has the context.
        unsafe {
            (*words).users -= 2;
            if (*words).users as u32 == 0 {
                ((*words).frame, (*words).resource) = (0, 0);
                self.table.borrow_mut().free.push(context);
            }
        }
    }

    /// An active stack may write to the context from now on.
    ///
    /// # Safety
    /// The contract's clauses **table** and **words**.
    pub(crate) unsafe fn mark_active(&self, context: NonNull<ContextWords>) {
        let table = &mut *self.table.borrow_mut();
        // SAFETY: the contract's clauses **table** and **words**.
        let block = unsafe { block_of(context) };
        if std::mem::take(&mut table.marks[block].is_quiet) {
            table.active.push(table.blocks[block]);
        }
    }

    /// A scavenge is about to begin. No context is known to be in use.
    pub(crate) fn next_round(&self) {
        let table = &mut *self.table.borrow_mut();
        table.round = table.round.wrapping_add(1);
    }

    /// An active stack has this context, and may write to it after the scavenge.
    ///
    /// # Safety
    /// The contract's clauses **table** and **words**.
    pub(crate) unsafe fn mark_in_use(&self, context: NonNull<ContextWords>) {
        let table = &mut *self.table.borrow_mut();
        // SAFETY: the contract's clauses **table** and **words**.
        let block = unsafe { block_of(context) };
        table.marks[block].in_use = table.round;
    }

    /// Calls `see` with the blocks that have no context in use, each with its number; with `quiet_too` also with those that are quiet
    /// already.
    ///
    /// # Safety
    /// The contract's clause **words**. `see` does not call the table.
    pub(crate) unsafe fn each_idle(&self, quiet_too: bool, mut see: impl FnMut(usize, &[u64])) {
        let table = &*self.table.borrow();
        let blocks = if quiet_too { &table.blocks } else { &table.active };
        for &block in blocks.iter().filter(|&&block| block != table.blocks[0]) {
            // SAFETY: the contract's clauses **table** and **words**; it is not the first block.
            let (number, words) = unsafe { (number_of(block), words_of(block)) };
            if table.marks[number].in_use != table.round {
                see(number, words);
            }
        }
    }

    /// Whether `same` says so of the words of a block.
    ///
    /// # Safety
    /// The contract's clause **words**. `same` does not call the table.
    pub(crate) unsafe fn block_is(&self, number: usize, same: impl FnOnce(&[u64]) -> bool) -> bool {
        // SAFETY: the contract's clauses **table** and **words**.
        same(unsafe { words_of(self.table.borrow().blocks[number]) })
    }

    /// Shows V8 only the active blocks.
    pub(crate) fn show_active(&self) {
        self.show(&mut self.table.borrow_mut(), true);
    }

    /// Shows V8 all blocks again.
    pub(crate) fn show_all(&self) {
        let table = &mut *self.table.borrow_mut();
        let (first, marks) = (table.blocks[0], &table.marks);
        // SAFETY: the contract's clauses **table** and **words**; the first block is not looked at.
        table.active.retain(|&block| block == first || !marks[unsafe { number_of(block) }].is_quiet);
        self.show(table, false);
    }

    pub(crate) fn is_quiet(&self, block: usize) -> bool {
        self.table.borrow().marks[block].is_quiet
    }

    /// The scavenge has left the block as it was: it is quiet from now on.
    pub(crate) fn mark_quiet(&self, block: usize) {
        self.table.borrow_mut().marks[block].is_quiet = true;
    }

    #[cold]
    fn grow(&self, table: &mut Table) {
        let block = Box::into_raw(Box::new([0; HANDLE_BLOCK_WORDS]));
        let number = table.blocks.len() as u64;
        table.blocks.push(block);
        table.active.push(block);
        table.marks.push(Mark { is_quiet: false, in_use: 0 });
        let first: *mut u64 = block.cast();
        // SAFETY: the first word of a block that is not in use yet.
        unsafe { *first = number << 32 };
        for i in (0..CONTEXTS).rev() {
            // SAFETY: contexts lie behind the fixed words, as many as fit into the block.
            unsafe {
                let context: *mut ContextWords = first.add(FIXED + i * CONTEXT_WORDS).cast();
                (*context).users = number << 32;
                table.free.push(NonNull::new_unchecked(context));
            }
        }
        self.show(table, false);
    }

    /// Which blocks V8 visits: all, or the active ones. It visits every block completely, and the last one up to `next`.
    fn show(&self, table: &mut Table, active_only: bool) {
        let blocks = if active_only { &mut table.active } else { &mut table.blocks };
        let last = *blocks.last().expect("there is a first block");
        let end = last.wrapping_add(1) as u64;
        // SAFETY: the state is live as long as the table, and its image is longer than these words. V8 reads them only in a
        // collection.
        unsafe {
            let image = image(self.state());
            *image.add(BLOCKS) = blocks.as_mut_ptr() as u64;
            *image.add(BLOCKS_CAPACITY) = blocks.capacity() as u64;
            *image.add(BLOCKS_SIZE) = blocks.len() as u64;
            *image.add(self.implementer_words) = end; // next
            *image.add(self.implementer_words + 1) = end; // limit
        }
    }
}

impl Drop for Roots {
    fn drop(&mut self) {
        for block in self.table.get_mut().blocks.drain(..) {
            // SAFETY: the block is from `grow`. The table is dropped when no stack is left, so nothing refers to it.
            drop(unsafe { Box::from_raw(block) });
        }
    }
}
