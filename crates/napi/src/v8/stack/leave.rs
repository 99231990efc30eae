//! Whether V8 allows the running stack to be left.
//!
//! Nearly always it does: [`obstacles`] finds out with a few loads, and the switch needs one branch. Otherwise [`refusal`] says why
//! not. What Node and the program may add is in `calls/switch.rs`.

use super::stacks::Stacks;
use crate::mail::Status;
use crate::v8::learn::layout::Layout;

/// 0 where V8 has nothing that needs care when the running stack is left.
#[inline(always)]
pub(crate) fn obstacles(v8: &Layout, stacks: &Stacks, on_main: bool) -> u64 {
    let unrest = v8.debugger.unrest() | v8.wasm_stacks.unrest();
    let running = v8.microtasks.running();
    if on_main {
        stacks.running_on_main.set(running);
        unrest
    } else {
        unrest | running ^ stacks.running_on_main.get()
    }
}

/// Why V8 does not allow the running stack to be left; `None` where it does.
///
/// # Safety
/// The clauses **thread** and **learnt** of `state.rs`.
pub(crate) unsafe fn refusal(v8: &Layout, stacks: &Stacks, on_main: bool) -> Option<Status> {
    if v8.debugger.is_paused() {
        return Some(Status::Paused);
    }
    // SAFETY: the caller's clauses are the ones that `is_active` wants.
    if unsafe { v8.wasm_stacks.is_active(v8) } {
        return Some(Status::InWasm);
    }
    let in_jobs = !on_main && v8.microtasks.running() > stacks.running_on_main.get();
    in_jobs.then_some(Status::InMicrotasks)
}
