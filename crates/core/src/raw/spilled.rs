//! The copy of a spilled stack on the heap: exact, and still walkable.
//!
//! ```text
//!   slot   low ┌────────┐           heap  ┌────────┐ = block
//!              │ word   │  copied, and    │ word   │
//!          ┌───┤ ●      │  addresses   ┌──┤ ●'     │   ●' = ● + (block - low)
//!          │   │ word   │  within the  │  │ word   │
//!          └──►│        │  range move  └─►│        │
//!         high └────────┘  along          ├────────┤
//!                                         │ bitmap │   which words were changed: exactly those are changed back
//!                                         └────────┘
//! ```
//!
//! So a snapshot or a garbage collector can follow a chain of frames, handlers or records within the copy. A number that happens
//! to look like such an address is changed too. That does no harm: no code reads it as a number while the stack is spilled, and
//! the bitmap tells that it has to be changed back.
//!
//! # Contract
//! * "range": `low` and `high` are the word-aligned ends of one range of `words` words, readable for a copy out and writable for a
//!   copy back.
//! * "block": `block` is as long as `size(words)` says: `words` words, then their bitmap, a word of it for each [`GROUP`].
//! * "pooled": a block in the pool belongs to the pool alone and begins with the link to the next one.

use std::alloc::{Layout, alloc, dealloc};
use std::cell::Cell;
use std::ops::Range;
use std::ptr::{NonNull, copy_nonoverlapping, null_mut};

use crate::fiber::memcheck::make_defined;

const WORD: usize = size_of::<u64>();
/// Words that share one word of the bitmap.
const GROUP: usize = u64::BITS as usize;

/// The live bytes of a suspended stack while another stack occupies its slot.
#[derive(Debug)]
pub(crate) struct SpilledStack {
    block: NonNull<u64>,
    words: usize,
}

impl SpilledStack {
    /// Copies the words from `low` up to `high` to the heap. `None` where there is no memory.
    ///
    /// # Safety
    /// The clause "range" holds for `low` and `high`.
    pub(crate) unsafe fn copy(pool: &BlockPool, low: usize, high: usize) -> Option<SpilledStack> {
        let words = (high - low) / WORD;
        let copy = SpilledStack { block: pool.take(size(words))?, words };
        make_defined(low, high - low);
        // SAFETY: contract clauses "range" and "block".
        unsafe { copy_out(low, high, copy.block.as_ptr(), words) };
        Some(copy)
    }

    /// Copies everything back to `low`, where it was. Words that were changed in the copy stay changed; all others are as before.
    ///
    /// # Safety
    /// The clause "range" holds for `low`, and no code uses the bytes there.
    pub(crate) unsafe fn restore(self, pool: &BlockPool, low: usize) {
        make_defined(low, self.len());
        // SAFETY: contract clauses "range" and "block"; `copy` filled the block.
        unsafe { copy_back(self.block.as_ptr(), self.words, low) };
        self.free(pool);
    }

    pub(crate) fn free(self, pool: &BlockPool) {
        pool.give(self.block, size(self.words));
    }

    /// Where the word from the lowest address of the stack is now.
    pub(crate) fn start(&self) -> usize {
        self.block.as_ptr() as usize
    }

    /// Bytes of the stack in it.
    pub(crate) fn len(&self) -> usize {
        self.words * WORD
    }

    /// Where the bytes of the stack are now.
    pub(crate) fn range(&self) -> Range<usize> {
        self.start()..self.start() + self.len()
    }

    /// Bytes it takes.
    pub(crate) fn cost(&self) -> usize {
        size(self.words)
    }
}

/// Bytes of a block for `words`, with their bitmap, rounded up so that the pool has few classes; never 0.
fn size(words: usize) -> usize {
    ((words + words.div_ceil(GROUP)) * WORD).next_multiple_of(BlockPool::STEP).max(BlockPool::STEP)
}

/// Copies the words to the block and writes the bitmap.
///
/// # Safety
/// The clauses "range" and "block" hold.
unsafe fn copy_out(low: usize, high: usize, block: *mut u64, words: usize) {
    #[cfg(target_arch = "x86_64")]
    if words >= 4 && std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: contract clauses "range" and "block"; there are four words, and the processor has AVX2.
        unsafe { wide::copy_out(low, high, block, words) };
        return;
    }
    // SAFETY: contract clauses "range" and "block".
    unsafe { copy_out_by_word(low, high, block, words) };
}

/// As [`copy_out`], for every processor.
///
/// # Safety
/// The clauses "range" and "block" hold.
unsafe fn copy_out_by_word(low: usize, high: usize, block: *mut u64, words: usize) {
    let (from, span, distance) = (low as *const u64, high - low, (block as usize).wrapping_sub(low));
    // SAFETY: contract clauses "range" and "block": every index is below `words`, and each group has a word of the bitmap.
    unsafe {
        for group in (0..words).step_by(GROUP) {
            let mut moved = 0;
            for i in group..words.min(group + GROUP) {
                let word = *from.add(i);
                // Up to and including `high`: an address just behind the last word belongs to the range too.
                let inside = (word as usize).wrapping_sub(low) <= span;
                moved |= u64::from(inside) << (i - group);
                *block.add(i) = word.wrapping_add(if inside { distance as u64 } else { 0 });
            }
            *block.add(words + group / GROUP) = moved;
        }
    }
}

/// Copies the words back and undoes the changes that the bitmap tells of.
///
/// # Safety
/// The clauses "range" and "block" hold, and `copy_out` filled the block.
unsafe fn copy_back(block: *const u64, words: usize, low: usize) {
    let (to, distance) = (low as *mut u64, (block as usize).wrapping_sub(low) as u64);
    // SAFETY: contract clauses "range" and "block": a bit of the bitmap is set only for an index below `words`.
    unsafe {
        copy_nonoverlapping(block, to, words);
        for group in 0..words.div_ceil(GROUP) {
            let mut moved = *block.add(words + group);
            while moved != 0 {
                let word = to.add(group * GROUP + moved.trailing_zeros() as usize);
                *word = (*word).wrapping_sub(distance);
                moved &= moved - 1;
            }
        }
    }
}

/// Four words at a time: half the time of the plain loop.
#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi64, _mm256_and_si256, _mm256_castsi256_pd, _mm256_cmpgt_epi64,
        _mm256_loadu_si256, _mm256_movemask_pd, _mm256_set1_epi64x, _mm256_storeu_si256,
    };

    use super::GROUP;

    /// As `super::copy_out`. The comparisons are signed, which makes no difference for user-space addresses.
    ///
    /// # Safety
    /// The clauses "range" and "block" hold, there are at least four words, and the processor has AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn copy_out(low: usize, high: usize, block: *mut u64, words: usize) {
        let from = low as *const u64;
        let below = _mm256_set1_epi64x(low as i64 - 1);
        let above = _mm256_set1_epi64x(high as i64 + 1);
        let distance = _mm256_set1_epi64x((block as i64).wrapping_sub(low as i64));
        // Copies four words and returns which of them were changed, a bit for each.
        let four = |first: usize| {
            // SAFETY: contract clauses "range" and "block": every call below is for four words that end at `words` at the latest.
            unsafe {
                let word = _mm256_loadu_si256(from.add(first).cast::<__m256i>());
                let inside =
                    _mm256_and_si256(_mm256_cmpgt_epi64(word, below), _mm256_cmpgt_epi64(above, word));
                let word = _mm256_add_epi64(word, _mm256_and_si256(inside, distance));
                _mm256_storeu_si256(block.add(first).cast(), word);
                _mm256_movemask_pd(_mm256_castsi256_pd(inside)) as u64
            }
        };
        let bitmap = block.wrapping_add(words);
        let rest = words % GROUP;
        let whole = words - rest;
        for group in (0..whole).step_by(GROUP) {
            let moved = (0..GROUP).step_by(4).fold(0, |moved, i| moved | four(group + i) << i);
            // SAFETY: contract clause "block": each group has a word of the bitmap.
            unsafe { *bitmap.add(group / GROUP) = moved };
        }
        if rest > 0 {
            let moved = (0..rest / 4 * 4).step_by(4).fold(0, |moved, i| moved | four(whole + i) << i);
            // The last words, and some before them a second time, which writes the same again.
            let last = four(words - 4);
            let last = if rest < 4 { last >> (4 - rest) } else { last << (rest - 4) };
            // SAFETY: contract clause "block": the group that is not full has a word of the bitmap too.
            unsafe { *bitmap.add(whole / GROUP) = moved | last };
        }
    }
}

/// Blocks of stacks that were unspilled, kept for the next ones. Stacks that take turns in a slot have few different sizes, and
/// malloc is slow above its smallest classes.
pub(crate) struct BlockPool {
    classes: [Class; BlockPool::CLASSES],
}

#[derive(Default)]
struct Class {
    /// A list through the blocks' own first words.
    first: Cell<Option<NonNull<u64>>>,
    count: Cell<usize>,
}

impl BlockPool {
    /// Sizes are multiples of this.
    const STEP: usize = 32;
    /// Larger blocks come from malloc each time; the copying takes longer than that.
    const CLASSES: usize = 192;
    const MOST_PER_CLASS: usize = 8;

    pub(crate) fn new() -> BlockPool {
        BlockPool { classes: std::array::from_fn(|_| Class::default()) }
    }

    fn class(&self, size: usize) -> Option<&Class> {
        self.classes.get(size / BlockPool::STEP)
    }

    fn take(&self, size: usize) -> Option<NonNull<u64>> {
        if let Some(class) = self.class(size)
            && let Some(block) = class.first.get()
        {
            // SAFETY: contract clause "pooled".
            class.first.set(NonNull::new(unsafe { *block.as_ptr() } as *mut u64));
            class.count.set(class.count.get() - 1);
            return Some(block);
        }
        // SAFETY: the size is not 0: `size` is at least `STEP`.
        NonNull::new(unsafe { alloc(layout(size)) }.cast())
    }

    fn give(&self, block: NonNull<u64>, size: usize) {
        if let Some(class) = self.class(size).filter(|class| class.count.get() < BlockPool::MOST_PER_CLASS) {
            let next = class.first.replace(Some(block)).map_or(null_mut(), NonNull::as_ptr);
            // SAFETY: the caller gives the block away, and it is at least one word long.
            unsafe { *block.as_ptr() = next as u64 };
            class.count.set(class.count.get() + 1);
            return;
        }
        // SAFETY: `take` allocated it with this layout.
        unsafe { dealloc(block.as_ptr().cast(), layout(size)) };
    }

    /// Frees all blocks.
    pub(crate) fn empty(&self) {
        for (i, class) in self.classes.iter().enumerate() {
            class.count.set(0);
            let mut next = class.first.take();
            while let Some(block) = next {
                // SAFETY: contract clause "pooled"; `take` allocated all blocks of a class with the size of that class.
                unsafe {
                    next = NonNull::new(*block.as_ptr() as *mut u64);
                    dealloc(block.as_ptr().cast(), layout(i * BlockPool::STEP));
                }
            }
        }
    }
}

impl Drop for BlockPool {
    fn drop(&mut self) {
        self.empty();
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, WORD).expect("a stack's size fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stack whose words are addresses within it, next to it, and other things.
    fn stack(words: usize) -> (Vec<u64>, usize, usize) {
        let mut stack = vec![0; words];
        let low = stack.as_ptr() as usize;
        let high = low + words * WORD;
        for (i, word) in stack.iter_mut().enumerate() {
            *word = match i % 7 {
                0 => low + i / 2 * WORD,
                1 => high,
                2 => high + 1,
                3 => low - 1,
                4 => low,
                5 => usize::MAX - i,
                _ => i,
            } as u64;
        }
        (stack, low, high)
    }

    #[test]
    fn addresses_of_the_range_are_changed_and_everything_comes_back_as_it_was() {
        let pool = BlockPool::new();
        for words in [0, 1, 3, 63, 64, 65, 127, 128, 500, 5000] {
            let (mut stack, low, high) = stack(words);
            let before = stack.clone();
            // SAFETY: contract clause "range": these are the ends of the vector.
            let copy = unsafe { SpilledStack::copy(&pool, low, high) }.unwrap();
            assert_eq!(copy.len(), words * WORD);
            for (i, &word) in before.iter().enumerate() {
                // SAFETY: contract clause "block": the index is below `words`.
                let copied = unsafe { *copy.block.as_ptr().add(i) } as usize;
                let inside = (low..=high).contains(&(word as usize));
                let expected = if inside { word as usize - low + copy.start() } else { word as usize };
                assert_eq!(copied, expected, "word {i} of {words}");
            }
            stack.fill(0xDB);
            // SAFETY: contract clause "range": the vector is as long as before.
            unsafe { copy.restore(&pool, low) };
            assert_eq!(stack, before);
        }
    }

    #[test]
    fn the_plain_loop_and_the_wide_one_agree() {
        for words in [0, 3, 4, 5, 63, 64, 65, 66, 68, 70, 127, 250, 1000] {
            let (_stack, low, high) = stack(words);
            let mut blocks = [vec![0; words + words.div_ceil(GROUP)], vec![0; words + words.div_ceil(GROUP)]];
            // The same address for both, so that the distance is the same.
            let block = blocks[0].as_mut_ptr();
            // SAFETY: contract clauses "range" and "block"; the vectors are long enough for the words and the bitmap.
            unsafe {
                copy_out_by_word(low, high, block, words);
                copy_nonoverlapping(block, blocks[1].as_mut_ptr(), words + words.div_ceil(GROUP));
                copy_out(low, high, block, words);
            }
            assert_eq!(blocks[0], blocks[1], "{words} words");
        }
    }

    #[test]
    fn a_change_in_the_copy_is_kept_when_the_stack_is_restored() {
        let pool = BlockPool::new();
        let (stack, low, high) = stack(100);
        // SAFETY: contract clause "range": these are the ends of the vector. Word 6 is no address.
        unsafe {
            let copy = SpilledStack::copy(&pool, low, high).unwrap();
            *copy.block.as_ptr().add(6) = 4711;
            copy.restore(&pool, low);
        }
        assert_eq!(stack[6], 4711);
    }

    #[test]
    fn blocks_are_used_again_and_freed() {
        let pool = BlockPool::new();
        let blocks: Vec<_> = (0..20).map(|_| pool.take(640).unwrap()).collect();
        for block in &blocks {
            pool.give(*block, 640);
        }
        let class = pool.class(640).unwrap();
        assert_eq!(class.count.get(), BlockPool::MOST_PER_CLASS);
        let again = pool.take(640).unwrap();
        assert!(blocks.contains(&again));
        pool.give(again, 640);
        pool.empty();
        assert_eq!((class.count.get(), class.first.get()), (0, None));
    }
}
