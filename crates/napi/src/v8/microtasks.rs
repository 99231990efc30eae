//! Where promise jobs run.
//!
//! `MicrotaskQueue::RunMicrotasks` runs on the stack that asked for it and marks its queue as running until it returns. If
//! that stack were left in the middle, the jobs of the queue would wait until it is resumed. Main may be left so: the event
//! loop is what resumes greenlets from promises. Any other stack may not.
//!
//! The default queue hangs in a ring with those of `vm` contexts that have one of their own (`microtaskMode: 'afterEvaluate'`).

use std::ffi::c_void;
use std::mem::MaybeUninit;

use super::peek::Peek;
use super::symbols::Symbols;
use super::{Isolate, Unsupported, ensure};

/// The isolate's ring of microtask queues.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Microtasks {
    default: *const u64,
    /// Word of a queue that names its neighbour in the ring.
    link: usize,
    /// Byte of a queue that is 1 while its jobs run (`is_running_microtasks_`).
    running: usize,
}

impl Microtasks {
    /// How many queues run their jobs at the moment.
    #[inline(always)]
    pub(crate) fn running(&self) -> u64 {
        let mut count = 0;
        let mut queue = self.default;
        loop {
            // SAFETY: a ring of live queues, which changes on this thread only; the default one lives as long as the isolate.
            unsafe {
                count += self.is_running(queue);
                queue = *queue.add(self.link) as *const u64;
            }
            if queue == self.default {
                return count;
            }
        }
    }

    #[inline(always)]
    unsafe fn is_running(&self, queue: *const u64) -> u64 {
        // SAFETY: a byte of a live queue.
        unsafe { u64::from(*queue.cast::<u8>().add(self.running)) }
    }
}

/// `std::unique_ptr<MicrotaskQueue>` as it is returned: in memory that the caller provides. The callee writes one word.
#[repr(C)]
pub(crate) struct Returned(MaybeUninit<[u64; 3]>);

/// Words of a MicrotaskQueue that are looked at; the object is larger than this on no version, and than malloc's smallest
/// blocks on all.
const WORDS: usize = 16;

/// Slots of `v8::MicrotaskQueue`'s virtual functions (v8-microtask-queue.h, the same from 11.3 to 14.6).
const DELETE: usize = 1;
const ENQUEUE: usize = 3;
const PERFORM_CHECKPOINT: usize = 6;
const IS_RUNNING: usize = 7;

/// Finds both by a queue of our own: it enters the ring, and runs one job.
///
/// # Safety
/// In a native callback of the environment's own context, on the isolate's thread.
pub(crate) unsafe fn learn(
    symbols: &Symbols,
    isolate: Isolate,
    peek: &Peek,
) -> Result<Microtasks, Unsupported> {
    type Job = unsafe extern "C" fn(*mut c_void);
    let look = |queue: *const u64| peek.words(queue as usize, WORDS).unwrap_or_default();
    // SAFETY: a native callback has a current context.
    let default = unsafe { (symbols.microtask_queue)((symbols.current_context)(isolate)) };
    let before = look(default);
    ensure!(before.len() == WORDS, "V8's queue of microtasks cannot be read");
    // SAFETY: public API and the virtual functions of the public class, called on the queue we have made, which is not used
    // after it is deleted. The job outlives the call that runs it.
    unsafe {
        let own = (symbols.new_microtask_queue)(isolate, EXPLICIT).0.assume_init()[0] as *const u64;
        let method = |slot: usize| *(*own as *const usize).add(slot);
        let is_running: unsafe extern "C" fn(*const u64) -> bool = std::mem::transmute(method(IS_RUNNING));
        let enqueue: unsafe extern "C" fn(*const u64, Isolate, Job, *mut c_void) =
            std::mem::transmute(method(ENQUEUE));
        let checkpoint: unsafe extern "C" fn(*const u64, Isolate) =
            std::mem::transmute(method(PERFORM_CHECKPOINT));
        let delete: unsafe extern "C" fn(*const u64) = std::mem::transmute(method(DELETE));

        let in_ring = look(default);
        let at_rest = (look(own), is_running(own));
        let mut probe = Probe { queue: own, peek, is_running, during: (Vec::new(), false) };
        enqueue(own, isolate, see, (&raw mut probe).cast());
        checkpoint(own, isolate);
        let during = probe.during;
        let afterwards = (look(own), is_running(own));
        let bytes = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let [before_job, in_job, after_job] =
            [&at_rest.0, &during.0, &afterwards.0].map(|words| bytes(words));
        let mut flags: Vec<usize> =
            (0..in_job.len()).filter(|&i| (before_job[i], in_job[i], after_job[i]) == (0, 1, 0)).collect();
        // The depth of what forbids jobs rises too. The flag is what the question is answered from.
        flags.retain(|&i| {
            let byte = (own as *mut u8).add(i);
            byte.write_volatile(1);
            let is_it = is_running(own);
            byte.write_volatile(0);
            is_it
        });
        delete(own);
        let out_of_ring = look(default);

        let answers = (at_rest.1, during.1, afterwards.1);
        ensure!(answers == (false, true, false), "V8's queue of microtasks does not run what it is given");
        let links: Vec<usize> = (0..WORDS)
            .filter(|&i| in_ring[i] == own as u64 && before[i] != own as u64 && out_of_ring[i] == before[i])
            .collect();
        ensure!(flags.len() == 1, "{} bytes behave like a queue's mark of running", flags.len());
        ensure!(!links.is_empty(), "V8's queues of microtasks do not form a ring");
        Ok(Microtasks { default, link: links[0], running: flags[0] })
    }
}

/// `MicrotasksPolicy::kExplicit` (v8-callbacks.h).
const EXPLICIT: std::ffi::c_int = 0;

struct Probe<'a> {
    queue: *const u64,
    peek: &'a Peek,
    is_running: unsafe extern "C" fn(*const u64) -> bool,
    during: (Vec<u64>, bool),
}

unsafe extern "C" fn see(data: *mut c_void) {
    // SAFETY: `data` is the probe of `learn`, which waits for this call.
    unsafe {
        let probe = &mut *data.cast::<Probe>();
        let words = probe.peek.words(probe.queue as usize, WORDS).unwrap_or_default();
        probe.during = (words, (probe.is_running)(probe.queue));
    }
}
