//! The addon's own files around a switch, a snapshot and a garbage collection, with a model in the place of V8. Miri cannot run V8, but
//! it runs this: it finds a reference to shared state that lives longer than one expression.
//!
//! ```text
//!   crates/napi/src/            here
//!   v8/stack/   state, stacks, list, context_words, capture      the same files
//!   v8/gc/      quiet, roots                                      the same files
//!   v8/lanes/   fast                                              the same file
//!   v8/learn/   facts, list_node, block                           the same files
//!               layout, symbols, and what few stacks have         models (`layout.rs`)
//!   Node-API    one function, during which a scavenge runs        a model (`collector.rs`)
//! ```
//!
//! `make miri` runs the tests; `cargo test --package greenlets-model` does too, natively.
#![cfg(test)]
#![allow(dead_code, reason = "each of the addon's files has functions that the model does not call")]

extern crate self as napi;

mod blocks;
mod collector;
#[path = "../../napi/src/fixed.rs"]
mod fixed;
mod layout;
mod tests;
mod v8;

/// The part of Node-API that a capture of frames uses.
pub(crate) mod sys {
    pub(crate) use crate::collector::node_api::*;
}

pub(crate) mod settings {
    /// As in the addon's `settings.rs`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Scan {
        Young,
        All,
        Verify,
    }
}
