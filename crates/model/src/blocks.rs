//! Where a block of memory ends, in a memory of a few words.

use crate::v8::learn::block::{block_words, object_words};

const BASE: usize = 0x1000;
const IN_USE: u64 = 1;
const MAPPED: u64 = 2;
const OTHER_ARENA: u64 = 4;

/// How many words the block has whose first word is word 2 of `memory`.
fn words(memory: &[u64]) -> Option<usize> {
    let word = |at: usize| memory.get((at - BASE) / 8).copied();
    block_words(BASE + 16, word)
}

#[test]
fn a_block_ends_where_the_header_of_the_next_one_begins() {
    for flags in [IN_USE, IN_USE | OTHER_ARENA, 0] {
        // Its size is 48 bytes with the header: five words.
        let mut memory = [0, 48 | flags, 7, 7, 7, 7, 7, 32 | IN_USE, 7, 7];
        assert_eq!(words(&memory), Some(5));
        // The next block says that this one is free: so these are no headers.
        memory[7] = 32;
        assert_eq!(words(&memory), None);
    }
}

#[test]
fn words_of_another_malloc_are_no_headers() {
    for header in [0, 8, 16, 24, 40, 48 | MAPPED, 1 << 40, 0x7fff_1234_5678] {
        let memory = [0, header, 7, 7, 7, 7, 7, 32 | IN_USE, 7, 7];
        assert_eq!(words(&memory), None, "{header:#x}");
    }
    assert_eq!(words(&[0, 48 | IN_USE, 7, 7, 7, 7, 7, 13 | IN_USE]), None);
    assert_eq!(words(&[0, 48 | IN_USE, 7]), None, "the next header cannot be read");
}

#[test]
fn an_object_is_not_longer_than_its_block_and_never_shorter_than_is_possible() {
    assert_eq!(object_words(Some(8299), 8704, 600), 8299);
    assert_eq!(object_words(None, 8704, 600), 8704);
    for impossible in [0, 100, 8103, 8704, 9000] {
        assert_eq!(object_words(Some(impossible), 8704, 600), 8704);
    }
}
