//! All facts about V8 that are known beforehand: one table, with the source of each fact and how it is verified before anything
//! relies on it.
//!
//! Sizes and offsets are in 8-byte words unless they say bytes; "in the isolate" means from the `v8::Isolate*`. Sources: V8
//! 11.2/11.4 (around Node 20's 11.3), 12.4.254, 13.6.233, 14.6.202.
//!
//! | fact | source | verified by |
//! |---|---|---|
//! | `thread_local_top` | `kIsolateThreadLocalTopOffset`, v8-internal.h, computed per ABI | the rehearsal's archive holds the same words (`rehearsal.rs`) |
//! | `thread_local_top_words` | size of ThreadLocalTop, thread-local-top.h | the words of ThreadLocalTop match the archive at exactly one place |
//! | `implementer_words` | size of HandleScopeImplementer without its HandleScopeData, api.h | what precedes ThreadLocalTop in the archive |
//! | `scope_data`, `scope_data_words` | `kHandleScopeDataOffset`, v8-internal.h (12.4+); HandleScopeData, v8-handle-scope.h | making three handles moves that word by 24 bytes, and no other |
//! | `stack_guard` | `kIsolateStackGuardOffset`, v8-internal.h | word 0 is the isolate, `real_jslimit_` lies below the stack start |
//! | limits, scopes, flags | StackGuard::ThreadLocal, stack-guard.h | a requested interrupt changes exactly these words |
//! | `vectors`, `spare` | HandleScopeImplementer's members, api.h | `Context::Enter` raises the size of `entered_contexts_` by one; a handle block that V8 no longer needs becomes the spare one |
//! | `wasm_own_stacks` | Isolate::wasm_stacks_ (isolate.h, 13.6 and 14.6) | the list grows by one during a promising call (`wasm_stacks.rs`) |
//! | `isolate_words` | the size that `Isolate::Allocate` allocates, in Node's binary, rounded up; malloc says the rest (`block.rs`) | every search stays within it, and finds its words |
//! | `epilogue_callbacks` | LocalHeap::InvokeGCEpilogueCallbacksInSafepoint, in Node's binary | the vector there grows by one on this stack during `JSON.stringify`, twice (`epilogue_callbacks.rs`) |
//! | `exit_frame` | ThreadLocalTop's `c_entry_fp_`, thread-local-top.h | in a call further down, V8's newest entry frame holds what the word was further up (`js_entries.rs`) |
//! | `has_destroy_list` | isolate.cc 12.4:4560 | the list grows by one during `JSON.stringify` (`destroy_list.rs`) |
//! | `has_stack_size` | Isolate::stack_size_, set by Isolate::SetStackLimit (api.cc 13.6:10711, 14.6:10719) | exactly that word changes to the new size (`stack/depth.rs`) |
//! | `embedder_data` | `kContinuationPreservedEmbedderDataOffset`, v8-internal.h (12.4+) | setting it by the API changes exactly that word |

/// The V8 version that the facts describe, in the order of the table. The switch is compiled for each of them, so that the compiler
/// knows the sizes of its copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abi {
    /// Node 20.
    V8_11_3,
    /// Node 22.
    V8_12_4,
    /// Node 24.
    V8_13_6,
    /// Node 26.
    V8_14_6,
}

/// The facts about one V8 version; the table above explains them.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) abi: Abi,
    /// The beginning of the string that `V8::GetVersion()` returns.
    pub(crate) version: &'static str,
    /// The isolate's size in words, or a little more.
    pub(crate) isolate_words: usize,
    /// Bytes from the isolate to its ThreadLocalTop.
    pub(crate) thread_local_top: usize,
    pub(crate) thread_local_top_words: usize,
    /// Bytes from the isolate to its HandleScopeData; `None` where the headers do not say, and an experiment finds it.
    pub(crate) scope_data: Option<usize>,
    pub(crate) scope_data_words: usize,
    pub(crate) implementer_words: usize,
    /// Word of `spare_` in the HandleScopeImplementer.
    pub(crate) spare: usize,
    /// First words of the DetachableVectors {data, capacity, size} behind `blocks_` that hold malloc'd memory.
    pub(crate) vectors: &'static [usize],
    /// Words of the StackGuard's C++ limits, `real_climit_` and `climit_`, where this V8 sets them. 13.6 and 14.6 set them in
    /// simulators only, and otherwise leave them uninitialized (stack-guard.h).
    pub(crate) c_limits: Option<(usize, usize)>,
    /// Word whose low half is `interrupt_flags_` in the StackGuard.
    pub(crate) interrupt_flags: usize,
    /// Bytes from the isolate to its continuation-preserved embedder data.
    pub(crate) embedder_data: Option<usize>,
    /// How many stacks the isolate lists while no wasm call has a stack of its own; `None` where V8 has no JSPI.
    pub(crate) wasm_own_stacks: Option<usize>,
    /// Whether the isolate lists C++ objects that must be destroyed in the order of one stack (`destroy_list.rs`).
    pub(crate) has_destroy_list: bool,
    /// Whether V8 takes only this many bytes below a stack's start for the stack: `Isolate::stack_size_` and 40 KiB more
    /// (SimulatorStack::GetCentralStackView, simulator.h). A frame further down would count as one of wasm's own stacks.
    pub(crate) has_stack_size: bool,
    /// Word of `c_entry_fp_` in ThreadLocalTop: the frame by which the innermost JavaScript called native code.
    pub(crate) exit_frame: usize,
    /// Word of `gc_epilogue_callbacks_` in a LocalHeap, where objects on stacks register themselves (`epilogue_callbacks.rs`).
    pub(crate) epilogue_callbacks: Option<usize>,
}

impl Facts {
    /// `isolate_words` is rounded up by fewer words than these.
    pub(crate) const ISOLATE_SLACK: usize = 600;

    /// How many words of an archive hold state: HandleScopeImplementer, HandleScopeData, ThreadLocalTop and the top of the
    /// Relocatables.
    pub(crate) const fn archive_words(&self) -> usize {
        self.implementer_words + self.scope_data_words + self.thread_local_top_words + 1
    }

    /// Whether a word of the isolate is one of ThreadLocalTop's.
    pub(crate) fn is_in_thread_local_top(&self, word: usize) -> bool {
        let first = self.thread_local_top / 8;
        (first..first + self.thread_local_top_words).contains(&word)
    }

    /// Word of `interrupt_scopes_` in the StackGuard: the member before the flags.
    #[inline(always)]
    pub(crate) fn interrupt_scopes(&self) -> usize {
        self.interrupt_flags - 1
    }

    /// How many words of a V8 archive are before Debug's: those of an image, then StackGuard's.
    pub(crate) fn debug_in_archive(&self) -> usize {
        self.archive_words() + self.interrupt_flags
    }
}

/// Bytes from the isolate to its StackGuard (all versions).
pub(crate) const STACK_GUARD: usize = 8;
/// Word of `real_jslimit_` in the StackGuard: the limit itself.
pub(crate) const REAL_JS_LIMIT: usize = 1;
/// Word of `jslimit_` in the StackGuard: the limit, or a very high address while an interrupt is requested (stack-guard.h).
pub(crate) const JS_LIMIT: usize = 3;
/// `InterruptFlag::TERMINATE_EXECUTION` (stack-guard.h).
pub(crate) const TERMINATE_EXECUTION: u32 = 1;

/// Words of the HandleScopeImplementer: first word, capacity and size of `blocks_`, and the size of `entered_contexts_`.
pub(crate) const BLOCKS: usize = 1;
pub(crate) const BLOCKS_CAPACITY: usize = 2;
pub(crate) const BLOCKS_SIZE: usize = 3;
pub(crate) const ENTERED_CONTEXTS_SIZE: usize = 6;
/// `kHandleBlockSize` (handles.h): how many handles a block has. With malloc's header a block is just below 8 KiB.
pub(crate) const HANDLE_BLOCK_WORDS: usize = 1022;
pub(crate) const HANDLE_BLOCK_BYTES: u64 = HANDLE_BLOCK_WORDS as u64 * 8;
/// How many words an entry frame has at most from its StackHandler up, with the address to which it returns (`JSEntry`,
/// builtins-x64.cc): the frame pointer is the 13th or 14th.
pub(crate) const ENTRY_WORDS: usize = 16;
/// How many bytes below the frame pointer of an exit frame its stack pointer is (`ExitFrameConstants::kSPOffset`,
/// frame-constants-x64.h). In the word below that is the address to which its callee returns (ExitFrame::FillState, frames.cc).
pub(crate) const SP_OF_EXIT_FRAME: usize = 16;
/// How many words behind Relocatable's in an archive the collector may read: `Debug::Iterate` visits four, behind StackGuard's.
pub(crate) const ARCHIVE_TAIL_WORDS: usize = 20;

/// The largest sizes of all versions.
pub(crate) const MAX_TOP_WORDS: usize = 30;
pub(crate) const MAX_ARCHIVE_WORDS: usize = {
    let (mut largest, mut i) = (0, 0);
    while i < TABLE.len() {
        let words = TABLE[i].archive_words();
        largest = if words > largest { words } else { largest };
        i += 1;
    }
    largest + ARCHIVE_TAIL_WORDS
};

const TABLE: [Facts; 4] = [
    Facts {
        abi: Abi::V8_11_3,
        version: "11.3.",
        isolate_words: 8192,
        thread_local_top: 264,
        thread_local_top_words: 25,
        scope_data: None,
        scope_data_words: 4,
        implementer_words: 15,
        spare: 13,
        vectors: &[4, 7, 10],
        c_limits: Some((2, 4)),
        interrupt_flags: 6,
        embedder_data: None,
        wasm_own_stacks: None,
        has_destroy_list: false,
        has_stack_size: false,
        exit_frame: 15,
        epilogue_callbacks: None,
    },
    Facts {
        abi: Abi::V8_12_4,
        version: "12.4.",
        isolate_words: 8704,
        thread_local_top: 272,
        thread_local_top_words: 30,
        scope_data: Some(512),
        scope_data_words: 3,
        implementer_words: 12,
        spare: 10,
        vectors: &[4, 7],
        c_limits: Some((2, 4)),
        interrupt_flags: 7,
        embedder_data: Some(576),
        wasm_own_stacks: None,
        has_destroy_list: true,
        has_stack_size: false,
        exit_frame: 0,
        epilogue_callbacks: Some(7),
    },
    Facts {
        abi: Abi::V8_13_6,
        version: "13.6.",
        isolate_words: 9216,
        thread_local_top: 320,
        thread_local_top_words: 30,
        scope_data: Some(560),
        scope_data_words: 3,
        implementer_words: 13,
        spare: 10,
        vectors: &[4, 7],
        c_limits: None,
        interrupt_flags: 7,
        embedder_data: Some(632),
        wasm_own_stacks: Some(1),
        has_destroy_list: false,
        has_stack_size: true,
        exit_frame: 0,
        epilogue_callbacks: Some(8),
    },
    Facts {
        abi: Abi::V8_14_6,
        version: "14.6.",
        isolate_words: 9216,
        thread_local_top: 328,
        thread_local_top_words: 29,
        scope_data: Some(560),
        scope_data_words: 3,
        implementer_words: 13,
        spare: 10,
        vectors: &[4, 7],
        c_limits: None,
        interrupt_flags: 7,
        embedder_data: Some(680),
        wasm_own_stacks: Some(1),
        has_destroy_list: false,
        has_stack_size: true,
        exit_frame: 0,
        epilogue_callbacks: Some(10),
    },
];

static FACTS: [Facts; 4] = TABLE;

/// The facts about a V8 that is known when this is compiled, by its [`Abi`] as a number.
#[inline(always)]
pub(crate) fn known_for<const ABI: usize>() -> &'static Facts {
    &FACTS[ABI]
}

/// The facts about the V8 with this version string, such as "13.6.233.17-node.53".
pub(crate) fn of(version: &str) -> Option<&'static Facts> {
    FACTS.iter().find(|facts| version.starts_with(facts.version))
}
