//! The state of one stack: what V8 keeps for it, and how it is moved, left, called and read.
//!
//! | file | what it does |
//! |---|---|
//! | `state` | what is kept for one stack, and copying V8's words between the isolate and an image |
//! | `stacks` | what all stacks of a thread share: which one runs, the list of handle blocks |
//! | `list`, `context_words` | V8's list of archived threads; the async context of a stack |
//! | `handles` | a handle scope of our own |
//! | `debugger`, `destroy_list`, `epilogue_callbacks`, `js_entries`, `microtasks`, `wasm_stacks` | what else lies on a stack |
//! | `formatting`, `joins` | what V8 keeps for a thread although it belongs to a stack |
//! | `unread` | what V8 does not read of a spilled stack |
//! | `depth` | how deep JavaScript may go on a greenlet's stack |
//! | `leave` | whether V8 allows the running stack to be left |
//! | `error_stack` | V8's own `stack` of an error, on Node 20 |
//! | `shape`, `same_frames` | what V8 goes by on a suspended stack; which stacks have the same frames |
//! | `call`, `capture` | running JavaScript at a stack's base; reading a suspended stack |
//!
//! The contract that the `SAFETY` sentences of this room name is at the head of `state.rs`.

pub(crate) mod call;
pub(crate) mod capture;
pub(crate) mod context_words;
pub(crate) mod debugger;
pub(crate) mod depth;
mod destroy_list;
mod epilogue_callbacks;
pub(crate) mod error_stack;
mod formatting;
pub(crate) mod handles;
mod joins;
pub(crate) mod js_entries;
pub(crate) mod leave;
pub(crate) mod list;
mod microtasks;
pub(crate) mod same_frames;
pub(crate) mod shape;
pub(crate) mod stacks;
pub(crate) mod state;
pub(crate) mod unread;
mod wasm_stacks;
