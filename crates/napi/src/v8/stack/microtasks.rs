//! Tells whether promise jobs run on a stack, which must not be left then, unless it is main's.
//!
//! `MicrotaskQueue::RunMicrotasks` runs on the stack that asked for it and marks its queue as running until it returns. If that
//! stack were left in the middle, the jobs of the queue would wait until it is resumed. Main may be left so, because the event loop
//! resumes greenlets from promises. Any other stack may not.

//!
//! No job of a queue runs while a `v8::MicrotasksScope` is open for it. The inspector opens one around each evaluation
//! (V8RuntimeAgentImpl::evaluate), and the queue counts them. Where a greenlet is suspended in one, its scopes are taken off the count
//! meanwhile: otherwise no promise of the thread would go on. Main's scopes stay, like those of a caller.

use super::stacks::Stacks;
use crate::v8::learn::microtasks::Microtasks;

/// A queue, and how many scopes one stack has open for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenScopes {
    queue: *const u64,
    count: i32,
}

impl Microtasks {
    /// How many queues run their jobs at the moment.
    #[inline(always)]
    pub(super) fn running(&self) -> u64 {
        let mut running = 0;
        let mut queue = self.default;
        loop {
            // SAFETY: the clause **learnt** of `state.rs`: a ring of live queues, which only this thread changes. The default queue
            // lives as long as the isolate; the mark is a byte of each queue.
            unsafe {
                running += u64::from(*queue.cast::<u8>().add(self.running));
                queue = *queue.add(self.link) as *const u64;
            }
            if queue == self.default {
                return running;
            }
        }
    }

    /// 0 where no scope is open for any queue.
    pub(super) fn open_scopes(&self) -> u64 {
        let mut open = 0;
        self.each(|_, count| {
            // SAFETY: the clause **learnt** of `state.rs`: an aligned `int` of a live queue.
            open |= u64::from(unsafe { *count } as u32);
        });
        open
    }

    /// Calls `see` with each queue and its count of open scopes.
    #[inline(always)]
    fn each(&self, mut see: impl FnMut(*const u64, *mut i32)) {
        let mut queue = self.default;
        loop {
            // SAFETY: the clause **learnt** of `state.rs`: a ring of live queues, which only this thread changes.
            let next = unsafe {
                see(queue, queue.byte_add(self.depth).cast::<i32>().cast_mut());
                *queue.add(self.link) as *const u64
            };
            queue = next;
            if queue == self.default {
                return;
            }
        }
    }

    /// Takes the scopes of the running greenlet off the counts. Main's are remembered instead, until [`Microtasks::put_back`].
    pub(super) fn put_aside(&self, stacks: &Stacks, on_main: bool) -> Vec<OpenScopes> {
        let mut own = Vec::new();
        let mut of_main = stacks.scopes_of_main.borrow_mut();
        self.each(|queue, count| {
            let mains = of_main.iter().find(|scopes| scopes.queue == queue).map_or(0, |scopes| scopes.count);
            // SAFETY: the clause **learnt** of `state.rs`: only this thread changes the count of a live queue.
            let open = unsafe { *count } - mains;
            if open > 0 {
                own.push(OpenScopes { queue, count: open });
                if !on_main {
                    // SAFETY: the clause **learnt** of `state.rs`: only this thread changes the count of a live queue.
                    unsafe { *count = mains };
                }
            }
        });
        if on_main {
            of_main.extend_from_slice(&own);
        }
        own
    }

    /// Puts the scopes `own` back, of the stack that runs again. A queue may be gone by now.
    pub(super) fn put_back(&self, stacks: &Stacks, on_main: bool, own: &[OpenScopes]) {
        if on_main {
            stacks.scopes_of_main.borrow_mut().clear();
            return;
        }
        self.each(|queue, count| {
            if let Some(scopes) = own.iter().find(|scopes| scopes.queue == queue) {
                // SAFETY: the clause **learnt** of `state.rs`: only this thread changes the count of a live queue.
                unsafe { *count += scopes.count };
            }
        });
    }
}
