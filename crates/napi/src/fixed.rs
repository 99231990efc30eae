//! A value that stays at one address for its whole life, to which V8, JavaScript or other parts of the binding have pointers.
//!
//! A `Box` is not enough: each move of a box claims its contents for the box alone, and pointers that were made before may not be
//! used any more (`make miri` shows it).

use std::ptr::NonNull;

/// See the module.
pub(crate) struct Fixed<T>(NonNull<T>);

impl<T> Fixed<T> {
    pub(crate) fn new(value: T) -> Fixed<T> {
        Fixed(NonNull::from(Box::leak(Box::new(value))))
    }

    /// Where the value is. The pointer is valid as long as this object.
    pub(crate) fn get(&self) -> NonNull<T> {
        self.0
    }
}

impl<T> Drop for Fixed<T> {
    fn drop(&mut self) {
        // SAFETY: it was leaked from a box, once.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
