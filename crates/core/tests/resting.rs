//! Stacks that rest at the end of a greenlet, and take the next one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use greenlets_core::raw::{Body, Id, Next, NullHost, StackBounds, SwitchError, Thread};
use greenlets_core::{Options, Spilling, State};

type Log = Rc<RefCell<Vec<(Id, usize)>>>;

fn bare(options: Options) -> Rc<Thread<NullHost>> {
    // SAFETY: these are the bounds of this thread's own stack, and nothing else switches stacks here.
    unsafe { Thread::new(NullHost, StackBounds::of_this_thread().unwrap(), options) }.unwrap()
}

/// Notes its id and the base of its stack, switches to main `times` times, and ends.
fn greenlet(log: &Log, times: usize) -> Body {
    let log = log.clone();
    Body::new(move |thread| {
        log.borrow_mut().push((thread.current(), thread.bounds().base));
        for _ in 0..times {
            thread.switch(Next::Resume(thread.main())).unwrap();
        }
        Next::Resume(thread.main())
    })
}

/// Runs `body`, and whatever the stack is to run after it.
fn resting(body: Body) -> Body {
    Body::new(move |thread| {
        let mut next = body.run(thread);
        while thread.may_rest() {
            let Next::Resume(to) = next else { break };
            match thread.rest(to) {
                Ok(body) => next = body.run(thread),
                Err(_) => return Next::Resume(thread.main()),
            }
        }
        next
    })
}

fn start(thread: &Thread<NullHost>, body: Body) -> Result<(), SwitchError<Body>> {
    thread.switch(Next::Start(body))
}

#[test]
fn a_stack_that_rests_takes_the_next_greenlet_which_gets_an_id_of_its_own() {
    let (thread, log) = (bare(Options::slots(4)), Log::default());
    start(&thread, resting(greenlet(&log, 1))).unwrap();
    let (first, stack) = log.borrow()[0];
    let epoch = thread.epoch(first);
    thread.switch(Next::Resume(first)).unwrap();
    assert_eq!((thread.state(first), thread.epoch(first), thread.live()), (State::Dead, None, 0));
    assert_eq!(thread.ids(), [thread.main()]);
    assert!(epoch.is_some());

    // This body does not rest, but the stack does.
    for _ in 0..3 {
        start(&thread, greenlet(&log, 1)).unwrap();
        let (next, same) = *log.borrow().last().unwrap();
        assert_eq!(same, stack);
        assert_eq!((thread.state(next), thread.live()), (State::Suspended, 1));
        assert!(matches!(thread.switch(Next::Resume(first)), Err(SwitchError::Gone(id)) if id == first));
        thread.switch(Next::Resume(next)).unwrap();
        assert_eq!((thread.state(next), thread.live()), (State::Dead, 0));
    }
    let mut ids: Vec<_> = log.borrow().iter().map(|&(id, _)| id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[test]
fn a_greenlet_that_cannot_be_switched_to_at_the_end_leaves_the_stack_as_it_is() {
    let (thread, log) = (bare(Options::slots(4)), Log::default());
    start(&thread, greenlet(&log, 0)).unwrap();
    let gone = log.borrow()[0].0;
    let refused = Rc::new(Cell::new(false));
    let note = refused.clone();
    let body = Body::new(move |thread| {
        note.set(matches!(thread.rest(gone), Err(SwitchError::Gone(id)) if id == gone));
        Next::Resume(thread.main())
    });
    start(&thread, body).unwrap();
    assert!(refused.get());
    assert_eq!(thread.live(), 0);
    start(&thread, greenlet(&log, 0)).unwrap();
}

#[test]
fn a_stack_that_rests_is_forgotten_by_trim_and_configure() {
    let (thread, log) = (bare(Options::slots(1)), Log::default());
    let bodies = || resting(greenlet(&log, 0));
    start(&thread, bodies()).unwrap();
    thread.trim();
    start(&thread, bodies()).unwrap();
    thread.configure(Options::slots(2)).unwrap();
    start(&thread, bodies()).unwrap();
    assert_eq!((log.borrow().len(), thread.live()), (3, 0));
}

#[test]
fn the_only_slot_is_free_for_the_next_greenlet_though_a_stack_rests_in_it() {
    let (thread, log) = (bare(Options::slots(1)), Log::default());
    start(&thread, resting(greenlet(&log, 0))).unwrap();
    start(&thread, greenlet(&log, 1)).unwrap();
    assert!(matches!(start(&thread, greenlet(&log, 1)), Err(SwitchError::NoSlot(_))));
}

#[test]
fn the_limit_counts_greenlets_and_no_stacks_that_rest() {
    let (thread, log) = (bare(Options::slots(4).max_greenlets(2)), Log::default());
    let suspend = || start(&thread, resting(greenlet(&log, 1)));
    suspend().unwrap();
    suspend().unwrap();
    let ids: Vec<_> = log.borrow().iter().map(|&(id, _)| id).collect();
    for id in ids {
        thread.switch(Next::Resume(id)).unwrap();
    }
    suspend().unwrap();
    suspend().unwrap();
    assert!(matches!(suspend(), Err(SwitchError::Limit(..))));
    assert_eq!(thread.live(), 2);
}

#[test]
fn only_some_stacks_rest() {
    let (thread, log) = (bare(Options::slots(200)), Log::default());
    for _ in 0..100 {
        start(&thread, resting(greenlet(&log, 1))).unwrap();
    }
    let first: Vec<_> = log.take();
    for &(id, _) in &first {
        thread.switch(Next::Resume(id)).unwrap();
    }
    assert_eq!(thread.live(), 0);
    assert_eq!(thread.trim(), 100 - 16, "all slots but the warm ones");
}

#[test]
#[cfg_attr(miri, ignore = "under Miri no stack can be copied")]
fn a_stack_does_not_rest_where_stacks_are_spilled_always_or_share_a_slot() {
    let may_rest = |options, others: usize| {
        let (thread, log) = (bare(options), Log::default());
        for _ in 0..others {
            start(&thread, greenlet(&log, 1)).unwrap();
        }
        let answer = Rc::new(Cell::new(None));
        let note = answer.clone();
        let body = Body::new(move |thread| {
            note.set(Some(thread.may_rest()));
            Next::Resume(thread.main())
        });
        start(&thread, body).unwrap();
        answer.get().expect("it has run")
    };
    // SAFETY: these tests use nothing on the stack of a suspended greenlet from elsewhere.
    let spilling = |slots, spilling| unsafe { Options::slots(slots).spilling(spilling) };
    assert!(may_rest(Options::slots(2), 0));
    assert!(may_rest(spilling(2, Spilling::WhenNeeded), 1));
    assert!(!may_rest(spilling(2, Spilling::WhenNeeded), 2));
    assert!(!may_rest(spilling(2, Spilling::Always), 0));
    assert!(!bare(Options::slots(2)).may_rest(), "main");
}
