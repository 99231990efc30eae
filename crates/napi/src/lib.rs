//! The binding of greenlets to Node.js: a thin layer between TypeScript (`js/`), the core (`greenlets-core`), V8 and Node.
//!
//! ```text
//!   exports        the addon's exports: runtimeInfo(), configure(), attach()
//!   environment    puts one Node environment together, and takes it apart
//!   unwind         the end of an environment: stacks that must be resumed once more
//!      │
//!   calls/         what JavaScript calls once it is attached: switch() and the questions about a stack
//!      │
//!   host           V8 and Node as the core's `Host`
//!   other_isolates isolates that add-ons make and enter, such as those of isolated-vm
//!   v8_host        what one environment has
//!      │
//!   node/          what Node keeps for the running stack: async ids, resources, contexts, scopes of add-ons
//!      │
//!   v8/lanes/      moving V8's state: ourselves (fast) or by V8 (locker)
//!   v8/gc/         the work before and after a garbage collection
//!   v8/stack/      the state of one stack; leaving, calling, reading it
//!   v8/learn/      where V8 keeps what, and the proof
//!      │
//!   mail, settings, unsupported       numbers and words that all of them share
//!   fixed                             a value that stays at one address
//!   objects                           what the dynamic loader has loaded
//!   cxx_exceptions                    what C++ runtimes keep for the running stack
//!   imports                           redirects functions that add-ons import
//!   libraries                         whether a stack is inside of a library
//! ```
//!
//! A file imports only from its own room and from rooms below it; `make lint` checks that (`scripts/rooms.ts`).
//!
//! JavaScript calls `attach()` once for each thread and gets an object of functions. From then on a switch passes no
//! arguments: the id of the greenlet that is to run stands in an Int32Array that both sides share (`mail.rs`), and values never
//! leave JavaScript.

mod calls;
mod cxx_exceptions;
mod environment;
mod exports;
mod fixed;
mod host;
mod imports;
mod libraries;
mod mail;
mod node;
mod objects;
mod other_isolates;
mod settings;
mod unsupported;
mod unwind;
mod v8;
mod v8_host;
mod weak;
