//! Finding what V8's debugger keeps for a stack: `Debug::thread_local_` (debug.h, the same from 11.3 to 14.6).
//!
//! ```text
//!   word 0  current_debug_scope_            not null while paused
//!        1  break_frame_id_, last_step_action_ (byte 4)
//!      2-7  where the current step began and ends; three of them are tagged, and visited in an archive
//!        8  last_breakpoint_id_ ...         counts on, whichever stack runs
//! ```
//!
//! The words are found by a mark: it is put into the archive during the rehearsal, and V8 restores it to the live words. They do not
//! change while no debugger is attached. `stack/debugger.rs` says which of them belong to a stack.

use super::facts::{Abi, Facts};
use super::peek::Peek;
use super::session::Session;
use super::symbols::Isolate;
use crate::unsupported::{Unsupported, ensure, only};

/// The address of `Debug::thread_local_`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Debugger(pub(crate) *mut u64);

impl Debugger {
    /// Whether V8 calls a debugger (`is_active_`, debug.h): a session of the inspector has `Debugger` enabled. Callers prove that this is
    /// the byte: it is 1 while they have the debugger enabled.
    pub(crate) fn is_active(&self, facts: &Facts) -> bool {
        let count = MEMBERS_BEFORE[usize::from(facts.abi != Abi::V8_11_3)];
        // SAFETY: the first byte of the live Debug object's words before the learnt ones. Only this thread changes it.
        unsafe { *self.0.sub(count).cast::<u8>() == 1 }
    }
}

/// Word of `last_breakpoint_id_`. V8 restores it without looking at it.
pub(crate) const MARKED: usize = 8;
const MARK: u64 = 0x0100_0000;
/// Words of a Debug object before its `thread_local_`: 11.3, and later.
const MEMBERS_BEFORE: [usize; 2] = [7, 15];
/// In bytes: how far before the words a Debug object may begin.
pub(super) const REACH: usize = MEMBERS_BEFORE[1] * 8;
/// Words of `thread_local_` and what follows, up to and including `isolate_`, which is word 12, 13 or 14: 11.3, 12.4, and later.
const TO_ISOLATE: usize = 15;
/// The first word that may be the isolate.
const ISOLATE: usize = 12;

/// `StepAction` (debug-interface.h): None, Out, Over, Into are -1 to 2.
pub(crate) const STEP_NONE: u8 = 0xff;
pub(crate) const STEP_INTO: u8 = 2;

/// The debugger's part of an archive, with the mark in it.
pub(crate) struct Marked {
    at: usize,
    words: [u64; MARKED + 1],
}

/// Marks the debugger's part of the archive of a running stack, which V8 is about to restore.
///
/// # Safety
/// `archive` is V8's live archive of this thread, as V8's list of archived threads names it, and `facts` are of this V8.
pub(super) unsafe fn mark(archive: usize, facts: &Facts, peek: &Peek) -> Result<Marked, Unsupported> {
    let at = archive + facts.debug_in_archive() * 8;
    let words = peek.words(at, MARKED + 1).unwrap_or_default();
    let mut words: [u64; MARKED + 1] = words
        .try_into()
        .map_err(|_| Unsupported::Because("V8's archive of its debugger cannot be read".into()))?;
    let action = (words[1] >> 32) as u8;
    ensure!(
        action == STEP_NONE || action <= STEP_INTO,
        "V8's debugger keeps its state in another way: step {action}"
    );
    words[MARKED] = words[MARKED].wrapping_add(MARK);
    // SAFETY: the word was read just now. Only V8 uses this archive, and it restores it later on this thread.
    unsafe { *(at as *mut u64).add(MARKED) = words[MARKED] };
    Ok(Marked { at, words })
}

impl Marked {
    /// Whether these are the words that V8 has restored: it has changed word 0 and, during a step, some of the others. A copy of an
    /// archive is not followed by an isolate.
    fn fits(&self, seen: &[u64], isolate: Isolate) -> bool {
        seen[MARKED] == self.words[MARKED]
            && (seen[1] >> 32) as u8 == (self.words[1] >> 32) as u8
            && seen[ISOLATE..TO_ISOLATE].contains(&(isolate as u64))
    }
}

/// Where the live words may be, after a rehearsal.
pub(super) struct Candidates {
    found: Vec<usize>,
    /// How many marks the live words carry.
    marks: u64,
    isolate: Isolate,
}

impl Candidates {
    /// All places that carry the mark, except the archive. V8 has restored it before.
    pub(super) fn find(session: &Session<'_>, marked: &Marked) -> Candidates {
        let isolate = session.isolate;
        let mut found = Vec::new();
        session.peek.each(&session.pointers, MEMBERS_BEFORE[1] + TO_ISOLATE, |object, seen| {
            let places = MEMBERS_BEFORE.iter().filter(|before| marked.fits(&seen[**before..], isolate));
            found.extend(places.map(|before| object + before * 8));
        });
        found.sort_unstable();
        found.dedup();
        let mut candidates = Candidates { found, marks: 1, isolate };
        // A buffer that `peek` used may have been found too. It has changed by now.
        candidates.keep_fitting(marked, session.peek);
        candidates
    }

    fn keep_fitting(&mut self, marked: &Marked, peek: &Peek) {
        let fits = |seen: Vec<u64>| marked.fits(&seen, self.isolate);
        self.found.retain(|&at| at != marked.at && peek.words(at, TO_ISOLATE).is_some_and(fits));
    }

    /// Whether there are copies among them, for example in freed memory.
    pub(super) fn are_ambiguous(&self) -> bool {
        self.found.len() > 1
    }

    /// Keeps those that carry the mark of another rehearsal too. A copy does not change.
    pub(super) fn follow(&mut self, marked: &Marked, peek: &Peek) {
        self.marks += 1;
        self.keep_fitting(marked, peek);
    }

    /// The only one, without its marks.
    ///
    /// # Safety
    /// V8 has restored every archive that was marked.
    pub(super) unsafe fn unmark(self) -> Result<Debugger, Unsupported> {
        let at = only(&self.found, "objects behave like V8's debugger")?;
        let debugger = Debugger(at as *mut u64);
        // SAFETY: the word belongs to the live Debug object, because V8 has carried every mark there.
        unsafe { *debugger.0.add(MARKED) -= MARK * self.marks };
        Ok(debugger)
    }
}
