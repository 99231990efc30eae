//! Killing a suspended greenlet: by `kill()`, by dropping its last handle, and by `kill_all()`.

use crate::greenlet::deliver::throw;
use crate::greenlet::error::Error;
use crate::greenlet::record::Greenlet;
use crate::greenlet::thread_greenlets::{Payload, ThreadGreenlets};
use crate::greenlet::thrown::{GreenletExit, Thrown};

/// Throws [`GreenletExit`] into a suspended greenlet and makes the current one its parent meanwhile. Returns when it is dead, or
/// when it, or another greenlet, switches back here.
pub(crate) fn kill_suspended(
    greenlets: &ThreadGreenlets,
    greenlet: &Greenlet,
    exit: GreenletExit,
) -> Payload {
    let killers = &greenlet.record().killers;
    killers.borrow_mut().push(greenlets.current());
    let payload = throw(greenlets, greenlet.clone(), Thrown::Exit(exit));
    // Meanwhile another greenlet may have killed it, or set its parent, which removes the killers.
    let mut killers = killers.borrow_mut();
    let ours = killers.iter().rposition(|killer| greenlets.is_current(killer)).map(|at| killers.remove(at));
    drop(killers);
    drop(ours);
    payload
}

/// As [`kill_suspended`], for a greenlet that will never be switched to again. An error is reported. A greenlet that refuses is
/// abandoned, unless there is a new handle to it by now.
#[cold]
pub(crate) fn kill_or_abandon(greenlets: &ThreadGreenlets, greenlet: &Greenlet, reason: &'static str) {
    if !greenlet.record().has_stack() {
        return;
    }
    let last_handle = greenlet.is_last_handle();
    if let Err(thrown) = kill_suspended(greenlets, greenlet, GreenletExit::new(reason)) {
        greenlets.report(greenlet, thrown);
    }
    let has_new_handle = last_handle && !greenlet.is_last_handle();
    if greenlet.record().has_stack() && !has_new_handle {
        greenlets.abandon(greenlet);
        let name = greenlet.record().name().into_owned();
        greenlets.report(greenlet, Error::KillRefused { greenlet: name }.into());
    }
}

impl Drop for Greenlet {
    #[inline(always)]
    fn drop(&mut self) {
        if self.is_last_handle() {
            drop_last(self);
        }
    }
}

/// The last handle to `greenlet` is dropped.
#[cold]
#[inline(never)]
fn drop_last(greenlet: &Greenlet) {
    // The thread holds a handle to the running greenlet, and to one that is just switching. So a greenlet with a stack and only one
    // handle is suspended.
    if greenlet.record().has_stack()
        && let Some(greenlets) = ThreadGreenlets::of_token(greenlet.record().token)
    {
        kill_or_abandon(greenlets, greenlet, "the last handle to the greenlet was dropped");
    }
}
