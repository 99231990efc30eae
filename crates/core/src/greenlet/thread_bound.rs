//! Values of one thread inside errors, which may go to any thread: `?` makes an `anyhow::Error` only of an error that is `Send` and
//! `Sync`, and the values that greenlets give to each other are neither.
//!
//! # Contract
//! * "own thread": the value is accessed and dropped only on the thread that wrapped it. On any other it stays as it is, for ever.

use std::fmt;
use std::mem::ManuallyDrop;

#[cfg(miri)]
use crate::fiber::carried::THREAD_GREENLETS;

/// A value that only its own thread can get.
pub(crate) struct ThreadBound<T> {
    value: ManuallyDrop<T>,
    home: Home,
}

/// The name of a thread.
#[cfg(not(miri))]
type Home = std::thread::ThreadId;
/// Under Miri the fibers of one thread are threads; what they have in common is a pointer.
#[cfg(miri)]
type Home = usize;

fn here() -> Home {
    #[cfg(not(miri))]
    return std::thread::current().id();
    #[cfg(miri)]
    return THREAD_GREENLETS.get().addr();
}

// SAFETY: contract clause "own thread": other threads only move the wrapper, read the name of the thread in it, and leak the value.
unsafe impl<T> Send for ThreadBound<T> {}
// SAFETY: as for `Send`.
unsafe impl<T> Sync for ThreadBound<T> {}

impl<T> ThreadBound<T> {
    pub(crate) fn new(value: T) -> ThreadBound<T> {
        ThreadBound { value: ManuallyDrop::new(value), home: here() }
    }

    /// The value, on its own thread.
    pub(crate) fn get(&self) -> Option<&T> {
        (self.home == here()).then_some(&*self.value)
    }

    /// The value itself, on its own thread. Elsewhere it is leaked.
    pub(crate) fn into_inner(self) -> Option<T> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: contract clause "own thread"; `this` is not used again, and its destructor does not run.
        (this.home == here()).then(|| unsafe { ManuallyDrop::take(&mut this.value) })
    }
}

impl<T> Drop for ThreadBound<T> {
    fn drop(&mut self) {
        if self.home == here() {
            // SAFETY: contract clause "own thread"; `into_inner` does not run this destructor.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

impl<T> fmt::Debug for ThreadBound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ThreadBound(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn a_value_comes_out_on_its_own_thread_and_is_dropped_once() {
        let counted = Rc::new(());
        drop(ThreadBound::new(counted.clone()));
        assert_eq!(Rc::strong_count(&counted), 1);
        let wrapped = ThreadBound::new(counted.clone());
        assert!(wrapped.get().is_some());
        let inner = wrapped.into_inner().expect("this is its thread");
        assert_eq!(Rc::strong_count(&counted), 2);
        drop(inner);
        assert_eq!(Rc::strong_count(&counted), 1);
    }

    #[test]
    #[cfg_attr(miri, ignore = "the value is leaked, and under Miri threads without greenlets have no name")]
    fn another_thread_can_neither_get_the_value_nor_drop_it() {
        let counted = Rc::new(());
        let (first, second) = (ThreadBound::new(counted.clone()), ThreadBound::new(counted.clone()));
        let elsewhere = move || (first.get().is_none(), second.into_inner().is_none());
        assert_eq!(std::thread::spawn(elsewhere).join().unwrap(), (true, true));
        assert_eq!(Rc::strong_count(&counted), 3, "both are leaked");
    }
}
