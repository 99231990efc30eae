//! Observing V8 during one round of its own stack switching.
//!
//! ```text
//!   Unlocker          this thread releases the isolate (V8 will archive its state)
//!   thread id := X    this thread looks like another thread, the stand-in
//!   Locker            the stand-in takes the isolate: V8 archives our state and makes a blank one
//!      ... observe ...
//!   ~Locker           the blank state is freed
//!   thread id := own
//!   ~Unlocker         V8 restores our state
//! ```
//!
//! Meanwhile one can read the archive of a running stack, V8's list of archives, and the state of a stack on which nothing has run.
//! All functions are public API; only the thread id is written directly.

use std::ffi::c_void;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use super::debugger::{self, Marked};
use super::facts::{Facts, STACK_GUARD, TERMINATE_EXECUTION};
use super::list_node::ListNode;
use super::session::Session;
use super::symbols::{Isolate, Symbols};
use crate::unsupported::{Unsupported, ensure};

/// The stand-in's thread id, which no thread has: V8 counts them up from 1.
const STAND_IN: i32 = 0x1234_5601;

/// Upper bound of a ThreadManager's size.
const MANAGER_WORDS: usize = 16;
/// Word of `thread_manager_` in a ThreadState.
const MANAGER_OF_NODE: usize = 4;

/// What was read while the running stack was archived.
pub(crate) struct Seen {
    pub(crate) anchor: *mut ListNode,
    pub(crate) thread_manager: *mut u64,
    /// The archive of the running stack: the words that hold state by the facts.
    pub(crate) archive: Vec<u64>,
    /// ThreadLocalTop of the stand-in thread.
    pub(crate) blank_top: Vec<u64>,
    /// The isolate's words while the stand-in had the isolate.
    pub(crate) isolate: Vec<u64>,
    /// The marks that were written into the debugger's part of the archive.
    pub(crate) debugger: Marked,
}

/// Plays one rehearsal.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn play(session: &Session<'_>) -> Result<Seen, Unsupported> {
    let (symbols, facts, isolate, thread) = (session.symbols, session.facts, session.isolate, session.thread);
    // SAFETY: this is a live thread-local word of this thread, which `tls.rs` has verified.
    let own = unsafe { *thread.thread_id };
    let (mut unlocker, mut locker) = (0usize, [0usize; 2]);
    // SAFETY: the session's clause **callback**. Unlocker and Locker have storage for their objects, and are called in the order of
    // C++ scopes. The thread id changes only while no thread holds the isolate, by V8's account. Nothing that can unwind runs in
    // between: `observe` returns its failures.
    let (seen, flags) = unsafe {
        (symbols.unlocker_initialize)(&mut unlocker, isolate);
        thread.thread_id.write_volatile(STAND_IN);
        (symbols.locker_initialize)(&mut locker, isolate);
        let seen = observe(session, own);
        (symbols.locker_drop)(&mut locker);
        (symbols.discard_thread)(isolate);
        thread.thread_id.write_volatile(own);
        // As late as possible: what arrives after this is lost with the stand-in's words, and what other threads wait for with it.
        let guard = (isolate as usize + STACK_GUARD) as *const u64;
        let flags = guard.add(facts.interrupt_flags).read_volatile() as u32;
        (symbols.unlocker_drop)(&mut unlocker);
        (seen, flags)
    };
    // Interrupts that other threads requested meanwhile were written to the stand-in's StackGuard: they are requested again for
    // ours.
    // SAFETY: this is the isolate's thread, which holds the isolate again, and `facts` are of its V8.
    unsafe { request_again(symbols, facts, isolate, flags) };
    seen
}

/// Requests interrupts again, for the running stack. `flags` are those of the StackGuard of another stack.
///
/// # Safety
/// On the isolate's thread; `facts` are of its V8.
pub(crate) unsafe fn request_again(symbols: &Symbols, facts: &Facts, isolate: Isolate, flags: u32) {
    if flags & TERMINATE_EXECUTION != 0 {
        // SAFETY: V8 allows any thread to call this at any time.
        unsafe { (symbols.terminate)(isolate) };
    }
    let others = flags & !TERMINATE_EXECUTION;
    // SAFETY: this is the verified word of the live StackGuard, which all threads access atomically. Only this thread clears flags
    // in it.
    let live = unsafe {
        AtomicU32::from_ptr((isolate as usize + STACK_GUARD + facts.interrupt_flags * 8) as *mut u32)
    };
    while others & !live.load(Relaxed) != 0 {
        live.fetch_or(others, Relaxed);
        // SAFETY: V8 allows any thread to call this at any time. V8 takes its lock for it: another thread that is overwriting the
        // word finishes first, and then V8 computes the requested interrupts again. Queued callbacks run together with this one.
        unsafe { (symbols.request_interrupt)(isolate, no_op, std::ptr::null_mut()) };
    }
}

/// An interrupt callback that does nothing.
unsafe extern "C" fn no_op(_isolate: Isolate, _data: *mut c_void) {}

/// Reads V8's words while the stand-in has the isolate. `own` is this thread's real id.
fn observe(session: &Session<'_>, own: i32) -> Result<Seen, Unsupported> {
    let (facts, isolate, peek) = (session.facts, session.isolate, session.peek);
    let Archived { anchor, thread_manager, archive: address } = find_archive(session, own)?;
    let archive = peek.words(address, facts.archive_words());
    let blank_top = peek.words(isolate as usize + facts.thread_local_top, facts.thread_local_top_words);
    let (Some(archive), Some(blank_top)) = (archive, blank_top) else {
        return Err(Unsupported::Because("V8's archive of a thread cannot be read".into()));
    };
    // SAFETY: V8's list says that this is the live archive of this thread. The words before the debugger's part were read just now,
    // and the facts say how many they are.
    let debugger = unsafe { debugger::mark(address, facts, peek)? };
    Ok(Seen {
        debugger,
        anchor: anchor as *mut ListNode,
        thread_manager: thread_manager as *mut u64,
        archive,
        blank_top: blank_top.into_iter().map(|word| with_own_id(word, own)).collect(),
        isolate: session.scan(),
    })
}

/// Addresses of V8's list of archived threads, and of this thread's archive.
struct Archived {
    anchor: usize,
    thread_manager: usize,
    archive: usize,
}

/// Finds this thread's archive: the first node of the list of archived threads.
fn find_archive(session: &Session<'_>, own: i32) -> Result<Archived, Unsupported> {
    let peek = session.peek;
    let anchor = find_in_use_anchor(session)?;
    let in_anchor = peek.words(anchor, 5).unwrap_or_default();
    ensure!(in_anchor.len() == 5, "V8's list of archived threads cannot be read");
    let thread_manager = in_anchor[MANAGER_OF_NODE] as usize;
    let node = peek.words(in_anchor[2] as usize, 5).unwrap_or_default();
    ensure!(
        node.len() == 5
            && node[0] as i32 == own
            && node[2] == anchor as u64
            && node[3] == anchor as u64
            && node[4] == thread_manager as u64,
        "V8 archives this thread's state in another way"
    );
    Ok(Archived { anchor, thread_manager, archive: node[1] as usize })
}

/// The address of the list's anchor, which the ThreadManager holds.
fn find_in_use_anchor(session: &Session<'_>) -> Result<usize, Unsupported> {
    let (isolate, peek, pointers) = (session.isolate, session.peek, &session.pointers);
    // ThreadManager (v8threads.h): mutex_ (of various sizes), mutex_owner_ and lazily_archived_thread_ (two ints: the
    // stand-in, invalid), lazily_archived_thread_state_ (null), free_anchor_, in_use_anchor_, isolate_.
    let owner = 0xffff_ffff_u64 << 32 | STAND_IN as u64;
    let mut managers: Vec<(usize, u64)> = Vec::new();
    peek.each(pointers, MANAGER_WORDS, |at, words| {
        for (i, tail) in words.windows(5).enumerate() {
            if tail[0] == owner && tail[1] == 0 && tail[4] == isolate as u64 {
                managers.push((at + i * 8, tail[3]));
            }
        }
    });
    managers.sort_unstable();
    managers.dedup();
    // A copy (in a freed object or in our own buffers) holds the same anchor, and the anchor leads to the original.
    managers.retain(|&(tail, anchor)| {
        let manager = peek.word(anchor as usize + MANAGER_OF_NODE * 8).unwrap_or(0) as usize;
        pointers.binary_search(&manager).is_ok() && (manager..manager + MANAGER_WORDS * 8).contains(&tail)
    });
    let &[(_, anchor)] = managers.as_slice() else {
        return Err(Unsupported::Because(format!("{} objects look like V8's ThreadManager", managers.len())));
    };
    Ok(anchor as usize)
}

/// A word of a blank ThreadLocalTop, with this thread's id where it holds the stand-in's.
fn with_own_id(word: u64, own: i32) -> u64 {
    if word as i32 == STAND_IN { word & !0xffff_ffff | own as u64 } else { word }
}
