//! V8 features that cannot live with several stacks: they are switched off for the process. V8 reads both flags whenever it
//! needs them.
//!
//! A code cache is only good for the flags it was made with: their hash is part of it (SerializedCodeData, code-serializer.cc).
//! These two have no part in what is compiled, and a program that uses greenlets should not have to compile everything anew. V8
//! keeps the hash in one word, zeroes it when a flag changes, and computes it when it is asked (FlagList::Hash, flags.cc, 11.3 to
//! 14.6); so that word is found by doing this, and gets its old hash again:
//!
//! ```text
//!                asked    flags set    asked
//!   the word       h          0         h'      ──►  h, and V8's version tag of code caches is the one from before
//! ```

use std::ffi::CStr;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use super::module::module_of;
use super::peek::Peek;
use super::symbols::Symbols;
use crate::unsupported::{Unsupported, ensure};

const FLAGS: [&CStr; 2] = [
    // WasmEngine::ReportLiveCodeFromStackForGC aborts when any stack is archived (wasm-engine.cc, 11.2 to 14.6).
    c"--no-wasm-code-gc",
    // Array.prototype.shift on large arrays moves the array's start; V8 repairs stale pointers on the running stack
    // only (ClearStaleLeftTrimmedPointerVisitor, heap.cc).
    c"--no-move-object-start",
];

/// Where V8 keeps the hash, once the flags are off; none where it was not found, and then code caches are compiled anew.
static HASH: OnceLock<Option<&'static AtomicU32>> = OnceLock::new();

/// Switches them off, once for the process.
///
/// # Errors
/// Where V8's flags are frozen.
pub(crate) fn set(symbols: &Symbols) -> Result<(), Unsupported> {
    // V8 ends the process when a frozen flag is set (FlagList::Reset, flags.cc), and exports nobody to ask. Node keeps them
    // open unless it is told otherwise.
    ensure!(!told_to_freeze(), "V8's flags are frozen (--freeze-flags-after-init), and two must be set");
    HASH.get_or_init(|| {
        find_hash(symbols, || {
            for flag in FLAGS {
                // SAFETY: public API with a C string.
                unsafe { (symbols.set_flags)(flag.as_ptr()) };
            }
        })
    });
    Ok(())
}

/// Sets another flag that has no part in what is compiled.
pub(crate) fn change(symbols: &Symbols, flag: &CStr) {
    let hash = HASH.get().copied().flatten();
    let old = hash.map(|hash| hash.load(SeqCst));
    // SAFETY: public API with a C string; V8's flags are not frozen (`set`).
    unsafe { (symbols.set_flags)(flag.as_ptr()) };
    if let (Some(hash), Some(old)) = (hash, old) {
        hash.store(old, SeqCst);
    }
}

/// Node takes the flag on its command line only.
fn told_to_freeze() -> bool {
    std::env::args_os().any(|word| word.to_string_lossy().replace('_', "-") == "--freeze-flags-after-init")
}

/// Does `set`, after which V8's flags have the hash that they had before, and says where that is.
fn find_hash(symbols: &Symbols, set: impl FnOnce()) -> Option<&'static AtomicU32> {
    // SAFETY: public API without arguments.
    let tag = || unsafe { (symbols.cached_data_version_tag)() };
    let data = module_of(symbols.version as usize).map(|module| module.data).unwrap_or_default();
    let peek = Peek::new().ok();
    let look = || -> Vec<(usize, u32)> {
        let words = |range: &Range<usize>| {
            let start = range.start.next_multiple_of(8);
            let words = peek.as_ref().and_then(|peek| peek.words(start, (range.end - start) / 8));
            let halves =
                words.unwrap_or_default().into_iter().flat_map(|word| [word as u32, (word >> 32) as u32]);
            halves.enumerate().map(|(i, half)| (start + i * 4, half)).collect::<Vec<_>>()
        };
        data.iter().flat_map(words).collect()
    };
    let before = tag();
    let asked = look();
    set();
    let zeroed = look();
    let changed = tag() != before;
    let again = look();
    let found: Vec<_> = asked
        .iter()
        .zip(zeroed)
        .zip(again)
        .filter(|((old, zero), new)| old.1 != 0 && zero.1 == 0 && new.1 != 0 && (new.1 != old.1) == changed)
        .map(|((old, _), new)| (old.0, old.1, new.1))
        .collect();
    let &[(word, old, new)] = found.as_slice() else { return None };
    // SAFETY: a word of V8's that is zeroed and computed as only the hash is, for the life of the process; V8 reads and
    // writes it atomically.
    let hash = unsafe { AtomicU32::from_ptr(word as *mut u32) };
    hash.store(old, SeqCst);
    if tag() == before {
        return Some(hash);
    }
    hash.store(new, SeqCst);
    None
}
