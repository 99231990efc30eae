//! The name of a stack, and the states of a greenlet.

use std::fmt;

use slotmap::{Key, KeyData};

slotmap::new_key_type! {
    /// The id as the registry's table knows it.
    pub(crate) struct TableKey;
}

/// Names one stack of one thread for ever.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub(crate) TableKey);

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, generation) = self.parts();
        write!(f, "Id({index}, {generation})")
    }
}

impl Id {
    /// The two halves, for hosts that carry an id as numbers: place in the table, generation.
    #[inline]
    pub fn parts(self) -> (u32, u32) {
        let bits = self.0.data().as_ffi();
        (bits as u32, (bits >> 32) as u32)
    }

    /// The id with these halves. It need not exist; asking for it then finds nothing.
    #[inline]
    pub fn from_parts(index: u32, generation: u32) -> Id {
        Id(TableKey::from(KeyData::from_ffi(u64::from(generation) << 32 | u64::from(index))))
    }
}

/// The state of a greenlet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Made, but never switched to: it has no stack yet.
    Unstarted,
    /// It is the one that runs now.
    Running,
    /// Its stack waits to be switched to.
    Suspended,
    /// Its function returned, or threw, or will never run.
    Dead,
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn an_id_can_be_taken_apart_and_put_together() {
        let mut table = SlotMap::<TableKey, ()>::with_key();
        let first = table.insert(());
        table.remove(first);
        let second = table.insert(());
        assert_ne!(first, second);
        assert_eq!(Id(first).parts().0, Id(second).parts().0, "the same place");
        for id in [Id(first), Id(second)] {
            let (index, generation) = id.parts();
            assert_eq!(Id::from_parts(index, generation), id);
        }
    }
}
