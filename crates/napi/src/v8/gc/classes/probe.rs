//! Learning which words V8 visits on a stack, by what a scavenge changes.
//!
//! A scavenge writes a new address into each word that it visits and that leads to a young object. So two copies of a stack are put into
//! V8's list for one scavenge. In one of them, each word that may be an object is replaced by the address of one young object; in the
//! other one, each word that is not part of the shape (`shape.rs`), whatever it is.
//!
//! ```text
//!   stack         pc  link  object  smi   raw   marker  object
//!   first copy    pc  link  YOUNG   smi   raw   marker  YOUNG
//!   second copy   pc  link  YOUNG   YOUNG YOUNG marker  YOUNG
//!                             │       │     │             │
//!   after         .   .      NEW     NEW    .      .     .          visited: the third and the fourth word
//! ```
//!
//! What has changed is visited, what has not is not. Both copies must give the same answer, and nothing else may have changed: so V8 goes
//! by the shape alone. Where nothing has changed, the object was old: the next scavenge tries again.

use std::ptr::NonNull;

use super::class::Visited;
use super::table::new_node;
use crate::fixed::Fixed;
use crate::v8::learn::facts::{BLOCKS, BLOCKS_CAPACITY, BLOCKS_SIZE, MAX_ARCHIVE_WORDS};
use crate::v8::learn::layout::Layout;
use crate::v8::learn::list_node::ListNode;
use crate::v8::stack::list;
use crate::v8::stack::shape::{Shape, View, may_be_object};

/// A copy of a stack in V8's list.
struct Copy {
    node: Fixed<ListNode>,
    image: Fixed<[u64; MAX_ARCHIVE_WORDS]>,
    /// The list of handle blocks.
    _first_block: Fixed<u64>,
    words: Vec<u64>,
    before: Vec<u64>,
    image_before: [u64; MAX_ARCHIVE_WORDS],
}

/// The two copies of a stack of one class.
pub(super) struct Probe {
    pub(super) class: usize,
    copies: [Copy; 2],
}

/// What a probe has found.
pub(super) enum Answer {
    Visited(Visited),
    /// Nothing has moved.
    Nothing,
    /// The two copies differ, or a word has changed that must not: V8 does not go by the shape alone.
    Contradiction(&'static str),
}

impl Probe {
    /// Puts the two copies of a stack into V8's list. `young` is the tagged address of the young object.
    ///
    /// # Safety
    /// A scavenge begins, and `end` is called when it ends. The view is that of a suspended stack of this shape.
    pub(super) unsafe fn begin(
        v8: &Layout,
        class: usize,
        shape: &Shape,
        view: View<'_>,
        young: u64,
    ) -> Probe {
        // SAFETY: the caller's promise.
        let copy = |all| unsafe { Copy::begin(v8, shape, view, young, all) };
        Probe { class, copies: [copy(false), copy(true)] }
    }

    /// Takes the copies out of the list and compares them.
    ///
    /// # Safety
    /// The scavenge that `begin` has prepared has ended.
    pub(super) unsafe fn end(&self, shape: &Shape) -> Answer {
        for copy in &self.copies {
            // SAFETY: `begin` has put the node into the list.
            unsafe { list::unlink(copy.node.get()) };
        }
        let [tagged, all] = &self.copies;
        let (mut on_stack, mut on_stack_all) =
            (changed(&tagged.before, &tagged.words), changed(&all.before, &all.words));
        // A full collection may move code.
        for pc in shape.pcs() {
            on_stack.retain(|&i| i as usize != pc);
            on_stack_all.retain(|&i| i as usize != pc);
        }
        // SAFETY: the collector is done with the images.
        let (image, image_all) = unsafe { (*tagged.image.get().as_ptr(), *all.image.get().as_ptr()) };
        let in_image = changed(&tagged.image_before, &image);
        if on_stack_all.is_empty() && on_stack.is_empty() {
            return Answer::Nothing;
        }
        let is_candidate = |&i: &u32| may_be_object(tagged.before[i as usize]);
        if !on_stack_all.iter().filter(|i| is_candidate(i)).eq(&on_stack)
            || changed(&all.image_before, &image_all) != in_image
        {
            return Answer::Contradiction("V8 visits other words on a copy of a stack with other contents");
        }
        let (cleared, visited) = in_image.into_iter().partition(|&i| image[i as usize] == 0);
        let new = all.words[on_stack_all[0] as usize];
        let is_new = |i: &u32| all.words[*i as usize] == new;
        if !may_be_object(new)
            || !on_stack_all.iter().all(is_new)
            || shape.fixed().any(|i| on_stack_all.binary_search(&(i as u32)).is_ok())
        {
            return Answer::Contradiction(
                "a scavenge has changed a word on a stack otherwise than by a visit",
            );
        }
        let known = tagged.image_before.iter().enumerate().filter(|(_, word)| may_be_object(**word));
        Answer::Visited(Visited {
            stack: on_stack_all,
            image: visited,
            image_known: known.fold(0, |all, (i, _)| all | 1 << i),
            image_cleared: cleared,
        })
    }
}

impl Copy {
    /// # Safety
    /// As for `Probe::begin`. `all` says that words are replaced whatever they are.
    unsafe fn begin(v8: &Layout, shape: &Shape, view: View<'_>, young: u64, all: bool) -> Copy {
        let mut words = view.live.to_vec();
        let (start, end) = (view.live.as_ptr() as u64, view.live.as_ptr_range().end as u64);
        let distance = (words.as_ptr() as u64).wrapping_sub(start);
        let moved =
            |word: u64| if (start..=end).contains(&word) { word.wrapping_add(distance) } else { word };
        let mut fixed = vec![false; words.len()];
        shape.fixed().for_each(|i| fixed[i] = true);
        for (word, fixed) in words.iter_mut().zip(fixed) {
            *word = match *word {
                word if fixed => moved(word),
                word if all || may_be_object(word) => young,
                word => moved(word),
            };
        }
        let first_block = Fixed::new(view.first_block.wrapping_add(distance));
        let mut image = [0; MAX_ARCHIVE_WORDS];
        image.copy_from_slice(view.image);
        for word in &mut image {
            *word = if may_be_object(*word) { young } else { moved(*word) };
        }
        image[BLOCKS] = first_block.get().as_ptr() as u64;
        (image[BLOCKS_CAPACITY], image[BLOCKS_SIZE]) = (8, 1);
        let copy = Copy {
            node: Fixed::new(new_node(v8)),
            _first_block: first_block,
            before: words.clone(),
            words,
            image_before: image,
            image: Fixed::new(image),
        };
        let node: NonNull<ListNode> = copy.node.get();
        // SAFETY: the node and the image stay where they are, and V8 does not go through its list now.
        unsafe {
            (*node.as_ptr()).data = copy.image.get().as_ptr().cast();
            list::link(v8.in_use, node);
        }
        copy
    }
}

/// The indexes of words that have changed.
fn changed(before: &[u64], now: &[u64]) -> Vec<u32> {
    (0..now.len() as u32).filter(|&i| before[i as usize] != now[i as usize]).collect()
}
