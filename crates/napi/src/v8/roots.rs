//! The root table: words of our own that the GC visits, once each, while at least one greenlet has a stack.
//!
//! It is a node like a greenlet's, without frames. Its handle blocks are the table:
//!
//! ```text
//!   block 0   | a scavenge's | main's | context | context | ...        340 of them, 3 words each
//!   block 1   |    -         |   -    | context | ...
//! ```
//!
//! Each stack has a [`Context`] there, or shares one. Its async context rests there while it is parked, not on the stack:
//! others can read it, and share it, wherever the stack is.
//!
//! With a million stacks the table has 3,000 blocks, 24 MB, which a scavenge would read whole. So blocks are quiet or loud as
//! stacks are (`quiet.rs`), and a scavenge is shown the loud ones only. Only who runs writes to its context: a block stays quiet
//! until a stack of one of its contexts wakes, or a context of it is given away.

use std::ptr::NonNull;

use super::facts::{BLOCKS, BLOCKS_CAPACITY, BLOCKS_SIZE, HANDLE_BLOCK_WORDS};
use super::layout::Layout;
use super::list;
use super::state::VmState;

/// The async context of a greenlet, or of several that share one.
#[repr(C)]
pub(crate) struct Context {
    /// The stores, as Node's AsyncContextFrame keeps them (continuation-preserved embedder data); live while parked.
    pub(crate) frame: u64,
    /// The resource: what `executionAsyncResource()` returns.
    pub(crate) resource: u64,
    /// How many stacks have it, doubled, and in the high half the number of its block: a Smi to the GC.
    users: u64,
}

impl Context {
    fn block(&self) -> usize {
        (self.users >> 32) as usize
    }

    fn is_free(&self) -> bool {
        self.users as u32 == 0
    }
}

type Block = [u64; HANDLE_BLOCK_WORDS];

/// Words of a block that are no context's, at its start.
const FIXED: usize = 2;
const CONTEXT_WORDS: usize = size_of::<Context>() / 8;
const CONTEXTS: usize = (HANDLE_BLOCK_WORDS - FIXED) / CONTEXT_WORDS;

/// The table. It grows and never shrinks.
pub(crate) struct Roots {
    vm: VmState,
    blocks: Vec<*mut Block>,
    /// The blocks that a scavenge visits: the first one, and who is not quiet.
    loud: Vec<*mut Block>,
    marks: Vec<Mark>,
    /// Counts scavenges.
    round: u32,
    free: Vec<NonNull<Context>>,
    implementer_words: usize,
}

/// What is remembered of a block.
#[derive(Clone, Copy)]
struct Mark {
    quiet: bool,
    /// The last scavenge before which somebody who was not quiet had a context there.
    in_use: u32,
}

impl Roots {
    pub(crate) fn new(layout: &Layout) -> Box<Roots> {
        let facts = layout.facts;
        let mut roots = Box::new(Roots {
            vm: VmState::new(layout, layout.main, false),
            blocks: Vec::new(),
            loud: Vec::new(),
            marks: Vec::new(),
            round: 0,
            free: Vec::new(),
            implementer_words: facts.implementer_words,
        });
        let vm = &mut roots.vm;
        vm.image[0] = layout.isolate as u64;
        let top =
            &mut vm.image[facts.implementer_words + facts.scope_data_words..][..facts.thread_local_top_words];
        top.copy_from_slice(&layout.blank_top[..facts.thread_local_top_words]);
        vm.node.data = vm.image.as_mut_ptr();
        roots.grow();
        roots
    }

    /// The table's node in V8's list.
    pub(crate) fn node(&mut self) -> NonNull<list::Node> {
        NonNull::from(&mut self.vm.node)
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.vm.node.is_linked()
    }

    /// Where the running stack's embedder data is during a scavenge.
    pub(crate) fn during_scavenge(&self) -> *mut u64 {
        self.blocks[0].cast()
    }

    /// Where main's embedder data rests while main is parked.
    pub(crate) fn of_main(&self) -> *mut u64 {
        // SAFETY: the block's second word.
        unsafe { self.during_scavenge().add(1) }
    }

    /// A context for one stack.
    pub(crate) fn take(&mut self) -> NonNull<Context> {
        if self.free.is_empty() {
            self.grow();
        }
        let context = self.free.pop().expect("the table has grown");
        // SAFETY: it is a free one of the table.
        unsafe { self.share(context) };
        context
    }

    /// One more stack has it, which is awake.
    ///
    /// # Safety
    /// `context` is one of this table.
    pub(crate) unsafe fn share(&mut self, context: NonNull<Context>) {
        // SAFETY: only this thread touches it.
        unsafe {
            (*context.as_ptr()).users += 2;
            self.wake(context);
        }
    }

    /// One stack has it no longer.
    ///
    /// # Safety
    /// The stack had `context`, from `take` or by `share`.
    pub(crate) unsafe fn release(&mut self, context: NonNull<Context>) {
        // SAFETY: a context in use, which only this thread touches.
        let words = unsafe { &mut *context.as_ptr() };
        words.users -= 2;
        if words.is_free() {
            (words.frame, words.resource) = (0, 0);
            self.free.push(context);
        }
    }

    /// Somebody may write to the context from now on.
    ///
    /// # Safety
    /// `context` is one of this table.
    pub(crate) unsafe fn wake(&mut self, context: NonNull<Context>) {
        // SAFETY: a context of the table, which only this thread touches.
        let block = unsafe { context.as_ref() }.block();
        if std::mem::take(&mut self.marks[block].quiet) {
            self.loud.push(self.blocks[block]);
        }
    }

    /// A scavenge is about to begin. No context is known to be in use.
    pub(crate) fn next_round(&mut self) {
        self.round = self.round.wrapping_add(1);
    }

    /// Somebody who is awake has this context, and may write to it after the scavenge.
    ///
    /// # Safety
    /// `context` is one of this table.
    pub(crate) unsafe fn mark_in_use(&mut self, context: NonNull<Context>) {
        // SAFETY: as in `wake`.
        self.marks[unsafe { context.as_ref() }.block()].in_use = self.round;
    }

    /// The blocks without a context in use, those that are quiet already among them or not, each with its number.
    pub(crate) fn idle(&self, quiet_too: bool) -> impl Iterator<Item = (usize, &[u64])> {
        let blocks = if quiet_too { &self.blocks } else { &self.loud };
        // SAFETY: blocks live as long as the table. The first words of all but the first one say their numbers.
        let numbered = blocks
            .iter()
            .map(|&block| unsafe { &*block })
            .map(|block| ((block[0] >> 32) as usize, &block[..]));
        let first = self.blocks[0].cast_const().cast();
        numbered.filter(move |(number, block)| {
            block.as_ptr() != first && self.marks[*number].in_use != self.round
        })
    }

    pub(crate) fn block(&self, number: usize) -> &[u64] {
        // SAFETY: as in `idle`.
        unsafe { &*self.blocks[number] }
    }

    /// V8 is shown the loud blocks only.
    pub(crate) fn show_loud(&mut self) {
        self.show(true);
    }

    /// V8 is shown all blocks again.
    pub(crate) fn show_all(&mut self) {
        let (first, marks) = (self.blocks[0], &self.marks);
        // SAFETY: as in `idle`. The first block's word is the scavenge's: it is not looked at.
        let number = |block: *mut Block| unsafe { (*block)[0] >> 32 } as usize;
        self.loud.retain(|&block| block == first || !marks[number(block)].quiet);
        self.show(false);
    }

    pub(crate) fn is_quiet(&self, block: usize) -> bool {
        self.marks[block].quiet
    }

    /// The scavenge has left the block as it was: it joins the quiet ones.
    pub(crate) fn hush(&mut self, block: usize) {
        self.marks[block].quiet = true;
    }

    #[cold]
    fn grow(&mut self) {
        let block = Box::into_raw(Box::new([0; HANDLE_BLOCK_WORDS]));
        let number = self.blocks.len() as u64;
        self.blocks.push(block);
        self.loud.push(block);
        self.marks.push(Mark { quiet: false, in_use: 0 });
        let first: *mut u64 = block.cast();
        // SAFETY: the block's first word, nobody's yet.
        unsafe { *first = number << 32 };
        for i in (0..CONTEXTS).rev() {
            // SAFETY: contexts lie behind the fixed words, as many as the block has room for.
            unsafe {
                let context: *mut Context = first.add(FIXED + i * CONTEXT_WORDS).cast();
                (*context).users = number << 32;
                self.free.push(NonNull::new_unchecked(context));
            }
        }
        self.show(false);
    }

    /// Which blocks V8 visits: all, or the loud ones. It visits all of every block but the last, and of that all up to `next`.
    fn show(&mut self, loud_only: bool) {
        let blocks = if loud_only { &mut self.loud } else { &mut self.blocks };
        let image = &mut self.vm.image;
        image[BLOCKS] = blocks.as_mut_ptr() as u64;
        image[BLOCKS_CAPACITY] = blocks.capacity() as u64;
        image[BLOCKS_SIZE] = blocks.len() as u64;
        let last = *blocks.last().expect("there is a first block");
        // SAFETY: one past the block's end.
        let end = unsafe { last.add(1) } as u64;
        image[self.implementer_words..][..2].copy_from_slice(&[end, end]);
    }
}

impl Drop for Roots {
    fn drop(&mut self) {
        for block in self.blocks.drain(..) {
            // SAFETY: from `grow`, and nobody's any more: the host is dropped when no stack is left.
            drop(unsafe { Box::from_raw(block) });
        }
    }
}
