//! wasm calls on stacks of their own: JavaScript promise integration (JSPI), V8 13.6 and later.
//!
//! A call by way of `WebAssembly.promising` runs on a stack that V8 makes for it, and is suspended with it while a promise is
//! pending. Two things follow.
//!
//! - *While one is active*, the running stack is in pieces: wasm on V8's stack, what it calls on ours. Such a stack cannot
//!   be left; see [`WasmStacks::is_active`].
//! - *While one exists*, a scavenge must not happen. V8 visits the suspended ones once for every archived thread
//!   (Isolate::Iterate, isolate.cc 13.6 and 14.6), and a scavenge that visits a slot twice copies the object again. A full
//!   collection may visit a slot as often as it likes, and leaves no young object: one that runs in the scavenge's prologue
//!   (Heap::CollectGarbage, heap.cc: "these callbacks may trigger another garbage collection") leaves the scavenge nothing to
//!   move. From then on `--gc-global` makes every collection a full one, as long as both kinds of stack exist ([`FullGc`]).

use std::cell::Cell;
use std::sync::Mutex;

use greenlets_core::StackBounds;
use napi::sys;

use super::facts::Facts;
use super::flags;
use super::layout::Layout;
use super::learn::scan;
use super::peek::Peek;
use super::symbols::Symbols;
use super::watch::{during, grown};
use super::{Isolate, Unsupported, ensure};

/// `Isolate::wasm_stacks_`: begin and end of the `std::vector` with every stack that exists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WasmStacks {
    list: *const u64,
    /// Bytes of the list while no wasm call has a stack: the thread's own stack is listed too.
    at_rest: u64,
}

impl WasmStacks {
    /// The list of a V8 that has no JSPI.
    fn none() -> WasmStacks {
        static EMPTY: [u64; 2] = [0; 2];
        WasmStacks { list: EMPTY.as_ptr(), at_rest: 0 }
    }

    /// 0 unless some wasm call has a stack of its own, active or suspended.
    #[inline(always)]
    pub(crate) fn unrest(&self) -> u64 {
        // SAFETY: two words of the live isolate (`learn`), or of `none`.
        unsafe { (*self.list.add(1)).wrapping_sub(*self.list) ^ self.at_rest }
    }

    /// Whether any wasm call has a stack of its own.
    pub(crate) fn exist(&self) -> bool {
        self.unrest() != 0
    }

    /// Whether the running stack is in pieces, one of them a wasm call's. `central_stack_sp_` is set while one is active;
    /// V8 13.6 leaves it set afterwards, so there the frames decide: the chain of frame pointers from the last exit
    /// frame leaves this stack before it comes to the frame that JavaScript was entered by.
    ///
    /// # Safety
    /// In a native callback on the isolate's thread.
    pub(crate) unsafe fn is_active(&self, v8: &Layout) -> bool {
        if !self.exist() {
            return false;
        }
        // SAFETY: words of the live ThreadLocalTop; its last four are central_stack_sp_ and three more.
        let (central, entry, exit) = unsafe {
            let top = v8.thread_local_top;
            (
                *top.add(v8.facts.thread_local_top_words - 4) as usize,
                *top.add(v8.handler_word) as usize,
                *top as usize,
            )
        };
        let here = (&raw const central) as usize;
        // SAFETY: this thread's own live TLS word.
        let base = unsafe { *v8.thread.stack_start };
        if !(here..=base).contains(&central) {
            return false;
        }
        if central > entry {
            return true;
        }
        let mut fp = exit;
        while (here..entry).contains(&fp) {
            // SAFETY: an aligned word between this frame and the stack's start.
            let next = unsafe { *(fp as *const usize) };
            if next <= fp {
                return true;
            }
            fp = next;
        }
        !(entry..=base).contains(&fp)
    }
}

/// One promising call of a wasm function that calls `probe`, which is not suspended. False where there is no JSPI.
const PROGRAM: &std::ffi::CStr = c"(probe) => {
  if (typeof WebAssembly !== 'object' || !WebAssembly.promising) return false
  const bytes = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 2, 7, 1, 1, 101, 1, 102, 0, 0, 3, 2, 1, 0,
    7, 5, 1, 1, 99, 0, 1, 10, 6, 1, 4, 0, 16, 0, 11])
  const { c } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { e: { f: probe } }).exports
  WebAssembly.promising(c)()
  return true
}";

/// Before JSPI, V8 had experiments behind flags, which nothing here knows.
const EXPERIMENT: &std::ffi::CStr = c"() => typeof WebAssembly === 'object' && 'Suspender' in WebAssembly";

/// Finds the list: it has one entry more while such a call runs than before and after.
///
/// # Safety
/// In a native callback of `env`, on the isolate's thread.
pub(crate) unsafe fn learn(
    facts: &Facts,
    env: sys::napi_env,
    isolate: Isolate,
    main: StackBounds,
    peek: &Peek,
) -> Result<WasmStacks, Unsupported> {
    let Some(own_stacks) = facts.wasm_own_stacks else {
        // SAFETY: passed on.
        let (_, experiment) = unsafe { during(env, EXPERIMENT, || ())? };
        ensure!(!experiment, "V8's experimental wasm stack switching is on; this V8 cannot do both");
        return Ok(WasmStacks::none());
    };
    let before = scan(facts, isolate, peek);
    // SAFETY: passed on.
    let (Some(seen), true) = (unsafe { during(env, PROGRAM, || scan(facts, isolate, peek))? }) else {
        return Ok(WasmStacks::none());
    };
    let after = scan(facts, isolate, peek);
    // Each entry is an object that knows its stack's bounds.
    let is_own = |entry: &&u64| {
        let words = peek.words(**entry as usize, 8).unwrap_or_default();
        words.iter().any(|&word| (main.limit as u64..=main.base as u64).contains(&word))
    };
    let own = |i: usize| {
        let entries = peek.words(after[i] as usize, after[i + 1].wrapping_sub(after[i]) as usize / 8);
        entries.unwrap_or_default().iter().filter(is_own).count()
    };
    let mut places = grown(&before, &seen, &after);
    places.retain(|&i| own(i) == own_stacks);
    ensure!(places.len() == 1, "{} words behave like V8's list of wasm stacks", places.len());
    let list = (isolate as usize + places[0] * 8) as *const u64;
    Ok(WasmStacks { list, at_rest: own_stacks as u64 * 8 })
}

/// Whether this isolate wants every collection to be a full one. The flag is the process's: it is set while any wants it.
pub(crate) struct FullGc(Cell<bool>);

/// How many isolates want it.
static WANTED: Mutex<usize> = Mutex::new(0);

impl FullGc {
    pub(crate) const fn new() -> FullGc {
        FullGc(Cell::new(false))
    }

    pub(crate) fn wanted(&self) -> bool {
        self.0.get()
    }

    pub(crate) fn want(&self, symbols: &Symbols, want: bool) {
        if self.0.replace(want) == want {
            return;
        }
        let mut wanted = WANTED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *wanted = if want { *wanted + 1 } else { *wanted - 1 };
        let flag = match (*wanted, want) {
            (1, true) => c"--gc-global",
            (0, false) => c"--no-gc-global",
            _ => return,
        };
        flags::change(symbols, flag);
    }
}
