//! What V8's debugger remembers of a stack: `Debug::thread_local_` (debug.h, the same from 11.3 to 14.6).
//!
//! ```text
//!   word 0  current_debug_scope_            not null while paused
//!        1  break_frame_id_, last_step_action_ (byte 4)
//!      2-7  where the step under way began and ends; three of them are tagged, and visited in an archive
//!        8  last_breakpoint_id_ ...         counts on, whoever runs
//! ```
//!
//! A step over or out of a function belongs to the greenlet it was asked in: while that is suspended, words 1 to 7 rest in its
//! image and nobody is stepping. A step into follows the thread, into the greenlet that is switched to. Who debugs steps in
//! one place: of several steps that rest, only the last one is meant, and goes on.
//!
//! Nothing in them changes while no debugger is attached. They are found by a mark that V8 itself carries: it is put into the
//! archive during the rehearsal, and V8 restores it to the live words.

use super::facts::Facts;
use super::peek::Peek;
use super::{Isolate, Unsupported, ensure};

/// `Debug::thread_local_` of the isolate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Debug(*mut u64);

/// Words of a step, from `FIRST` on.
const FIRST: usize = 1;
const STEP_WORDS: usize = 7;
/// Word of `last_breakpoint_id_`, which no restoring of a thread looks at.
const MARKED: usize = 8;
const MARK: u64 = 0x0100_0000;
/// Words of a Debug object before its `thread_local_`: 11.3, and later.
const MEMBERS_BEFORE: [usize; 2] = [7, 15];
/// Words of `thread_local_` and what follows, up to and including `isolate_`, which is word 12, 13 or 14: 11.3, 12.4, and later.
const TO_ISOLATE: usize = 15;
/// The first word that may be the isolate.
const ISOLATE: usize = 12;

/// `StepAction` (debug-interface.h): None, Out, Over, Into are -1 to 2.
const STEP_NONE: u8 = 0xff;
const STEP_INTO: u8 = 2;
/// Words 1 to 7 where nobody steps (Debug::ThreadInit).
const AT_REST: [u64; STEP_WORDS] = [0xff << 32, 0, 0xffff_ffff << 32, u64::MAX, 0xffff_ffff, 0, 0];

impl Debug {
    /// 0 unless the debugger is paused or a step is under way.
    #[inline(always)]
    pub(crate) fn unrest(&self) -> u64 {
        self.scope() | u64::from(self.action() ^ STEP_NONE)
    }

    /// Whether V8 is in a pause, or in what somebody evaluates during one.
    pub(crate) fn is_paused(&self) -> bool {
        self.scope() != 0
    }

    /// Puts a step that belongs to the running stack aside, into its image. False where there is none.
    ///
    /// # Safety
    /// `image` has room for Debug's part of an archive, which the GC visits.
    pub(crate) unsafe fn put_aside(&self, image: *mut u64) -> bool {
        if matches!(self.action(), STEP_NONE | STEP_INTO) {
            return false;
        }
        // SAFETY: learnt words of the live Debug object, on its thread.
        unsafe {
            self.0.add(FIRST).copy_to_nonoverlapping(image.add(FIRST), STEP_WORDS);
            self.0.add(FIRST).copy_from_nonoverlapping(AT_REST.as_ptr(), STEP_WORDS);
        }
        true
    }

    /// The step goes on if it is the one that is meant, and none is under way by now.
    ///
    /// # Safety
    /// `image` is where `put_aside` put it, and its stack runs again.
    pub(crate) unsafe fn put_back(&self, image: *mut u64, is_meant: bool) {
        // SAFETY: as in `put_aside`.
        unsafe {
            if is_meant && self.action() == STEP_NONE {
                self.0.add(FIRST).copy_from_nonoverlapping(image.add(FIRST), STEP_WORDS);
            }
            image.add(FIRST).write_bytes(0, STEP_WORDS);
        }
    }

    /// Takes what follows the thread off the running stack, before V8 archives it (`locker.rs`). V8 would leave a step into a
    /// function with its stack, and look for a frame there is not when it restores that (Debug::RestoreDebug, 11.3 to 14.6).
    ///
    /// # Safety
    /// On the isolate's thread. No collection may happen before [`Debug::put_along`].
    pub(crate) unsafe fn take_along(&self) -> Along {
        // SAFETY: learnt words of the live Debug object.
        unsafe {
            let step = self.0.add(FIRST).cast::<[u64; STEP_WORDS]>();
            let into = self.action() == STEP_INTO;
            Along { step: into.then(|| step.replace(AT_REST)), counted: *self.0.add(MARKED) }
        }
    }

    /// Gives it to the stack that runs now.
    ///
    /// # Safety
    /// As for `take_along`.
    pub(crate) unsafe fn put_along(&self, along: Along) {
        // SAFETY: as in `take_along`.
        unsafe {
            if let Some(step) = along.step.filter(|_| self.action() == STEP_NONE) {
                self.0.add(FIRST).cast::<[u64; STEP_WORDS]>().write(step);
            }
            *self.0.add(MARKED) = along.counted;
        }
    }

    #[inline(always)]
    fn scope(&self) -> u64 {
        // SAFETY: a learnt word of the live Debug object.
        unsafe { *self.0 }
    }

    #[inline(always)]
    fn action(&self) -> u8 {
        // SAFETY: as above.
        unsafe { (*self.0.add(1) >> 32) as u8 }
    }
}

/// What follows the thread from stack to stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Along {
    step: Option<[u64; STEP_WORDS]>,
    /// The word behind them, with two marks that the next call is to pause.
    counted: u64,
}

/// Debug's part of an archive, found and marked.
pub(crate) struct Marked {
    at: usize,
    words: [u64; MARKED + 1],
}

/// Marks Debug's part of the archive of a running stack; V8 is about to restore it.
///
/// # Safety
/// `archive` is V8's live archive, and `facts` describe it: what lies before Debug's part was verified.
pub(crate) unsafe fn mark(archive: usize, facts: &Facts, peek: &Peek) -> Result<Marked, Unsupported> {
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
    // SAFETY: the word was read just now; nobody restores this archive but V8, which does so on this thread.
    unsafe { *(at as *mut u64).add(MARKED) = words[MARKED] };
    Ok(Marked { at, words })
}

impl Marked {
    /// Whether these words are V8's, restored: it has changed word 0 and, where a step was under way, some of the others. In
    /// a copy of an archive no isolate follows.
    fn fits(&self, seen: &[u64], isolate: Isolate) -> bool {
        seen[MARKED] == self.words[MARKED]
            && (seen[1] >> 32) as u8 == (self.words[1] >> 32) as u8
            && seen[ISOLATE..TO_ISOLATE].contains(&(isolate as u64))
    }
}

/// Where the live words may be, after a rehearsal.
pub(crate) struct Candidates {
    found: Vec<usize>,
    /// Marks that the live words carry.
    marks: u64,
    isolate: Isolate,
}

impl Candidates {
    /// All that carry the mark, the archive aside. V8 has restored it.
    pub(crate) fn find(marked: &Marked, isolate: Isolate, peek: &Peek, pointers: &[usize]) -> Candidates {
        let mut found = Vec::new();
        peek.each(pointers, MEMBERS_BEFORE[1] + TO_ISOLATE, |object, seen| {
            let places = MEMBERS_BEFORE.iter().filter(|before| marked.fits(&seen[**before..], isolate));
            found.extend(places.map(|before| object + before * 8));
        });
        found.sort_unstable();
        found.dedup();
        let mut candidates = Candidates { found, marks: 1, isolate };
        // What was read through a buffer of ours is there no more.
        candidates.keep_fitting(marked, peek);
        candidates
    }

    fn keep_fitting(&mut self, marked: &Marked, peek: &Peek) {
        let fits = |seen: Vec<u64>| marked.fits(&seen, self.isolate);
        self.found.retain(|&at| at != marked.at && peek.words(at, TO_ISOLATE).is_some_and(fits));
    }

    /// Whether there are copies among them: memory that was freed, and what this thread has read before, among it.
    pub(crate) fn are_ambiguous(&self) -> bool {
        self.found.len() > 1
    }

    /// Keeps those that follow in another rehearsal, with another mark; a copy stays as it is.
    pub(crate) fn follow(&mut self, marked: &Marked, peek: &Peek) {
        self.marks += 1;
        self.keep_fitting(marked, peek);
    }

    /// The only one, without its marks.
    ///
    /// # Safety
    /// V8 has restored all that was marked.
    pub(crate) unsafe fn unmark(self) -> Result<Debug, Unsupported> {
        let &[at] = self.found.as_slice() else {
            return Err(Unsupported::Because(format!(
                "{} objects behave like V8's debugger",
                self.found.len()
            )));
        };
        let debug = Debug(at as *mut u64);
        // SAFETY: the word is the live Debug object's: the marks went there.
        unsafe { *debug.0.add(MARKED) -= MARK * self.marks };
        Ok(debug)
    }
}
