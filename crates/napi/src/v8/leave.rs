//! Whether the running stack may be left, and what has to be taken along from it.
//!
//! Nearly always it may, and there is nothing: [`is_plain`] finds out with a few loads and one branch. Everything else is
//! sorted out by [`refusal`] and [`Luggage`].

use super::host::V8Host;
use crate::mail::Status;
use crate::scopes::Held;

/// Whether nothing at all stands in the way of leaving the running stack.
#[inline(always)]
pub(crate) fn is_plain(host: &V8Host, on_main: bool) -> bool {
    let v8 = &host.layout;
    let mut unrest = v8.debug.unrest()
        | v8.wasm_stacks.unrest()
        | host.collecting.get()
        | host.mail.held()
        | host.mail.in_hook()
        | host.scopes.open();
    let running = v8.microtasks.running();
    if on_main {
        host.running_on_main.set(running);
    } else {
        unrest |= running ^ host.running_on_main.get();
    }
    unrest == 0
}

/// Why the running stack must not be left; `None` where it may.
///
/// # Safety
/// In a native callback on the isolate's thread.
pub(crate) unsafe fn refusal(host: &V8Host, on_main: bool) -> Option<Status> {
    let v8 = &host.layout;
    if host.collecting.get() != 0 {
        return Some(Status::Collecting);
    }
    if host.mail.in_hook() != 0 {
        return Some(Status::Forbidden);
    }
    if v8.debug.is_paused() {
        return Some(Status::Paused);
    }
    // SAFETY: passed on.
    if unsafe { v8.wasm_stacks.is_active(v8) } {
        return Some(Status::InWasm);
    }
    if on_main {
        return None;
    }
    if v8.microtasks.running() > host.running_on_main.get() {
        return Some(Status::InMicrotasks);
    }
    (host.mail.held() != 0).then_some(Status::Limited)
}

/// What a stack takes along while it is suspended. It lies in the frame of the `switch` that leaves.
pub(crate) struct Luggage {
    scopes: Vec<Held>,
    /// The number of the debugger's step that rests in the stack's image.
    step: Option<u64>,
}

impl Luggage {
    /// Takes it from the running stack.
    pub(crate) fn take(host: &V8Host) -> Luggage {
        // SAFETY: the running stack's image is not in use, and has room for V8's whole archive.
        // In the locker lane V8 archives it.
        let stepping = host.locker.is_none() && unsafe { host.layout.debug.put_aside(host.debug_image()) };
        let step = stepping.then(|| {
            host.steps.set(host.steps.get() + 1);
            host.steps.get()
        });
        Luggage { scopes: host.scopes.take(), step }
    }

    /// Gives it back: the stack runs again.
    pub(crate) fn give_back(self, host: &V8Host) {
        host.scopes.give_back(&self.scopes);
        if let Some(step) = self.step {
            // SAFETY: `take` has put it there.
            unsafe { host.layout.debug.put_back(host.debug_image(), step == host.steps.get()) };
        }
    }
}
