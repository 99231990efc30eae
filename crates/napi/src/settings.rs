//! Settings of a thread's stacks: the defaults, environment variables (mostly for tests), and the arguments of `configure()`.
//!
//! | variable | values |
//! |---|---|
//! | `GREENLETS_SLOTS` | how many stacks can be in memory slots at once, 1 to 65536; default 1024, or fewer where the address space is limited |
//! | `GREENLETS_LANE` | `fast` (default); `locker`: V8 itself moves its state, stacks are not spilled, and a scavenge visits all stacks |
//! | `GREENLETS_SPILL` | `auto` (default); `always`: at every switch; `never`: one greenlet for each slot |
//! | `GREENLETS_SCAN` | `classes` (default): a scavenge leaves out stacks without young objects, a full collection those that are like another one; `young`: only a scavenge leaves stacks out; `all`: every collection visits every stack |
//! | `GREENLETS_VERIFY_GC` | `1`: a collection visits every stack, and a wrong guess about one that would be left out ends the process |
//! | `GREENLETS_POISON` | `1`: the memory of a slot that a stack has left is overwritten with 0xDB; `protect`: any access to it faults |

use std::cell::RefCell;
use std::io;

use greenlets_core::{DEFAULT_SLOTS, Options, SLOT_SIZE, Spilling, Vacated};

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

/// Whether classes of stacks are used (`v8/gc/classes/`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClassUse {
    /// They are not wanted.
    Unused,
    On,
    /// Used, but no stack is cut off, and every word is compared.
    Verify,
    /// They cannot be used, or are used no more.
    Off(String),
}

/// V8's flags that let a scavenge keep a young object at its address (flag-definitions.h, 11.3 to 14.6): objects are pinned, or stacks are
/// read as if every word were a pointer. V8 has these flags for experiments.
const PINNING_FLAGS: [&str; 6] = [
    "conservative-stack-scanning",
    "precise-object-pinning",
    "scavenger-conservative-object-pinning",
    "scavenger-precise-object-pinning",
    "stress-scavenger-conservative-object-pinning",
    "stress-scavenger-conservative-object-pinning-random",
];

/// Flags with which V8 or the processor keeps frames in another way, or collects without moving objects: no classes of stacks are used.
const FLAGS_AGAINST_CLASSES: [&str; 3] = ["interpreted-frames-native-stack", "cet-compatible", "minor-ms"];

/// Whether the command line or `NODE_OPTIONS` has one of these flags.
fn has_flag(names: &[&str]) -> bool {
    let options = std::env::var_os("NODE_OPTIONS").unwrap_or_default();
    let options = options.to_string_lossy().replace('_', "-");
    let mut words = arguments().into_iter().chain(options.split_whitespace().map(str::to_owned));
    words.any(|word| {
        let flag = word.strip_prefix('-').map(|flag| flag.trim_start_matches('-'));
        flag.is_some_and(|flag| names.contains(&flag.split('=').next().unwrap_or_default()))
    })
}

thread_local! {
    /// Node's command line options, as JavaScript on this thread gives them.
    static GIVEN_ARGUMENTS: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Sets what JavaScript on this thread knows about the command line, one option a line.
pub(crate) fn set_arguments(lines: String) {
    GIVEN_ARGUMENTS.set(lines);
}

/// The words of the command line, with `-` in place of each `_`, because V8's flags may have either. There are two sources. The
/// system's does not exist without /proc, and the program overwrites it when it sets its title. JavaScript's is that of the thread:
/// in a Worker it may lack the options of the process.
///
/// Not `std::env::args`: Rust takes the arguments from glibc's loader. musl's gives none, so that Rust reads garbage there.
pub(crate) fn arguments() -> Vec<String> {
    let system = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    let system = system.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).replace('_', "-"));
    let given = GIVEN_ARGUMENTS.with_borrow(|lines| lines.replace('_', "-"));
    system.chain(given.lines().map(str::to_owned)).collect()
}

/// Maximum number of slots of a thread: 64 GiB of address space where they have the usual size.
pub(crate) const MAX_SLOTS: u32 = 65_536;

/// The settings of one thread.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `None` where neither the environment nor `configure()` gives a number.
    pub(crate) slots: Option<u32>,
    /// Bytes of stack that JavaScript has in a greenlet. `None` where `configure()` does not give a number: as many as on main.
    pub(crate) stack_size: Option<usize>,
    pub(crate) max_greenlets: usize,
    /// Maximum size of all spilled stacks together, in bytes.
    pub(crate) memory: usize,
    spilling: Spilling,
    vacated: Vacated,
    pub(crate) scan: Scan,
    /// Whether full collections may leave out stacks (`v8/gc/classes/`).
    pub(crate) classes: ClassUse,
    /// Whether V8 itself moves its state (`v8/lanes/locker.rs`).
    pub(crate) locker: bool,
}

impl Settings {
    /// The defaults, changed by the environment variables in the table above.
    pub(crate) fn from_environment() -> Result<Settings, Unsupported> {
        let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let invalid = |name: &str, wanted: &str, found: &str| {
            Unsupported::Setting(format!("{name} must be {wanted}, not '{found}'"))
        };
        let locker = match variable("GREENLETS_LANE").as_deref() {
            None | Some("fast") => false,
            Some("locker") => true,
            Some(text) => return Err(invalid("GREENLETS_LANE", "'fast' or 'locker'", text)),
        };
        let slots = match variable("GREENLETS_SLOTS") {
            None => None,
            Some(text) => match text.parse() {
                Ok(slots @ 1..=MAX_SLOTS) => Some(slots),
                _ => return Err(invalid("GREENLETS_SLOTS", "1 to 65536", &text)),
            },
        };
        let spilling = match variable("GREENLETS_SPILL").as_deref() {
            None | Some("auto") => Spilling::WhenNeeded,
            Some("always") => Spilling::Always,
            Some("never") => Spilling::Never,
            Some(text) => return Err(invalid("GREENLETS_SPILL", "'auto', 'always' or 'never'", text)),
        };
        // On AArch64, V8 signs a return address with the stack pointer (PointerAuthentication, 11.3 to 14.6). When V8 replaces a
        // return address in a spilled stack, it would sign it for the address of the copy.
        let spilling = if locker || cfg!(target_arch = "aarch64") { Spilling::Never } else { spilling };
        let vacated = match variable("GREENLETS_POISON").as_deref() {
            None | Some("" | "0") => Vacated::Kept,
            Some("1") => Vacated::Filled,
            Some("protect") => Vacated::Protected,
            Some(text) => return Err(invalid("GREENLETS_POISON", "'1' or 'protect'", text)),
        };
        let verify = match variable("GREENLETS_VERIFY_GC").as_deref() {
            None | Some("" | "0") => false,
            Some("1") => true,
            Some(text) => return Err(invalid("GREENLETS_VERIFY_GC", "'1'", text)),
        };
        let wanted = variable("GREENLETS_SCAN");
        let scan = match wanted.as_deref() {
            None | Some("young" | "classes") if locker || has_flag(&PINNING_FLAGS) => Scan::All,
            None | Some("young" | "classes") if verify => Scan::Verify,
            None | Some("young" | "classes") => Scan::Young,
            Some("all") => Scan::All,
            Some(text) => return Err(invalid("GREENLETS_SCAN", "'young', 'classes' or 'all'", text)),
        };
        let classes = match (wanted.as_deref(), scan) {
            (Some("young" | "all"), _) => ClassUse::Unused,
            (_, Scan::All) if locker => ClassUse::Off("the locker lane leaves out no stacks".into()),
            (_, Scan::All) => ClassUse::Off("an option of the command line lets V8 pin objects".into()),
            _ if has_flag(&FLAGS_AGAINST_CLASSES) => {
                ClassUse::Off("an option of the command line keeps V8's frames in another way".into())
            }
            (_, Scan::Verify) => ClassUse::Verify,
            (_, Scan::Young) => ClassUse::On,
        };
        Ok(Settings {
            slots,
            stack_size: None,
            max_greenlets: usize::MAX,
            memory: usize::MAX,
            spilling,
            vacated,
            scan,
            classes,
            locker,
        })
    }

    /// Whether stacks share slots.
    pub(crate) fn spills(&self) -> bool {
        self.spilling != Spilling::Never
    }

    /// Calls `make` with the core's options, slots of `slot_size` bytes among them. Where it fails, stacks may share slots and no
    /// setting gives the number of slots, calls it again with half as many slots, down to one. Where that is not possible and no
    /// setting gives the size of stacks, it calls it with slots of the usual size.
    pub(crate) fn apply<T>(
        &self,
        mut slot_size: usize,
        make: impl Fn(Options) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut slots = self.slots.unwrap_or(DEFAULT_SLOTS);
        loop {
            let options = Options::slots(slots)
                .stack_size(slot_size)
                .max_greenlets(self.max_greenlets)
                .max_spilled(self.memory)
                .vacated(self.vacated);
            // SAFETY: a suspended JavaScript stack holds data of V8 and of Node. V8 finds its data in the copy (`v8/`), and Node
            // keeps no address of its data. The documentation forbids native add-ons to keep one (docs/internals/spilling.md).
            match make(unsafe { options.spilling(self.spilling) }) {
                Err(_) if self.slots.is_none() && self.spills() && slots > 1 => slots /= 2,
                Err(_) if self.stack_size.is_none() && slot_size > SLOT_SIZE => slot_size = SLOT_SIZE,
                result => return result,
            }
        }
    }
}
