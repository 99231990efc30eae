//! V8 12.4's list of C++ objects to destroy when the isolate dies suddenly.
//!
//! A `JsonStringifier` (and whoever else derives from `ToDestroyBeforeSuddenShutdown`, isolate.cc 12.4:4560) enters itself in
//! a `std::vector` of the isolate and checks, when it ends, that it is the last one there. With several stacks the last one
//! may be another stack's: a check fails and the process aborts. So each stack takes its entries along. No other V8 has it.

use napi::sys;

use super::facts::Facts;
use super::learn::scan;
use super::peek::Peek;
use super::watch::{STRINGIFY, during, grown};
use super::{Isolate, Unsupported, ensure};

/// Address of the vector's three words: begin, end, end of its memory.
pub(crate) type Doomed = *mut u64;

/// Takes the entries of the running stack off the list.
///
/// # Safety
/// `list` was learnt for the running isolate.
#[inline(always)]
pub(crate) unsafe fn take(list: Doomed, entries: &mut Vec<u64>) {
    // SAFETY: the words of a live std::vector.
    unsafe {
        let (begin, end) = (*list, *list.add(1));
        if begin != end {
            take_all(list, entries);
        }
    }
}

#[cold]
unsafe fn take_all(list: Doomed, entries: &mut Vec<u64>) {
    // SAFETY: as in `take`; between begin and end lie the entries, plain pointers.
    unsafe {
        let (begin, end) = (*list as *const u64, *list.add(1) as *const u64);
        entries.extend_from_slice(std::slice::from_raw_parts(begin, end.offset_from_unsigned(begin)));
        *list.add(1) = *list;
    }
}

/// Puts them back.
///
/// # Safety
/// As for `take`, and the list is empty.
#[inline(always)]
pub(crate) unsafe fn put_back(list: Doomed, entries: &mut Vec<u64>) {
    if !entries.is_empty() {
        // SAFETY: passed on.
        unsafe { put_all_back(list, entries) };
    }
}

#[cold]
unsafe fn put_all_back(list: Doomed, entries: &mut Vec<u64>) {
    // SAFETY: the vector's memory never shrinks, and held these entries before, so it has room for them.
    unsafe {
        let begin = *list as *mut u64;
        begin.copy_from_nonoverlapping(entries.as_ptr(), entries.len());
        *list.add(1) = begin.add(entries.len()) as u64;
    }
    entries.clear();
}

/// Finds the vector: during `JSON.stringify` it has one entry more than before, which lies on this stack.
///
/// # Safety
/// In a native callback of `env`, on the isolate's thread.
pub(crate) unsafe fn learn(
    facts: &Facts,
    env: sys::napi_env,
    isolate: Isolate,
    peek: &Peek,
) -> Result<Doomed, Unsupported> {
    let program = STRINGIFY;
    let above = (&raw const program) as usize;
    let before = scan(facts, isolate, peek);
    let look = || {
        let words = scan(facts, isolate, peek);
        ((&raw const words) as usize, words)
    };
    // SAFETY: passed on.
    let (below, seen) = unsafe { during(env, program, look)? }.0.unwrap_or_default();
    let after = scan(facts, isolate, peek);
    let mut places = grown(&before, &seen, &after);
    places.retain(|&i| {
        let newest = peek.word(seen[i + 1] as usize - 8);
        newest.is_some_and(|entry| (below..above).contains(&(entry as usize)))
    });
    ensure!(places.len() == 1, "{} words behave like V8's list of stringifiers", places.len());
    Ok((isolate as usize + places[0] * 8) as Doomed)
}
