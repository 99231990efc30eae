//! Which slot a stack gets, and what happens where it may not start. Not under Miri, where no stack can be copied.
#![cfg(not(miri))]

mod common;

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;

use common::{BuildHere, as_int, int, new_greenlet, nothing, on_a_thread, pause};
use greenlets_core::raw::{Body, Id, Next, NullHost, StackBounds, Thread};
use greenlets_core::{Error, Greenlet, Options, Spilling, configure};

/// Options with shared slots.
fn shared(slots: u32) -> Options {
    // SAFETY: these tests use nothing on the stack of a suspended greenlet from elsewhere.
    unsafe { Options::slots(slots).spilling(Spilling::WhenNeeded) }
}

#[test]
fn where_a_greenlet_ends_and_its_parent_may_not_start_main_runs_and_gets_the_result() {
    on_a_thread(|| {
        // With one spilled byte no greenlet may start.
        configure(shared(1).max_spilled(1)).unwrap();
        let first = new_greenlet(|_| pause());
        first.switch(nothing()).unwrap();
        let parent = Greenlet::builder().name("late").build_here(Ok).unwrap();
        let child = Greenlet::builder().parent(&parent).build_here(|_| Ok(int(5))).unwrap();
        let error = child.switch(nothing()).unwrap_err().downcast::<Error>().unwrap();
        assert_eq!(error.code(), "ERR_GREENLET_LIMIT");
        assert!(error.to_string().contains("'late'"), "{error}");
        assert_eq!(as_int(Ok(error.into_value().expect("it comes back"))), 5);
        assert!(child.is_dead() && !parent.is_dead());
        assert_eq!(Greenlet::current(), Greenlet::main());
        first.switch(nothing()).unwrap();
        assert_eq!(as_int(parent.switch(int(1))), 1, "now it may");
    });
}

#[test]
fn a_new_stack_never_gets_the_slot_of_the_stack_that_starts_it() {
    /// Switches to main under `depth` KiB of frames.
    fn wait(thread: &Thread<NullHost>, depth: usize) {
        let block = black_box([0_u8; 1024]);
        match depth {
            0 => thread.switch(Next::Resume(thread.main())).unwrap(),
            _ => wait(thread, depth - 1),
        }
        black_box(block);
    }
    let bounds = StackBounds::of_this_thread().unwrap();
    // SAFETY: these are the bounds of this thread's own stack, and nothing else switches stacks here.
    let thread = unsafe { Thread::new(NullHost, bounds, shared(2)) }.unwrap();
    let waits = |depth| {
        Next::Start(Body::new(move |thread| {
            wait(thread, depth);
            Next::Resume(thread.main())
        }))
    };
    let is_in_its_slot = |id: Id, slot: StackBounds| {
        // SAFETY: the state is that of a stack of this thread.
        let live = unsafe { thread.live_bytes(thread.vm_state(id).unwrap()) }.unwrap();
        slot.contains(live.start)
    };
    // The starter is shallow and the other one deep, so by the cost of copying the starter's slot would be the better one.
    let told = Rc::new(Cell::new(None));
    let tell = told.clone();
    let starter = Next::Start(Body::new(move |thread| {
        tell.set(Some((thread.current(), thread.bounds())));
        thread.switch(Next::Resume(thread.main())).unwrap();
        for _ in 0..8 {
            let body = Body::new(|thread| {
                thread.switch(Next::Resume(thread.main())).unwrap();
                Next::Resume(thread.main())
            });
            thread.switch(Next::Start(body)).unwrap();
        }
        Next::Resume(thread.main())
    }));
    thread.switch(starter).unwrap();
    let (id, slot) = told.get().unwrap();
    thread.switch(waits(60)).unwrap();
    for _ in 0..8 {
        assert!(is_in_its_slot(id, slot));
        thread.switch(Next::Resume(id)).unwrap();
    }
    assert!(is_in_its_slot(id, slot), "it was not copied away for the stacks that it has started");
    // SAFETY: main runs, and no code relies on the frames of the suspended stacks.
    unsafe { thread.abandon_all() };
}
