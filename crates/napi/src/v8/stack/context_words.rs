//! The three words of an async context. They lie in the root table (`gc/roots.rs`), where the collector visits them.

/// The async context of a greenlet, or of several greenlets that share one.
#[repr(C)]
pub(crate) struct ContextWords {
    /// The stores, as Node's AsyncContextFrame keeps them (continuation-preserved embedder data); valid while the stack is parked.
    pub(crate) frame: u64,
    /// The resource: what `executionAsyncResource()` returns.
    pub(crate) resource: u64,
    /// Twice the number of stacks that have this context, and in the high half the number of its block: a Smi to the collector.
    pub(crate) users: u64,
}
