//! The data that all stacks of a thread share: which one runs, and the list of handle blocks that the running one uses.
//!
//! The contract that the `SAFETY` sentences name is at the head of `state.rs`.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

use super::microtasks::OpenScopes;
use super::state::{StackState, image, node_of};
use crate::fixed::Fixed;
use crate::v8::learn::facts::{BLOCKS, BLOCKS_CAPACITY, BLOCKS_SIZE, MAX_ARCHIVE_WORDS};
use crate::v8::learn::layout::Layout;
use crate::v8::learn::list_node::ListNode;

/// Capacity that V8 gives a new DetachableVector (detachable-vector.h, `kMinimumCapacity`).
const BLOCK_LIST_CAPACITY: usize = 8;

/// See the module.
pub(crate) struct Stacks {
    /// The state of the running stack.
    pub(crate) running: Cell<NonNull<StackState>>,
    /// Data and capacity of the list of handle blocks that all greenlets of the thread use in turn while they run.
    pub(crate) block_list: Cell<(u64, u64)>,
    /// How many microtask queues run their jobs on main's stack, while another stack runs.
    pub(crate) running_on_main: Cell<u64>,
    /// The beginning of V8's list of contexts, where those in it need no care; else 0. See `joins.rs`.
    pub(crate) known_contexts: Cell<u64>,
    /// The scopes that main has open in queues of microtasks, while another stack runs; see `microtasks.rs`.
    pub(crate) scopes_of_main: RefCell<Vec<OpenScopes>>,
    /// How many steps of the debugger were put aside so far.
    pub(crate) steps: Cell<u64>,
    /// How many greenlets have a stack.
    pub(crate) count: Cell<usize>,
    main: Cell<Option<NonNull<StackState>>>,
    blank: Fixed<[u64; MAX_ARCHIVE_WORDS]>,
}

impl Stacks {
    pub(crate) fn new(v8: &Layout) -> Stacks {
        let mut blank = [0; MAX_ARCHIVE_WORDS];
        let (facts, top) = (v8.facts, v8.facts.thread_local_top_words);
        blank[0] = v8.isolate as u64;
        blank[facts.implementer_words + facts.scope_data_words..][..top]
            .copy_from_slice(&v8.blank_top[..top]);
        let stacks = Stacks {
            running: Cell::new(NonNull::dangling()),
            block_list: Cell::new((0, 0)),
            running_on_main: Cell::new(0),
            known_contexts: Cell::new(0),
            scopes_of_main: RefCell::default(),
            steps: Cell::new(0),
            count: Cell::new(0),
            main: Cell::new(None),
            blank: Fixed::new(blank),
        };
        stacks.new_block_list();
        stacks
    }

    /// Main's state has its address, and main runs.
    pub(crate) fn set_main(&self, vm: NonNull<StackState>) {
        self.main.set(Some(vm));
        self.running.set(vm);
    }

    /// Main's node for V8's list.
    pub(crate) fn main_node(&self) -> NonNull<ListNode> {
        node_of(self.main.get().expect("main is enlisted first"))
    }

    /// The image of every running stack: the collector finds nothing to visit in it.
    pub(crate) fn blank_image(&self) -> *mut u64 {
        self.blank.get().as_ptr().cast()
    }

    /// The debugger's part of the running stack's image. The collector visits it while the stack is parked.
    pub(crate) fn debug_image(&self, v8: &Layout) -> *mut u64 {
        // SAFETY: the contract's clause **live** for the running stack's state; its image is as long as an archive.
        unsafe { image(self.running.get()).add(v8.facts.debug_in_archive()) }
    }

    /// Makes a list of handle blocks for the running greenlet. It is from malloc, because V8 frees it when it needs a larger one.
    #[cold]
    pub(crate) fn new_block_list(&self) {
        // SAFETY: a plain allocation, which is checked below.
        let list = unsafe { libc::malloc(BLOCK_LIST_CAPACITY * size_of::<usize>()) };
        assert!(!list.is_null(), "out of memory");
        self.block_list.set((list as u64, BLOCK_LIST_CAPACITY as u64));
    }

    #[cold]
    pub(crate) fn drop_block_list(&self) {
        // SAFETY: the list is from malloc, by us or by V8's operator new. Nothing refers to it while no greenlet with one block
        // runs.
        unsafe { libc::free(self.block_list.get().0 as *mut _) };
    }

    /// Takes the list back from the live HandleScopeImplementer of a greenlet that has ended. V8 may have replaced it.
    ///
    /// # Safety
    /// The contract's clauses **thread** and **learnt**; a greenlet's state is in the isolate.
    pub(crate) unsafe fn take_block_list_back(&self, v8: &Layout) {
        let implementer = v8.handle_scope_implementer;
        // SAFETY: the contract's clause **learnt**.
        self.block_list.set(unsafe { (*implementer.add(BLOCKS), *implementer.add(BLOCKS_CAPACITY)) });
    }
}

/// Frees what V8 allocated for a stack's handles: further blocks, and the vectors of contexts.
///
/// # Safety
/// `implementer` is the HandleScopeImplementer (or its image) of a stack that will never run again.
pub(crate) unsafe fn free_vectors(v8: &Layout, implementer: *mut u64) {
    // SAFETY: the vectors are V8's, from operator new, which is malloc in Node. The first block belongs to the slot and stays.
    unsafe {
        let blocks = *implementer.add(BLOCKS) as *const u64;
        for i in 1..*implementer.add(BLOCKS_SIZE) as usize {
            libc::free(*blocks.add(i) as *mut _);
        }
        for &vector in v8.facts.vectors {
            libc::free(*implementer.add(vector) as *mut _);
            implementer.add(vector).write_bytes(0, 3);
        }
    }
}
