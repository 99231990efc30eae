//! What Node keeps for *the* stack: its stack of async ids.
//!
//! `executionAsyncId()`, `executionAsyncResource()` and, up to Node 22, AsyncLocalStorage look at its top. Every callback of the
//! event loop and every `runInAsyncScope` pushes an entry and pops it when it ends, and Node ends the process where another
//! one is on top then. So a greenlet takes its own along:
//!
//! ```text
//!        main runs              A runs                A is parked, B runs
//!
//!                              | what A pushed |      A's `Scope`: what A pushed
//!                              | A's base      |     | B's base      |
//!      | main's entries |      | main's entries |    | main's entries |
//! ```
//!
//! Main's entries never move, and no stack is entered while another's are on top of them. The base is what
//! `AsyncResource.runInAsyncScope` would push, of the greenlet's own resource: hooks, ids and stores need to know nothing of
//! greenlets. A switch that pushed nothing costs a compare and a few stores.
//!
//! Who refers to what: the base's resource lies in the root table (`v8/roots.rs`); resources that C++ pushed are handles
//! in C++ frames on the greenlet's stack; those that JavaScript pushed are handles of the callback that parks.
//!
//! | file | what |
//! |---|---|
//! | `facts` | the table of what is known beforehand |
//! | `learn` | finding it in one environment, and the proof |
//! | `async_hooks` | entering and leaving |
//! | `resources` | the container of native resources |

pub(crate) mod addon_scopes;
pub(crate) mod async_hooks;
pub(crate) mod context;
pub(crate) mod end_watch;
mod facts;
pub(crate) mod learn;
mod resources;
pub(crate) mod vm_state;
