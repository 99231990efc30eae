//! Finding the ring of microtask queues, and in each queue the mark that its jobs run.
//!
//! The default queue is in a ring with those of `vm` contexts that have one of their own (`microtaskMode: 'afterEvaluate'`).
//! `stack/microtasks.rs` says what running jobs mean for a switch.

use std::ffi::{c_int, c_void};

use super::peek::{Peek, halves};
use super::session::Session;
use super::symbols::{Isolate, MicrotasksScope};
use crate::unsupported::{Unsupported, ensure, only};

/// The isolate's ring of microtask queues.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Microtasks {
    pub(crate) default: *const u64,
    /// Word of a queue that names its neighbour in the ring.
    pub(crate) link: usize,
    /// Byte of a queue that is 1 while its jobs run (`is_running_microtasks_`).
    pub(crate) running: usize,
    /// Byte of a queue at which its `int` of open `v8::MicrotasksScope`s begins (`microtasks_depth_`).
    pub(crate) depth: usize,
}

/// Words of a MicrotaskQueue that are looked at. The object is not larger in any version; what lies behind its block is not written.
const WORDS: usize = 16;

/// Slots of `v8::MicrotaskQueue`'s virtual functions (v8-microtask-queue.h, the same from 11.3 to 14.6).
const DELETE: usize = 1;
const ENQUEUE: usize = 3;
const PERFORM_CHECKPOINT: usize = 6;
const IS_RUNNING: usize = 7;

/// `MicrotasksPolicy::kExplicit` (v8-callbacks.h).
const EXPLICIT: c_int = 0;

/// `MicrotasksScope::kRunMicrotasks` (v8-microtask-queue.h): such a scope is counted.
const RUN_MICROTASKS: c_int = 0;

type IsRunning = unsafe extern "C" fn(*const u64) -> bool;
type Job = unsafe extern "C" fn(*mut c_void);

/// Finds both by a queue of our own: it joins the ring, and runs one job.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn learn(session: &Session<'_>) -> Result<Microtasks, Unsupported> {
    let (symbols, isolate, peek) = (session.symbols, session.isolate, session.peek);
    let look = |queue: *const u64| peek.padded(queue as usize, WORDS).unwrap_or_default();
    // SAFETY: the session's clause **callback**: a context is entered.
    let default = unsafe { (symbols.microtask_queue)((symbols.current_context)(isolate)) };
    let before = look(default);
    ensure!(before.len() == WORDS, "V8's queue of microtasks cannot be read");
    // SAFETY: public API and the virtual functions of the public class, called on a queue that is made here and not used after it
    // is deleted. The probe outlives the job that writes to it.
    unsafe {
        let own = (symbols.new_microtask_queue)(isolate, EXPLICIT).0.assume_init()[0] as *const u64;
        let method = |slot: usize| *(*own as *const usize).add(slot);
        let is_running: IsRunning = std::mem::transmute(method(IS_RUNNING));
        let enqueue: unsafe extern "C" fn(*const u64, Isolate, Job, *mut c_void) =
            std::mem::transmute(method(ENQUEUE));
        let checkpoint: unsafe extern "C" fn(*const u64, Isolate) =
            std::mem::transmute(method(PERFORM_CHECKPOINT));
        let delete: unsafe extern "C" fn(*const u64) = std::mem::transmute(method(DELETE));

        let in_ring = look(default);
        let at_rest = (look(own), is_running(own));
        let mut probe = Probe { queue: own, peek, is_running, during: (Vec::new(), false) };
        enqueue(own, isolate, observe, (&raw mut probe).cast());
        checkpoint(own, isolate);
        let during = probe.during;
        let afterwards = (look(own), is_running(own));
        let bytes = peek.block_words(own as usize).map_or(WORDS, |words| words.min(WORDS)) * 8;
        let flags = mark_bytes(own, bytes, is_running, [&at_rest.0, &during.0, &afterwards.0]);
        let depths = depth_bytes(session, own);
        delete(own);
        let out_of_ring = look(default);

        let answers = (at_rest.1, during.1, afterwards.1);
        ensure!(answers == (false, true, false), "V8's queue of microtasks does not run what it is given");
        let links: Vec<usize> = (0..WORDS)
            .filter(|&i| in_ring[i] == own as u64 && before[i] != own as u64 && out_of_ring[i] == before[i])
            .collect();
        let running = only(&flags, "bytes behave like a queue's mark of running")?;
        ensure!(!links.is_empty(), "V8's queues of microtasks do not form a ring");
        let depth = only(&depths, "numbers behave like a queue's count of open scopes")?;
        Ok(Microtasks { default, link: links[0], running, depth })
    }
}

/// The bytes of `queue` that are 1 during a job only, and from which V8 answers whether jobs run.
///
/// # Safety
/// `queue` is a live queue that no other code uses, in a block of at least `size` bytes, and `is_running` is its virtual function.
unsafe fn mark_bytes(
    queue: *const u64,
    size: usize,
    is_running: IsRunning,
    looks: [&[u64]; 3],
) -> Vec<usize> {
    let bytes = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let [before, during, after] = looks.map(bytes);
    let raised = (0..during.len().min(size)).filter(|&i| (before[i], during[i], after[i]) == (0, 1, 0));
    // The depth of what forbids jobs rises too, but V8's answer does not depend on it.
    raised
        .filter(|&i| {
            // SAFETY: a byte of the live queue, which is 0 at rest and is 0 again afterwards; the caller alone uses the queue.
            unsafe {
                let byte = (queue as *mut u8).add(i);
                byte.write_volatile(1);
                let answers = is_running(queue);
                byte.write_volatile(0);
                answers
            }
        })
        .collect()
}

/// Where in `queue` a number begins that each of two scopes raises by one, from 0.
///
/// # Safety
/// The session's clause **callback** holds; `queue` is a live queue that no other code uses, and has no jobs.
unsafe fn depth_bytes(session: &Session<'_>, queue: *const u64) -> Vec<usize> {
    let (symbols, isolate) = (session.symbols, session.isolate);
    let look = || halves(&session.peek.padded(queue as usize, WORDS).unwrap_or_default());
    let (mut outer, mut inner): (MicrotasksScope, MicrotasksScope) = ([0; 6], [0; 6]);
    let before = look();
    // SAFETY: public API; the scopes close in the opposite order, and the queue's policy is not to run jobs then.
    let (one, two) = unsafe {
        (symbols.microtasks_scope_new)(&mut outer, isolate, queue, RUN_MICROTASKS);
        let one = look();
        (symbols.microtasks_scope_new)(&mut inner, isolate, queue, RUN_MICROTASKS);
        let two = look();
        (symbols.microtasks_scope_drop)(&mut inner);
        (symbols.microtasks_scope_drop)(&mut outer);
        (one, two)
    };
    let after = look();
    let counts = |&i: &usize| [before[i], one[i], two[i], after[i]] == [0, 1, 2, 0];
    (0..before.len()).filter(counts).map(|i| i * 4).collect()
}

struct Probe<'a> {
    queue: *const u64,
    peek: &'a Peek,
    is_running: IsRunning,
    during: (Vec<u64>, bool),
}

/// The job: looks at the queue that runs it.
unsafe extern "C" fn observe(data: *mut c_void) {
    // SAFETY: `data` is the probe of `learn`, which waits for this call.
    unsafe {
        let probe = &mut *data.cast::<Probe>();
        let words = probe.peek.padded(probe.queue as usize, WORDS).unwrap_or_default();
        probe.during = (words, (probe.is_running)(probe.queue));
    }
}
