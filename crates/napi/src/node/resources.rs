//! Reading and writing Node's container of native resources: `executionAsyncResource()` uses it for an entry that has no resource
//! in the JavaScript array.
//!
//! Node 20 has a `std::vector<Local>`, Node 22 and 24 a `std::deque<Local*>`, Node 26 a `std::deque` of variants of `Local*`
//! and `Global*`. A Local is the address of a handle; a null element is a hole. A deque of libstdc++ is
//! {map, size, start {current, first, last, node}, finish {...}} with chunks of 512 bytes.
//!
//! # Contract
//! - **thread**: the call is made on the environment's thread, while the environment lives. Nothing else accesses the container
//!   during the call.
//! - **container**: [`Resources::address`] is the address of Node's live container, and [`Resources::kind`] says its type:
//!   `learn.rs` has verified both. The words of a vector are {begin, end, end of its memory}; those of a deque are listed above.
//!   The elements have no destructors.

use crate::v8::learn::peek::Peek;

/// One element: a `Local`, or a pointer and the variant's index.
pub(super) type Element = [u64; 2];

/// No resource.
pub(super) const NONE: Element = [0; 2];

/// The type of the container, known from the signature of `push_async_context`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    VectorOfLocals,
    DequeOfPointers,
    DequeOfVariants,
}

/// Size of a deque's chunk (libstdc++).
const CHUNK_BYTES: usize = 512;

impl Kind {
    /// Words of one element.
    const fn words(self) -> usize {
        if matches!(self, Kind::DequeOfVariants) { 2 } else { 1 }
    }

    /// Bytes of one element.
    const fn bytes(self) -> usize {
        self.words() * 8
    }
}

/// The live container.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resources {
    pub(super) kind: Kind,
    pub(super) address: *mut u64,
}

/// The elements, where all of them are in one block of memory.
struct Contiguous {
    begin: *mut u64,
    /// Address of the container's end pointer.
    end: *mut *mut u64,
    /// How far the end may move without an allocation.
    capacity_end: *mut u64,
}

impl Resources {
    /// The address of one of the container's words.
    #[inline(always)]
    fn word(&self, index: usize) -> *mut u64 {
        // SAFETY: the contract's clause **container**: a vector has three words and a deque ten, and callers use only those.
        unsafe { self.address.add(index) }
    }

    /// The elements, or `None` where a deque has several chunks.
    ///
    /// # Safety
    /// The contract's clauses **thread** and **container**.
    #[inline(always)]
    unsafe fn contiguous(&self) -> Option<Contiguous> {
        // SAFETY: the contract's clauses **thread** and **container**: these are words of the live container.
        unsafe {
            if self.kind == Kind::VectorOfLocals {
                let (begin, capacity_end) = (*self.word(0) as *mut u64, *self.word(2) as *mut u64);
                return Some(Contiguous { begin, end: self.word(1).cast(), capacity_end });
            }
            let (first_node, last_node) = (*self.word(5), *self.word(9));
            // A deque allocates its next chunk when the last place of a chunk is taken.
            (first_node == last_node).then(|| Contiguous {
                begin: *self.word(2) as *mut u64,
                end: self.word(6).cast(),
                capacity_end: (*self.word(4) as *mut u64).wrapping_byte_sub(1),
            })
        }
    }

    /// Adds `element` at `index`, as the last element, and holes before it where there are fewer elements. Returns false, and
    /// changes nothing, where this needs an allocation.
    ///
    /// # Safety
    /// The contract's clauses **thread** and **container**; there are at most `index` elements.
    #[inline(always)]
    pub(super) unsafe fn push_at(&self, index: usize, element: Element) -> bool {
        // SAFETY: the contract's clauses **thread** and **container**. All writes go to the container's own memory, between its end
        // and `capacity_end`, which is checked first.
        unsafe {
            let Some(all) = self.contiguous() else { return false };
            let place = all.begin.wrapping_add(index * self.kind.words());
            if all.begin.is_null() || place.wrapping_add(self.kind.words()) > all.capacity_end {
                return false;
            }
            let mut hole = *all.end;
            while hole < place {
                *hole = 0;
                hole = hole.add(1);
            }
            *place = element[0];
            if self.kind == Kind::DequeOfVariants {
                *place.add(1) = element[1];
            }
            *all.end = place.add(self.kind.words());
            true
        }
    }

    /// Removes the elements from `length` on. A deque of several chunks keeps them: Node removes them itself at its next pop.
    ///
    /// # Safety
    /// The contract's clauses **thread** and **container**.
    #[inline(always)]
    pub(super) unsafe fn truncate(&self, length: usize) {
        // SAFETY: the contract's clauses **thread** and **container**. Only the end moves, to an earlier element, and elements have
        // no destructors.
        unsafe {
            if let Some(all) = self.contiguous() {
                let end = all.begin.wrapping_add(length * self.kind.words());
                if *all.end > end {
                    *all.end = end;
                }
            }
        }
    }

    /// The element at `index`; [`NONE`] where there are fewer elements.
    ///
    /// # Safety
    /// The contract's clauses **thread** and **container**.
    pub(super) unsafe fn get(&self, index: usize) -> Element {
        let words = self.kind.words();
        // SAFETY: the contract's clauses **thread** and **container**; `place` is the address of an element before the container's
        // end.
        let read = |place: *const u64| unsafe { [*place, if words == 2 { *place.add(1) } else { 0 }] };
        // SAFETY: the contract's clauses **thread** and **container**. An index is compared with the container's end before
        // anything is read at its place; the map of a deque has a pointer for each chunk up to the last one.
        unsafe {
            if let Some(all) = self.contiguous() {
                let place = all.begin.wrapping_add(index * words);
                return if place < *all.end { read(place) } else { NONE };
            }
            let bytes = self.kind.bytes();
            let offset = (*self.word(2) - *self.word(3)) as usize / bytes;
            let in_last = (*self.word(6) - *self.word(7)) as usize / bytes;
            let chunks = (*self.word(9) - *self.word(5)) as usize / 8;
            let (chunk, place) =
                ((index + offset) / (CHUNK_BYTES / bytes), (index + offset) % (CHUNK_BYTES / bytes));
            if chunk > chunks || (chunk == chunks && place >= in_last) {
                return NONE;
            }
            let chunk = *(*self.word(5) as *const u64).add(chunk) as *const u64;
            read(chunk.add(place * words))
        }
    }

    /// Whether the container has `length` elements and the last one leads to `resource`, a tagged word. It trusts no address.
    pub(super) fn ends_with(&self, length: usize, resource: u64, peek: &Peek) -> bool {
        let bytes = self.kind.bytes();
        let last = match self.kind {
            Kind::VectorOfLocals => self.end_of_vector(length, peek),
            _ => self.end_of_deque(length, peek),
        };
        let handle = last.and_then(|end| peek.word(end - bytes)).and_then(|element| match self.kind {
            Kind::VectorOfLocals => Some(element),
            _ => peek.word(element as usize),
        });
        handle.and_then(|handle| peek.word(handle as usize)) == Some(resource)
    }

    /// The end address of a vector, where it has `length` elements.
    fn end_of_vector(&self, length: usize, peek: &Peek) -> Option<usize> {
        let words = peek.words(self.address as usize, 3)?;
        let [begin, end, capacity_end] = [words[0], words[1], words[2]];
        let fits = end.wrapping_sub(begin) == (length * self.kind.bytes()) as u64 && end <= capacity_end;
        fits.then_some(end as usize)
    }

    /// The end address of a deque's last element, where the deque has `length` elements.
    fn end_of_deque(&self, length: usize, peek: &Peek) -> Option<usize> {
        let words = peek.words(self.address as usize, 10)?;
        let &[map, size, current, first, last, node, end, end_first, end_last, end_node] = words.as_slice()
        else {
            return None;
        };
        let chunk = CHUNK_BYTES as u64;
        let in_map = |node: u64| (map..map.wrapping_add(8 * size)).contains(&node);
        let is_deque = in_map(node)
            && in_map(end_node)
            && (last.wrapping_sub(first), end_last.wrapping_sub(end_first)) == (chunk, chunk)
            && (peek.word(node as usize), peek.word(end_node as usize)) == (Some(first), Some(end_first));
        let before_end = end_node.wrapping_sub(node) / 8 * chunk;
        let live =
            before_end.wrapping_sub(current.wrapping_sub(first)).wrapping_add(end.wrapping_sub(end_first));
        if !is_deque || live != (length * self.kind.bytes()) as u64 {
            return None;
        }
        // Where the end is at the beginning of a chunk, the last element is at the end of the chunk before.
        if end > end_first {
            Some(end as usize)
        } else {
            peek.word(end_node as usize - 8).map(|at| at as usize + CHUNK_BYTES)
        }
    }
}
