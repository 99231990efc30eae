//! The work before and after a garbage collection while greenlets are suspended.
//!
//! | file | what it does |
//! |---|---|
//! | `hooks` | V8's callbacks before and after each collection, in which the others act |
//! | `greenlets` | what they need to know of greenlets |
//! | `quiet` | which stacks a scavenge need not visit |
//! | `order` | keeps our callbacks next to the collection |
//! | `roots` | the root table: words of our own that the collector visits |
//! | `classes` | which stacks a full collection need not visit, and what it visits in their place |
//! | `full` | makes every collection a full one while wasm calls have stacks of their own |
//!
//! docs/internals/gc.md explains the design. The clauses **thread**, **learnt**, **live**, **raw** and **parked** are those of
//! `stack/state.rs`.

pub(crate) mod classes;
pub(crate) mod full;
pub(crate) mod greenlets;
pub(crate) mod hooks;
mod order;
pub(crate) mod quiet;
pub(crate) mod roots;
