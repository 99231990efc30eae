//! All facts of one isolate as a list for `greenlets doctor`: what each is, whether it was known beforehand or found, and what has
//! proven it. Both structs are taken apart without `..`, so a new field that is not in the list does not compile.

use super::collection_callbacks::CollectionCallbacks;
use super::epilogue_callbacks::lead_of;
use super::facts::{self, Facts};
use super::joins::Joins;
use super::known::Known;
use super::layout::Layout;
use super::microtasks::Microtasks;
use super::peek::Peek;
use super::symbols::Symbols;
use super::tls::{self, ThreadWords};
use super::wasm_stacks::WasmStacks;
use super::{debugger, heap_stack_start};

/// One fact.
#[derive(Clone)]
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    /// Whether it was known beforehand, from the sources of V8 or Node. All others are found in each process.
    pub(crate) in_table: bool,
    /// The act that proves it.
    pub(crate) proof: &'static str,
}

const NONE: &str = "none in this V8";

impl Fact {
    fn new(name: &'static str, value: String, in_table: bool, proof: &'static str) -> Fact {
        let proof = if value == NONE { "none is needed" } else { proof };
        Fact { name, value, in_table, proof }
    }
}

/// A fact of the table.
pub(crate) fn known(name: &'static str, value: impl ToString, proof: &'static str) -> Fact {
    Fact::new(name, value.to_string(), true, proof)
}

/// A fact that was found.
pub(crate) fn learnt(name: &'static str, value: impl ToString, proof: &'static str) -> Fact {
    Fact::new(name, value.to_string(), false, proof)
}

/// The facts of the table. The table at the head of `facts.rs` says more.
pub(crate) fn of_facts(facts: &Facts) -> Vec<Fact> {
    let Facts {
        abi,
        version,
        isolate_words,
        thread_local_top,
        thread_local_top_words,
        scope_data,
        scope_data_words,
        implementer_words,
        spare,
        vectors,
        c_limits,
        interrupt_flags,
        embedder_data,
        wasm_own_stacks,
        has_destroy_list,
        has_stack_size,
        exit_frame,
        epilogue_callbacks,
    } = facts;
    let limits = "real_jslimit_ lies below the start of the stack; a requested interrupt changes exactly the expected words";
    let blocks = "entering a context raises one word by one; a block of handles is filled and released";
    vec![
        known("abi", format!("{abi:?}"), "all of the following"),
        known("version", version, "V8::GetVersion() begins with it"),
        known(
            "isolate_words",
            words(*isolate_words),
            "each search stays within it, and finds what it looks for",
        ),
        known(
            "thread_local_top",
            bytes(*thread_local_top),
            "V8's own archive of the stack has the same words",
        ),
        known(
            "thread_local_top_words",
            words(*thread_local_top_words),
            "its words are in the archive at one place only",
        ),
        known(
            "scope_data",
            scope_data.map_or("searched".into(), bytes),
            "new handles move that word by 8 bytes each, and no other",
        ),
        known("scope_data_words", words(*scope_data_words), "what is before ThreadLocalTop in the archive"),
        known("implementer_words", words(*implementer_words), "what is before ThreadLocalTop in the archive"),
        known("spare", word(*spare), "a block of handles that V8 no longer needs becomes the spare one"),
        known(
            "vectors",
            format!("words {vectors:?}"),
            "entering a context raises the size of one of them by one",
        ),
        known(
            "c_limits",
            c_limits.map_or(NONE.into(), |(real, limit)| format!("words {real} and {limit}")),
            "they equal the limits of JavaScript",
        ),
        known(
            "interrupt_flags",
            word(*interrupt_flags),
            "a requested interrupt changes exactly the expected words",
        ),
        known(
            "embedder_data",
            embedder_data.map_or(NONE.into(), bytes),
            "V8's function for it changes exactly that word",
        ),
        known(
            "wasm_own_stacks",
            wasm_own_stacks.map_or(NONE.into(), |count| count.to_string()),
            "the list of wasm stacks grows by one during a promising call",
        ),
        known(
            "has_destroy_list",
            has_destroy_list,
            "where there is a list, it grows by one during JSON.stringify",
        ),
        known(
            "has_stack_size",
            has_stack_size,
            "setting the stack limit changes exactly that word, where stacks are larger",
        ),
        known(
            "epilogue_callbacks",
            epilogue_callbacks.map_or(NONE.into(), word),
            "the list there grows by one during JSON.stringify, twice",
        ),
        known(
            "exit_frame",
            word(*exit_frame),
            "in a call, the newest entry frame holds what the word was before the call",
        ),
        known("STACK_GUARD", bytes(facts::STACK_GUARD), limits),
        known("REAL_JS_LIMIT", word(facts::REAL_JS_LIMIT), limits),
        known("JS_LIMIT", word(facts::JS_LIMIT), limits),
        known(
            "TERMINATE_EXECUTION",
            facts::TERMINATE_EXECUTION,
            "no act: it is a bit that V8's public TerminateExecution() sets, the same in all known versions (stack-guard.h)",
        ),
        known("BLOCKS", word(facts::BLOCKS), blocks),
        known("BLOCKS_CAPACITY", word(facts::BLOCKS_CAPACITY), blocks),
        known("BLOCKS_SIZE", word(facts::BLOCKS_SIZE), blocks),
        known("ENTERED_CONTEXTS_SIZE", word(facts::ENTERED_CONTEXTS_SIZE), blocks),
        known("HANDLE_BLOCK_WORDS", words(facts::HANDLE_BLOCK_WORDS), blocks),
        known(
            "ENTRY_WORDS",
            words(facts::ENTRY_WORDS),
            "no act: the torture programs collect garbage with stacks that were copied without what is further out",
        ),
        known(
            "SP_OF_EXIT_FRAME",
            bytes(facts::SP_OF_EXIT_FRAME),
            "each time: the word there leads to the part of the stack below it",
        ),
        known(
            "ARCHIVE_TAIL_WORDS",
            words(facts::ARCHIVE_TAIL_WORDS),
            "the self-test collects garbage with an archive",
        ),
    ]
}

/// What was found in this isolate, and in its thread.
pub(crate) fn of_layout(layout: &Layout) -> Vec<Fact> {
    let Layout {
        facts,
        isolate: _,
        thread: ThreadWords { thread_id: id_word, stack_start },
        heap_stack_starts,
        handle_scope_data,
        handle_scope_implementer,
        thread_local_top,
        relocatable_top,
        stack_guard,
        embedder_data,
        destroy_list,
        epilogue_callbacks,
        collection_callbacks: CollectionCallbacks { prologue, epilogue },
        wasm_stacks: WasmStacks { list: wasm_list, at_rest: _ },
        debugger,
        microtasks: Microtasks { default: _, link, running, depth },
        joins: Joins { list: contexts, own: _, next, stack: join_stack, undefined: _, hole: _, no_element: _ },
        formatting,
        in_use: _,
        thread_manager,
        thread_id,
        main,
        blank_top,
        context_word,
        handler_word,
        frames,
        env: _,
        symbols: _,
    } = layout;
    let map = Map::of(layout);
    let at = |address: usize| map.place(address, address);
    let tls = |word: usize| match tls::block_start() {
        Some(block) if word >= block => {
            format!("byte {} of the thread-local block of V8's module", word - block)
        }
        _ => "in the thread-local block of V8's module".into(),
    };
    let missing = || NONE.to_string();
    let heap = |start: *mut usize| map.place(start as usize - heap_stack_start::REACH, start as usize);
    let blank = blank_top[..facts.thread_local_top_words].iter().filter(|&&word| word != 0).count();
    let ring = "a queue of our own joins the ring, runs one job, and opens two scopes";
    let callback = "the list is longer by one entry while one more callback is registered";
    let joined = "while an array is joined, an element there is that array";
    let archive = "V8's own archive of the running stack is there during one round of v8::Locker";
    vec![
        learnt("isolate", "that of this thread", "it is entered, and Node holds its lock"),
        learnt("env", "that of this thread", "Node-API calls the addon with it"),
        learnt(
            "symbols",
            format!("{} functions", size_of::<Symbols>() / 8),
            "each is exported under its full name, which spells its parameters",
        ),
        learnt(
            "thread.thread_id",
            tls(*id_word as usize),
            "the only word that Locker::IsLocked changes on a new thread",
        ),
        learnt(
            "thread.stack_start",
            tls(*stack_start as usize),
            "the only word that becomes the start of a new thread's stack",
        ),
        learnt("thread_id", thread_id, "it is in that word, and in V8's list of archives"),
        learnt("main", format!("a stack of {} KiB", main.size() / 1024), "V8's limit lies below its start"),
        learnt(
            "heap_stack_starts",
            format!("{}; {}", heap(heap_stack_starts[0]), heap(heap_stack_starts[1])),
            "Isolate::Enter sets them to the stack start of the thread",
        ),
        learnt(
            "handle_scope_data",
            at(*handle_scope_data as usize),
            "new handles move that word by 8 bytes each, and no other",
        ),
        learnt(
            "handle_scope_implementer",
            at(*handle_scope_implementer as usize),
            "it has the archived words, and entering a context adds to it",
        ),
        learnt(
            "thread_local_top",
            at(*thread_local_top as usize),
            "its words are in V8's archive at one place only",
        ),
        learnt(
            "context_word",
            format!("word {context_word} of ThreadLocalTop"),
            "it holds the current context, and nothing on a blank stack",
        ),
        learnt(
            "handler_word",
            format!("word {handler_word} of ThreadLocalTop"),
            "in a call it leads to a word that repeats its value before the call",
        ),
        learnt(
            "frames",
            match frames {
                Ok(frames) => format!("words {:?} of an archive", frames.heads),
                Err(reason) => format!("not known, so there are no classes of stacks: {reason}"),
            },
            "in a call by Node-API they lead to frames and objects that name those of the call before",
        ),
        learnt(
            "blank_top",
            format!("{} words, {blank} of them not 0", facts.thread_local_top_words),
            "V8 has made it for a thread on which nothing has run",
        ),
        learnt(
            "relocatable_top",
            at(*relocatable_top as usize),
            "V8 archives it, clears it and restores it; in a callback it names an object on this stack",
        ),
        learnt(
            "stack_guard",
            at(*stack_guard as usize),
            "a requested interrupt changes exactly the expected words",
        ),
        learnt(
            "embedder_data",
            embedder_data.map_or_else(missing, |word| at(word as usize)),
            "V8's function for it changes exactly that word",
        ),
        learnt(
            "destroy_list",
            destroy_list.map_or_else(missing, |list| at(list.0 as usize)),
            "it grows by one during JSON.stringify",
        ),
        learnt(
            "epilogue_callbacks",
            epilogue_callbacks
                .map_or_else(missing, |list| map.place(lead_of(list, facts).0, list.0 as usize)),
            "it grows by one during JSON.stringify, twice",
        ),
        learnt("collection_callbacks.prologue", at(prologue.0 as usize), callback),
        learnt("collection_callbacks.epilogue", at(epilogue.0 as usize), callback),
        learnt(
            "wasm_stacks",
            if facts.wasm_own_stacks.is_none() { missing() } else { at(*wasm_list as usize) },
            "the list grows by one during a promising call",
        ),
        learnt(
            "debugger",
            map.place(debugger.0 as usize - debugger::REACH, debugger.0 as usize),
            "V8 restores a mark to it that was put into its archive",
        ),
        learnt(
            "microtasks.default",
            "the queue of Node's context",
            "Context::GetMicrotaskQueue gives it, and a queue of our own becomes its neighbour",
        ),
        learnt("microtasks.link", format!("word {link} of a queue"), ring),
        learnt("microtasks.running", format!("byte {running} of a queue"), ring),
        learnt("microtasks.depth", format!("byte {depth} of a queue"), ring),
        learnt("joins.list", at(*contexts as usize), "following it gives as many contexts as V8 counts"),
        learnt(
            "joins.next",
            format!("word {next} of a context"),
            "following it gives as many contexts as V8 counts",
        ),
        learnt("joins.stack", format!("word {join_stack} of a context"), joined),
        learnt(
            "formatting",
            at(formatting.0 as usize),
            "it is 1 while an error is formatted, and 0 before, afterwards and in other callbacks",
        ),
        learnt("in_use", "the anchor of ThreadManager's list", archive),
        learnt("thread_manager", at(*thread_manager as usize), archive),
    ]
}

/// Says where an address is without giving it away: a report is sent to others.
struct Map {
    isolate: usize,
    size: usize,
    /// Words of the isolate that lead to objects outside of it, with their values.
    leads: Vec<(usize, usize)>,
}

impl Map {
    fn of(layout: &Layout) -> Map {
        let isolate = layout.isolate as usize;
        let peek = Peek::new().ok();
        let leads = Known::of_process().map_or(vec![], |known| known.leads);
        let value = |word: usize| peek.as_ref().and_then(|peek| peek.word(isolate + word * 8));
        Map {
            isolate,
            size: layout.facts.isolate_words * 8,
            leads: leads.into_iter().filter_map(|word| Some((word, value(word)? as usize))).collect(),
        }
    }

    /// `address` is in an object that begins at `first` or later.
    fn place(&self, first: usize, address: usize) -> String {
        if let Some(offset) = address.checked_sub(self.isolate).filter(|&offset| offset < self.size) {
            return format!("byte {offset} of the isolate");
        }
        let leads = self.leads.iter().filter(|(_, object)| (first..=address).contains(object));
        match leads.max_by_key(|(_, object)| *object) {
            Some((word, object)) => {
                format!("byte {} of the object that word {word} of the isolate leads to", address - object)
            }
            None => "outside of the isolate".into(),
        }
    }
}

fn words(count: usize) -> String {
    format!("{count} words")
}

fn word(index: usize) -> String {
    format!("word {index}")
}

fn bytes(offset: usize) -> String {
    format!("byte {offset}")
}
