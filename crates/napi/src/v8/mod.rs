//! The room for everything that knows V8: its layout, the state of stacks, collections, and the two lanes.
//!
//! V8 keeps the state of the running stack in the isolate. It can also keep several stacks in one isolate, for `v8::Locker`: the
//! state of a thread that does not hold the lock is archived in a `ThreadState` node, and the garbage collector, the deoptimizer
//! and the debugger visit all nodes of `ThreadManager`'s in-use list. A suspended greenlet is such a node:
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
//! | room | what it does | may import |
//! |---|---|---|
//! | `learn` | finds where V8 keeps what, proves it, or refuses | nothing of `v8` |
//! | `stack` | the state of one stack: moving, leaving, calling, reading it | `learn` |
//! | `gc` | the work before and after a garbage collection | `learn`, `stack` |
//! | `lanes` | the two ways to park and unpark | `learn`, `stack`, `gc` |
//!
//! What is learnt is immutable: one [`learn::layout::Layout`] for each isolate. What changes has one owner: `stack::stacks` (the
//! running stack and what all greenlets share), `gc` (the collector's side), `lanes::locker` (the stand-in threads).

pub(crate) mod gc;
pub(crate) mod lanes;
pub(crate) mod learn;
pub(crate) mod stack;
