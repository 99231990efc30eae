//! Handles that are dropped, and threads that end. Row numbers are those of `__test__/conformance/rows.ts`.

mod common;

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;

use common::{Log, OnDrop, Oops, as_int, code, int, nothing, on_a_thread, pause, times};
use greenlets_core::{Greenlet, Options, State, Unraisable, configure, frame, set_unraisable_hook, unpack};

/// Everything reported on this thread from now on, as text.
fn reports() -> Log {
    let log = Log::default();
    let writer = log.clone();
    set_unraisable_hook(move |unraisable: &Unraisable| {
        writer.push(format_args!("{}: {}", unraisable.greenlet, unraisable.thrown));
    });
    log
}

/// A greenlet called `name` that waits until it is told to end, cleans up and ends.
fn sleeper(name: &'static str, log: &Log) -> Greenlet {
    let held = OnDrop(log.clone(), name);
    let body = move |_| {
        let _held = held;
        pause()
    };
    let greenlet = Greenlet::builder().name(name).build(body).unwrap();
    greenlet.switch(nothing()).unwrap();
    greenlet
}

/// A greenlet called `name` that always switches away, also when it is told to end.
fn mule(name: &'static str) -> Greenlet {
    let body = |_| {
        loop {
            let _ = pause();
        }
    };
    let greenlet = Greenlet::builder().name(name).build(body).unwrap();
    greenlet.switch(nothing()).unwrap();
    greenlet
}

#[test]
fn dropping_the_last_handle_of_a_suspended_greenlet_ends_it() {
    // Row 51.
    let log = Log::default();
    let seen = log.clone();
    let greenlet = Greenlet::new(move |_| {
        let exit = pause().unwrap_err();
        seen.push(&exit);
        Err(exit)
    });
    greenlet.switch(nothing()).unwrap();
    let second = greenlet.clone();
    drop(greenlet);
    assert!(log.take().is_empty(), "there is another handle");
    drop(second);
    assert_eq!(log.take(), ["the last handle to the greenlet was dropped"]);
    assert_eq!(Greenlet::all(), [Greenlet::main()]);
}

#[test]
fn dropping_an_unstarted_greenlet_drops_its_function() {
    let log = Log::default();
    let held = OnDrop(log.clone(), "body");
    drop(Greenlet::new(move |_| Ok(Box::new(held))));
    assert_eq!(log.take(), ["body"]);
    assert_eq!(Greenlet::all(), [Greenlet::main()]);
}

#[test]
fn the_greenlet_that_drops_the_last_handle_takes_the_place_of_the_parent() {
    let log = Log::default();
    let seen = log.clone();
    let greenlet = Greenlet::new(move |_| {
        let exit = pause().unwrap_err();
        seen.push(Greenlet::current().parent().unwrap().name());
        Err(exit)
    });
    greenlet.switch(nothing()).unwrap();
    let dropper = Greenlet::builder().name("dropper").build(move |_| {
        drop(greenlet);
        Ok(int(1))
    });
    assert_eq!(as_int(dropper.unwrap().switch(nothing())), 1);
    assert_eq!(log.take(), ["dropper"]);
}

#[test]
fn an_error_from_a_dropped_greenlet_is_reported_and_goes_no_further() {
    // Row 52.
    on_a_thread(|| {
        let reports = reports();
        let greenlet = Greenlet::new(|_| {
            pause().unwrap_err();
            Err(Oops("instead of the exit").into())
        });
        greenlet.switch(nothing()).unwrap();
        drop(greenlet);
        assert_eq!(reports.take(), ["greenlet-1: instead of the exit"]);

        let greenlet = Greenlet::new(|_| pause().map_err(|_| panic!("while cleaning up")));
        greenlet.switch(nothing()).unwrap();
        drop(greenlet);
        assert_eq!(reports.take(), ["greenlet-2: panicked: while cleaning up"]);
    });
}

#[test]
fn a_panic_in_the_hook_is_ignored() {
    on_a_thread(|| {
        set_unraisable_hook(|_| panic!("in the hook"));
        drop(mule("mule"));
        assert_eq!(Greenlet::all().len(), 1);
    });
}

#[test]
fn a_dropped_greenlet_that_refuses_to_die_is_abandoned_and_reported() {
    on_a_thread(|| {
        configure(Options::slots(2)).unwrap();
        let reports = reports();
        drop(mule("mule"));
        let told = reports.take();
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("mule: greenlet 'mule' was told to end and switched away"), "{told:?}");
        assert_eq!(Greenlet::all(), [Greenlet::main()]);

        // Its slot is lost, because other code may still rely on its contents. The other slot works.
        let first = sleeper("first", &Log::default());
        let second = Greenlet::new(Ok);
        assert_eq!(code(second.switch(nothing())), "ERR_GREENLET_NO_SLOT");
        first.kill().unwrap();
        assert_eq!(as_int(second.switch(int(1))), 1);
    });
}

#[test]
fn a_greenlet_that_stores_a_new_handle_while_it_is_dropped_lives_on() {
    // Row 74.
    let saved = Rc::new(RefCell::new(None));
    let place = saved.clone();
    let greenlet = Greenlet::new(move |_| {
        pause().unwrap_err();
        *place.borrow_mut() = Some(Greenlet::current());
        pause()
    });
    greenlet.switch(nothing()).unwrap();
    drop(greenlet);
    let greenlet = saved.take().expect("it stored a handle");
    assert_eq!(greenlet.state(), State::Suspended);
    assert_eq!(as_int(greenlet.switch(int(3))), 3);
}

#[test]
fn a_value_under_way_is_not_lost_when_its_sender_loses_its_last_handle() {
    // Row 70.
    let log = Log::default();
    let seen = log.clone();
    let only_handle = Rc::new(RefCell::new(None));
    let initiator = Rc::new(OnceCell::<Greenlet>::new());
    let (inside, starter) = (only_handle.clone(), initiator.clone());
    let worker = Greenlet::new(move |_| {
        let value = pause()?;
        drop(inside.take());
        starter.get().unwrap().set_parent(&Greenlet::main())?;
        // Now only the thread holds this greenlet, as the current one. From the switch on there is no handle.
        let exit = Greenlet::main().switch(value).unwrap_err();
        seen.push(format_args!("finally: {exit}"));
        Err(exit)
    });
    worker.switch(nothing()).unwrap();
    initiator.set(Greenlet::builder().parent(&worker).build(|_| Ok(int(42))).unwrap()).unwrap();
    *only_handle.borrow_mut() = Some(worker);
    assert_eq!(as_int(initiator.get().unwrap().switch(nothing())), 42);
    assert_eq!(log.take(), ["finally: the last handle to the greenlet was dropped"]);
}

#[test]
fn a_handle_on_a_suspended_stack_keeps_a_greenlet_alive() {
    let log = Log::default();
    let held = OnDrop(log.clone(), "sender cleaned up");
    let sender = Greenlet::new(move |_| {
        let _held = held;
        let me = Greenlet::current();
        drop(me);
        Greenlet::main().switch(int(42))
    });
    let relay = Greenlet::new(move |_| {
        let sender = sender;
        sender.switch(nothing())
    });
    assert_eq!(as_int(relay.switch(nothing())), 42);
    assert!(log.take().is_empty(), "the relay holds it");
    drop(relay);
    assert_eq!(log.take(), ["sender cleaned up"]);
}

#[test]
fn switching_to_the_parent_leaves_no_handle_behind() {
    let log = Log::default();
    let held = OnDrop(log.clone(), "ended");
    let greenlet = Greenlet::new(move |_| {
        let _held = held;
        Greenlet::switch_to_parent(nothing())
    });
    greenlet.switch(nothing()).unwrap();
    drop(greenlet);
    assert_eq!(log.take(), ["ended"]);
    assert_eq!(code(Greenlet::switch_to_parent(nothing())), "ERR_GREENLET_MAIN", "main has none");
}

#[test]
fn a_long_line_of_ancestors_is_dropped_without_a_deep_recursion() {
    let mut youngest = Greenlet::new(Ok);
    for _ in 0..times(200_000, 200) {
        youngest = Greenlet::builder().parent(&youngest).build(Ok).unwrap();
    }
    drop(youngest);
    assert_eq!(Greenlet::all().len(), 1);
}

#[test]
fn a_parent_that_only_its_child_keeps_alive_ends_with_it() {
    let log = Log::default();
    let parent = sleeper("parent", &log);
    let child = Greenlet::builder().parent(&parent).build(Ok).unwrap();
    drop(parent);
    assert!(log.take().is_empty());
    drop(child);
    assert_eq!(log.take(), ["parent"]);
}

#[test]
fn a_value_is_not_lost_when_a_destructor_panics() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    on_a_thread(|| {
        let reports = reports();
        let bomb = Bomb;
        let unstarted = Greenlet::builder().name("armed").build(move |_| {
            let _bomb = &bomb;
            Ok(nothing())
        });
        let thrown = unstarted.unwrap().throw(Oops("precious")).unwrap_err();
        assert_eq!(thrown.downcast::<Oops>().unwrap(), Oops("precious"));
        assert_eq!(reports.take(), ["armed: panicked: in a destructor"]);
    });
}

#[test]
fn a_destructor_may_switch_while_a_greenlet_hands_over_its_last_result() {
    struct Detour(Log);
    impl Drop for Detour {
        fn drop(&mut self) {
            let me = Greenlet::current();
            let back = Greenlet::new(move |_| {
                assert_eq!(me.state(), State::Suspended);
                me.switch(int(8))
            });
            self.0.push(as_int(back.switch(nothing())));
        }
    }
    let log = Log::default();
    let detour = Detour(log.clone());
    // The error that ends the child also ends its unstarted parent, so the parent's function is dropped on the child's stack. At
    // that time the child's function has returned, but the child is not dead yet.
    let parent = Greenlet::new(move |_| Ok(Box::new(detour)));
    let child = Greenlet::builder().parent(&parent).build(|_| Err(Oops("late").into())).unwrap();
    let thrown = child.switch(nothing()).unwrap_err();
    assert_eq!(thrown.downcast::<Oops>().unwrap(), Oops("late"));
    assert_eq!(log.take(), ["8"]);
    assert!(child.is_dead() && parent.is_dead());
}

#[test]
fn a_thread_that_ends_kills_what_is_suspended_oldest_first() {
    // Rows 113 to 121: the end of a thread here; the end of the process is in crashes.rs.
    let (sender, receiver) = mpsc::channel();
    on_a_thread(move || {
        let make = |name: &'static str| {
            let sender = sender.clone();
            let greenlet = Greenlet::new(move |_| {
                frame!("waits at the thread's end");
                let exit = pause().unwrap_err();
                assert!(Greenlet::all().len() > 1, "everything can still be used");
                sender.send((name, exit.to_string())).unwrap();
                Err(exit)
            });
            greenlet.switch(nothing()).unwrap();
            std::mem::forget(greenlet);
        };
        make("first");
        make("second");
    });
    let ended: Vec<_> = receiver.iter().collect();
    let reason = "the greenlet's thread ends";
    assert_eq!(ended, [("first", reason.to_owned()), ("second", reason.to_owned())]);
}

#[test]
fn a_greenlet_that_holds_itself_lasts_until_the_thread_ends() {
    let (sender, receiver) = mpsc::channel::<()>();
    on_a_thread(move || {
        let greenlet = Greenlet::new(move |_| {
            let _me = Greenlet::current();
            let _sender = sender;
            pause()
        });
        greenlet.switch(nothing()).unwrap();
    });
    assert!(receiver.recv().is_err(), "its stack was unwound, and the sender dropped");
}

#[test]
fn a_greenlet_that_refuses_at_the_threads_end_is_reported_and_nothing_hangs() {
    let (sender, receiver) = mpsc::channel();
    on_a_thread(move || {
        set_unraisable_hook(move |unraisable| {
            let code = unraisable.thrown.code();
            sender.send((unraisable.greenlet.clone(), code)).unwrap();
        });
        std::mem::forget(mule("mule"));
        // Each greenlet that ends starts another one.
        fn hydra() {
            let head = Greenlet::new(|_| {
                let exit = Greenlet::switch_to_parent(nothing());
                hydra();
                exit
            });
            head.switch(nothing()).unwrap();
            std::mem::forget(head);
        }
        hydra();
    });
    let reports: Vec<_> = receiver.iter().collect();
    let refused = ("mule".to_owned(), Some("ERR_GREENLET_KILL_REFUSED"));
    assert_eq!(reports, [refused, ("greenlet-6".to_owned(), None)]);
}

#[test]
fn greenlets_can_be_used_while_thread_locals_are_destroyed() {
    // Rows 122 to 126.
    struct Late(mpsc::Sender<i32>);
    impl Drop for Late {
        fn drop(&mut self) {
            assert_eq!(Greenlet::current(), Greenlet::main());
            self.0.send(as_int(Greenlet::new(Ok).switch(int(5)))).unwrap();
        }
    }
    thread_local! {
        static BEFORE: OnceCell<Late> = const { OnceCell::new() };
        static AFTER: OnceCell<Late> = const { OnceCell::new() };
    }
    let (sender, receiver) = mpsc::channel();
    on_a_thread(move || {
        assert!(BEFORE.with(|late| late.set(Late(sender.clone())).is_ok()));
        Greenlet::main();
        assert!(AFTER.with(|late| late.set(Late(sender)).is_ok()));
    });
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [5, 5]);
}

#[test]
fn a_handle_that_outlives_its_thread_can_only_be_dropped() {
    struct Keeper([Greenlet; 3], mpsc::Sender<([State; 3], &'static str)>);
    impl Drop for Keeper {
        fn drop(&mut self) {
            let [_, unstarted, _] = &self.0;
            let error = code(unstarted.switch(nothing()));
            self.1.send((self.0.each_ref().map(Greenlet::state), error)).unwrap();
        }
    }
    thread_local! {
        static KEEPER: RefCell<Option<Keeper>> = const { RefCell::new(None) };
    }
    let (sender, receiver) = mpsc::channel();
    on_a_thread(move || {
        // Registered before the greenlets, so destroyed after them.
        KEEPER.with(|_| ());
        set_unraisable_hook(|_| ());
        let kept = [mule("mule"), Greenlet::new(Ok), Greenlet::main()];
        KEEPER.set(Some(Keeper(kept, sender)));
    });
    let states = [State::Dead, State::Unstarted, State::Dead];
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [(states, "ERR_GREENLET_WRONG_THREAD")]);
}

#[test]
fn twenty_thousand_unfinished_greenlets_leave_nothing_behind() {
    // Row 146.
    on_a_thread(|| {
        let log = Log::default();
        const AT_ONCE: usize = times(1000, 10);
        let sleepers = || (0..AT_ONCE).map(|_| sleeper("one", &log)).collect::<Vec<_>>();
        for _ in 0..times(20, 2) {
            drop(sleepers());
            assert_eq!(log.take().len(), AT_ONCE);
        }
        assert_eq!(Greenlet::all().len(), 1);
        assert_eq!(unpack::<i32>(Greenlet::new(Ok).switch(int(1)).unwrap()).unwrap(), 1);
    });
}
