//! Where promise jobs run.
//!
//! `MicrotaskQueue::RunMicrotasks` runs on the stack that asked for it and marks its queue as running until it returns. If that
//! stack were left in the middle, the jobs of the queue would wait until it is resumed. Main may be left so, because the event loop
//! resumes greenlets from promises. Any other stack may not.

use crate::v8::learn::microtasks::Microtasks;

impl Microtasks {
    /// How many queues run their jobs at the moment.
    #[inline(always)]
    pub(super) fn running(&self) -> u64 {
        let mut count = 0;
        let mut queue = self.default;
        loop {
            // SAFETY: the clause **learnt** of `state.rs`: a ring of live queues, which only this thread changes. The default queue
            // lives as long as the isolate, and the mark is a byte of each queue.
            unsafe {
                count += u64::from(*queue.cast::<u8>().add(self.running));
                queue = *queue.add(self.link) as *const u64;
            }
            if queue == self.default {
                return count;
            }
        }
    }
}
