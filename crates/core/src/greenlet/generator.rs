//! A typed iterator over what a greenlet yields.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use crate::greenlet::error::{Error, Parcel};
use crate::greenlet::record::Greenlet;
use crate::greenlet::thrown::Thrown;

/// An iterator whose items a function yields, from any depth of calls.
///
/// Each item goes to the greenlet that asked for it with `next`, whichever that is. An error that the function returns is the last
/// item, and a panic of the function goes on in `next`. A generator that is dropped half way ends as a greenlet does: `yield_` returns a
/// [`GreenletExit`](crate::GreenletExit) in it.
///
/// ```
/// use greenlets_core::{Generator, Thrown, Yielder};
///
/// /// Moves a tower of discs from peg to peg.
/// fn hanoi(discs: u32, [from, to, spare]: [char; 3], moves: &Yielder<(char, char)>) -> Result<(), Thrown> {
///     if discs > 0 {
///         hanoi(discs - 1, [from, spare, to], moves)?;
///         moves.yield_((from, to))?;
///         hanoi(discs - 1, [spare, to, from], moves)?;
///     }
///     Ok(())
/// }
///
/// // SAFETY: the function switches with nothing of a thread-local borrowed, initialised or set.
/// let moves = unsafe { Generator::new(|moves| hanoi(10, ['a', 'b', 'c'], moves)) };
/// let moves: Vec<_> = moves.collect::<Result<_, Thrown>>()?;
/// assert_eq!((moves.len(), moves[0]), (1023, ('a', 'c')));
/// # Ok::<(), Thrown>(())
/// ```
pub struct Generator<T> {
    greenlet: Greenlet,
    item: Rc<Cell<Option<T>>>,
}

/// What a generator's function yields its items to.
pub struct Yielder<T> {
    item: Rc<Cell<Option<T>>>,
}

/// The value that a generator ends with.
struct Finished;

impl<T: 'static> Generator<T> {
    /// A generator that runs `function` from the first `next` on.
    ///
    /// # Safety
    /// As for [`Greenlet::new`].
    pub unsafe fn new(function: impl FnOnce(&Yielder<T>) -> Result<(), Thrown> + 'static) -> Generator<T> {
        let item = Rc::new(Cell::new(None));
        let yielder = Yielder { item: item.clone() };
        let run = move |_| {
            function(&yielder)?;
            Ok(Box::new(Finished) as _)
        };
        // SAFETY: the caller promises the same.
        Generator { greenlet: unsafe { Greenlet::new(run) }, item }
    }

    /// The greenlet that runs the function, for its frames, its name or its state.
    pub fn greenlet(&self) -> &Greenlet {
        &self.greenlet
    }
}

impl<T> Yielder<T> {
    /// Hands `item` to the greenlet that asked for it, and returns when the next one is asked for.
    ///
    /// # Errors
    /// What was thrown into the generator, to be passed on with `?`: a [`GreenletExit`](crate::GreenletExit) where the generator was
    /// dropped. An [`Error`] where the switch was not possible; the item is lost then.
    pub fn yield_(&self, item: T) -> Result<(), Thrown> {
        self.item.set(Some(item));
        let resumed = Greenlet::switch_to_parent(Box::new(()));
        // Taken by `next`, unless the switch was refused.
        drop(self.item.take());
        resumed.map(drop)
    }
}

impl<T> Iterator for Generator<T> {
    type Item = Result<T, Thrown>;

    /// The next item. The error that the function returned is the last one.
    ///
    /// An error is also what ended the wait for the item: something was thrown into the calling greenlet, or the switch was not
    /// possible. A value that another greenlet sent to the calling one meanwhile is in an [`Error::WrongType`].
    ///
    /// # Panics
    /// Where the function has panicked: its panic goes on here.
    fn next(&mut self) -> Option<Result<T, Thrown>> {
        if self.greenlet.is_dead() {
            return None;
        }
        if let Err(error) = self.greenlet.set_parent(&Greenlet::current()) {
            return Some(Err(error.into()));
        }
        let result = self.greenlet.switch(Box::new(()));
        if let Some(item) = self.item.take() {
            return Some(Ok(item));
        }
        match result {
            Ok(value) if value.is::<Finished>() => None,
            Ok(value) => {
                let parcel = Parcel::new(Ok(value));
                Some(Err(Error::WrongType { expected: "an item of the generator", parcel }.into()))
            }
            Err(thrown) => Some(Err(thrown.resume_panic())),
        }
    }
}

impl<T> fmt::Debug for Generator<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator").field("greenlet", &self.greenlet).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Yielder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Yielder(..)")
    }
}
