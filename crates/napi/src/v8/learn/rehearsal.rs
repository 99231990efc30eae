//! One round of V8's own stack switching, watched.
//!
//! ```text
//!   Unlocker          this thread gives the isolate up (its state will be archived)
//!   thread id := X    as if another thread
//!   Locker            "that thread" takes it: V8 archives our state and makes a blank one
//!      ... observe ...
//!   ~Locker           its blank state is freed
//!   thread id := own
//!   ~Unlocker         V8 restores our state
//! ```
//!
//! In between, the archive of a running stack, the list it hangs in and the state of a stack on which nothing ran can be
//! read. Everything used is public API; only the thread id is ours.

use std::ffi::c_void;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use super::debugger::{self, Marked};
use super::facts::{Facts, STACK_GUARD, TERMINATE_EXECUTION};
use super::list_node::ListNode;
use super::session::Session;
use super::symbols::{Isolate, Symbols};
use crate::unsupported::{Unsupported, ensure};

/// A thread id nobody has: V8 counts them up from 1.
const STAND_IN: i32 = 0x1234_5601;

/// Upper bound of a ThreadManager's size.
const MANAGER_WORDS: usize = 16;
/// Word of `thread_manager_` in a ThreadState.
const MANAGER_OF_NODE: usize = 4;

/// What was seen while the running stack was archived.
pub(crate) struct Seen {
    pub(crate) anchor: *mut ListNode,
    pub(crate) thread_manager: *mut u64,
    /// The archive of the running stack, as many words as the facts call for.
    pub(crate) archive: Vec<u64>,
    /// ThreadLocalTop of the stand-in thread.
    pub(crate) blank_top: Vec<u64>,
    /// The isolate's words meanwhile.
    pub(crate) isolate: Vec<u64>,
    /// What was put into the archive of V8's debugger.
    pub(crate) debugger: Marked,
}

/// Plays it once.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn play(session: &Session<'_>) -> Result<Seen, Unsupported> {
    let (symbols, facts, isolate, thread) = (session.symbols, session.facts, session.isolate, session.thread);
    // SAFETY: a live thread-local word of this thread, which `tls` has verified.
    let own = unsafe { *thread.thread_id };
    let (mut unlocker, mut locker) = (0usize, [0usize; 2]);
    // SAFETY: the two are given room for their objects and called in the order in which C++ scopes would; the thread id is
    // changed only while V8 believes that no thread holds the isolate. Nothing that can unwind runs in between: `observe`
    // only reads, and returns its failures.
    let (seen, flags) = unsafe {
        (symbols.unlocker_initialize)(&mut unlocker, isolate);
        thread.thread_id.write_volatile(STAND_IN);
        (symbols.locker_initialize)(&mut locker, isolate);
        let seen = observe(session, own);
        let guard = (isolate as usize + STACK_GUARD) as *const u64;
        let flags = guard.add(facts.interrupt_flags).read_volatile() as u32;
        (symbols.locker_drop)(&mut locker);
        (symbols.discard_thread)(isolate);
        thread.thread_id.write_volatile(own);
        (symbols.unlocker_drop)(&mut unlocker);
        (seen, flags)
    };
    // What another thread requested meanwhile went to the stand-in's StackGuard: request it again for the real one.
    // SAFETY: this thread holds the isolate again, and `facts` are of its V8.
    unsafe { request_again(symbols, facts, isolate, flags) };
    seen
}

/// Requests interrupts of the running stack that were requested of another one: `flags` of its StackGuard.
///
/// # Safety
/// On the isolate's thread; `facts` are of its V8.
pub(crate) unsafe fn request_again(symbols: &Symbols, facts: &Facts, isolate: Isolate, flags: u32) {
    if flags & TERMINATE_EXECUTION != 0 {
        // SAFETY: any thread may call this at any time.
        unsafe { (symbols.terminate)(isolate) };
    }
    let others = flags & !TERMINATE_EXECUTION;
    // SAFETY: the verified word of the live StackGuard; V8 lets go of what is in it on this thread only.
    let live = unsafe {
        AtomicU32::from_ptr((isolate as usize + STACK_GUARD + facts.interrupt_flags * 8) as *mut u32)
    };
    while others & !live.load(Relaxed) != 0 {
        live.fetch_or(others, Relaxed);
        // SAFETY: as for the first one. V8 takes its lock for it, so that whoever has overwritten the word meanwhile is done,
        // and works out anew what is requested. Callbacks that were queued run with this one.
        unsafe { (symbols.request_interrupt)(isolate, nothing, std::ptr::null_mut()) };
    }
}

unsafe extern "C" fn nothing(_isolate: Isolate, _data: *mut c_void) {}

/// Reads V8's words while it takes this thread for another one. `own` is this thread's real id.
fn observe(session: &Session<'_>, own: i32) -> Result<Seen, Unsupported> {
    let (facts, isolate, peek, pointers) = (session.facts, session.isolate, session.peek, &session.pointers);
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
    // Copies (a freed object, our own buffers) name the same anchor, which names the original.
    managers.retain(|&(tail, anchor)| {
        let manager = peek.word(anchor as usize + MANAGER_OF_NODE * 8).unwrap_or(0) as usize;
        pointers.binary_search(&manager).is_ok() && (manager..manager + MANAGER_WORDS * 8).contains(&tail)
    });
    let &[(_, anchor)] = managers.as_slice() else {
        return Err(Unsupported::Because(format!("{} objects look like V8's ThreadManager", managers.len())));
    };
    let anchor = anchor as usize;
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
    let top = facts.thread_local_top_words;
    let archived = facts.archive_words();
    let archive = peek.words(node[1] as usize, archived);
    let blank_top = peek.words(isolate as usize + facts.thread_local_top, top);
    let (Some(archive), Some(blank_top)) = (archive, blank_top) else {
        return Err(Unsupported::Because("V8's archive of a thread cannot be read".into()));
    };
    // SAFETY: the archive is this thread's: the list names it. What lies before the debugger's part holds what the facts say.
    let debugger = unsafe { debugger::mark(node[1] as usize, facts, peek)? };
    Ok(Seen {
        debugger,
        anchor: anchor as *mut ListNode,
        thread_manager: thread_manager as *mut u64,
        archive,
        blank_top: blank_top.into_iter().map(|word| own_id(word, own)).collect(),
        isolate: session.scan(),
    })
}

/// The stand-in's id in a blank ThreadLocalTop becomes this thread's.
fn own_id(word: u64, own: i32) -> u64 {
    if word as i32 == STAND_IN { word & !0xffff_ffff | own as u64 } else { word }
}
