//! `Generator`: items go to the greenlet that asks, and the end, errors and panics too.

mod common;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use common::{Log, OnDrop, Oops, as_int, int, new_greenlet, nothing, pause};
use greenlets_core::{Error, Generator, Greenlet, Thrown, Yielder};

fn generator<T: 'static>(function: impl FnOnce(&Yielder<T>) -> Result<(), Thrown> + 'static) -> Generator<T> {
    // SAFETY: no function of these tests switches while a thread-local is initialised, destroyed, borrowed or set for a scope.
    unsafe { Generator::new(function) }
}

fn numbers(yielder: &Yielder<i32>) -> Result<(), Thrown> {
    (1..=3).try_for_each(|i| yielder.yield_(i))
}

#[test]
fn items_arrive_in_order_and_after_the_end_there_are_none() {
    let mut generator = generator(numbers);
    assert_eq!(generator.by_ref().map(Result::unwrap).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(generator.next().is_none() && generator.greenlet().is_dead());
}

#[test]
fn an_item_goes_to_the_greenlet_that_asked_and_so_does_the_end() {
    let generator = Rc::new(RefCell::new(generator(numbers)));
    let inside = generator.clone();
    // Made on main, asked for on main, then in another greenlet until the end.
    assert_eq!(generator.borrow_mut().next().unwrap().unwrap(), 1);
    let greenlet = new_greenlet(move |_| {
        let rest: Vec<_> = inside.borrow_mut().by_ref().map(Result::unwrap).collect();
        assert_eq!(rest, [2, 3]);
        Ok(int(7))
    });
    assert_eq!(as_int(greenlet.switch(nothing())), 7);
    assert!(generator.borrow_mut().next().is_none());
}

#[test]
fn an_error_is_the_last_item() {
    let mut generator = generator(|yielder| {
        yielder.yield_(1)?;
        Err(Oops("no more").into())
    });
    assert_eq!(generator.next().unwrap().unwrap(), 1);
    assert_eq!(generator.next().unwrap().unwrap_err().downcast::<Oops>().unwrap(), Oops("no more"));
    assert!(generator.next().is_none());
}

#[test]
fn a_panic_goes_on_in_the_greenlet_that_asks() {
    let mut generator = generator::<i32>(|_| panic!("in the generator"));
    let payload = catch_unwind(AssertUnwindSafe(|| generator.next())).unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"in the generator"));
    assert!(generator.next().is_none());
}

#[test]
fn a_generator_that_is_dropped_half_way_drops_what_it_holds() {
    let log = Log::default();
    let held = OnDrop(log.clone(), "dropped");
    let mut generator = generator(move |yielder| {
        let _held = held;
        numbers(yielder)
    });
    generator.next().unwrap().unwrap();
    drop(generator);
    assert_eq!(log.take(), ["dropped"]);
}

#[test]
fn a_greenlet_that_is_killed_while_it_waits_for_an_item_gets_the_exit_from_next() {
    let waits = new_greenlet(|_| {
        let mut generator = generator::<i32>(|yielder| {
            pause()?; // leaves the generator and the greenlet that asked
            yielder.yield_(1)
        });
        let exit = generator.next().unwrap().unwrap_err();
        assert!(exit.is_exit());
        Err(exit)
    });
    waits.switch(nothing()).unwrap();
    waits.kill().unwrap();
    assert!(waits.is_dead());
}

#[test]
fn a_value_from_another_greenlet_is_not_taken_for_an_item() {
    let waits = new_greenlet(|_| {
        let mut generator = generator::<i32>(|_| pause().map(drop));
        let error = generator.next().unwrap().unwrap_err().downcast::<Error>().unwrap();
        Ok(error.into_value().expect("it comes back"))
    });
    waits.switch(nothing()).unwrap();
    assert_eq!(as_int(waits.switch(int(5))), 5);
}

#[test]
fn a_generator_can_use_a_generator() {
    let outer = generator(|yielder| {
        for number in generator(numbers) {
            let number = number?;
            yielder.yield_(number * 10)?;
        }
        Ok(())
    });
    assert_eq!(outer.map(Result::unwrap).collect::<Vec<_>>(), [10, 20, 30]);
    assert_eq!(Greenlet::all().len(), 1);
}
