//! The greenlets of the running thread: made by the first use, ended with the thread.
//!
//! When the thread ends, greenlets that are still suspended are killed.

use std::ptr::null;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::fiber::carried::THREAD_GREENLETS;
use crate::greenlet::error::Error;
use crate::greenlet::kill::kill_or_abandon;
use crate::greenlet::thread_greenlets::ThreadGreenlets;
use crate::greenlet::thrown::{Thrown, Unraisable};
use crate::raw::Options;

/// At a thread's end, greenlets that end may start others, which are killed in turn. After this many rounds they are abandoned.
const LAST_ROUNDS: usize = 4;

thread_local! {
    // Apart from THREAD_GREENLETS, because a thread-local with a destructor cannot be used while that runs, and greenlets that are
    // killed at the thread's end use everything.
    static END_GUARD: EndGuard = const { EndGuard };
}

/// Ends the thread's greenlets when the thread ends.
struct EndGuard;

impl Drop for EndGuard {
    fn drop(&mut self) {
        end();
    }
}

/// The greenlets of this thread.
#[inline]
pub(crate) fn this_thread<'a>() -> &'a ThreadGreenlets {
    ThreadGreenlets::existing().unwrap_or_else(|| begin())
}

#[cold]
fn begin<'a>() -> &'a ThreadGreenlets {
    static TOKENS: AtomicU64 = AtomicU64::new(0);
    let token = TOKENS.fetch_add(1, Ordering::Relaxed);
    let greenlets = Box::into_raw(Box::new(ThreadGreenlets::new(token)));
    THREAD_GREENLETS.set(greenlets.cast_const().cast());
    // Fails where the thread ends and its greenlets were ended already. Destructors of other thread-locals can use the new one,
    // but it is never ended: it is leaked.
    let _ = END_GUARD.try_with(|_| ());
    // SAFETY: leaked from a box just now. `existing` says why the reference is not used after `end`.
    unsafe { &*greenlets }
}

/// The thread ends: kills the suspended greenlets, and abandons those that refuse.
fn end() {
    let Some(greenlets) = ThreadGreenlets::existing() else { return };
    if greenlets.stacks().is_some_and(|stacks| !stacks.on_main()) {
        // `exit()` was called in a greenlet, and runs this on that greenlet's stack. The process ends at once, so everything
        // stays as it is.
        return;
    }
    for _ in 0..LAST_ROUNDS {
        for greenlet in greenlets.suspended() {
            kill_or_abandon(greenlets, &greenlet);
        }
    }
    for greenlet in greenlets.suspended() {
        greenlets.abandon(&greenlet);
        greenlets.report(&greenlet, Thrown::error("its thread ended first, so it was abandoned"));
    }
    let greenlets = THREAD_GREENLETS.replace(null()).cast::<ThreadGreenlets>().cast_mut();
    // SAFETY: it came from a box, and `THREAD_GREENLETS` was its only owner. `existing` says why no reference to it is used after
    // this.
    drop(unsafe { Box::from_raw(greenlets) });
}

/// Sets how this thread's stacks are kept: how many greenlets can have started and not finished at once, and where their stacks
/// are. Without it, [`Options::default`] is used.
///
/// # Errors
/// [`Error::SlotsInUse`] once a greenlet has started on this thread, [`Error::NoSlots`] for no slots.
pub fn configure(options: Options) -> Result<(), Error> {
    let greenlets = this_thread();
    if greenlets.stacks().is_some() {
        return Err(Error::SlotsInUse { slots: greenlets.slots() });
    }
    if options.slots == 0 {
        return Err(Error::NoSlots);
    }
    greenlets.options.set(options);
    Ok(())
}

/// Sets what this thread does with errors that no switch can deliver; see [`Unraisable`]. Without a hook they are written to
/// standard error. The hook replaces the one that was set before.
pub fn set_unraisable_hook(hook: impl Fn(&Unraisable) + 'static) {
    let before = this_thread().hook.replace(Some(Rc::new(hook)));
    drop(before);
}
