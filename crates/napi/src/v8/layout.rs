//! Where V8 keeps the state of the running stack, as learnt for one isolate.

use greenlets_core::StackBounds;

use super::Isolate;
use super::callbacks::Callbacks;
use super::debug::Debug;
use super::doomed::Doomed;
use super::facts::{Facts, MAX_TOP_WORDS};
use super::list::Node;
use super::microtasks::Microtasks;
use super::tls::ThreadWords;
use super::wasm::WasmStacks;

/// Addresses inside one isolate and its thread. Every one was verified by an act whose effect is known; they are valid as
/// long as the isolate, on its thread.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) facts: &'static Facts,
    pub(crate) isolate: Isolate,
    pub(crate) thread: ThreadWords,
    /// Words of the heap that repeat the stack start (`heap::base::Stack`); the GC scans down from there. Where there is
    /// one only, it stands twice.
    pub(crate) heap_stack_starts: [*mut usize; 2],
    pub(crate) handle_scope_data: *mut u64,
    pub(crate) handle_scope_implementer: *mut u64,
    pub(crate) thread_local_top: *mut u64,
    pub(crate) relocatable_top: *mut u64,
    pub(crate) stack_guard: *mut u64,
    /// The continuation-preserved embedder data (AsyncLocalStorage on Node 24 and later); none on Node 20.
    pub(crate) embedder_data: Option<*mut u64>,
    /// The isolate's list of C++ objects that must end in the order of one stack; V8 12.4 has it.
    pub(crate) doomed: Option<Doomed>,
    /// Who lies on a stack and is told of collections; V8 12.4 and later.
    pub(crate) callbacks: Option<Callbacks>,
    /// The stacks that belong to wasm calls (JSPI).
    pub(crate) wasm_stacks: WasmStacks,
    /// What the debugger keeps of the running stack.
    pub(crate) debug: Debug,
    pub(crate) microtasks: Microtasks,
    /// The anchor of ThreadManager's list of archived threads.
    pub(crate) in_use: *mut Node,
    pub(crate) thread_manager: *mut u64,
    pub(crate) thread_id: i32,
    /// The thread's own stack, as V8 sees it.
    pub(crate) main: StackBounds,
    /// ThreadLocalTop of a stack on which nothing has run.
    pub(crate) blank_top: [u64; MAX_TOP_WORDS],
    /// Word of `context_` in ThreadLocalTop.
    pub(crate) context_word: usize,
    /// Word of `handler_` in ThreadLocalTop: the newest entry of JavaScript.
    pub(crate) handler_word: usize,
}
