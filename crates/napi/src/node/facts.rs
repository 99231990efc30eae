//! All facts about Node that are known beforehand: one table, with the source of each fact and how it is verified before anything
//! relies on it.
//!
//! Offsets are in 8-byte words. Sources: Node 20.20.2, 22.23.3, 24.21.0, 26.10.0: `src/env.h`, `src/env.cc`, and the
//! disassembly of the four binaries. The object has the same layout in all of them.
//!
//! | fact | source | verified by (`learn.rs`) |
//! |---|---|---|
//! | `AsyncHooks` lies in the `Environment` | env.h | its vtable is the exported one; each of its three AliasedBuffers holds the isolate |
//! | `IDS_*`, `FIELDS_*`, `UIDS_*` | AliasedBufferBase, aliased_buffer.h: {vtable, isolate, count, byte offset, buffer, Global, index} | counts of 32 and more, 9 and 4; opening a callback scope changes exactly the expected numbers |
//! | `STACK_LENGTH` | `AsyncHooks::Fields`, env.h | grows by one with each of two callback scopes, and no other field does |
//! | `BEFORE`, `AFTER`, ids of `UidFields` | env.h | both ids become the scope's ids, and get their old values again; hooks: the order of the constants is public (`async_wrap.constants`) |
//! | `RESOURCES` | `js_execution_async_resources_`, env.h | it is an array, or empty |
//! | `NATIVE_RESOURCES` | `native_execution_async_resources_`, env.h; the type of its elements: the exported `push_async_context` | its end moves by one element, which leads to the scope's resource (`resources.rs`) |
//! | scope depth | `async_callback_scope_depth_`, env.h | the only word within `DEPTH_WORDS` that grows by one with each of two callback scopes |
//! | `ARRAY_LENGTH` | JSArray, js-array.h: map, properties, elements, length | arrays of 5 and 12 |

/// Members of `AsyncHooks`.
pub(super) const IDS_COUNT: usize = 3;
pub(super) const IDS_BUFFER: usize = 5;
pub(super) const FIELDS_BUFFER: usize = 12;
pub(super) const UIDS_BUFFER: usize = 19;
pub(super) const RESOURCES: usize = 22;
pub(super) const NATIVE_RESOURCES: usize = 23;
/// How many words of `AsyncHooks` are compared: up to the container of native resources and its ten words.
pub(super) const WORDS: usize = NATIVE_RESOURCES + 10;

/// `AsyncHooks::Fields`: how many hooks of a kind the program has, and how many entries the stack has.
pub(super) const BEFORE: usize = 1;
pub(super) const AFTER: usize = 2;
pub(super) const STACK_LENGTH: usize = 7;
pub(super) const FIELDS: usize = 9;

/// `AsyncHooks::UidFields`.
pub(super) const EXECUTION_ID: usize = 0;
pub(super) const TRIGGER_ID: usize = 1;
pub(super) const DEFAULT_TRIGGER_ID: usize = 3;
pub(super) const UIDS: usize = 4;

/// Word of a JSArray that holds its length, a Smi.
pub(super) const ARRAY_LENGTH: usize = 3;

/// How many words of an `Environment` are searched.
pub(super) const ENVIRONMENT_WORDS: usize = 4096;
/// How many words from `AsyncHooks` on are observed.
pub(super) const OBSERVED_WORDS: usize = 512;
/// How many of the observed words are searched for the scope depth. It is 528 to 792 bytes behind the start of `AsyncHooks` in Node
/// 20.20 to 26.10; a word further away may be any other counter.
pub(super) const DEPTH_WORDS: usize = 128;
