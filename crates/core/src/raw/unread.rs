//! What the host does not read of a spilled stack, and how little of it is stored.
//!
//! The frames at both ends of a stack are those of the code that switches and that starts it: the same functions on each stack, with
//! nearly the same words. A host that does not follow them says so ([`Unread`]). Of such words, a copy holds only those that differ
//! from a template, which the first stack with parts of these sizes has made:
//!
//! ```text
//!   stack      | unread |       read       | unread | read | unread | read: the host's data above the base |
//!   copy                |       read       |   read   |    read    | which words were moved | which differ | those |
//! ```
//!
//! In a template, addresses in the slot are relative to the stack's base, and those in the stack's record are relative to the record,
//! because other stacks have the same at the same distance. A word that is no such address and looks like one is stored where it differs,
//! as any other word.

use std::cell::{Ref, RefCell};
use std::ops::Range;

use crate::fiber::bounds::StackBounds;
use crate::raw::relocation::Piece;

const WORD: usize = size_of::<u64>();
/// Most words that a template has.
pub(crate) const MOST_UNREAD: usize = 512;
/// How many words are compared at a time.
const CHUNK: usize = 8;
/// Most templates of a thread. Switches are called in few ways, so few are made.
const MOST_TEMPLATES: usize = 16;

/// The parts of a suspended stack that its host does not read while the stack is spilled, in bytes. All are multiples of 8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// How many bytes from the stack pointer up.
    pub innermost: usize,
    /// Two parts near the base, the one further from it first: how far below the base each begins and ends. (0, 0) for none.
    pub outermost: [(usize, usize); 2],
}

impl Unread {
    /// The unread parts of a stack that is suspended at `low` and has its base at `base`, from low addresses to high ones.
    pub(crate) fn parts(&self, low: usize, base: usize) -> [Range<usize>; 3] {
        let [first, second] = self.outermost.map(|(start, end)| base - start..base - end);
        [low..low + self.innermost, first, second]
    }

    /// How many words are unread; `None` where the parts are not in order, or too large for a template.
    pub(crate) fn words(&self, low: usize, base: usize) -> Option<usize> {
        let [(a, b), (c, d)] = self.outermost;
        let is_in_order = a >= b && b >= c && c >= d && self.innermost <= (base - low).checked_sub(a)?;
        let bytes = is_in_order.then(|| self.innermost + (a - b) + (c - d))?;
        let is_whole = [self.innermost, a, b, c, d].iter().all(|bytes| bytes.is_multiple_of(WORD));
        Some(bytes / WORD).filter(|&words| is_whole && (1..=MOST_UNREAD).contains(&words))
    }
}

/// The pieces that are copied of a stack with the live bytes `low..high`, to one place one after the other, from `to` on.
pub(crate) fn pieces(
    unread: &Unread,
    low: usize,
    base: usize,
    high: usize,
    to: usize,
) -> [Piece; Piece::MOST] {
    let [innermost, first, second] = unread.parts(low, base);
    let read = [innermost.end..first.start, first.end..second.start, second.end..high];
    let mut to = to;
    let mut pieces = read.map(|part| {
        let piece = Piece { from: part.start, to, len: part.len(), end: 0 };
        to += part.len();
        piece
    });
    pieces[Piece::MOST - 1].end = 1;
    pieces
}

/// Which words of a stack's unread parts differ from the template's.
pub(crate) struct Differences {
    pub(crate) bits: [u64; MOST_UNREAD / 64],
    pub(crate) count: usize,
}

/// The words that unread parts of these sizes have in common. Each is a number, to which the address of the base or of the record may
/// have to be added.
pub(crate) struct Template {
    pub(crate) unread: Unread,
    numbers: Vec<u64>,
    /// All ones where a number is relative to the base, otherwise 0.
    of_base: Vec<u64>,
    /// The same for the record.
    of_record: Vec<u64>,
}

/// Where the addresses lie that a stack's own frames hold.
#[derive(Clone, Copy)]
pub(crate) struct Own {
    pub(crate) slot: StackBounds,
    /// How many bytes above the base belong to the slot.
    pub(crate) above_base: usize,
    /// Where the stack's record is, and its size.
    pub(crate) record: (usize, usize),
}

impl Own {
    /// The number, and the masks for the base and for the record.
    fn relative(&self, word: u64) -> (u64, u64, u64) {
        let is_in = |start: usize, size: usize| (word as usize).wrapping_sub(start) <= size;
        let (mask, end) = (|is: bool| if is { u64::MAX } else { 0 }, self.slot.base + self.above_base);
        let of_base = mask(is_in(self.slot.limit, end - self.slot.limit));
        let of_record = mask(of_base == 0 && is_in(self.record.0, self.record.1));
        let origin = self.slot.base as u64 & of_base | self.record.0 as u64 & of_record;
        (word.wrapping_sub(origin), of_base, of_record)
    }
}

impl Template {
    /// # Safety
    /// The parts are readable.
    unsafe fn of(unread: Unread, low: usize, own: &Own) -> Option<Template> {
        let mut template =
            Template { unread, numbers: Vec::new(), of_base: Vec::new(), of_record: Vec::new() };
        let count = unread.words(low, own.slot.base)?;
        for words in [&mut template.numbers, &mut template.of_base, &mut template.of_record] {
            words.try_reserve_exact(count).ok()?;
        }
        for address in unread.parts(low, own.slot.base).into_iter().flat_map(|part| part.step_by(WORD)) {
            // SAFETY: the caller's promise.
            let (number, of_base, of_record) = own.relative(unsafe { *(address as *const u64) });
            template.numbers.push(number);
            template.of_base.push(of_base);
            template.of_record.push(of_record);
        }
        Some(template)
    }

    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Writes the words from `first` on, as they are on this stack, to `to`.
    #[inline(always)]
    fn fill(&self, first: usize, own: &Own, to: &mut [u64]) {
        let last = first + to.len();
        let (base, record) = (own.slot.base as u64, own.record.0 as u64);
        let masks = self.of_base[first..last].iter().zip(&self.of_record[first..last]);
        for ((to, number), (of_base, of_record)) in to.iter_mut().zip(&self.numbers[first..last]).zip(masks) {
            *to = number.wrapping_add(base & of_base | record & of_record);
        }
    }

    /// # Safety
    /// The parts are readable, and as many words as this template has.
    pub(crate) unsafe fn differences(&self, low: usize, own: &Own) -> Differences {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the caller's promise, and the processor has AVX2.
            return unsafe { wide::differences(self, low, own) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.compare(low, own) }
    }

    /// # Safety
    /// As for [`Template::differences`].
    #[inline(always)]
    unsafe fn compare(&self, low: usize, own: &Own) -> Differences {
        let mut differences = Differences { bits: [0; MOST_UNREAD / 64], count: 0 };
        let mut first = 0;
        for part in self.unread.parts(low, own.slot.base) {
            // SAFETY: the caller's promise. The stack does not run, so nothing changes its words meanwhile.
            let words = unsafe { std::slice::from_raw_parts(part.start as *const u64, part.len() / WORD) };
            for words in words.chunks(CHUNK) {
                let mut expected = [0; CHUNK];
                if let Ok(words) = <&[u64; CHUNK]>::try_from(words) {
                    self.fill(first, own, &mut expected);
                    let differ = words.iter().zip(&expected).fold(0, |all, (a, b)| all | (a ^ b));
                    // Most are equal, which is found out many words at a time.
                    if differ == 0 {
                        first += CHUNK;
                        continue;
                    }
                }
                self.fill(first, own, &mut expected[..words.len()]);
                for (a, b) in words.iter().zip(&expected) {
                    differences.bits[first / 64] |= u64::from(a != b) << (first % 64);
                    differences.count += usize::from(a != b);
                    first += 1;
                }
            }
        }
        differences
    }

    /// Copies the words that differ to `to`: their bitmap, then the words.
    ///
    /// # Safety
    /// As for [`Template::differences`], of which these are the result; `to` has space for them.
    pub(crate) unsafe fn store(&self, differences: &Differences, low: usize, base: usize, to: *mut u64) {
        let groups = self.len().div_ceil(64);
        // SAFETY: the caller's promise.
        unsafe {
            to.copy_from_nonoverlapping(differences.bits.as_ptr(), groups);
            let mut to = to.add(groups);
            self.each_differing(&differences.bits, low, base, |address| {
                *to = *(address as *const u64);
                to = to.add(1);
            });
        }
    }

    /// Writes the parts to where they were, from what `store` has written.
    ///
    /// # Safety
    /// The parts are writable, no code uses them, and `from` is what `store` wrote.
    pub(crate) unsafe fn restore(&self, low: usize, own: &Own, from: *const u64) {
        let groups = self.len().div_ceil(64);
        let mut bits = [0; MOST_UNREAD / 64];
        // SAFETY: the caller's promise.
        unsafe {
            bits[..groups].copy_from_slice(std::slice::from_raw_parts(from, groups));
            self.write(low, own);
            let mut from = from.add(groups);
            self.each_differing(&bits, low, own.slot.base, |address| {
                *(address as *mut u64) = *from;
                from = from.add(1);
            });
        }
    }

    /// Writes the parts as the template has them.
    ///
    /// # Safety
    /// The parts are writable, and no code uses them.
    unsafe fn write(&self, low: usize, own: &Own) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the caller's promise, and the processor has AVX2.
            return unsafe { wide::write(self, low, own) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.write_parts(low, own) }
    }

    /// # Safety
    /// As for [`Template::write`].
    #[inline(always)]
    unsafe fn write_parts(&self, low: usize, own: &Own) {
        let mut first = 0;
        for part in self.unread.parts(low, own.slot.base) {
            let count = part.len() / WORD;
            // SAFETY: the caller's promise.
            self.fill(first, own, unsafe { std::slice::from_raw_parts_mut(part.start as *mut u64, count) });
            first += count;
        }
    }

    /// Calls `each` with the addresses of the words that differ.
    #[inline(always)]
    fn each_differing(
        &self,
        bits: &[u64; MOST_UNREAD / 64],
        low: usize,
        base: usize,
        mut each: impl FnMut(usize),
    ) {
        let parts = self.unread.parts(low, base);
        let (mut part, mut before) = (0, 0);
        for (group, &bits) in bits.iter().enumerate().take(self.len().div_ceil(64)) {
            let mut bits = bits;
            while bits != 0 {
                let i = group * 64 + bits.trailing_zeros() as usize;
                while i - before >= parts[part].len() / WORD {
                    before += parts[part].len() / WORD;
                    part += 1;
                }
                each(parts[part].start + (i - before) * WORD);
                bits &= bits - 1;
            }
        }
    }
}

/// The same for four words at a time.
#[cfg(target_arch = "x86_64")]
mod wide {
    /// # Safety
    /// As for [`super::Template::differences`], on a processor with AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn differences(
        template: &super::Template,
        low: usize,
        own: &super::Own,
    ) -> super::Differences {
        // SAFETY: the caller's promise.
        unsafe { template.compare(low, own) }
    }

    /// # Safety
    /// As for [`super::Template::write`], on a processor with AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn write(template: &super::Template, low: usize, own: &super::Own) {
        // SAFETY: the caller's promise.
        unsafe { template.write_parts(low, own) }
    }
}

/// A thread's templates. They stay as they are, because copies refer to them.
#[derive(Default)]
pub(crate) struct Templates(RefCell<Vec<Template>>);

impl Templates {
    /// The number of the template for these parts, which is made where there is none; `None` where it cannot be made, or where there are
    /// too many.
    ///
    /// # Safety
    /// The parts are readable.
    pub(crate) unsafe fn number_for(&self, unread: Unread, low: usize, own: &Own) -> Option<u16> {
        unread.words(low, own.slot.base)?;
        let mut templates = self.0.borrow_mut();
        if let Some(number) = templates.iter().position(|template| template.unread == unread) {
            return Some(number as u16);
        }
        if templates.len() == MOST_TEMPLATES {
            return None;
        }
        // SAFETY: the caller's promise.
        let template = unsafe { Template::of(unread, low, own) }?;
        templates.try_reserve(1).ok()?;
        templates.push(template);
        Some(templates.len() as u16 - 1)
    }

    pub(crate) fn get(&self, number: u16) -> Ref<'_, Template> {
        Ref::map(self.0.borrow(), |templates| &templates[usize::from(number)])
    }
}
