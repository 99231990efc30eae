//! Shapes of made-up stacks, and the words of their classes.
#![cfg(test)]

use crate::v8::learn::frame_words::Frames;
use crate::v8::stack::shape::{Shape, View};

const FRAMES: Frames = Frames { heads: [0, 1, 2, 3], has_fast_call: true, types: 0b111_1110 };
const OBJECT: u64 = 0x5000_0001;
const PC: u64 = 0x7777_0000;

/// A stack that lies at the address of its words.
struct Stack {
    image: Vec<u64>,
    live: Vec<u64>,
}

impl Stack {
    /// An exit frame, a JavaScript frame, JSEntry's frame; the same again; a TryCatch, a Relocatable and two handlers.
    fn new() -> Stack {
        let mut stack = Stack { image: vec![0; 5], live: (0..120).map(|i| 0x1000 + i * 8).collect() };
        let live = &mut stack.live;
        let base = live.as_ptr() as u64;
        let at = |i: u64| base + i * 8;
        for (exit, next_exit, handler, next_handler) in [(20, at(60), 42, at(82)), (60, 0, 82, 0)] {
            live[exit as usize - 2] = at(exit - 8);
            live[exit as usize - 9] = PC + exit;
            live[exit as usize - 1] = 3 << 1;
            (live[exit as usize], live[exit as usize + 1]) = (at(exit + 10), PC + 1);
            let frame = exit as usize + 10;
            (live[frame - 1], live[frame], live[frame + 1]) = (OBJECT, at(exit + 21), PC + 2);
            let entry = exit as usize + 21;
            (live[entry - 1], live[entry - 8], live[entry - 9]) = (1 << 1, next_exit, 0);
            live[handler as usize] = next_handler;
        }
        (live[91], live[97]) = (0, 0);
        live[95] = 0xfeed_0000;
        stack.image = vec![at(20), at(42), at(90), at(95), 0x42];
        stack
    }

    fn view(&self) -> View<'_> {
        View { image: &self.image, live: &self.live, first_block: self.live.as_ptr() as u64 + 100 * 8 }
    }

    fn shape(&self) -> Option<Shape> {
        let mut shape = Shape::default();
        shape.read(&FRAMES, self.view()).then_some(shape)
    }

    /// The same stack at another address, with these words of its own where V8 does not look.
    fn moved(&self) -> Stack {
        let mut other = Stack { image: self.image.clone(), live: self.live.clone() };
        let (from, to) = (self.live.as_ptr() as u64, other.live.as_ptr() as u64);
        for word in other.image.iter_mut().chain(&mut other.live) {
            if (from..from + 120 * 8).contains(word) {
                *word = *word - from + to;
            }
        }
        other
    }
}

#[test]
fn a_stack_that_was_moved_has_the_same_shape() {
    let stack = Stack::new();
    let shape = stack.shape().unwrap();
    let other = stack.moved();
    assert_eq!(other.shape().as_ref(), Some(&shape));
    assert_eq!(other.shape().unwrap().hash(), shape.hash());
    assert!(shape.matches(&FRAMES, other.view()));
    assert_eq!(shape.pcs().count(), 6);
}

#[test]
fn each_word_that_v8_follows_is_part_of_the_shape_and_no_other() {
    let stack = Stack::new();
    let shape = stack.shape().unwrap();
    let fixed: Vec<usize> = shape.fixed().collect();
    for i in 0..stack.live.len() {
        let mut other = stack.moved();
        // The two contexts of JavaScript frames are objects, whichever.
        other.live[i] = if i == 29 || i == 69 { OBJECT + 8 } else { other.live[i] ^ 0x10 };
        assert_eq!(shape.matches(&FRAMES, other.view()), !fixed.contains(&i), "word {i}");
        assert_eq!(other.shape().as_ref() == Some(&shape), !fixed.contains(&i), "word {i}");
    }
    for i in 0..4 {
        let mut other = stack.moved();
        other.image[i] += 8;
        assert!(!shape.matches(&FRAMES, other.view()), "image word {i}");
    }
    let mut other = stack.moved();
    other.live[29] = 0x22;
    assert!(!shape.matches(&FRAMES, other.view()), "a marker where a context was");
}

#[test]
fn stacks_with_frames_that_are_not_known_have_no_shape() {
    for (word, value) in [(19, 9 << 1), (19, 7), (40, 9 << 1), (32, 1), (20, 0), (20, 8), (60, 0x1_0000)] {
        let mut stack = Stack::new();
        stack.live[word] = value;
        assert_eq!(stack.shape(), None, "word {word}: {value:#x}");
    }
    let mut stack = Stack::new();
    // A link that leads back would never end.
    stack.live[30] = stack.image[0];
    assert_eq!(stack.shape(), None);
    stack = Stack::new();
    stack.live[91] = stack.image[2];
    assert_eq!(stack.shape(), None);
}

#[test]
fn any_words_are_read_without_a_panic() {
    let mut seed = 1u64;
    let mut next = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for _ in 0..if cfg!(miri) { 50 } else { 20_000 } {
        let mut stack = Stack::new();
        let base = stack.live.as_ptr() as u64;
        for _ in 0..next(4) {
            let word = match next(3) {
                0 => base + next(130) * 8,
                1 => next(130),
                _ => OBJECT,
            };
            let i = next(124) as usize;
            *stack.image.iter_mut().chain(&mut stack.live).nth(i).unwrap() = word;
        }
        if let Some(shape) = stack.shape() {
            assert!(shape.matches(&FRAMES, stack.view()));
        }
    }
}

#[test]
fn new_return_addresses_are_taken() {
    let stack = Stack::new();
    let mut shape = stack.shape().unwrap();
    let mut other = stack.moved();
    assert!(!shape.take_pcs(&other.live));
    other.live[21] += 0x100;
    assert!(!shape.matches(&FRAMES, other.view()));
    assert!(shape.take_pcs(&other.live));
    assert!(shape.matches(&FRAMES, other.view()));
}
