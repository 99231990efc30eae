//! Programs that libFuzzer makes of bytes, run by real greenlets and by the model of `tests/model/`: both must record the same events.
//! The first byte chooses slots, spilling and limits. Handles are dropped at the end of each program, in the state that it left.
//!
//! `make fuzz`, or `cargo +nightly fuzz run model` in `crates/core`.
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/model/program.rs"]
mod program;
#[path = "../../tests/model/pure.rs"]
mod pure;
#[path = "../../tests/model/real.rs"]
mod real;

use greenlets_core::{Options, Spilling, Vacated};
use libfuzzer_sys::fuzz_target;
use program::{Event, MOST, Op, Payload};

/// Steps of a program at most: each may be one more frame on the stack.
const MOST_STEPS: usize = 400;

/// Each step is three bytes: what, with which greenlet, with what.
fn step(bytes: &[u8]) -> Op {
    let (first, second) = (usize::from(bytes[1]), usize::from(bytes[2]));
    let number = i32::from(bytes[2]);
    match bytes[0] % 16 {
        0..=2 => Op::Create { parent: (second > 30).then_some(second), stubborn: first % 2 == 1 },
        3..=5 => Op::Switch(first, number),
        6 => Op::Throw(first, number),
        7 => Op::ThrowExit(first),
        8 => Op::Kill(first),
        9 => Op::Reparent(first, second),
        10 => Op::Look(first),
        11 => Op::Enter,
        12 => Op::Leave,
        13 => Op::Return(number),
        14 => Op::Fail(number),
        _ => Op::Panic(number),
    }
}

fn options(byte: u8) -> Options {
    let vacated = [Vacated::Kept, Vacated::Filled, Vacated::Protected][usize::from(byte >> 4) % 3];
    // Frames are large with a sanitizer.
    let all = |slots| Options::slots(slots).stack_size(8 << 20).vacated(vacated);
    let options = all(u32::from(byte % 4) + 1);
    match byte % 16 {
        0..=3 => all(64),
        // SAFETY: the programs use nothing on the stack of a suspended greenlet from elsewhere.
        4..=9 => unsafe { options.spilling(Spilling::WhenNeeded) },
        // SAFETY: as above.
        _ => unsafe { options.spilling(Spilling::Always) },
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let program: Vec<Op> = rest.chunks_exact(3).take(MOST_STEPS).map(step).collect();
    assert_eq!(real::run(program.clone(), options(*first)), pure::run(program));
});
