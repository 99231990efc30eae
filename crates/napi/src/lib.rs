//! The binding of greenlets to Node.js: a thin layer between TypeScript (`js/`), the core (`greenlets-core`) and V8
//! (`v8/`, the only module that knows it), with a room for what Node itself keeps for a stack (`node/`).
//!
//! JavaScript calls two functions: `runtimeInfo()` says whether greenlets work here, `attach()` wires an environment up
//! and returns the few functions of `native.rs`. From then on a switch passes no arguments: who is to run stands in an
//! Int32Array that both sides share (`mail.rs`), and values never leave JavaScript.

mod context;
mod environment;
mod exports;
mod mail;
mod native;
mod node;
mod scopes;
mod settings;
mod unwind;
mod v8;
