//! V8 12.4's list of C++ objects to destroy when the isolate ends suddenly.
//!
//! A `JsonStringifier` (and every other class that derives from `ToDestroyBeforeSuddenShutdown`, isolate.cc 12.4:4560) adds itself
//! to a `std::vector` of the isolate and checks, when it ends, that it is the last one there. With several stacks the last one may
//! be another stack's: the check fails and the process aborts. So each stack takes its entries along. No other V8 has this list.

use crate::v8::learn::destroy_list::DestroyList;

impl DestroyList {
    /// Takes the entries of the running stack off the list.
    ///
    /// # Safety
    /// The clauses **thread** and **learnt** of `state.rs`.
    #[inline(always)]
    pub(super) unsafe fn take(self, entries: &mut Vec<u64>) {
        // SAFETY: the clause **learnt** of `state.rs`: the first two words of a live std::vector.
        unsafe {
            if *self.0 != *self.0.add(1) {
                self.take_all(entries);
            }
        }
    }

    /// The slow path of `take`.
    ///
    /// # Safety
    /// The clauses **thread** and **learnt** of `state.rs`.
    #[cold]
    unsafe fn take_all(self, entries: &mut Vec<u64>) {
        // SAFETY: the clause **learnt** of `state.rs`; between begin and end are the entries, plain pointers.
        unsafe {
            let (begin, end) = (*self.0 as *const u64, *self.0.add(1) as *const u64);
            entries.extend_from_slice(std::slice::from_raw_parts(begin, end.offset_from_unsigned(begin)));
            *self.0.add(1) = *self.0;
        }
    }

    /// Puts them back.
    ///
    /// # Safety
    /// The clauses **thread** and **learnt** of `state.rs`, and the list is empty.
    #[inline(always)]
    pub(super) unsafe fn put_back(self, entries: &mut Vec<u64>) {
        if !entries.is_empty() {
            // SAFETY: the caller's promise is the one that this needs.
            unsafe { self.put_all_back(entries) };
        }
    }

    /// The slow path of `put_back`.
    ///
    /// # Safety
    /// The clauses **thread** and **learnt** of `state.rs`, and the list is empty.
    #[cold]
    unsafe fn put_all_back(self, entries: &mut Vec<u64>) {
        // SAFETY: the clause **learnt** of `state.rs`. The vector's memory never shrinks and held these entries before, so they fit.
        unsafe {
            let begin = *self.0 as *mut u64;
            begin.copy_from_nonoverlapping(entries.as_ptr(), entries.len());
            *self.0.add(1) = begin.add(entries.len()) as u64;
        }
        entries.clear();
    }
}
