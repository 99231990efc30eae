//! A model of what the addon learns about an isolate, and the isolate's words themselves.

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use greenlets_core::raw::StackBounds;

use crate::fixed::Fixed;
use crate::sys;
use crate::v8::learn::facts::{self, Facts, MAX_TOP_WORDS};
use crate::v8::learn::list_node::ListNode;

pub(crate) type Isolate = *mut c_void;
pub(crate) type Local = *mut usize;

/// The fields of the addon's `Layout` that its files around a collection read.
pub(crate) struct Layout {
    pub(crate) facts: &'static Facts,
    pub(crate) isolate: Isolate,
    pub(crate) thread: ThreadWords,
    pub(crate) heap_stack_starts: [*mut usize; 2],
    pub(crate) handle_scope_data: *mut u64,
    pub(crate) handle_scope_implementer: *mut u64,
    pub(crate) thread_local_top: *mut u64,
    pub(crate) relocatable_top: *mut u64,
    pub(crate) stack_guard: *mut u64,
    pub(crate) embedder_data: Option<*mut u64>,
    pub(crate) destroy_list: Option<DestroyList>,
    pub(crate) epilogue_callbacks: Option<EpilogueCallbacks>,
    pub(crate) in_use: *mut ListNode,
    pub(crate) thread_manager: *mut u64,
    pub(crate) thread_id: i32,
    pub(crate) main: StackBounds,
    pub(crate) blank_top: [u64; MAX_TOP_WORDS],
    pub(crate) context_word: usize,
    pub(crate) env: sys::napi_env,
    pub(crate) symbols: Symbols,
}

pub(crate) struct ThreadWords {
    pub(crate) stack_start: *mut usize,
}

pub(crate) struct Symbols {
    pub(crate) creation_context: unsafe extern "C" fn(Local) -> Local,
    pub(crate) stack_trace: unsafe extern "C" fn(Isolate, c_int, c_int) -> Local,
    pub(crate) frame_count: unsafe extern "C" fn(Local) -> c_int,
    pub(crate) frame: unsafe extern "C" fn(Local, Isolate, u32) -> Local,
    pub(crate) script_id: unsafe extern "C" fn(Local) -> c_int,
}

/// The V8 of the model has no such list.
#[derive(Clone, Copy)]
pub(crate) enum DestroyList {}

impl DestroyList {
    pub(crate) unsafe fn take(self, _: &mut Vec<u64>) {}

    pub(crate) unsafe fn put_back(self, _: &mut Vec<u64>) {}
}

/// No stack of the model has a stringifier.
#[derive(Clone, Copy)]
pub(crate) enum EpilogueCallbacks {}

impl EpilogueCallbacks {
    pub(crate) unsafe fn relocate(self, _: &greenlets_core::raw::Relocation) {}
}

/// Words of V8's, which the addon and the collector access by raw pointers.
pub(crate) struct Words<const N: usize>(Fixed<[u64; N]>);

impl<const N: usize> Words<N> {
    pub(crate) fn new() -> Words<N> {
        Words(Fixed::new([0; N]))
    }

    pub(crate) fn at(&self, index: usize) -> *mut u64 {
        assert!(index < N);
        // SAFETY: the index is inside.
        unsafe { self.0.get().as_ptr().cast::<u64>().add(index) }
    }
}

/// The isolate's words: HandleScopeImplementer, HandleScopeData, ThreadLocalTop, Relocatables, StackGuard, embedder data, stack
/// starts; then the list's anchor.
pub(crate) struct IsolateWords {
    words: Words<128>,
    anchor: Fixed<ListNode>,
}

impl IsolateWords {
    pub(crate) fn new() -> IsolateWords {
        let anchor = Fixed::new(ListNode::new(0, null_mut(), null_mut()));
        let node = anchor.get().as_ptr();
        // SAFETY: nothing refers to it yet.
        unsafe { ((*node).next, (*node).previous) = (node, node) };
        IsolateWords { words: Words::new(), anchor }
    }

    /// What the addon would have learnt.
    pub(crate) fn layout(&self) -> Layout {
        let facts = facts::of("13.6.").expect("it is in the table");
        let at = |index| self.words.at(index);
        Layout {
            facts,
            isolate: at(0).cast(),
            thread: ThreadWords { stack_start: at(110).cast() },
            heap_stack_starts: [at(111).cast(), at(112).cast()],
            handle_scope_data: at(20),
            handle_scope_implementer: at(0),
            thread_local_top: at(30),
            relocatable_top: at(70),
            stack_guard: at(80),
            embedder_data: Some(at(100)),
            destroy_list: None,
            epilogue_callbacks: None,
            in_use: self.anchor.get().as_ptr(),
            thread_manager: null_mut(),
            thread_id: 1,
            main: StackBounds { base: 0x7000_0000, limit: 0x6000_0000 },
            blank_top: [0; MAX_TOP_WORDS],
            context_word: 2,
            env: null_mut(),
            symbols: Symbols { creation_context, stack_trace, frame_count: count, frame, script_id: count },
        }
    }
}

/// The capture realm is its own context.
extern "C" fn creation_context(realm: Local) -> Local {
    realm
}

extern "C" fn stack_trace(_: Isolate, _: c_int, _: c_int) -> Local {
    null_mut()
}

extern "C" fn frame(_: Local, _: Isolate, _: u32) -> Local {
    null_mut()
}

extern "C" fn count(_: Local) -> c_int {
    0
}
