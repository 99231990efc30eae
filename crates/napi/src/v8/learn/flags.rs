//! Switching off two V8 features, for the whole process, that do not work with several stacks. V8 reads both flags each time it
//! needs them.
//!
//! V8 accepts a code cache only under the flags that it was made with: their hash is part of the cache (SerializedCodeData,
//! code-serializer.cc). The two flags do not affect compiled code, and a program that uses greenlets should not have to compile
//! everything again. V8 keeps the hash in one word, sets it to 0 when a flag changes, and computes it when it is needed
//! (FlagList::Hash, flags.cc, 11.3 to 14.6). So the word is found by watching these changes, and then gets its old hash again:
//!
//! ```text
//!                hash read    flags set    hash read
//!   the word         h            0            h'      ──►  h: V8's version tag of code caches is the old one again
//! ```

use std::ffi::CStr;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use super::module::module_of;
use super::peek::{Peek, halves};
use super::symbols::Symbols;
use crate::settings::arguments;
use crate::unsupported::{Unsupported, ensure};

const FLAGS: [&CStr; 2] = [
    // WasmEngine::ReportLiveCodeFromStackForGC aborts when any stack is archived (wasm-engine.cc, 11.2 to 14.6).
    c"--no-wasm-code-gc",
    // Array.prototype.shift moves the start of a large array. V8 repairs stale pointers to it on the running stack only
    // (ClearStaleLeftTrimmedPointerVisitor, heap.cc).
    c"--no-move-object-start",
];

/// The word with the hash, once the flags are off. `None` where it was not found: then V8 rejects code caches from before.
static HASH: OnceLock<Option<&'static AtomicU32>> = OnceLock::new();

/// Switches the two features off, once for the process.
///
/// # Errors
/// Where V8's flags are frozen.
pub(crate) fn set(symbols: &Symbols) -> Result<(), Unsupported> {
    // V8 ends the process when a frozen flag is set (FlagList::Reset, flags.cc), and exports no function that says whether flags
    // are frozen. Node does not freeze them unless its command line says so.
    ensure!(!freezes_flags(), "V8's flags are frozen (--freeze-flags-after-init), and two must be set");
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

/// Sets another flag that does not affect compiled code.
pub(crate) fn change(symbols: &Symbols, flag: &CStr) {
    let hash = HASH.get().copied().flatten();
    let old = hash.map(|hash| hash.load(SeqCst));
    // SAFETY: public API with a C string; `set` has checked that V8's flags are not frozen.
    unsafe { (symbols.set_flags)(flag.as_ptr()) };
    if let (Some(hash), Some(old)) = (hash, old) {
        hash.store(old, SeqCst);
    }
}

/// Whether Node's command line freezes V8's flags. Node does not accept this flag anywhere else.
fn freezes_flags() -> bool {
    arguments().iter().any(|argument| argument == "--freeze-flags-after-init")
}

/// Calls `set`, finds the word with the hash of V8's flags, and restores the old hash. Returns the word; `None`, with the new hash
/// in place, where it is not found or V8 does not accept the old hash.
fn find_hash(symbols: &Symbols, set: impl FnOnce()) -> Option<&'static AtomicU32> {
    // SAFETY: public API without arguments.
    let tag = || unsafe { (symbols.cached_data_version_tag)() };
    let data = module_of(symbols.version as usize).map(|module| module.data).unwrap_or_default();
    let peek = Peek::new().ok();
    let look = || -> Vec<(usize, u32)> {
        let words = |range: &Range<usize>| {
            let start = range.start.next_multiple_of(8);
            let words = peek.as_ref().and_then(|peek| peek.words(start, (range.end - start) / 8));
            halves(&words.unwrap_or_default())
                .into_iter()
                .enumerate()
                .map(|(i, half)| (start + i * 4, half))
                .collect::<Vec<_>>()
        };
        data.iter().flat_map(words).collect()
    };
    let before = tag();
    let hashed = look();
    set();
    let zeroed = look();
    let changed = tag() != before;
    let again = look();
    let found: Vec<_> = hashed
        .iter()
        .zip(zeroed)
        .zip(again)
        .filter(|((old, zero), new)| old.1 != 0 && zero.1 == 0 && new.1 != 0 && (new.1 != old.1) == changed)
        .map(|((old, _), new)| (old.0, old.1, new.1))
        .collect();
    let &[(word, old, new)] = found.as_slice() else { return None };
    // SAFETY: the address is in the data of V8's module, which stays loaded. It is the only word that changes as the hash does. V8
    // accesses the hash atomically.
    let hash = unsafe { AtomicU32::from_ptr(word as *mut u32) };
    // Other threads run meanwhile. Where one of them has changed the word, it is left alone, for it may not be the hash.
    hash.compare_exchange(new, old, SeqCst, SeqCst).ok()?;
    if tag() == before {
        return Some(hash);
    }
    let _ = hash.compare_exchange(old, new, SeqCst, SeqCst);
    None
}
