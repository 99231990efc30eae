//! The name of a stack, and the states of a greenlet.

use slotmap::{Key, KeyData};

slotmap::new_key_type! {
    /// Names one greenlet of one thread for ever.
    pub struct Id;
}

impl Id {
    /// The two halves, for hosts that carry an id as numbers: place in the table, generation.
    #[inline]
    pub fn parts(self) -> (u32, u32) {
        let bits = self.data().as_ffi();
        (bits as u32, (bits >> 32) as u32)
    }

    /// The id with these halves. It need not exist; asking for it then finds nothing.
    #[inline]
    pub fn from_parts(index: u32, generation: u32) -> Id {
        Id::from(KeyData::from_ffi(u64::from(generation) << 32 | u64::from(index)))
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
        let mut table = SlotMap::<Id, ()>::with_key();
        let first = table.insert(());
        table.remove(first);
        let second = table.insert(());
        assert_ne!(first, second);
        assert_eq!(first.parts().0, second.parts().0, "the same place");
        for id in [first, second] {
            let (index, generation) = id.parts();
            assert_eq!(Id::from_parts(index, generation), id);
        }
    }
}
