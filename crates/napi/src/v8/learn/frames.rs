//! Finding where V8 begins to follow the frames of a suspended stack, for the classes of stacks (`gc/classes/`).
//!
//! | fact | source | proof |
//! |---|---|---|
//! | word of `c_entry_fp_` in ThreadLocalTop | `exit_frame` of `facts.rs` | from there the frame pointers lead to JSEntry's frame, which names the exit frame before |
//! | word of `try_catch_handler_` in ThreadLocalTop | thread-local-top.h | in a call by Node-API it leads to a v8::TryCatch, which names the one before |
//! | JSEntry's frame: its marker, the exit frame before | frame-constants-x64.h, builtins-x64.cc | the same |
//! | an interpreted frame: its bytecode, and how far it is there | frame-constants.h | a dump compares frames (js/dump/stacks.ts) |
//! | the types of frames | `STACK_FRAME_TYPE_LIST`, frames.h | each shape is probed before it is used (`gc/classes/probe.rs`) |

use super::facts::{Abi, Facts};
use super::frame_words::{ENTRIES, Frames, NEXT_EXIT};
use super::probe::during;
use super::session::Session;

/// Types of frames in which V8 visits what the chain of frames decides: those that the torture programs meet under V8's flags, each of them
/// probed. Frames of wasm are not among them, because signatures decide there.
///
/// In the order of `STACK_FRAME_TYPE_LIST`: ENTRY, EXIT, STUB, INTERNAL, CONSTRUCT, from 12.4 on FAST_CONSTRUCT, BUILTIN_EXIT, from 12.4 on
/// API_CALLBACK_EXIT. JavaScript frames have a context in place of a type.
fn types(facts: &Facts) -> u64 {
    let numbers: &[u32] = match facts.abi {
        Abi::V8_11_3 => &[1, 3, 17, 22, 23, 25],
        Abi::V8_12_4 => &[1, 3, 17, 22, 23, 24, 26, 27],
        Abi::V8_13_6 => &[1, 3, 18, 23, 24, 25, 27, 28],
        Abi::V8_14_6 => &[1, 3, 8, 13, 14, 15, 17, 18],
    };
    numbers.iter().fold(0, |all, number| all | 1 << number)
}

/// Finds the words. `address` is that of ThreadLocalTop, which has the words `top` now; `handler` is the word of `handler_` in it.
/// Otherwise the reason why there are no classes here.
///
/// # Safety
/// The session's clause **callback** holds.
pub(super) unsafe fn learn(
    session: &Session<'_>,
    address: usize,
    top: &[u64],
    handler: usize,
) -> Result<Frames, &'static str> {
    if cfg!(not(target_arch = "x86_64")) {
        return Err("they are not proven on this processor");
    }
    let (facts, peek, env) = (session.facts, session.peek, session.env);
    let here = (&raw const env) as u64;
    let (isolate, count, exit) = (session.isolate as u64, facts.thread_local_top_words, facts.exit_frame);
    let names_exit = |first: u64, before: u64| {
        let mut fp = first;
        for _ in 0..64 {
            let marker = peek.word(fp as usize - 8).unwrap_or_default();
            if ENTRIES.contains(&marker) {
                return peek.word(fp as usize - NEXT_EXIT * 8) == Some(before);
            }
            match peek.word(fp as usize) {
                Some(next) if next > fp && next < before => fp = next,
                _ => return false,
            }
        }
        false
    };
    let look = || {
        let words = peek.words(address, count).unwrap_or_default();
        let is_below = |&i: &usize| words[i] > 4096 && words[i] < here && words[i] % 8 == 0;
        let below: Vec<usize> = (0..words.len().min(top.len())).filter(is_below).collect();
        let is_exit = below.contains(&exit) && names_exit(words[exit], top[exit]);
        let is_catcher = |&i: &usize| {
            let block = words[i] as usize;
            peek.word(block) == Some(isolate) && peek.word(block + 8) == Some(top[i])
        };
        (is_exit, below.into_iter().filter(is_catcher).collect::<Vec<_>>())
    };
    // SAFETY: the session's clause **callback**.
    let seen = unsafe { during(env, c"(probe) => { probe() }", look) };
    let (is_exit, catchers) = seen.ok().and_then(|(seen, _)| seen).unwrap_or_default();
    let (true, &[catcher]) = (is_exit, catchers.as_slice()) else {
        return Err("V8's frames do not name each other");
    };
    let start = facts.implementer_words + facts.scope_data_words;
    Ok(Frames {
        heads: [start + exit, start + handler, start + catcher, start + count],
        has_fast_call: matches!(facts.abi, Abi::V8_13_6 | Abi::V8_14_6),
        types: types(facts),
    })
}
