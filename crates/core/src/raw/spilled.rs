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
use crate::raw::relocation::{Piece, Relocation};
use crate::raw::unread::{Own, Templates, Unread, pieces};

const WORD: usize = size_of::<u64>();
/// Words that share one word of the bitmap.
const GROUP: usize = u64::BITS as usize;

/// The live bytes of a suspended stack while another stack occupies its slot.
#[derive(Debug)]
pub(crate) struct SpilledStack {
    block: NonNull<u64>,
    /// How many words of the stack are in it as they were, apart from the changed addresses.
    words: u32,
    /// Of its unread words, how many are stored.
    differing: u16,
    /// The template of its unread words; [`NO_TEMPLATE`] where all words are in the copy.
    template: u16,
}

const NO_TEMPLATE: u16 = u16::MAX;

/// A suspended stack in its slot.
#[derive(Clone, Copy)]
pub(crate) struct Live {
    pub(crate) low: usize,
    pub(crate) high: usize,
    pub(crate) own: Own,
    pub(crate) unread: Unread,
}

impl SpilledStack {
    /// Copies a stack to the heap. `None` where there is no memory.
    ///
    /// # Safety
    /// The clause "range" holds for the ends of `live`; nothing reads its unread parts before [`SpilledStack::restore`].
    pub(crate) unsafe fn copy(pool: &BlockPool, live: &Live) -> Option<(SpilledStack, [Piece; Piece::MOST])> {
        let Live { low, high, own, unread } = *live;
        let base = own.slot.base;
        make_defined(low, high - low);
        let all = (high - low) / WORD;
        // SAFETY: contract clause "range": the unread parts lie in it.
        let Some(number) = (unsafe { pool.templates.number_for(unread, low, &own) }) else {
            let words = u32::try_from(all).ok()?;
            let block = pool.take(size(all, 0, 0))?;
            // SAFETY: contract clauses "range" and "block".
            unsafe { copy_out(low, high, block.as_ptr(), all) };
            let pieces = pieces(&Unread::default(), low, base, high, block.as_ptr() as usize);
            return Some((SpilledStack { block, words, differing: 0, template: NO_TEMPLATE }, pieces));
        };
        let template = pool.templates.get(number);
        let words = all - template.len();
        let stored = u32::try_from(words).ok()?;
        // SAFETY: contract clauses "range" and "block": the unread parts lie in the range, and the block is as long as it all.
        unsafe {
            let differences = template.differences(low, &own);
            let block = pool.take(size(words, template.len(), differences.count))?;
            let pieces = pieces(&unread, low, base, high, block.as_ptr() as usize);
            copy_pieces_out(&pieces, block.as_ptr(), words);
            template.store(&differences, low, base, block.as_ptr().add(words + words.div_ceil(GROUP)));
            let differing = differences.count as u16;
            Some((SpilledStack { block, words: stored, differing, template: number }, pieces))
        }
    }

    /// Copies everything back to its slot: from `low` on, where it was. Words that were changed in the copy stay changed; all others
    /// are as before. Returns the pieces, as they were moved out.
    ///
    /// # Safety
    /// The clause "range" holds for `low`, no code uses the bytes there, and `own` is what `copy` was given.
    pub(crate) unsafe fn restore(self, pool: &BlockPool, low: usize, own: &Own) -> [Piece; Piece::MOST] {
        let base = own.slot.base;
        let (words, block) = (self.words(), self.block.as_ptr());
        let pieces = if self.template == NO_TEMPLATE {
            let high = low + words * WORD;
            make_defined(low, words * WORD);
            // SAFETY: contract clauses "range" and "block"; `copy` filled the block.
            unsafe { copy_back(block, words, low) };
            pieces(&Unread::default(), low, base, high, self.start())
        } else {
            let template = pool.templates.get(self.template);
            let high = low + (words + template.len()) * WORD;
            make_defined(low, high - low);
            let pieces = pieces(&template.unread, low, base, high, self.start());
            // SAFETY: contract clauses "range" and "block"; `copy` filled the block.
            unsafe {
                copy_pieces_back(&pieces, block, words);
                template.restore(low, own, block.add(words + words.div_ceil(GROUP)));
            }
            pieces
        };
        self.free(pool);
        pieces
    }

    pub(crate) fn free(self, pool: &BlockPool) {
        pool.give(self.block, self.cost(pool));
    }

    fn words(&self) -> usize {
        self.words as usize
    }

    /// Where the copy begins.
    pub(crate) fn start(&self) -> usize {
        self.block.as_ptr() as usize
    }

    /// Where the bytes of the stack are now, without those that the host does not read.
    pub(crate) fn range(&self) -> Range<usize> {
        self.start()..self.start() + self.words() * WORD
    }

    /// Bytes it takes.
    pub(crate) fn cost(&self, pool: &BlockPool) -> usize {
        let unread = if self.template == NO_TEMPLATE { 0 } else { pool.templates.get(self.template).len() };
        size(self.words(), unread, self.differing.into())
    }
}

/// Bytes of a block for `words` with their bitmap, and for `differing` words of `unread` ones with theirs, rounded up to a size of which
/// malloc wastes nothing (glibc adds 8 bytes, and rounds up to 16); never 0.
fn size(words: usize, unread: usize, differing: usize) -> usize {
    let all = words + words.div_ceil(GROUP) + unread.div_ceil(GROUP) + differing;
    (all * WORD + BlockPool::HEADER).next_multiple_of(BlockPool::STEP).max(2 * BlockPool::STEP)
        - BlockPool::HEADER
}

/// Copies the pieces, which have `words` words together, to the block, and writes the bitmap.
///
/// # Safety
/// The clauses "range" and "block" hold, and the pieces lie in the range.
unsafe fn copy_pieces_out(pieces: &[Piece; Piece::MOST], block: *mut u64, words: usize) {
    // SAFETY: contract clauses "range" and "block": every index is below `words`, and each group has a word of the bitmap.
    unsafe {
        let bitmap = block.add(words);
        bitmap.write_bytes(0, words.div_ceil(GROUP));
        let mut i = 0;
        for piece in pieces {
            let mut from = piece.from as *const u64;
            let end = (piece.from + piece.len) as *const u64;
            #[cfg(target_arch = "x86_64")]
            if piece.len >= 4 * WORD && i == 0 && std::arch::is_x86_feature_detected!("avx2") {
                i = wide::copy_piece_out(pieces, piece, block, bitmap);
                from = from.add(i);
            }
            while from != end {
                let word = *from as usize;
                let moved = pieces.iter().find_map(|piece| piece.new_address(word));
                *bitmap.add(i / GROUP) |= u64::from(moved.is_some()) << (i % GROUP);
                *block.add(i) = moved.unwrap_or(word) as u64;
                from = from.add(1);
                i += 1;
            }
        }
    }
}

/// Copies the pieces back and undoes the changes that the bitmap tells of.
///
/// # Safety
/// The clauses "range" and "block" hold, and `copy_pieces_out` filled the block with these pieces.
unsafe fn copy_pieces_back(pieces: &[Piece; Piece::MOST], block: *const u64, words: usize) {
    let home = Relocation::home(*pieces);
    // SAFETY: contract clauses "range" and "block": a bit of the bitmap is set only for an index below `words`, which lies in a piece.
    unsafe {
        for piece in pieces {
            copy_nonoverlapping(piece.to as *const u64, piece.from as *mut u64, piece.len / WORD);
        }
        for group in 0..words.div_ceil(GROUP) {
            let mut moved = *block.add(words + group);
            while moved != 0 {
                let place = block.add(group * GROUP + moved.trailing_zeros() as usize);
                if let (Some(to), Some(word)) =
                    (home.new_address(place as usize), home.new_address(*place as usize))
                {
                    *(to as *mut u64) = word as u64;
                }
                moved &= moved - 1;
            }
        }
    }
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
        _mm256_loadu_si256, _mm256_movemask_pd, _mm256_or_si256, _mm256_set1_epi64x, _mm256_setzero_si256,
        _mm256_storeu_si256,
    };

    use super::GROUP;
    use crate::raw::relocation::Piece;

    /// Copies whole groups of four words of the first piece, as `super::copy_pieces_out`. Returns how many words it has copied.
    ///
    /// # Safety
    /// The clauses "range" and "block" hold, the pieces lie in the range, the bitmap is all zeroes, and the processor has AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn copy_piece_out(
        pieces: &[Piece; Piece::MOST],
        piece: &Piece,
        block: *mut u64,
        bitmap: *mut u64,
    ) -> usize {
        let vectors = pieces.map(|piece| {
            let below = _mm256_set1_epi64x(piece.from as i64 - 1);
            let above = _mm256_set1_epi64x((piece.from + piece.len + piece.end) as i64);
            (below, above, _mm256_set1_epi64x((piece.to as i64).wrapping_sub(piece.from as i64)))
        });
        let from = piece.from as *const u64;
        let words = piece.len / 8 / 4 * 4;
        for i in (0..words).step_by(4) {
            // SAFETY: contract clauses "range" and "block": four words that end at `words` at the latest, which lie in one group.
            unsafe {
                let word = _mm256_loadu_si256(from.add(i).cast::<__m256i>());
                let (mut sum, mut any) = (word, _mm256_setzero_si256());
                for (below, above, distance) in vectors {
                    let inside =
                        _mm256_and_si256(_mm256_cmpgt_epi64(word, below), _mm256_cmpgt_epi64(above, word));
                    sum = _mm256_add_epi64(sum, _mm256_and_si256(inside, distance));
                    any = _mm256_or_si256(any, inside);
                }
                _mm256_storeu_si256(block.add(i).cast(), sum);
                *bitmap.add(i / GROUP) |=
                    (_mm256_movemask_pd(_mm256_castsi256_pd(any)) as u64) << (i % GROUP);
            }
        }
        words
    }

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
    templates: Templates,
}

#[derive(Default)]
struct Class {
    /// A list through the blocks' own first words.
    first: Cell<Option<NonNull<u64>>>,
    count: Cell<usize>,
}

impl BlockPool {
    /// Sizes and malloc's header are multiples of this together.
    const STEP: usize = 16;
    const HEADER: usize = 8;
    /// Larger blocks come from malloc each time; the copying takes longer than that.
    const CLASSES: usize = 384;
    const MOST_PER_CLASS: usize = 8;

    pub(crate) fn new() -> BlockPool {
        BlockPool { classes: std::array::from_fn(|_| Class::default()), templates: Templates::default() }
    }

    fn class(&self, size: usize) -> Option<&Class> {
        self.classes.get(size.div_ceil(BlockPool::STEP))
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
        // SAFETY: the size is not 0: `size` is at least 24.
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
                    dealloc(block.as_ptr().cast(), layout(i * BlockPool::STEP - BlockPool::HEADER));
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
    use crate::fiber::bounds::StackBounds;

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

    /// With the base at its upper end.
    fn live(low: usize, high: usize, unread: Unread) -> Live {
        Live { low, high, own: own(low, high, 0), unread }
    }

    fn own(low: usize, base: usize, above_base: usize) -> Own {
        Own { slot: StackBounds { base, limit: low }, above_base, record: (low.wrapping_add(1 << 20), 800) }
    }

    #[test]
    fn addresses_of_the_range_are_changed_and_everything_comes_back_as_it_was() {
        let pool = BlockPool::new();
        for words in [0, 1, 3, 63, 64, 65, 127, 128, 500, 5000] {
            let (mut stack, low, high) = stack(words);
            let before = stack.clone();
            // SAFETY: contract clause "range": these are the ends of the vector.
            let (copy, _) =
                unsafe { SpilledStack::copy(&pool, &live(low, high, Unread::default())) }.unwrap();
            assert_eq!(copy.range().len(), words * WORD);
            for (i, &word) in before.iter().enumerate() {
                // SAFETY: contract clause "block": the index is below `words`.
                let copied = unsafe { *copy.block.as_ptr().add(i) } as usize;
                let inside = (low..=high).contains(&(word as usize));
                let expected = if inside { word as usize - low + copy.start() } else { word as usize };
                assert_eq!(copied, expected, "word {i} of {words}");
            }
            stack.fill(0xDB);
            // SAFETY: contract clause "range": the vector is as long as before.
            unsafe { copy.restore(&pool, low, &own(low, high, 0)) };
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

    /// Parts of a stack of `words` words that are unread, and where its base is.
    fn unread_parts(words: usize) -> (Unread, usize) {
        let outermost = [(40 * WORD, 30 * WORD), (20 * WORD, 0)];
        (Unread { innermost: 10 * WORD, outermost }, (words - 5) * WORD)
    }

    #[test]
    fn unread_words_come_back_though_only_those_are_stored_that_differ_from_the_first_stacks() {
        let pool = BlockPool::new();
        for (words, changes) in [(200, 0), (200, 7), (200, 200), (80, 3), (55, 55), (130, 1)] {
            let (mut stack, low, high) = stack(words);
            let (unread, base) = unread_parts(words);
            let live = Live { low, high, own: own(low, low + base, 5 * WORD), unread };
            stack[2] = (live.own.record.0 + 16) as u64;
            for word in stack.iter_mut().take(changes) {
                *word = word.wrapping_add(64);
            }
            let before = stack.clone();
            // SAFETY: contract clause "range": these are the ends of the vector.
            let (copy, moved) = unsafe { SpilledStack::copy(&pool, &live) }.unwrap();
            assert_eq!(copy.range().len(), (words - 40) * WORD);
            assert_ne!(copy.template, NO_TEMPLATE);
            let moved = Relocation::out(moved);
            for (i, &word) in before.iter().enumerate() {
                let address = low + i * WORD;
                let is_unread = unread.parts(low, low + base).iter().any(|part| part.contains(&address));
                let place = moved.new_address(address);
                assert_eq!(place.is_none(), is_unread, "word {i} of {words}");
                let Some(place) = place else { continue };
                // SAFETY: contract clause "block": the relocation leads into it.
                let copied = unsafe { *(place as *const u64) } as usize;
                assert_eq!(
                    copied,
                    moved.new_address(word as usize).unwrap_or(word as usize),
                    "word {i} of {words}"
                );
            }
            stack.fill(0xDB);
            // SAFETY: contract clause "range": the vector is as long as before.
            unsafe { copy.restore(&pool, low, &live.own) };
            assert_eq!(stack, before, "{words} words, {changes} changed");
        }
    }

    #[test]
    fn unread_parts_that_are_not_in_order_are_copied_like_the_rest() {
        let pool = BlockPool::new();
        for (innermost, outermost) in [
            (8, [(16, 24), (0, 0)]),
            (8, [(16, 8), (24, 0)]),
            (800, [(16, 8), (8, 0)]),
            (4, [(0, 0), (0, 0)]),
            (0, [(0, 0), (0, 0)]),
        ] {
            let (stack, low, high) = stack(100);
            let before = stack.clone();
            // SAFETY: contract clause "range": these are the ends of the vector.
            unsafe {
                let (copy, _) =
                    SpilledStack::copy(&pool, &live(low, high, Unread { innermost, outermost })).unwrap();
                assert_eq!((copy.range().len(), copy.template), (100 * WORD, NO_TEMPLATE));
                copy.restore(&pool, low, &own(low, high, 0));
            }
            assert_eq!(stack, before);
        }
    }

    #[test]
    fn a_change_in_the_copy_is_kept_when_the_stack_is_restored() {
        let pool = BlockPool::new();
        let (stack, low, high) = stack(100);
        // SAFETY: contract clause "range": these are the ends of the vector. Word 6 is no address.
        unsafe {
            let (copy, _) = SpilledStack::copy(&pool, &live(low, high, Unread::default())).unwrap();
            *copy.block.as_ptr().add(6) = 4711;
            copy.restore(&pool, low, &own(low, high, 0));
        }
        assert_eq!(stack[6], 4711);
    }

    #[test]
    fn blocks_are_used_again_and_freed() {
        let pool = BlockPool::new();
        let blocks: Vec<_> = (0..20).map(|_| pool.take(648).unwrap()).collect();
        for block in &blocks {
            pool.give(*block, 648);
        }
        let class = pool.class(648).unwrap();
        assert_eq!(class.count.get(), BlockPool::MOST_PER_CLASS);
        let again = pool.take(648).unwrap();
        assert!(blocks.contains(&again));
        pool.give(again, 648);
        pool.empty();
        assert_eq!((class.count.get(), class.first.get()), (0, None));
    }
}
