//! The greenlets of the running thread: made by the first use, ended with the thread.
//!
//! When the thread ends, greenlets that are still suspended are abandoned, not killed: thread-locals that their functions were lent
//! a reference to may have been destroyed by then. [`kill_all`] ends them earlier.

use std::ptr::null;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::fiber::carried::THREAD_GREENLETS;
use crate::greenlet::error::Error;
use crate::greenlet::kill::kill_or_abandon;
use crate::greenlet::thread_greenlets::ThreadGreenlets;
use crate::greenlet::thrown::{Thrown, Unraisable};
use crate::raw::options::Options;

/// Greenlets that end may start others, which are ended in turn. After this many rounds they are abandoned.
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

/// The thread ends: abandons the suspended greenlets, and says so once.
fn end() {
    let Some(greenlets) = ThreadGreenlets::existing() else { return };
    if greenlets.stacks().is_some_and(|stacks| !stacks.on_main()) {
        // `exit()` was called in a greenlet, and runs this on that greenlet's stack. The process ends at once, so everything stays as
        // it is. From now on no handle leads anywhere: what the destructors of other thread-locals would switch to would go on with
        // thread-locals that are gone.
        THREAD_GREENLETS.set(null());
        return;
    }
    // The hook that is told may start other greenlets.
    for _ in 0..LAST_ROUNDS {
        let suspended = greenlets.suspended();
        let Some(oldest) = suspended.first() else { break };
        for greenlet in &suspended {
            greenlets.abandon(greenlet);
        }
        let greenlet = oldest.record().name().into_owned();
        greenlets.report(oldest, Error::Abandoned { greenlet, others: suspended.len() - 1 }.into());
    }
    for greenlet in greenlets.suspended() {
        greenlets.abandon(&greenlet);
    }
    let greenlets = THREAD_GREENLETS.replace(null()).cast::<ThreadGreenlets>().cast_mut();
    // SAFETY: it came from a box, and `THREAD_GREENLETS` was its only owner. `existing` says why no reference to it is used after
    // this.
    drop(unsafe { Box::from_raw(greenlets) });
}

/// Kills every suspended greenlet of this thread except the current one, oldest first. To be called where a thread's work ends, if
/// what its greenlets hold has to be dropped: greenlets that are suspended when the thread ends are abandoned.
///
/// An error that a greenlet ends with is reported ([`Unraisable`]). A greenlet that switches away instead is abandoned and reported.
///
/// ```
/// use greenlets_core::{Greenlet, kill_all};
///
/// // SAFETY: the function switches with nothing of a thread-local borrowed, initialised or set.
/// let greenlet = unsafe { Greenlet::new(|_| Greenlet::main().switch(Box::new(()))) };
/// greenlet.switch(Box::new(()))?;
/// kill_all();
/// assert!(greenlet.is_dead());
/// # Ok::<(), greenlets_core::Thrown>(())
/// ```
pub fn kill_all() {
    let Some(greenlets) = ThreadGreenlets::existing() else { return };
    let suspended = || greenlets.suspended().into_iter().filter(|greenlet| !greenlets.is_current(greenlet));
    for _ in 0..LAST_ROUNDS {
        for greenlet in suspended() {
            kill_or_abandon(greenlets, &greenlet, "all greenlets of the thread are told to end");
        }
    }
    for greenlet in suspended() {
        greenlets.abandon(&greenlet);
        greenlets.report(
            &greenlet,
            Thrown::error("it was started while all greenlets were told to end, so it was abandoned"),
        );
    }
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
