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
    /// How many stacks have it, doubled: a Smi to the GC.
    users: u64,
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
    free: Vec<NonNull<Context>>,
    implementer_words: usize,
}

impl Roots {
    pub(crate) fn new(layout: &Layout) -> Box<Roots> {
        let facts = layout.facts;
        let mut roots = Box::new(Roots {
            vm: VmState::new(layout, layout.main, false),
            blocks: Vec::new(),
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
        unsafe { share(context) };
        context
    }

    /// One stack has it no longer.
    ///
    /// # Safety
    /// The stack had `context`, from `take` or by [`share`].
    pub(crate) unsafe fn release(&mut self, context: NonNull<Context>) {
        // SAFETY: a context in use, which only this thread touches.
        let words = unsafe { &mut *context.as_ptr() };
        words.users -= 2;
        if words.users == 0 {
            (words.frame, words.resource) = (0, 0);
            self.free.push(context);
        }
    }

    #[cold]
    fn grow(&mut self) {
        let block = Box::into_raw(Box::new([0; HANDLE_BLOCK_WORDS]));
        self.blocks.push(block);
        let first: *mut u64 = block.cast();
        for i in (0..CONTEXTS).rev() {
            // SAFETY: contexts lie behind the fixed words, as many as the block has room for.
            self.free.push(unsafe { NonNull::new_unchecked(first.add(FIXED + i * CONTEXT_WORDS).cast()) });
        }
        // V8 visits all of every block but the last, and of that all up to `next`.
        let image = &mut self.vm.image;
        image[BLOCKS] = self.blocks.as_mut_ptr() as u64;
        image[BLOCKS_CAPACITY] = self.blocks.capacity() as u64;
        image[BLOCKS_SIZE] = self.blocks.len() as u64;
        // SAFETY: one past the block's end.
        let end = unsafe { first.add(HANDLE_BLOCK_WORDS) } as u64;
        image[self.implementer_words..][..2].copy_from_slice(&[end, end]);
    }
}

/// One more stack has it.
///
/// # Safety
/// `context` is one of a table that lives.
pub(crate) unsafe fn share(context: NonNull<Context>) {
    // SAFETY: only this thread touches it.
    unsafe { (*context.as_ptr()).users += 2 };
}

impl Drop for Roots {
    fn drop(&mut self) {
        for block in self.blocks.drain(..) {
            // SAFETY: from `grow`, and nobody's any more: the host is dropped when no stack is left.
            drop(unsafe { Box::from_raw(block) });
        }
    }
}
