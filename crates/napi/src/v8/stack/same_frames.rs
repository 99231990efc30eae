//! Which suspended stacks have the same frames: the same functions, at the same positions.
//!
//! V8 takes microseconds to make the frames of a stack. A dump of 100,000 stacks needs them once for each place where stacks are
//! suspended, if it can tell without them which stacks are at the same place. Two are if they have the same shape (`shape.rs`), of which
//! the return addresses are a part, and each interpreted frame is at the same bytecode:
//!
//! ```text
//!   frame pointer: -1  context, an object; a marker where the frame is not one of JavaScript
//!                  -2  function: another closure of the same code has the same frames
//!                  -4  bytecode array ─┐ these two are compared
//!                  -5  offset in it   ─┘
//! ```
//!
//! Addresses mean the same as long as nothing was collected: a collection may move code or free it. So each collection makes all numbers
//! invalid. Stacks on which C++ has called JavaScript have no number, because the functions of such calls are not part of the shape.

use std::cell::RefCell;
use std::collections::HashMap;

use super::shape::{Shape, View};
use crate::v8::learn::frame_words::Frames;

/// So many places are remembered. A stack at another one has no number.
const MOST_PLACES: usize = 4096;

/// The numbers of one isolate.
#[derive(Default)]
pub(crate) struct SameFrames {
    known: RefCell<Known>,
}

#[derive(Default)]
struct Known {
    /// How many collections there were when the places were remembered.
    collections: i32,
    places: Vec<Place>,
    by_hash: HashMap<u64, Vec<usize>>,
    /// The last number that was given. Numbers are not used again.
    last: u32,
    /// The place of the last question.
    recent: usize,
    shape: Shape,
}

struct Place {
    shape: Shape,
    bytecodes: Vec<[u64; 2]>,
    number: u32,
}

impl SameFrames {
    /// A number for the frames of a stack: stacks with the same number have the same frames. `None` where they cannot be told without
    /// making them. `collections` is how many there were.
    pub(crate) fn number(&self, frames: &Frames, view: View<'_>, collections: i32) -> Option<u32> {
        let known = &mut *self.known.borrow_mut();
        if known.collections != collections {
            known.collections = collections;
            known.places.clear();
            known.by_hash.clear();
        }
        let is_at = |place: &Place| {
            place.shape.matches(frames, view)
                && place.shape.bytecodes(view).eq(place.bytecodes.iter().copied())
        };
        if let Some(place) = known.places.get(known.recent).filter(|place| is_at(place)) {
            return Some(place.number);
        }
        if !known.shape.read(frames, view) || !known.shape.has_one_exit() {
            return None;
        }
        let same_hash = known.by_hash.entry(known.shape.hash()).or_default();
        if let Some(&found) = same_hash.iter().find(|&&place| is_at(&known.places[place])) {
            known.recent = found;
            return Some(known.places[found].number);
        }
        if known.places.len() == MOST_PLACES {
            return None;
        }
        known.recent = known.places.len();
        known.last = known.last.wrapping_add(1);
        same_hash.push(known.recent);
        let (shape, bytecodes) = (known.shape.clone(), known.shape.bytecodes(view).collect());
        known.places.push(Place { shape, bytecodes, number: known.last });
        Some(known.last)
    }
}
