//! Everything that knows Node: the state that Node keeps for the running stack, and the end of an environment.
//!
//! Node has one stack of async ids for each environment. `executionAsyncId()`, `executionAsyncResource()` and, up to Node 22,
//! AsyncLocalStorage read its top entry. Every callback of the event loop and every `runInAsyncScope` pushes an entry, and pops it
//! at its end; Node ends the process where another entry is on top then. So a greenlet takes its own entries along:
//!
//! ```text
//!        main runs              A runs                A is parked, B runs
//!
//!                              | what A pushed |      A's `Scope`: what A pushed
//!                              | A's base      |     | B's base      |
//!      | main's entries |      | main's entries |    | main's entries |
//! ```
//!
//! Main's entries do not move, and a greenlet is entered only while no other greenlet's entries are above them. (Where Node clears
//! the stack while a greenlet runs, main's entries are taken off for it: `async_hooks.rs`, `Parked::Cleared`.) A greenlet's base
//! entry is the one that `AsyncResource.runInAsyncScope` would push for the greenlet's own resource, so hooks, ids and stores work
//! without any knowledge of greenlets. Where a greenlet has pushed nothing, a switch costs a compare and a few stores.
//!
//! Where the resources of entries are: that of the base is in the root table (`v8/gc/roots.rs`). Resources that C++ pushed are
//! handles in C++ frames on the greenlet's stack. Resources that JavaScript pushed are handles of the callback that parks the
//! greenlet.
//!
//! | file | what it does | may import of this room |
//! |---|---|---|
//! | `facts` | the table of facts about Node that are known beforehand | nothing |
//! | `resources` | Node's container of native resources | nothing |
//! | `scope` | what a greenlet has on Node's stack of async ids | `resources` |
//! | `async_hooks` | puts a greenlet's entries on Node's stack of async ids, and takes them off | `facts`, `resources`, `scope` |
//! | `learn` | finds the stack of async ids in one environment, and proves it | `facts`, `resources`, `async_hooks` |
//! | `vm_state` | the state of one stack: V8's part and Node's part together | `scope` |
//! | `context` | the async context of a greenlet: giving it, replacing it, reading it | `async_hooks`, `scope`, `vm_state` |
//! | `addon_scopes` | the scopes that Node-API add-ons have open on a stack | nothing |
//! | `end_watch` | notices that an environment is ending | nothing |
//! | `pauses` | what Node's client of the inspector does while a suspended stack is read | nothing |
//! | `rejections` | decides which rejected promises Node is told about | nothing |
//!
//! A file imports only from files above it in the table. All of them may import `v8`, `mail` and `unsupported`.

pub(crate) mod addon_scopes;
pub(crate) mod async_hooks;
pub(crate) mod context;
pub(crate) mod end_watch;
mod facts;
pub(crate) mod learn;
pub(crate) mod pauses;
pub(crate) mod rejections;
mod resources;
mod scope;
pub(crate) mod vm_state;
