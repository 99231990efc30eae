//! Where V8 keeps the state of the running stack, as learnt for one isolate.

use greenlets_core::raw::StackBounds;
use napi::sys;

use super::collection_callbacks::CollectionCallbacks;
use super::debugger::Debugger;
use super::destroy_list::DestroyList;
use super::epilogue_callbacks::EpilogueCallbacks;
use super::facts::{Facts, MAX_TOP_WORDS};
use super::formatting::Formatting;
use super::frame_words::Frames;
use super::joins::Joins;
use super::list_node::ListNode;
use super::microtasks::Microtasks;
use super::symbols::{Isolate, Symbols};
use super::tls::ThreadWords;
use super::wasm_stacks::WasmStacks;

/// One isolate: V8's public functions, and addresses inside the isolate and its thread. Each address was verified by an act with
/// a known effect. All of it is immutable, and valid as long as the isolate, on the isolate's thread.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) facts: &'static Facts,
    pub(crate) isolate: Isolate,
    pub(crate) thread: ThreadWords,
    /// Words of the heap that repeat the stack start (`heap::base::Stack`); the collector scans down from there. Where there is
    /// only one, both entries are the same.
    pub(crate) heap_stack_starts: [*mut usize; 2],
    pub(crate) handle_scope_data: *mut u64,
    pub(crate) handle_scope_implementer: *mut u64,
    pub(crate) thread_local_top: *mut u64,
    pub(crate) relocatable_top: *mut u64,
    pub(crate) stack_guard: *mut u64,
    /// The continuation-preserved embedder data (AsyncLocalStorage on Node 24 and later); none on Node 20.
    pub(crate) embedder_data: Option<*mut u64>,
    /// V8 12.4 only.
    pub(crate) destroy_list: Option<DestroyList>,
    /// V8 12.4 and later.
    pub(crate) epilogue_callbacks: Option<EpilogueCallbacks>,
    pub(crate) collection_callbacks: CollectionCallbacks,
    pub(crate) wasm_stacks: WasmStacks,
    pub(crate) debugger: Debugger,
    pub(crate) microtasks: Microtasks,
    pub(crate) joins: Joins,
    pub(crate) formatting: Formatting,
    /// The anchor of ThreadManager's list of archived threads.
    pub(crate) in_use: *mut ListNode,
    pub(crate) thread_manager: *mut u64,
    pub(crate) thread_id: i32,
    /// The thread's own stack, as V8 sees it.
    pub(crate) main: StackBounds,
    /// ThreadLocalTop of a stack on which nothing has run.
    pub(crate) blank_top: [u64; MAX_TOP_WORDS],
    /// Word of `context_` in ThreadLocalTop.
    pub(crate) context_word: usize,
    /// Word of `handler_` in ThreadLocalTop: the newest entry into JavaScript.
    pub(crate) handler_word: usize,
    /// How V8 follows the frames of a suspended stack, or why that is not known.
    pub(crate) frames: Result<Frames, &'static str>,
    pub(crate) env: sys::napi_env,
    pub(crate) symbols: Symbols,
}
