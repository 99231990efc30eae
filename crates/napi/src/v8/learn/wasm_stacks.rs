//! Finding the isolate's list of wasm stacks: the calls of JavaScript promise integration (JSPI, V8 13.6 and later) have stacks of
//! their own.
//!
//! `stack/wasm_stacks.rs` and `gc/full.rs` say what such a stack needs.

use greenlets_core::raw::StackBounds;

use super::probe::{during, grown};
use super::session::Session;
use crate::unsupported::{Unsupported, ensure, only};

/// `Isolate::wasm_stacks_`: begin and end of the `std::vector` with every stack that exists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WasmStacks {
    pub(crate) list: *const u64,
    /// Bytes of the list while no wasm call has a stack: the thread's own stack is listed too.
    pub(crate) at_rest: u64,
}

impl WasmStacks {
    /// The list of a V8 that has no JSPI.
    fn none() -> WasmStacks {
        static EMPTY: [u64; 2] = [0; 2];
        WasmStacks { list: EMPTY.as_ptr(), at_rest: 0 }
    }
}

/// One promising call of a wasm function that calls `probe` and is not suspended. Returns false where there is no JSPI.
const PROGRAM: &std::ffi::CStr = c"(probe) => {
  if (typeof WebAssembly !== 'object' || !WebAssembly.promising) return false
  const bytes = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 2, 7, 1, 1, 101, 1, 102, 0, 0, 3, 2, 1, 0,
    7, 5, 1, 1, 99, 0, 1, 10, 6, 1, 4, 0, 16, 0, 11])
  const { c } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { e: { f: probe } }).exports
  WebAssembly.promising(c)()
  return true
}";

/// Before JSPI, V8 had experiments behind flags. Greenlets do not support them.
const EXPERIMENT: &std::ffi::CStr = c"() => typeof WebAssembly === 'object' && 'Suspender' in WebAssembly";

/// Finds the list: it has one entry more while such a call runs than before and after.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn learn(session: &Session<'_>, main: StackBounds) -> Result<WasmStacks, Unsupported> {
    let (env, peek) = (session.env, session.peek);
    let Some(own_stacks) = session.facts.wasm_own_stacks else {
        // SAFETY: the session's clause **callback**.
        let (_, experiment) = unsafe { during(env, EXPERIMENT, || ())? };
        ensure!(!experiment, "V8's experimental wasm stack switching is on; this V8 cannot do both");
        return Ok(WasmStacks::none());
    };
    let before = session.scan();
    // SAFETY: the session's clause **callback**.
    let (Some(seen), true) = (unsafe { during(env, PROGRAM, || session.scan())? }) else {
        return Ok(WasmStacks::none());
    };
    let after = session.scan();
    // Each entry is an object that begins with its stack's lowest address and size (v8::internal::wasm::StackMemory, stacks.h).
    let is_own = |entry: &&u64| {
        let Some(words) = peek.words(**entry as usize, 2) else { return false };
        words[0] < main.base as u64 && words[0].saturating_add(words[1]) > main.limit as u64
    };
    let own = |i: usize| {
        let entries = peek.words(after[i] as usize, after[i + 1].wrapping_sub(after[i]) as usize / 8);
        entries.unwrap_or_default().iter().filter(is_own).count()
    };
    let mut places = grown(&before, &seen, &after);
    places.retain(|&i| own(i) == own_stacks);
    let place = only(&places, "words behave like V8's list of wasm stacks")?;
    Ok(WasmStacks { list: session.word_at(place), at_rest: own_stacks as u64 * 8 })
}
