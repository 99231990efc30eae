//! Everything that knows V8.
//!
//! V8 keeps the state of *the* stack in the isolate; it also knows how to keep several stacks in one isolate, for
//! `v8::Locker`: the state of a thread that does not hold the lock is archived in a `ThreadState` node, and the GC, the
//! deoptimizer and the debugger visit all nodes of `ThreadManager`'s in-use list. A suspended greenlet is such a node:
//!
//! ```text
//!   Isolate                                       ThreadManager::in_use_anchor_
//!   ├ HandleScopeData ─────┐                            │
//!   ├ ThreadLocalTop ──────┤  park ───►  image ◄── node ┤  greenlet A (suspended)
//!   ├ HandleScopeImplementer                            │
//!   ├ Relocatable top ─────┤  ◄── unpark image ◄── node ┤  greenlet B (suspended)
//!   └ StackGuard: limits   ┘                            │
//!                                        blank ◄── node ┘  greenlet C (running: its state is in the isolate)
//! ```
//!
//! | file | what |
//! |---|---|
//! | `facts` | the table of what is known beforehand, for each V8 |
//! | `symbols`, `peek`, `module`, `tls` | public functions by name; careful reads; V8's module and its thread-local words |
//! | `flags` | features of V8 that are switched off |
//! | `rehearsal`, `learn`, `handles`, `layout` | one round of the official mechanism, watched; what was learnt from it |
//! | `watch` | looking at V8 in the middle of a JavaScript program |
//! | `state`, `list`, `blocks` | park and unpark; the in-use list; handle blocks and their lists |
//! | `locker` | the other lane: V8 parks and unparks |
//! | `leave` | whether the running stack may be left |
//! | `debug`, `microtasks` | what a pause, a step and a promise job have to do with it |
//! | `doomed`, `callbacks` | lists of objects that lie on stacks |
//! | `wasm` | wasm calls that have stacks of their own |
//! | `roots`, `gc` | the root table; what must happen around a GC |
//! | `quiet` | which stacks a scavenge need not visit |
//! | `call`, `capture` | running JavaScript at a stack's base; reading a suspended stack |
//! | `host` | all of it as the core's `Host` |
//! | `fault` | facts that are wrong on purpose, in a build for the tests |
//! | `self_test` | the proof, before the first use |

pub(crate) mod call;
pub(crate) mod callbacks;
pub(crate) mod capture;
pub(crate) mod debug;
pub(crate) mod doomed;
pub(crate) mod entries;
pub(crate) mod facts;
#[cfg(feature = "faults")]
pub(crate) mod fault;
pub(crate) mod flags;
pub(crate) mod gc;
pub(crate) mod handles;
pub(crate) mod host;
pub(crate) mod layout;
pub(crate) mod learn;
pub(crate) mod leave;
pub(crate) mod list;
pub(crate) mod locker;
pub(crate) mod microtasks;
pub(crate) mod module;
pub(crate) mod peek;
pub(crate) mod quiet;
pub(crate) mod rehearsal;
pub(crate) mod roots;
pub(crate) mod self_test;
pub(crate) mod state;
pub(crate) mod symbols;
pub(crate) mod tls;
pub(crate) mod wasm;
pub(crate) mod watch;

/// A `v8::Isolate*`.
pub(crate) type Isolate = *mut std::ffi::c_void;

/// Why there are no greenlets on this thread.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Unsupported {
    /// One sentence, for `runtimeInfo().reason`.
    #[error("{0}")]
    Because(String),
    /// V8 was ending JavaScript on this thread in the middle of it: that says nothing about the runtime.
    #[error("JavaScript is being terminated on this thread")]
    Interrupted,
    /// This is not the moment to find out; what stands in the way goes by.
    #[error("greenlets cannot be set up {0}; make the first one after that")]
    NotNow(&'static str),
}

impl Unsupported {
    /// Whether it says something about this runtime, so that nobody need try again.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Unsupported::Because(_))
    }
}

/// Makes an [`Unsupported`] where a condition does not hold.
macro_rules! ensure {
    ($condition:expr, $($reason:tt)*) => {
        if !$condition {
            return Err($crate::v8::Unsupported::Because(format!($($reason)*)));
        }
    };
}
pub(crate) use ensure;
