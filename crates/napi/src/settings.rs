//! How a thread's stacks are kept: the defaults, what the environment says (for tests, mostly), what `configure()` says.
//!
//! | variable | |
//! |---|---|
//! | `GREENLETS_SLOTS` | stacks that lie at their place at once, 1 to 65536; default 1024, or as many as the address space allows |
//! | `GREENLETS_LANE` | `fast` (default); `locker`: V8 itself moves its state; stacks are not spilled, scavenges visit all |
//! | `GREENLETS_SPILL` | `auto` (default), `always`: at every switch, `never`: one greenlet for each slot |
//! | `GREENLETS_SCAN` | `young` (default): scavenges leave out stacks without young objects; `all`: they visit every stack |
//! | `GREENLETS_VERIFY_GC` | `1`: they visit every stack, and a wrong guess about young objects ends the process |
//! | `GREENLETS_POISON` | `1`: memory that a stack has left is overwritten with 0xDB; `protect`: it faults when touched |

use std::io;

use greenlets_core::{DEFAULT_SLOTS, Options, Spilling, Vacated};

use crate::unsupported::Unsupported;

/// Which stacks a scavenge visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    /// Only those that may hold a young object.
    Young,
    /// All stacks; none is marked quiet.
    All,
    /// All stacks; a quiet one that changes ends the process. This tests the young scan.
    Verify,
}

/// Flags, by a part of their names, that let a scavenge keep a young object where it is (flag-definitions.h, 13.6 and 14.6):
/// objects are pinned, or stacks are read as if every word were a pointer. V8 has them for experiments.
const PINNING: [&str; 3] = ["pinning", "conservative", "precise-object"];

/// Whether V8 was told so on the command line or in `NODE_OPTIONS`.
fn young_objects_may_stay() -> bool {
    let options = std::env::var_os("NODE_OPTIONS").unwrap_or_default();
    let mut words = std::env::args_os().chain([options]);
    words.any(|word| {
        let word = word.to_string_lossy().replace('_', "-");
        word.contains("--") && PINNING.iter().any(|name| word.contains(name))
    })
}

/// Most slots of a thread: 64 GiB of address space.
pub(crate) const MAX_SLOTS: u32 = 65_536;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// `None` where nobody has asked for a number.
    pub(crate) slots: Option<u32>,
    pub(crate) max_greenlets: usize,
    /// Bytes of spilled stacks.
    pub(crate) memory: usize,
    spilling: Spilling,
    vacated: Vacated,
    pub(crate) scan: Scan,
    /// The locker lane; see `v8/locker.rs`.
    pub(crate) locker: bool,
}

impl Settings {
    pub(crate) fn from_environment() -> Result<Settings, Unsupported> {
        let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let wrong = |name: &str, wanted: &str, found: &str| {
            Unsupported::Because(format!("{name} must be {wanted}, not '{found}'"))
        };
        let locker = match variable("GREENLETS_LANE").as_deref() {
            None | Some("fast") => false,
            Some("locker") => true,
            Some(text) => return Err(wrong("GREENLETS_LANE", "'fast' or 'locker'", text)),
        };
        let slots = match variable("GREENLETS_SLOTS") {
            None => None,
            Some(text) => match text.parse() {
                Ok(slots @ 1..=MAX_SLOTS) => Some(slots),
                _ => return Err(wrong("GREENLETS_SLOTS", "1 to 65536", &text)),
            },
        };
        let spilling = match variable("GREENLETS_SPILL").as_deref() {
            None | Some("auto") => Spilling::WhenNeeded,
            Some("always") => Spilling::Always,
            Some("never") => Spilling::Never,
            Some(text) => return Err(wrong("GREENLETS_SPILL", "'auto', 'always' or 'never'", text)),
        };
        // V8 signs return addresses with the stack pointer on AArch64 (PointerAuthentication, 11.3 to 14.6), and would sign those
        // that it replaces in a copy for the copy's address.
        let spilling = if locker || cfg!(target_arch = "aarch64") { Spilling::Never } else { spilling };
        let vacated = match variable("GREENLETS_POISON").as_deref() {
            None | Some("" | "0") => Vacated::Kept,
            Some("1") => Vacated::Filled,
            Some("protect") => Vacated::Protected,
            Some(text) => return Err(wrong("GREENLETS_POISON", "'1' or 'protect'", text)),
        };
        let verify = match variable("GREENLETS_VERIFY_GC").as_deref() {
            None | Some("" | "0") => false,
            Some("1") => true,
            Some(text) => return Err(wrong("GREENLETS_VERIFY_GC", "'1'", text)),
        };
        let scan = match variable("GREENLETS_SCAN").as_deref() {
            None | Some("young") if locker || young_objects_may_stay() => Scan::All,
            None | Some("young") if verify => Scan::Verify,
            None | Some("young") => Scan::Young,
            Some("all") => Scan::All,
            Some(text) => return Err(wrong("GREENLETS_SCAN", "'young' or 'all'", text)),
        };
        Ok(Settings { slots, max_greenlets: usize::MAX, memory: usize::MAX, spilling, vacated, scan, locker })
    }

    /// Whether stacks share slots.
    pub(crate) fn spills(&self) -> bool {
        self.spilling != Spilling::Never
    }

    /// Calls `make` with the core's options; where it fails and nobody has asked for a number of slots, again with fewer.
    pub(crate) fn apply<T>(&self, make: impl Fn(Options) -> io::Result<T>) -> io::Result<T> {
        let mut slots = self.slots.unwrap_or(DEFAULT_SLOTS);
        loop {
            let options = Options::slots(slots)
                .max_greenlets(self.max_greenlets)
                .max_spilled(self.memory)
                .vacated(self.vacated);
            // SAFETY: what lies on a suspended JavaScript stack is V8's, which finds it in the copy (`v8/`), and Node's, which
            // keeps no address of it. Native add-ons that do are told not to (docs/internals/spilling.md).
            match make(unsafe { options.spilling(self.spilling) }) {
                Err(_) if self.slots.is_none() && self.spills() && slots > 1 => slots /= 2,
                result => return result,
            }
        }
    }
}
