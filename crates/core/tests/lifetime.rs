//! Handles that are dropped, and threads that end. Row numbers are those of `__test__/conformance/rows.ts`.

mod common;

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;

use common::{
    BuildHere, Log, OnDrop, Oops, as_int, code, int, new_greenlet, nothing, on_a_thread, pause, times,
};
use greenlets_core::{
    Greenlet, Options, State, Unraisable, configure, frame, kill_all, set_unraisable_hook, unpack,
};

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
    let greenlet = Greenlet::builder().name(name).build_here(body).unwrap();
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
    let greenlet = Greenlet::builder().name(name).build_here(body).unwrap();
    greenlet.switch(nothing()).unwrap();
    greenlet
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in a destructor");
    }
}

#[test]
fn dropping_the_last_handle_of_a_suspended_greenlet_ends_it() {
    // Row 51.
    let log = Log::default();
    let seen = log.clone();
    let greenlet = new_greenlet(move |_| {
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
    drop(new_greenlet(move |_| Ok(Box::new(held))));
    assert_eq!(log.take(), ["body"]);
    assert_eq!(Greenlet::all(), [Greenlet::main()]);
}

#[test]
fn the_greenlet_that_drops_the_last_handle_takes_the_place_of_the_parent() {
    let log = Log::default();
    let seen = log.clone();
    let greenlet = new_greenlet(move |_| {
        let exit = pause().unwrap_err();
        seen.push(Greenlet::current().parent().unwrap().name());
        Err(exit)
    });
    greenlet.switch(nothing()).unwrap();
    let dropper = Greenlet::builder().name("dropper").build_here(move |_| {
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
        let greenlet = new_greenlet(|_| {
            pause().unwrap_err();
            Err(Oops("instead of the exit").into())
        });
        greenlet.switch(nothing()).unwrap();
        drop(greenlet);
        assert_eq!(reports.take(), ["greenlet-1: instead of the exit"]);

        let greenlet = new_greenlet(|_| pause().map_err(|_| panic!("while cleaning up")));
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
        let second = new_greenlet(Ok);
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
    let greenlet = new_greenlet(move |_| {
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
    let worker = new_greenlet(move |_| {
        let value = pause()?;
        drop(inside.take());
        starter.get().unwrap().set_parent(&Greenlet::main())?;
        // Now only the thread holds this greenlet, as the current one. From the switch on there is no handle.
        let exit = Greenlet::main().switch(value).unwrap_err();
        seen.push(format_args!("finally: {exit}"));
        Err(exit)
    });
    worker.switch(nothing()).unwrap();
    initiator.set(Greenlet::builder().parent(&worker).build_here(|_| Ok(int(42))).unwrap()).unwrap();
    *only_handle.borrow_mut() = Some(worker);
    assert_eq!(as_int(initiator.get().unwrap().switch(nothing())), 42);
    assert_eq!(log.take(), ["finally: the last handle to the greenlet was dropped"]);
}

#[test]
fn a_value_under_way_is_not_lost_when_what_its_sender_kept_alive_panics_as_it_is_dropped() {
    on_a_thread(|| {
        let reports = reports();
        let bomb = Bomb;
        let armed = new_greenlet(move |_| {
            let _bomb = &bomb;
            Ok(nothing())
        });
        let only_handle = Rc::new(RefCell::new(None));
        let initiator = Rc::new(OnceCell::<Greenlet>::new());
        let (inside, starter) = (only_handle.clone(), initiator.clone());
        // The last handle to the parent is the child's, and the last handle to the child is dropped by the switch to main.
        let child = Greenlet::builder().parent(&armed).name("child").build_here(move |_| {
            let value = pause()?;
            drop(inside.take());
            starter.get().unwrap().set_parent(&Greenlet::main())?;
            Greenlet::main().switch(value)
        });
        drop(armed);
        let child = child.unwrap();
        child.switch(nothing()).unwrap();
        initiator.set(Greenlet::builder().parent(&child).build_here(|_| Ok(int(42))).unwrap()).unwrap();
        *only_handle.borrow_mut() = Some(child);
        assert_eq!(as_int(initiator.get().unwrap().switch(nothing())), 42);
        assert_eq!(reports.take(), ["main: panicked: in a destructor"]);
        assert_eq!(Greenlet::all(), [Greenlet::main()]);
    });
}

#[test]
fn a_handle_on_a_suspended_stack_keeps_a_greenlet_alive() {
    let log = Log::default();
    let held = OnDrop(log.clone(), "sender cleaned up");
    let sender = new_greenlet(move |_| {
        let _held = held;
        let me = Greenlet::current();
        drop(me);
        Greenlet::main().switch(int(42))
    });
    let relay = new_greenlet(move |_| {
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
    let greenlet = new_greenlet(move |_| {
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
    let mut youngest = new_greenlet(Ok);
    for _ in 0..times(200_000, 200) {
        youngest = Greenlet::builder().parent(&youngest).build_here(Ok).unwrap();
    }
    drop(youngest);
    assert_eq!(Greenlet::all().len(), 1);
}

#[test]
fn a_parent_that_only_its_child_keeps_alive_ends_with_it() {
    let log = Log::default();
    let parent = sleeper("parent", &log);
    let child = Greenlet::builder().parent(&parent).build_here(Ok).unwrap();
    drop(parent);
    assert!(log.take().is_empty());
    drop(child);
    assert_eq!(log.take(), ["parent"]);
}

#[test]
fn a_value_is_not_lost_when_a_destructor_panics() {
    on_a_thread(|| {
        let reports = reports();
        let bomb = Bomb;
        let unstarted = Greenlet::builder().name("armed").build_here(move |_| {
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
            let back = new_greenlet(move |_| {
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
    let parent = new_greenlet(move |_| Ok(Box::new(detour)));
    let child = Greenlet::builder().parent(&parent).build_here(|_| Err(Oops("late").into())).unwrap();
    let thrown = child.switch(nothing()).unwrap_err();
    assert_eq!(thrown.downcast::<Oops>().unwrap(), Oops("late"));
    assert_eq!(log.take(), ["8"]);
    assert!(child.is_dead() && parent.is_dead());
}

#[test]
fn kill_all_ends_what_is_suspended_oldest_first() {
    // Rows 113 to 121, where Python's greenlet does the same at the end of a thread.
    on_a_thread(|| {
        let log = Log::default();
        let make = |name: &'static str| {
            let seen = log.clone();
            let greenlet = new_greenlet(move |_| {
                frame!("waits to be told to end");
                let exit = pause().unwrap_err();
                seen.push(format_args!("{name}: {exit}"));
                Err(exit)
            });
            greenlet.switch(nothing()).unwrap();
            std::mem::forget(greenlet);
        };
        make("first");
        make("second");
        // Also from a greenlet, which goes on.
        let caller = new_greenlet(|_| {
            kill_all();
            Ok(int(1))
        });
        assert_eq!(as_int(caller.switch(nothing())), 1);
        let reason = "all greenlets of the thread are told to end";
        assert_eq!(log.take(), [format!("first: {reason}"), format!("second: {reason}")]);
        assert_eq!(Greenlet::all(), [Greenlet::main()]);
    });
}

#[test]
fn a_greenlet_that_holds_itself_lasts_until_it_is_killed() {
    on_a_thread(|| {
        let log = Log::default();
        let held = OnDrop(log.clone(), "unwound");
        let greenlet = new_greenlet(move |_| {
            let _me = Greenlet::current();
            let _held = held;
            pause()
        });
        greenlet.switch(nothing()).unwrap();
        drop(greenlet);
        assert!(log.take().is_empty());
        kill_all();
        assert_eq!(log.take(), ["unwound"]);
    });
}

#[test]
fn a_greenlet_that_refuses_when_all_are_killed_is_reported_and_nothing_hangs() {
    on_a_thread(|| {
        let reports = Rc::new(RefCell::new(Vec::new()));
        let log = reports.clone();
        set_unraisable_hook(move |unraisable| {
            log.borrow_mut().push((unraisable.greenlet.clone(), unraisable.thrown.code()));
        });
        std::mem::forget(mule("mule"));
        // Each greenlet that ends starts another one.
        fn hydra() {
            let head = new_greenlet(|_| {
                let exit = Greenlet::switch_to_parent(nothing());
                hydra();
                exit
            });
            head.switch(nothing()).unwrap();
            std::mem::forget(head);
        }
        hydra();
        kill_all();
        let refused = ("mule".to_owned(), Some("ERR_GREENLET_KILL_REFUSED"));
        assert_eq!(reports.take(), [refused, ("greenlet-6".to_owned(), None)]);
        assert_eq!(Greenlet::all(), [Greenlet::main()]);
    });
}

#[test]
fn greenlets_that_are_suspended_when_their_thread_ends_never_run_again() {
    struct Heap(Vec<u8>);
    impl Drop for Heap {
        fn drop(&mut self) {
            self.0.fill(b'X');
        }
    }
    thread_local! {
        static HEAP: Heap = Heap(vec![b'a'; 100]);
    }
    let (sender, receiver) = mpsc::channel();
    on_a_thread(move || {
        set_unraisable_hook({
            let sender = sender.clone();
            move |unraisable| sender.send(unraisable.to_string()).unwrap()
        });
        for _ in 0..3 {
            let sender = sender.clone();
            let greenlet = Greenlet::builder().name("late").build_here(move |_| {
                // Used first after the greenlets, so destroyed before them.
                HEAP.with(|heap| {
                    let _ = pause();
                    sender.send(format!("runs, and sees {:?}", heap.0.first())).unwrap();
                });
                Ok(nothing())
            });
            let greenlet = greenlet.unwrap();
            greenlet.switch(nothing()).unwrap();
            std::mem::forget(greenlet);
        }
    });
    let told: Vec<_> = receiver.try_iter().collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("greenlet 'late' and 2 more were suspended when the thread ended"),
        "{told:?}"
    );
}

#[test]
fn a_panic_whose_payload_panics_when_it_is_dropped_is_reported_and_goes_no_further() {
    on_a_thread(|| {
        for hook_panics in [false, true] {
            set_unraisable_hook(move |_| {
                if hook_panics {
                    std::panic::panic_any(Bomb);
                }
            });
            let greenlet = new_greenlet(|_| pause().map_err(|_| std::panic::panic_any(Bomb)));
            greenlet.switch(nothing()).unwrap();
            drop(greenlet);
            assert_eq!(Greenlet::all().len(), 1);
        }
    });
}

#[test]
fn greenlets_can_be_used_while_thread_locals_are_destroyed() {
    // Rows 122 to 126.
    struct Late(mpsc::Sender<i32>);
    impl Drop for Late {
        fn drop(&mut self) {
            assert_eq!(Greenlet::current(), Greenlet::main());
            self.0.send(as_int(new_greenlet(Ok).switch(int(5)))).unwrap();
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
        let kept = [mule("mule"), new_greenlet(Ok), Greenlet::main()];
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
        assert_eq!(unpack::<i32>(new_greenlet(Ok).switch(int(1)).unwrap()).unwrap(), 1);
    });
}
