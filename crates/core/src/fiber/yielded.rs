//! What comes back from running a fiber.

/// How a fiber gave control back.
pub(crate) enum Yielded<T, R> {
    /// The fiber suspended itself and sent this.
    Suspended(T),
    /// The fiber's function returned this. The stack holds nothing any more.
    Finished(R),
}
