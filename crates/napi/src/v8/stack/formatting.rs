//! Moves the isolate's mark that the stack of an error is being formatted along with a switch.
//!
//! While it is set, V8 formats other errors plainly and asks neither Node nor `Error.prepareStackTrace`, because that call may have
//! been the reason for the other error (ErrorUtils::FormatStackTrace, messages.cc, 11.3 to 14.6). A greenlet may be suspended in
//! `prepareStackTrace`. Then the mark must not affect errors on other stacks, so the greenlet takes it along.

use crate::v8::learn::formatting::Formatting;

impl Formatting {
    /// 0 unless the running stack formats an error.
    #[inline(always)]
    pub(super) fn unrest(&self) -> u64 {
        // SAFETY: the clause **learnt** of `state.rs`: a byte of the live isolate.
        u64::from(unsafe { *self.0 })
    }

    /// Takes the mark off the running stack.
    pub(crate) fn take(&self) -> u8 {
        // SAFETY: the clause **learnt** of `state.rs`: a byte of the live isolate, which only this thread changes.
        unsafe { self.0.replace(0) }
    }

    /// Gives the stack that runs again its own mark.
    pub(crate) fn give_back(&self, mark: u8) {
        // SAFETY: the clause **learnt** of `state.rs`: a byte of the live isolate, which only this thread changes.
        unsafe { *self.0 = mark };
    }
}
