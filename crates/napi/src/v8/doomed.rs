//! V8 12.4's list of C++ objects to destroy when the isolate dies suddenly.
//!
//! A `JsonStringifier` (and whoever else derives from `ToDestroyBeforeSuddenShutdown`, isolate.cc 12.4:4560) enters itself in
//! a `std::vector` of the isolate and checks, when it ends, that it is the last one there. With several stacks the last one
//! may be another stack's: a check fails and the process aborts. So each stack takes its entries along. No other V8 has it.

use std::ptr::null_mut;

use napi::sys;

use super::learn::scan;
use super::peek::{Peek, is_plausible};
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

/// Finds the vector: during `JSON.stringify` it has one entry more than before, which lies on this stack. Copies of it in
/// memory that we have read into do as much, but do not follow when it is done once more and only they are looked at.
///
/// # Safety
/// In a native callback of `env`, on the isolate's thread.
pub(crate) unsafe fn learn(
    env: sys::napi_env,
    isolate: Isolate,
    base: usize,
    peek: &Peek,
) -> Result<Doomed, Unsupported> {
    // SAFETY: passed on.
    let mut places = unsafe { candidates(env, isolate, base, peek) };
    if places.len() > 1 {
        // SAFETY: passed on.
        places = unsafe { followers(env, isolate, peek, places) };
    }
    ensure!(places.len() == 1, "{} words behave like V8's list of stringifiers", places.len());
    Ok((isolate as usize + places[0] * 8) as Doomed)
}

/// Those of `places` that grow by one entry in another `JSON.stringify`, read one by one.
unsafe fn followers(env: sys::napi_env, isolate: Isolate, peek: &Peek, places: Vec<usize>) -> Vec<usize> {
    let mut probe = Probe { isolate, peek, places, during: Vec::new(), here: 0 };
    let before = probe.lengths();
    // SAFETY: passed on.
    unsafe { stringify(env, &mut probe) };
    let after = probe.lengths();
    let grew = |&(n, _): &(usize, usize)| {
        probe.during.get(n) == Some(&before[n].wrapping_add(8)) && after[n] == before[n]
    };
    probe.places.iter().copied().enumerate().filter(grew).map(|(_, place)| place).collect()
}

/// The words of the isolate that such a vector may begin at.
unsafe fn candidates(env: sys::napi_env, isolate: Isolate, base: usize, peek: &Peek) -> Vec<usize> {
    let mut probe = Probe { isolate, peek, places: Vec::new(), during: Vec::new(), here: 0 };
    let before = scan(isolate, peek);
    // SAFETY: passed on.
    unsafe { stringify(env, &mut probe) };
    let (during, after) = (&probe.during, scan(isolate, peek));
    let length = |words: &[u64], i: usize| words[i + 1].wrapping_sub(words[i]);
    (0..before.len().min(during.len()).min(after.len()).saturating_sub(2))
        .filter(|&i| {
            let (end, room) = (during[i + 1], during[i + 2]);
            is_plausible(during[i])
                && length(during, i) == length(&before, i).wrapping_add(8)
                && length(&after, i) == length(&before, i)
                && room >= end
                && room - during[i] <= 4096
                && peek
                    .word(end as usize - 8)
                    .is_some_and(|entry| (probe.here..base).contains(&(entry as usize)))
        })
        .collect()
}

/// Has the probe look during `JSON.stringify`.
///
/// # Safety
/// As for `learn`.
unsafe fn stringify(env: sys::napi_env, probe: &mut Probe) {
    let (mut source, mut stringify, mut function, mut receiver, mut result) =
        (null_mut(), null_mut(), null_mut(), null_mut(), null_mut());
    let program = c"(probe) => { JSON.stringify({ toJSON() { probe() } }) }";
    // SAFETY: `env` is live; the probe outlives the call.
    unsafe {
        sys::napi_create_string_utf8(env, program.as_ptr(), -1, &mut source);
        sys::napi_run_script(env, source, &mut stringify);
        let data = std::ptr::from_mut(probe).cast();
        sys::napi_create_function(env, c"probe".as_ptr(), -1, Some(look), data, &mut function);
        sys::napi_get_undefined(env, &mut receiver);
        sys::napi_call_function(env, receiver, stringify, 1, &function, &mut result);
    }
}

struct Probe<'a> {
    isolate: Isolate,
    peek: &'a Peek,
    /// The only places to look at, where there are any.
    places: Vec<usize>,
    /// All words, or the lengths at those places.
    during: Vec<u64>,
    here: usize,
}

impl Probe<'_> {
    fn lengths(&self) -> Vec<u64> {
        let word = |i: usize| self.peek.word(self.isolate as usize + i * 8).unwrap_or(0);
        self.places.iter().map(|&i| word(i + 1).wrapping_sub(word(i))).collect()
    }
}

unsafe extern "C" fn look(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut data = null_mut();
    // SAFETY: the callback's own info; `data` is the probe of `learn`, which waits for this call.
    let probe = unsafe {
        sys::napi_get_cb_info(env, info, null_mut(), null_mut(), null_mut(), &mut data);
        &mut *data.cast::<Probe>()
    };
    probe.here = (&raw const data) as usize;
    probe.during = if probe.places.is_empty() { scan(probe.isolate, probe.peek) } else { probe.lengths() };
    null_mut()
}
