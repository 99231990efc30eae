//! Where a block of memory from malloc ends.
//!
//! The isolate's size is known only roughly, and what lies behind an isolate is in use: on Node 22 it is V8's stack for regular
//! expressions, with the address to which the next regular expression writes. Learning must not take a word there for one of the isolate,
//! and must not write there. The GNU C library keeps the size of a block before it:
//!
//! ```text
//!   | size, flags | block ............ | size, flags | next block ...
//!                 ^ at                 ^ the block's last word is the one before
//! ```
//!
//! Where another malloc is in use, these words do not fit together, and the size stays unknown.

/// The low bits of a size are flags: whether the block before is in use, whether the block has a mapping of its own, and one more.
const FLAGS: u64 = 7;
const PREVIOUS_IN_USE: u64 = 1;
const MAPPED: u64 = 2;
/// All sizes are multiples of this, and at least twice as much.
const STEP: u64 = 16;

/// How many words the block at `at` has. `word` reads a word, without trusting the address.
pub(crate) fn block_words(at: usize, word: impl Fn(usize) -> Option<u64>) -> Option<usize> {
    let words = (size(word(at - 8)?)? / 8) as usize - 1;
    let next = word(at + words * 8)?;
    (next & PREVIOUS_IN_USE != 0 && size(next).is_some()).then_some(words)
}

/// The size that a header says, in bytes, with the header.
fn size(header: u64) -> Option<u64> {
    let size = header & !FLAGS;
    let fits = size.is_multiple_of(STEP) && (2 * STEP..1 << 40).contains(&size);
    (fits && header & MAPPED == 0).then_some(size)
}

/// How many words an object has of which the size is at most `most` words, and at least `most - slack`, where `block` is the size of
/// its block, if that is known.
pub(crate) fn object_words(block: Option<usize>, most: usize, slack: usize) -> usize {
    block.filter(|words| (most - slack..most).contains(words)).unwrap_or(most)
}
