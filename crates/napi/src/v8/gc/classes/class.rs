//! A class: suspended stacks of one shape.
//!
//! ```text
//!   the class's words    those that its first two stacks had in common, each once     in the table
//!   representative       a stack of the class that stays in V8's list
//!   members              settled: of each, the words that differ from the class's     in the table
//! ```
//!
//! In a plain program a member has two words of its own. V8 visits the table and the representative in place of all members. What it
//! has moved is then written into the members; return addresses are copied from the representative.
//!
//! The words of a class are all words of its representative, or become so again before the next full collection: else an object would
//! live as long as the class.

use std::ops::Range;
use std::ptr::NonNull;

use super::table::Table;
use crate::v8::stack::shape::{Shape, View, may_be_object};
use crate::v8::stack::state::StackState;

/// Which words V8 visits on a stack of the class, as learnt by `probe.rs`.
#[derive(Debug, Default)]
pub(super) struct Visited {
    /// Indexes of live words.
    pub(super) stack: Vec<u32>,
    /// Indexes of words of the image.
    pub(super) image: Vec<u32>,
    /// A bit for each word of the image for which it was learnt whether V8 visits it. Stacks with an object elsewhere are refused.
    pub(super) image_known: u128,
    /// Words of the image that V8 sets to 0 when it visits the stack.
    pub(super) image_cleared: Vec<u32>,
}

impl Visited {
    pub(super) fn len(&self) -> usize {
        self.stack.len() + self.image.len()
    }

    /// The words that are visited, in one fixed order.
    fn words<'a>(&'a self, view: View<'a>) -> impl Iterator<Item = u64> + 'a {
        let stack = self.stack.iter().map(move |&i| view.live[i as usize]);
        stack.chain(self.image.iter().map(move |&i| view.image[i as usize]))
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Class {
    pub(super) shape: Shape,
    pub(super) hash: u64,
    pub(super) visited: Option<Visited>,
    pub(super) representative: Option<NonNull<StackState>>,
    /// Numbers of settled stacks, among them all of this class.
    pub(super) members: Vec<u32>,
    pub(super) count: usize,
    /// For each visited word: which of the class's words it is, or [`NONE`]. Empty until the first member settles.
    pub(super) common: Vec<u32>,
    /// Where the class's words are in the table.
    pub(super) range: Range<usize>,
    /// Those of the visited words on the stack that have the bytecode of interpreted frames: their places among the visited ones.
    pub(super) code_words: Vec<u32>,
    /// Whether a member has a word of its own there. The class's words are compared with the representative's, and this is not.
    pub(super) has_own_code: bool,
    /// Whether a second stack of this shape was met before V8's visits were learnt.
    pub(super) is_wanted: bool,
    /// How many full collections have found no member.
    pub(super) idle: u8,
    /// Whether return addresses have changed in this collection.
    pub(super) has_new_pcs: bool,
}

const NONE: u32 = u32::MAX;

/// Whether the word is the class's word of this number, which may be [`NONE`].
fn is_common(words: &[u64], common: u32, word: u64) -> bool {
    words.get(common as usize) == Some(&word)
}

/// Most words that V8 visits on a stack of a class, and most of them that a member may have alone. To look for each word among the others
/// takes longer than V8's visit where there are many.
const MOST_VISITED: usize = 512;
const MOST_OWN: usize = 128;

/// What was found where a member's word was to be mapped.
pub(super) struct Contradiction;

impl Class {
    /// Chooses the class's words: those that two stacks have in common. The table has space for all of them.
    fn choose_words(&mut self, table: &mut Table, one: View<'_>, other: View<'_>) {
        let visited = self.visited.as_ref().expect("the class was learnt");
        let start = table.len();
        let place = |word: usize| visited.stack.binary_search(&(word as u32)).ok().map(|place| place as u32);
        self.code_words = self.shape.code_words().filter_map(place).collect();
        self.has_own_code = false;
        self.common = visited
            .words(one)
            .zip(visited.words(other))
            .map(|(word, other)| {
                if !may_be_object(word) || word != other {
                    return NONE;
                }
                let known = table.words(start..table.len()).iter().position(|&known| known == word);
                known.unwrap_or_else(|| {
                    table.push(word);
                    table.len() - 1 - start
                }) as u32
            })
            .collect();
        self.range = start..table.len();
    }

    /// Whether it is worth learning what V8 visits.
    pub(super) fn is_unlearnt(&self) -> bool {
        self.visited.is_none() && self.is_wanted && self.representative.is_some()
    }

    /// Whether all words of the class are words of this stack.
    pub(super) fn is_held_by(&self, table: &Table, view: View<'_>) -> bool {
        let Some(visited) = &self.visited else { return true };
        let words = table.words(self.range.clone());
        let mut held = vec![false; words.len()];
        for (word, &common) in visited.words(view).zip(&self.common) {
            if is_common(words, common, word) {
                held[common as usize] = true;
            }
        }
        held.iter().all(|&held| held)
    }

    /// Whether the class knows everything that V8 visits on this stack of its shape.
    pub(super) fn knows(&self, view: View<'_>) -> bool {
        let Some(visited) = &self.visited else { return false };
        if visited.len() > MOST_VISITED {
            return false;
        }
        let objects = view.image.iter().enumerate().filter(|(_, word)| may_be_object(**word));
        objects.fold(0, |all, (i, _)| all | 1 << i) & !visited.image_known == 0
    }

    /// Writes a member's own words to the table. `None` where there is no memory, or they are too many.
    pub(super) fn add(
        &mut self,
        table: &mut Table,
        view: View<'_>,
        representative: View<'_>,
    ) -> Option<Range<usize>> {
        let len = self.visited.as_ref()?.len();
        if !table.reserve(2 * len) {
            return None;
        }
        if self.common.is_empty() {
            self.choose_words(table, view, representative);
        }
        let visited = self.visited.as_ref()?;
        let start = table.len();
        let mut fits = true;
        for (word, &common) in visited.words(view).zip(&self.common) {
            if !may_be_object(word) {
                continue;
            }
            let is_common = is_common(table.words(self.range.clone()), common, word);
            if !is_common && !table.words(start..table.len()).contains(&word) {
                if table.len() - start == MOST_OWN {
                    table.truncate(start);
                    fits = false;
                    break;
                }
                table.push(word);
            }
        }
        if !fits {
            if self.count == 0 {
                self.forget_words(table);
            }
            return None;
        }
        let words = table.words(self.range.clone());
        let has_own = self.code(visited, view).any(|(word, common)| !is_common(words, common, word));
        self.has_own_code |= has_own;
        Some(start..table.len())
    }

    /// Whether each bytecode of a member is one that is in the table for it. V8's debugger replaces the bytecode of a function in all
    /// suspended stacks (Debug::PrepareFunctionForDebugExecution, debug.cc), also where an expression is evaluated without side effects.
    pub(super) fn has_known_code(&self, table: &Table, own: Range<usize>, view: View<'_>) -> bool {
        let Some(visited) = &self.visited else { return false };
        let (words, own) = (table.words(self.range.clone()), table.words(own));
        self.code(visited, view).all(|(word, common)| {
            !may_be_object(word) || is_common(words, common, word) || own.contains(&word)
        })
    }

    /// The words with the bytecode of interpreted frames, each with the number of the class's word there.
    fn code<'a>(&'a self, visited: &'a Visited, view: View<'a>) -> impl Iterator<Item = (u64, u32)> + 'a {
        let places = self.code_words.iter().map(|&place| place as usize);
        places.map(move |place| (view.live[visited.stack[place] as usize], self.common[place]))
    }

    /// The class has no members any more: forgets its words, so that the next member chooses them anew.
    pub(super) fn forget_words(&mut self, table: &mut Table) {
        self.common = Vec::new();
        self.code_words = Vec::new();
        self.has_own_code = false;
        table.clear(std::mem::take(&mut self.range));
    }

    /// Whether the collection has moved any of the class's words.
    pub(super) fn has_moved(&self, table: &Table) -> bool {
        table.words(self.range.clone()) != table.before(self.range.clone())
    }

    /// Calls `write` with the index of each visited word of a member, whether it is one of the image, and what it is after the
    /// collection. `own` is the member's range of the table; `view` its words before the collection. Where a word is not in the table, it
    /// goes on with the others, and fails at the end.
    pub(super) fn each_new_word(
        &self,
        table: &Table,
        own: Range<usize>,
        view: View<'_>,
        mut write: impl FnMut(usize, bool, u64),
    ) -> Result<(), Contradiction> {
        let Some(visited) = &self.visited else { return Err(Contradiction) };
        let (before, now) = (table.before(own.clone()), table.words(own));
        let (class_before, class_now) = (table.before(self.range.clone()), table.words(self.range.clone()));
        let mut result = Ok(());
        for (k, (word, &common)) in visited.words(view).zip(&self.common).enumerate() {
            let new = if !may_be_object(word) {
                word
            } else if is_common(class_before, common, word) {
                class_now[common as usize]
            } else {
                match before.iter().position(|&known| known == word) {
                    Some(place) => now[place],
                    None => {
                        result = Err(Contradiction);
                        word
                    }
                }
            };
            match k.checked_sub(visited.stack.len()) {
                None => write(visited.stack[k] as usize, false, new),
                Some(k) => write(visited.image[k] as usize, true, new),
            }
        }
        result
    }
}
