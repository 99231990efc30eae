//! The shape of a suspended stack: everything by which V8 finds its way on it.
//!
//! V8 visits a stack frame by frame (Isolate::Iterate, isolate.cc; frames.cc, 11.3 to 14.6). Which words it visits depends on these words:
//!
//! ```text
//!   ThreadLocalTop: c_entry_fp ─► exit frame          handler_ ─► handler        try_catch_handler_ ─► v8::TryCatch
//!                                  │ -2: its sp ─► below it: a return address │ 0: next ─► ...     │ 1: next ─► ...
//!                                  │  0: caller's frame ─┐                    ▼                    ▼
//!                                  │ +1: return address  │
//!                                  ▼                     │    JSEntry's frame: -8: the exit frame further out
//!                             frame: -1: marker ◄────────┘                     -9: a fast call of C (13.6 and later), 0
//! ```
//!
//! and on the chain of Relocatables, and the number of handles. A [`Shape`] has all of them. Two stacks of one shape differ only in words
//! that V8 does not follow, so V8 visits the same words in both. `gc/classes/probe.rs` tests this for each shape.
//!
//! Addresses inside of the stack are kept as distances from its lowest live word. This file has no unsafe code.

use crate::v8::learn::frame_words::{BYTECODE, BYTECODE_OFFSET, ENTRIES, Frames, NEXT_EXIT};

/// The words of one suspended stack, wherever they are.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) image: &'a [u64],
    /// The live words: frames, then handles.
    pub(crate) live: &'a [u64],
    /// The address of the first handle block, which begins in `live` or right behind it.
    pub(crate) first_block: u64,
}

impl View<'_> {
    fn base(&self) -> u64 {
        self.live.as_ptr() as u64
    }

    /// Where `word` leads to, where that is a live word of the stack.
    fn index(&self, word: u64) -> Option<usize> {
        let distance = word.wrapping_sub(self.base());
        (distance.is_multiple_of(8) && distance / 8 < self.live.len() as u64)
            .then_some((distance / 8) as usize)
    }
}

/// How a word is compared with that of another stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// It is the same.
    Same,
    /// It leads to the same place in the stack.
    Link,
    /// It is a return address. The collector and the deoptimizer may change it.
    Pc,
    /// Both are pointers to objects: the context of a JavaScript frame, where other frames have a marker.
    Object,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Item {
    index: u32,
    kind: Kind,
    value: u64,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    words: usize,
    /// The distance of the first handle block.
    first_block: u64,
    /// Distances to the first exit frame, handler, TryCatch and Relocatable, each 1 more than it is; 0 where there is none.
    heads: [u64; 4],
    items: Vec<Item>,
}

/// Stacks with more frames or links have no shape.
const MOST_ITEMS: usize = 4000;
/// Nor have stacks with more live words: what is done for each word of a stack is worth it only where many stacks are alike.
const MOST_WORDS: usize = 4096;
/// Word of JSEntry's frame (Generate_JSEntryVariant, builtins-x64.cc).
const FAST_CALL: usize = 9;

/// Whether the word has the tag of a pointer to an object (`kHeapObjectTag`, v8-internal.h).
pub(crate) fn may_be_object(word: u64) -> bool {
    word & 3 == 1
}

/// Whether the word is a small integer. Its value is in the upper half (`SmiTagging<8>`, v8-internal.h; Node compresses no pointers).
fn is_small_integer(word: u64) -> bool {
    word as u32 == 0
}

impl Shape {
    /// Reads the shape of a stack. False where it has none that is known.
    pub(crate) fn read(&mut self, frames: &Frames, view: View<'_>) -> bool {
        self.items.clear();
        if view.live.len() > MOST_WORDS {
            return false;
        }
        self.words = view.live.len();
        self.first_block = view.first_block.wrapping_sub(view.base());
        let Some(heads) = heads(frames, view) else { return false };
        self.heads = heads;
        let first = |head: u64| (head > 0).then(|| (head as usize - 1) / 8);
        first(heads[0]).is_some_and(|exit| self.follow_frames(frames, view, exit))
            // A StackHandler: the next one, and a word of padding (handler.h).
            && self.follow(view, first(heads[1]), 0, &[])
            // A v8::TryCatch: the isolate, the next one (v8-exception.h).
            && self.follow(view, first(heads[2]), 1, &[])
            // A Relocatable: its table of virtual functions, the isolate, the previous one (objects.h).
            && self.follow(view, first(heads[3]), 2, &[0])
    }

    fn push(&mut self, index: usize, kind: Kind, value: u64) {
        self.items.push(Item { index: index as u32, kind, value });
    }

    /// Follows the frames from the exit frame at `fp` to the base of the stack.
    fn follow_frames(&mut self, frames: &Frames, view: View<'_>, exit: usize) -> bool {
        let live = view.live;
        let (mut fp, mut is_exit) = (exit, true);
        while self.items.len() < MOST_ITEMS {
            if fp == 0 || fp + 2 > live.len() {
                return false;
            }
            let marker = live[fp - 1];
            if may_be_object(marker) {
                self.push(fp - 1, Kind::Object, 0);
            } else if frames.may_visit(marker) {
                self.push(fp - 1, Kind::Same, marker);
            } else {
                return false;
            }
            if is_exit {
                let sp = fp.checked_sub(2).and_then(|sp| view.index(live[sp]));
                let Some(sp) = sp.filter(|&sp| sp > 0 && sp < fp) else { return false };
                self.push(fp - 2, Kind::Link, sp as u64 * 8);
                self.push(sp - 1, Kind::Pc, live[sp - 1]);
                is_exit = false;
            }
            if !ENTRIES.contains(&marker) {
                let Some(to) = view.index(live[fp]).filter(|&to| to > fp) else { return false };
                self.push(fp + 1, Kind::Pc, live[fp + 1]);
                self.push(fp, Kind::Link, to as u64 * 8);
                fp = to;
                continue;
            }
            // A copy of a spilled stack may begin a few words below its exit frame, but an entry frame lies further out.
            if fp <= FAST_CALL {
                return false;
            }
            if frames.has_fast_call {
                if live[fp - FAST_CALL] != 0 {
                    return false;
                }
                self.push(fp - FAST_CALL, Kind::Same, 0);
            }
            let next = live[fp - NEXT_EXIT];
            if next == 0 {
                self.push(fp - NEXT_EXIT, Kind::Same, 0);
                return true;
            }
            let Some(to) = view.index(next).filter(|&to| to > fp) else { return false };
            self.push(fp - NEXT_EXIT, Kind::Link, to as u64 * 8);
            (fp, is_exit) = (to, true);
        }
        false
    }

    /// Follows a chain of objects that each name the next one, further out, in their word `next`; the last one has 0 there. Their words
    /// `same` are part of the shape too.
    fn follow(&mut self, view: View<'_>, mut first: Option<usize>, next: usize, same: &[usize]) -> bool {
        while let Some(at) = first {
            if self.items.len() >= MOST_ITEMS || at + next >= view.live.len() {
                return false;
            }
            for &word in same {
                self.push(at + word, Kind::Same, view.live[at + word]);
            }
            let link = view.live[at + next];
            if link == 0 {
                self.push(at + next, Kind::Same, 0);
                return true;
            }
            let Some(to) = view.index(link).filter(|&to| to > at) else { return false };
            self.push(at + next, Kind::Link, to as u64 * 8);
            first = Some(to);
        }
        true
    }

    /// Whether the stack has this shape. The same as reading its shape and comparing the two, but faster.
    pub(crate) fn matches(&self, frames: &Frames, view: View<'_>) -> bool {
        let base = view.base();
        view.live.len() == self.words
            && view.first_block.wrapping_sub(base) == self.first_block
            && heads(frames, view) == Some(self.heads)
            && self.items.iter().all(|item| {
                let word = view.live[item.index as usize];
                match item.kind {
                    Kind::Same | Kind::Pc => word == item.value,
                    Kind::Link => word.wrapping_sub(base) == item.value,
                    Kind::Object => may_be_object(word),
                }
            })
    }

    /// Whether the stack has one call of native code, the one that it is suspended in.
    pub(crate) fn has_one_exit(&self) -> bool {
        let is_entry = |item: &&Item| item.kind == Kind::Same && ENTRIES.contains(&item.value);
        self.items.iter().filter(is_entry).count() == 1
    }

    /// The words that say where the interpreted frames of a stack of this shape are: of each, the address of the bytecode and the
    /// offset in it. Code that is compiled is told apart by return addresses, which are part of the shape.
    pub(crate) fn bytecodes(&self, view: View<'_>) -> impl Iterator<Item = [u64; 2]> {
        let frames = self.items.iter().filter(|item| item.kind == Kind::Object);
        frames.filter_map(move |item| {
            let fp = item.index as usize + 1;
            let [code, offset] = [view.live[fp - BYTECODE], view.live[fp - BYTECODE_OFFSET]];
            // In a compiled frame other words may be there, so two stacks that are equal may be taken for different ones.
            (may_be_object(code) && is_small_integer(offset)).then_some([code, offset])
        })
    }

    /// The indexes of the words that have the bytecode in interpreted frames. In a compiled frame such a word is any other.
    pub(crate) fn code_words(&self) -> impl Iterator<Item = usize> + '_ {
        let frames = self.items.iter().filter(|item| item.kind == Kind::Object);
        frames.filter_map(|item| (item.index as usize + 1).checked_sub(BYTECODE))
    }

    pub(crate) fn hash(&self) -> u64 {
        let start = self.words as u64 ^ self.heads[0].rotate_left(20);
        self.items.iter().fold(start, |hash, item| {
            (hash.rotate_left(5) ^ item.value ^ u64::from(item.index) << 40)
                .wrapping_mul(0x517c_c1b7_2722_0a95)
        })
    }

    /// How many live words a stack of this shape has.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// The indexes of the return addresses.
    pub(crate) fn pcs(&self) -> impl Iterator<Item = usize> + '_ {
        self.items.iter().filter(|item| item.kind == Kind::Pc).map(|item| item.index as usize)
    }

    /// The indexes of the words that must stay as they are where V8 walks over a copy. The others are pointers to objects, or V8
    /// does not look at them before it visits them.
    pub(crate) fn fixed(&self) -> impl Iterator<Item = usize> + '_ {
        self.items.iter().filter(|item| item.kind != Kind::Object).map(|item| item.index as usize)
    }

    /// Takes the return addresses of a stack that had this shape, after the collector or the deoptimizer has changed them. Returns
    /// whether any of them was another one.
    pub(crate) fn take_pcs(&mut self, live: &[u64]) -> bool {
        let mut changed = false;
        for item in self.items.iter_mut().filter(|item| item.kind == Kind::Pc) {
            let now = live[item.index as usize];
            changed |= std::mem::replace(&mut item.value, now) != now;
        }
        changed
    }
}

/// Where the chains begin. `None` where a chain does not begin on the stack.
fn heads(frames: &Frames, view: View<'_>) -> Option<[u64; 4]> {
    let mut heads = [0; 4];
    for (head, word) in heads.iter_mut().zip(frames.heads) {
        let first = view.image[word];
        if first != 0 {
            *head = view.index(first)? as u64 * 8 + 1;
        }
    }
    Some(heads)
}
