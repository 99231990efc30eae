//! The result of running a fiber: it has suspended itself, or has finished.

/// How a fiber gave control back.
pub(crate) enum Yielded<T, R> {
    /// The fiber suspended itself and sent this.
    Suspended(T),
    /// The fiber's function returned this. The stack holds nothing any more.
    Finished(R),
}
