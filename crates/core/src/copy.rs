//! The copy of a spilled stack: exact, and still walkable.
//!
//! ```text
//!   slot   low ┌────────┐           heap  ┌────────┐ = block
//!              │ word   │  copied, and    │ word   │
//!          ┌───┤ ●      │  addresses   ┌──┤ ●'     │   ●' = ● + (block - low)
//!          │   │ word   │  within the  │  │ word   │
//!          └──►│        │  range move  └─►│        │
//!         high └────────┘  along          ├────────┤
//!                                         │ bitmap │   which words were moved: exactly those move back
//!                                         └────────┘
//! ```
//!
//! So a chain of frames, handlers or records that begins in the copy stays in the copy, for whoever follows it: a snapshot, a
//! collector. A word that happens to look like such an address is moved too, which nobody reads as long as it is away, and the
//! bitmap brings it back as it was.

use std::alloc::{Layout, alloc, dealloc};
use std::cell::Cell;
use std::ptr::{NonNull, copy_nonoverlapping, null_mut};

use crate::memcheck::make_defined;

const WORD: usize = size_of::<u64>();
/// Words that share one word of the bitmap.
const GROUP: usize = u64::BITS as usize;

/// The live bytes of a suspended stack while another one lies in its slot.
#[derive(Debug)]
pub(crate) struct Copy {
    block: NonNull<u64>,
    words: usize,
}

impl Copy {
    /// Copies the words from `low` up to `high` out. `None` where there is no memory.
    ///
    /// # Safety
    /// Both are word-aligned ends of one readable range.
    pub(crate) unsafe fn make(pool: &Pool, low: usize, high: usize) -> Option<Copy> {
        let words = (high - low) / WORD;
        let copy = Copy { block: pool.take(size(words))?, words };
        make_defined(low, high - low);
        // SAFETY: the block has room for the words and their bitmap.
        unsafe { copy_out(low, high, copy.block.as_ptr(), words) };
        Some(copy)
    }

    /// Copies everything back to `low`, where it was, each word as it was unless somebody has changed it in the copy.
    ///
    /// # Safety
    /// The range it came from is writable and holds nothing of value.
    pub(crate) unsafe fn restore(self, pool: &Pool, low: usize) {
        make_defined(low, self.len());
        // SAFETY: the block is the one that `make` filled, and the caller promises the rest.
        unsafe { copy_back(self.block.as_ptr(), self.words, low) };
        self.free(pool);
    }

    pub(crate) fn free(self, pool: &Pool) {
        pool.give(self.block, size(self.words));
    }

    /// Where the word from the lowest address is now.
    pub(crate) fn start(&self) -> usize {
        self.block.as_ptr() as usize
    }

    /// Bytes of the stack in it.
    pub(crate) fn len(&self) -> usize {
        self.words * WORD
    }

    /// Bytes it takes.
    pub(crate) fn cost(&self) -> usize {
        size(self.words)
    }
}

/// Bytes of a block for `words`, with their bitmap, rounded up so that the pool has few classes; never 0.
fn size(words: usize) -> usize {
    ((words + words.div_ceil(GROUP)) * WORD).next_multiple_of(Pool::STEP).max(Pool::STEP)
}

/// # Safety
/// `low..high` is readable, `block` has room for `words` and their bitmap.
unsafe fn copy_out(low: usize, high: usize, block: *mut u64, words: usize) {
    #[cfg(target_arch = "x86_64")]
    if words >= 4 && std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: passed on; there are four words, and the processor has AVX2.
        unsafe { wide::copy_out(low, high, block, words) };
        return;
    }
    // SAFETY: passed on.
    unsafe { copy_out_by_word(low, high, block, words) };
}

/// # Safety
/// As `copy_out`.
unsafe fn copy_out_by_word(low: usize, high: usize, block: *mut u64, words: usize) {
    let (from, span, distance) = (low as *const u64, high - low, (block as usize).wrapping_sub(low));
    // SAFETY: every index is below `words`, and there is a word of the bitmap for each group.
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

/// # Safety
/// `block` is as `copy_out` left it, `low` begins a writable range of `words`.
unsafe fn copy_back(block: *const u64, words: usize, low: usize) {
    let (to, distance) = (low as *mut u64, (block as usize).wrapping_sub(low) as u64);
    // SAFETY: as in `copy_out_by_word`.
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

    /// As `super::copy_out`. The comparisons are signed, which user-space addresses do not notice.
    ///
    /// # Safety
    /// As there, for at least four words, on a processor with AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn copy_out(low: usize, high: usize, block: *mut u64, words: usize) {
        let from = low as *const u64;
        let below = _mm256_set1_epi64x(low as i64 - 1);
        let above = _mm256_set1_epi64x(high as i64 + 1);
        let distance = _mm256_set1_epi64x((block as i64).wrapping_sub(low as i64));
        // Copies four words and tells which of them were moved, a bit for each.
        let four = |first: usize| {
            // SAFETY: the four are below `words`, see the calls.
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
            // SAFETY: there is a word of the bitmap for each group.
            unsafe { *bitmap.add(group / GROUP) = moved };
        }
        if rest > 0 {
            let moved = (0..rest / 4 * 4).step_by(4).fold(0, |moved, i| moved | four(whole + i) << i);
            // The last ones, with some before them once more: that changes nothing.
            let last = four(words - 4);
            let last = if rest < 4 { last >> (4 - rest) } else { last << (rest - 4) };
            // SAFETY: as above.
            unsafe { *bitmap.add(whole / GROUP) = moved | last };
        }
    }
}

/// Blocks of spilled stacks that came home, for the next ones: greenlets that take turns in a slot have few different sizes, and
/// malloc is slow above its smallest classes.
pub(crate) struct Pool {
    classes: [Class; Pool::CLASSES],
}

#[derive(Default)]
struct Class {
    /// A list through the blocks' own first words.
    first: Cell<Option<NonNull<u64>>>,
    count: Cell<usize>,
}

impl Pool {
    /// Sizes are multiples of this.
    const STEP: usize = 32;
    /// Larger blocks go to malloc; there the copying counts for more.
    const CLASSES: usize = 192;
    const MOST_PER_CLASS: usize = 8;

    pub(crate) fn new() -> Pool {
        Pool { classes: std::array::from_fn(|_| Class::default()) }
    }

    fn class(&self, size: usize) -> Option<&Class> {
        self.classes.get(size / Pool::STEP)
    }

    fn take(&self, size: usize) -> Option<NonNull<u64>> {
        if let Some(class) = self.class(size)
            && let Some(block) = class.first.get()
        {
            // SAFETY: a block in the pool begins with the link that `give` wrote.
            class.first.set(NonNull::new(unsafe { *block.as_ptr() } as *mut u64));
            class.count.set(class.count.get() - 1);
            return Some(block);
        }
        // SAFETY: no size is 0; see `size`.
        NonNull::new(unsafe { alloc(layout(size)) }.cast())
    }

    fn give(&self, block: NonNull<u64>, size: usize) {
        if let Some(class) = self.class(size).filter(|class| class.count.get() < Pool::MOST_PER_CLASS) {
            let next = class.first.replace(Some(block)).map_or(null_mut(), NonNull::as_ptr);
            // SAFETY: the block is ours, and at least one word long.
            unsafe { *block.as_ptr() = next as u64 };
            class.count.set(class.count.get() + 1);
            return;
        }
        // SAFETY: `take` allocated it with this layout.
        unsafe { dealloc(block.as_ptr().cast(), layout(size)) };
    }

    /// Gives the memory of all blocks back.
    pub(crate) fn empty(&self) {
        for (i, class) in self.classes.iter().enumerate() {
            class.count.set(0);
            let mut next = class.first.take();
            while let Some(block) = next {
                // SAFETY: as in `take`; all blocks of a class have its size.
                unsafe {
                    next = NonNull::new(*block.as_ptr() as *mut u64);
                    dealloc(block.as_ptr().cast(), layout(i * Pool::STEP));
                }
            }
        }
    }
}

impl Drop for Pool {
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
    fn addresses_within_move_along_and_everything_comes_back_as_it_was() {
        let pool = Pool::new();
        for words in [0, 1, 3, 63, 64, 65, 127, 128, 500, 5000] {
            let (mut stack, low, high) = stack(words);
            let before = stack.clone();
            // SAFETY: the ends of the vector.
            let copy = unsafe { Copy::make(&pool, low, high) }.unwrap();
            assert_eq!(copy.len(), words * WORD);
            for (i, &word) in before.iter().enumerate() {
                // SAFETY: the copy has as many words.
                let copied = unsafe { *copy.block.as_ptr().add(i) } as usize;
                let inside = (low..=high).contains(&(word as usize));
                let expected = if inside { word as usize - low + copy.start() } else { word as usize };
                assert_eq!(copied, expected, "word {i} of {words}");
            }
            stack.fill(0xDB);
            // SAFETY: the vector is as long as it was.
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
            // SAFETY: the block has room for the words and the bitmap.
            unsafe {
                copy_out_by_word(low, high, block, words);
                copy_nonoverlapping(block, blocks[1].as_mut_ptr(), words + words.div_ceil(GROUP));
                copy_out(low, high, block, words);
            }
            assert_eq!(blocks[0], blocks[1], "{words} words");
        }
    }

    #[test]
    fn what_changed_in_the_copy_is_there_when_it_comes_back() {
        let pool = Pool::new();
        let (stack, low, high) = stack(100);
        // SAFETY: the ends of the vector; word 6 is no address.
        unsafe {
            let copy = Copy::make(&pool, low, high).unwrap();
            *copy.block.as_ptr().add(6) = 4711;
            copy.restore(&pool, low);
        }
        assert_eq!(stack[6], 4711);
    }

    #[test]
    fn blocks_are_used_again_and_given_back() {
        let pool = Pool::new();
        let blocks: Vec<_> = (0..20).map(|_| pool.take(640).unwrap()).collect();
        for block in &blocks {
            pool.give(*block, 640);
        }
        let class = pool.class(640).unwrap();
        assert_eq!(class.count.get(), Pool::MOST_PER_CLASS);
        let again = pool.take(640).unwrap();
        assert!(blocks.contains(&again));
        pool.give(again, 640);
        pool.empty();
        assert_eq!((class.count.get(), class.first.get()), (0, None));
    }
}
