//! Whether V8 allows the running stack to be left.
//!
//! Nearly always it does: [`obstacles`] finds out with a few loads, and the switch needs one branch. Otherwise [`refusal`] says why
//! not. What Node and the program may add is in `calls/switch.rs`.

use super::debugger;
use super::joins::Joining;
use super::microtasks::OpenScopes;
use super::stacks::Stacks;
use crate::mail::Status;
use crate::v8::learn::layout::Layout;

/// 0 where V8 has nothing that needs care when the running stack is left, apart from arrays that are being joined and from what
/// [`obstacles_of_native_code`] finds.
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

/// 0 where V8 neither formats an error nor runs an evaluation of the inspector. Both need care, and in both C++ calls JavaScript, so
/// they are only found where native code lies between a stack's JavaScript.
#[inline(always)]
pub(crate) fn obstacles_of_native_code(v8: &Layout) -> u64 {
    v8.formatting.unrest() | v8.microtasks.open_scopes()
}

/// Why V8 does not allow the running stack to be left; `None` where it does.
///
/// # Safety
/// The clauses **thread** and **learnt** of `state.rs`.
pub(crate) unsafe fn refusal(v8: &Layout, stacks: &Stacks, on_main: bool) -> Option<Status> {
    if v8.debugger.is_paused() {
        return Some(Status::Paused);
    }
    // SAFETY: the caller's clauses are the ones that `is_active` needs.
    if unsafe { v8.wasm_stacks.is_active(v8) } {
        return Some(Status::InWasm);
    }
    let in_jobs = !on_main && v8.microtasks.running() > stacks.running_on_main.get();
    in_jobs.then_some(Status::InMicrotasks)
}

/// What V8 keeps for the thread although it belongs to the stack that was left.
pub(crate) struct Aside {
    on_main: bool,
    step: Option<u64>,
    formatting: u8,
    joining: Vec<Joining>,
    scopes: Vec<OpenScopes>,
}

/// Takes along what belongs to the running stack. In the locker lane V8 archives the debugger's step.
///
/// # Safety
/// The clauses **thread**, **learnt** and **live** of `state.rs`, in a native callback, whose handles live until [`put_back`]. The stack
/// may be left.
pub(crate) unsafe fn put_aside(v8: &Layout, stacks: &Stacks, on_main: bool, in_locker: bool) -> Aside {
    // SAFETY: the caller's clauses are the ones that each of them needs.
    unsafe {
        Aside {
            on_main,
            step: if in_locker { None } else { debugger::put_step_aside(v8, stacks) },
            formatting: v8.formatting.take(),
            joining: v8.joins.put_aside(v8),
            scopes: v8.microtasks.put_aside(stacks, on_main),
        }
    }
}

/// The stack runs again.
///
/// # Safety
/// The same as for [`put_aside`], which has returned `aside` on this stack.
pub(crate) unsafe fn put_back(v8: &Layout, stacks: &Stacks, aside: &Aside) {
    v8.microtasks.put_back(stacks, aside.on_main, &aside.scopes);
    v8.formatting.give_back(aside.formatting);
    // SAFETY: the caller's clauses are the ones that both need.
    unsafe {
        v8.joins.put_back(v8, &aside.joining);
        if let Some(step) = aside.step {
            debugger::put_step_back(v8, stacks, step);
        }
    }
}
