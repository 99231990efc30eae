//! The move of a stack's bytes, and what it does to an address among them.

use std::ops::RangeInclusive;

/// The live bytes of a suspended stack were copied from one place to another: out of its slot, or back.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Relocation {
    /// Where they were, first and last address; the last one is just behind the last byte.
    pub from: RangeInclusive<usize>,
    /// Where the first of them is now.
    pub to: usize,
    /// Whether they are back in the stack's slot.
    pub home: bool,
}

impl Relocation {
    /// The new address of a moved byte, or of the end just behind the last one; `None` for any other `address`.
    pub fn new_address(&self, address: usize) -> Option<usize> {
        self.from.contains(&address).then(|| self.to.wrapping_add(address - self.from.start()))
    }
}
