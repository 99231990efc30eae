//! Where learning has found what it looked for: at the same places in all isolates of a process, because one V8 has made them.
//!
//! The first learning of a process searches everywhere. When its layout has passed the self-test, the places are kept, and the next
//! isolates are searched only there. Each finding is proven by the same acts as the first one; where one of them fails, that isolate is
//! searched everywhere, too. So a wrong place costs time, and nothing else.

use std::sync::{Mutex, PoisonError};

/// Places relative to an isolate, and indexes in its contexts.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Words of an isolate that lead to what was found outside of it, sorted.
    pub(super) leads: Vec<usize>,
    /// The word of an isolate that begins the list of contexts.
    pub(super) list: usize,
    /// Words of a context: the link to the next one, and the stack of joined arrays.
    pub(super) next: usize,
    pub(super) join_stack: usize,
    /// The byte of an isolate that says that an error is being formatted.
    pub(super) formatting: usize,
}

/// Set as a whole by threads that have learnt everything. A thread that ends in the middle leaves it as it was.
static OF_PROCESS: Mutex<Option<Known>> = Mutex::new(None);

impl Known {
    /// What an earlier learning of this process has kept.
    pub(super) fn of_process() -> Option<Known> {
        OF_PROCESS.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the places for the next isolates.
    pub(crate) fn keep(self) {
        let known = self;
        #[cfg(feature = "faults")]
        let known = if super::fault::is("known") { known.wrong() } else { known };
        *OF_PROCESS.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }

    /// Wrong places, for the tests.
    #[cfg(feature = "faults")]
    fn wrong(mut self) -> Known {
        self.leads.iter_mut().for_each(|lead| *lead += 1);
        self.list += 1;
        self.next += 1;
        self.join_stack += 1;
        self.formatting += 1;
        self
    }
}
