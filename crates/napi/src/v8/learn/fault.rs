//! Wrong facts on purpose, for tests. The build with the cargo feature `faults` changes the fact that `GREENLETS_FAULT` names by
//! one word up or down, for example `thread_local_top+1`. Learning or the self-test must notice it (`__test__/faults.mjs`).

use super::facts::Facts;
use crate::unsupported::{Unsupported, ensure};

/// Returns the facts, with the requested fault in them.
pub(crate) fn inject(facts: &'static Facts) -> Result<&'static Facts, Unsupported> {
    let Ok(fault) = std::env::var("GREENLETS_FAULT") else { return Ok(facts) };
    if fault.starts_with("symbol:")
        || ["classes", "known", "peek", "pipe", "version"].contains(&fault.as_str())
    {
        return Ok(facts);
    }
    let (name, up) = match (fault.strip_suffix("+1"), fault.strip_suffix("-1")) {
        (Some(name), _) => (name, true),
        (_, Some(name)) => (name, false),
        _ => return Err(Unsupported::Because(format!("there is no fault '{fault}'"))),
    };
    let mut broken = facts.clone();
    let shift = |fact: &mut usize, size: usize| *fact = if up { *fact + size } else { *fact - size };
    let applies = match name {
        "thread_local_top" => Some(shift(&mut broken.thread_local_top, 8)),
        "thread_local_top_words" => Some(shift(&mut broken.thread_local_top_words, 1)),
        "scope_data" => broken.scope_data.as_mut().map(|fact| shift(fact, 8)),
        "scope_data_words" => Some(shift(&mut broken.scope_data_words, 1)),
        "implementer_words" => Some(shift(&mut broken.implementer_words, 1)),
        "spare" => Some(shift(&mut broken.spare, 1)),
        "c_limits" => broken.c_limits.as_mut().map(|(real, _)| shift(real, 1)),
        "interrupt_flags" => Some(shift(&mut broken.interrupt_flags, 1)),
        "embedder_data" => broken.embedder_data.as_mut().map(|fact| shift(fact, 8)),
        "exit_frame" => (up || broken.exit_frame > 0).then(|| shift(&mut broken.exit_frame, 1)),
        "callbacks" => broken.epilogue_callbacks.as_mut().map(|fact| shift(fact, 1)),
        "wasm_own_stacks" => broken.wasm_own_stacks.as_mut().map(|fact| shift(fact, 1)),
        _ => return Err(Unsupported::Because(format!("there is no fault '{fault}'"))),
    };
    ensure!(applies.is_some(), "this V8 has no fact '{name}' that could be broken");
    Ok(Box::leak(Box::new(broken)))
}

/// Whether `fault` is the requested one.
pub(crate) fn is(fault: &str) -> bool {
    std::env::var("GREENLETS_FAULT").is_ok_and(|requested| requested == fault)
}
