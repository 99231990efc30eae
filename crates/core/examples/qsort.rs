//! A greenlet that switches away inside a comparator that C's `qsort` calls; and what happens to it when it is killed there.
//!
//! Killing unwinds nothing by force. The comparator's `switch` returns an error, but a C callback cannot pass an error on: it has to
//! answer, and `qsort` asks again. So the comparator remembers the error, answers without switching from then on, and the caller of
//! `qsort` returns it. A comparator that switches again instead makes `kill()` fail with `KillRefused`.
//!
//! `cargo run -p greenlets-core --example qsort`

use std::cell::RefCell;
use std::cmp::Ordering;
use std::ffi::{c_int, c_void};

use greenlets_core::{Greenlet, Thrown, unpack};

thread_local! {
    /// What was thrown into the comparator of the sort that runs now. `qsort` passes no pointer of ours to the comparator.
    static THROWN: RefCell<Option<Thrown>> = const { RefCell::new(None) };
}

/// Asks the greenlet that started the sort which of two numbers is smaller.
fn ask(a: i32, b: i32) -> Result<Ordering, Thrown> {
    Ok(unpack(Greenlet::switch_to_parent(Box::new((a, b)))?)?)
}

unsafe extern "C" fn compare(a: *const c_void, b: *const c_void) -> c_int {
    if THROWN.with_borrow(Option::is_some) {
        return 0;
    }
    // SAFETY: `qsort` passes pointers to elements of the array, which are numbers.
    let (a, b) = unsafe { (*a.cast::<i32>(), *b.cast::<i32>()) };
    match ask(a, b) {
        Ok(ordering) => ordering as c_int,
        Err(thrown) => {
            THROWN.set(Some(thrown));
            0
        }
    }
}

/// Sorts by asking. One sort at a time: `THROWN` belongs to the thread.
fn sorter(mut numbers: Vec<i32>) -> Greenlet {
    let sort = move |_| {
        // SAFETY: the array has this many elements of this size, and `compare` does not unwind.
        unsafe { libc::qsort(numbers.as_mut_ptr().cast(), numbers.len(), size_of::<i32>(), Some(compare)) };
        match THROWN.take() {
            Some(thrown) => Err(thrown),
            None => Ok(Box::new(numbers) as _),
        }
    };
    // SAFETY: C's `qsort` keeps nothing in thread-locals, and `ask` switches with nothing of one borrowed.
    unsafe { Greenlet::new(sort) }
}

pub(crate) fn main() -> Result<(), Thrown> {
    let numbers = vec![3, 1, 2, 5, 4];

    let sort = sorter(numbers.clone());
    let mut questions = 0;
    let mut answer = sort.switch(Box::new(()))?;
    while !sort.is_dead() {
        let (a, b): (i32, i32) = unpack(answer)?;
        questions += 1;
        answer = sort.switch(Box::new(a.cmp(&b)))?;
    }
    let sorted: Vec<i32> = unpack(answer)?;
    println!("{numbers:?} is {sorted:?} after {questions} questions");
    assert_eq!(sorted, [1, 2, 3, 4, 5]);

    let sort = sorter(numbers);
    sort.switch(Box::new(()))?;
    println!("killed in the middle of qsort");
    sort.kill()?;
    assert!(sort.is_dead());
    Ok(())
}
