//! Errors, panics and `GreenletExit` that go from greenlet to greenlet. Row numbers are those of `__test__/conformance/rows.ts`.

mod common;

use std::cell::RefCell;
use std::error::Error as StdError;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::id as pid;
use std::sync::mpsc;

use common::{
    BuildHere, Log, OnDrop, Oops, as_exit, as_int, as_oops, code, int, new_greenlet, nothing, on_a_thread,
    pause,
};
use greenlets_core::{Error, Greenlet, GreenletExit, State, Thrown, ThrownError, unpack};

#[test]
fn an_error_goes_to_the_parent_and_through_it_to_its_parent() {
    // Row 49.
    let log = Log::default();
    let seen = log.clone();
    let g1 = new_greenlet(move |_| {
        pause().inspect_err(|thrown| seen.push(format_args!("g1 sees {thrown}")))?;
        unreachable!("an error arrives")
    });
    g1.switch(nothing()).unwrap();
    let g2 = Greenlet::builder().parent(&g1).build_here(|_| Err(Oops("from g2").into())).unwrap();
    assert_eq!(as_oops(g2.switch(nothing())), Oops("from g2"));
    assert_eq!(log.take(), ["g1 sees from g2"]);
    assert!(g1.is_dead() && g2.is_dead());
}

#[test]
fn a_parent_that_handles_the_error_goes_on() {
    // Row 50.
    let parent = new_greenlet(|_| {
        let child = new_greenlet(|_| Err(Oops("caught").into()));
        assert_eq!(as_oops(child.switch(nothing())), Oops("caught"));
        Ok(int(1))
    });
    assert_eq!(as_int(parent.switch(nothing())), 1);
}

#[test]
fn an_error_arrives_as_the_same_object() {
    let error: Box<dyn StdError> = Box::new(Oops("itself"));
    let address = &raw const *error as *const ();
    let passes_on = new_greenlet(|_| pause());
    let outer = new_greenlet(move |_| {
        passes_on.switch(nothing())?;
        unreachable!("an error arrives")
    });
    outer.switch(nothing()).unwrap();
    let Thrown::Error(error) = outer.throw(Thrown::Error(error)).unwrap_err() else { panic!("an error") };
    assert_eq!(&raw const *error as *const (), address);
}

#[test]
fn an_error_thrown_into_a_suspended_greenlet_comes_out_of_its_switch() {
    // Rows 23, 149, 150, 155.
    let catcher = new_greenlet(|_| {
        let thrown = pause().unwrap_err();
        assert_eq!(thrown.downcast_ref::<Oops>(), Some(&Oops("take that")));
        Ok(Box::new("ok"))
    });
    catcher.switch(nothing()).unwrap();
    assert_eq!(unpack::<&str>(catcher.throw(Oops("take that")).unwrap()).unwrap(), "ok");

    let passes_on = new_greenlet(|_| pause());
    passes_on.switch(nothing()).unwrap();
    assert_eq!(passes_on.throw(Thrown::error("abc")).unwrap_err().to_string(), "abc");
}

#[test]
fn an_exit_is_returned_to_the_parent_as_a_value() {
    // Row 151.
    let greenlet = new_greenlet(|_| pause());
    greenlet.switch(nothing()).unwrap();
    assert_eq!(as_exit(greenlet.throw(GreenletExit::new("enough"))), "enough");
    assert!(greenlet.is_dead());
    assert_eq!(
        as_exit(greenlet.throw(GreenletExit::new("again"))),
        "again",
        "a dead greenlet turns it into a value too"
    );

    let quits = new_greenlet(|_| Err(GreenletExit::default().into()));
    assert_eq!(as_exit(quits.switch(nothing())), "the greenlet was told to end");
}

#[test]
fn an_exit_can_be_refused_by_going_on() {
    let stubborn = new_greenlet(|_| {
        let mut times = 0;
        while pause().is_err() {
            times += 1;
        }
        Ok(int(times))
    });
    stubborn.switch(nothing()).unwrap();
    for _ in 0..3 {
        stubborn.throw(GreenletExit::default()).unwrap();
        assert_eq!(stubborn.state(), State::Suspended);
    }
    assert_eq!(as_int(stubborn.switch(nothing())), 3);
}

#[test]
fn an_error_thrown_into_an_unstarted_greenlet_ends_it_and_goes_to_its_parent() {
    // Row 152.
    let log = Log::default();
    let make = |parent: &Greenlet| {
        let held = OnDrop(log.clone(), "body dropped");
        Greenlet::builder().parent(parent).build_here(move |_| Ok(Box::new(held))).unwrap()
    };
    let child = make(&Greenlet::main());
    assert_eq!(as_oops(child.throw(Oops("uncaught"))), Oops("uncaught"));
    assert!(child.is_dead());
    assert_eq!(log.take(), ["body dropped"], "its function is dropped with it");

    // To the parent, and not to the greenlet that throws.
    let parent = new_greenlet(|_| {
        assert_eq!(as_oops(pause()), Oops("for the parent"));
        Ok(int(3))
    });
    parent.switch(nothing()).unwrap();
    let child = make(&parent);
    let thrower = new_greenlet(move |_| child.throw(Oops("for the parent")));
    assert_eq!(as_int(thrower.switch(nothing())), 3);
    assert_eq!(thrower.state(), State::Suspended);

    let unstarted = make(&Greenlet::main());
    assert_eq!(as_exit(unstarted.throw(GreenletExit::new("before it began"))), "before it began");
}

#[test]
fn an_error_passes_unstarted_and_dead_parents_until_one_can_take_it() {
    let log = Log::default();
    let held = OnDrop(log.clone(), "unstarted dropped");
    let dead = new_greenlet(Ok);
    dead.switch(nothing()).unwrap();
    let unstarted = Greenlet::builder().parent(&dead).build_here(move |_| Ok(Box::new(held))).unwrap();
    let child = Greenlet::builder().parent(&unstarted).build_here(|_| Err(Oops("far").into())).unwrap();
    assert_eq!(as_oops(child.switch(nothing())), Oops("far"));
    assert!(unstarted.is_dead(), "the error of its child ended it");
    assert_eq!(log.take(), ["unstarted dropped"]);
}

#[test]
fn an_exit_that_reaches_an_unstarted_parent_as_a_value_starts_it() {
    let parent = new_greenlet(Ok);
    let child = Greenlet::builder().parent(&parent).build_here(Ok).unwrap();
    // The exit ends the child, and goes on as a value.
    assert_eq!(as_exit(child.throw(GreenletExit::new("handed on"))), "handed on");
    assert!(parent.is_dead());
}

#[test]
fn an_error_thrown_into_the_current_greenlet_comes_back_at_once() {
    assert_eq!(as_oops(Greenlet::current().throw(Oops("boomerang"))), Oops("boomerang"));
}

#[test]
fn an_error_thrown_into_main_comes_out_of_the_switch_that_main_waits_in() {
    let child = new_greenlet(|_| Greenlet::main().throw(Oops("upwards")));
    assert_eq!(as_oops(child.switch(nothing())), Oops("upwards"));
    assert_eq!(child.state(), State::Suspended);
}

#[test]
fn a_panic_reaches_the_parent_with_its_payload() {
    let log = Log::default();
    let held = OnDrop(log.clone(), "unwound");
    let greenlet = new_greenlet(move |_| {
        let _held = held;
        resume_unwind(Box::new(17_u64));
    });
    let Thrown::Panic(payload) = greenlet.switch(nothing()).unwrap_err() else { panic!("a panic") };
    assert_eq!(*payload.downcast::<u64>().unwrap(), 17);
    assert_eq!(log.take(), ["unwound"]);
    assert!(greenlet.is_dead());
    assert_eq!(as_int(new_greenlet(Ok).switch(int(5))), 5, "the thread still works");
}

#[test]
fn a_panic_goes_up_the_parents_like_an_error_and_can_be_resumed_as_a_panic() {
    let outer = new_greenlet(|_| new_greenlet(|_| panic!("at the bottom, {}", pid())).switch(nothing()));
    let thrown = outer.switch(nothing()).unwrap_err();
    assert_eq!(thrown.to_string(), format!("panicked: at the bottom, {}", pid()));
    let payload = catch_unwind(AssertUnwindSafe(|| thrown.resume_panic())).unwrap_err();
    assert!(payload.downcast::<String>().unwrap().starts_with("at the bottom"));
    assert_eq!(Thrown::from(Oops("no panic")).resume_panic().to_string(), "no panic");
}

#[test]
fn panics_are_caught_on_the_stack_they_happened_on() {
    // Row 10: each of ten greenlets switches away inside catch_unwind, and panics there when it is resumed.
    let greenlets: Vec<_> = (0..10)
        .map(|i| {
            new_greenlet(move |_| {
                let caught = catch_unwind(|| {
                    pause().unwrap();
                    resume_unwind(Box::new(i))
                });
                Ok(int(*caught.map(|never: ()| never).unwrap_err().downcast::<i32>().unwrap()))
            })
        })
        .collect();
    for greenlet in &greenlets {
        greenlet.switch(nothing()).unwrap();
    }
    for (i, greenlet) in greenlets.iter().enumerate() {
        assert_eq!(as_int(greenlet.switch(nothing())), i as i32);
    }
}

#[test]
fn a_greenlet_may_switch_while_it_unwinds() {
    struct SwitchesOnDrop;
    impl Drop for SwitchesOnDrop {
        fn drop(&mut self) {
            pause().unwrap();
        }
    }
    let greenlet = new_greenlet(|_| {
        let _late = SwitchesOnDrop;
        resume_unwind(Box::new("torn"))
    });
    greenlet.switch(nothing()).unwrap();
    assert_eq!(greenlet.state(), State::Suspended, "in the middle of its panic");
    let other = new_greenlet(|_| resume_unwind(Box::new("other")));
    assert_eq!(other.switch(nothing()).unwrap_err().to_string(), "panicked: other");
    assert_eq!(greenlet.switch(nothing()).unwrap_err().to_string(), "panicked: torn");
}

#[test]
fn kill_returns_when_the_greenlet_is_dead() {
    let log = Log::default();
    let held = OnDrop(log.clone(), "cleaned up");
    let greenlet = new_greenlet(move |_| {
        let _held = held;
        pause()
    });
    greenlet.switch(nothing()).unwrap();
    greenlet.kill().unwrap();
    assert_eq!(log.take(), ["cleaned up"]);
    assert!(greenlet.is_dead());
    greenlet.kill().unwrap();

    let unstarted = new_greenlet(Ok);
    unstarted.kill().unwrap();
    assert!(unstarted.is_dead());
}

#[test]
fn kill_comes_back_to_the_killer_and_not_to_the_parent() {
    // Row 63.
    let hub = new_greenlet(|_| pause());
    hub.switch(nothing()).unwrap();
    let log = Log::default();
    let seen = log.clone();
    let victim = Greenlet::builder()
        .parent(&hub)
        .build_here(move |_| {
            let exit = pause().unwrap_err();
            seen.push(Greenlet::current().parent().unwrap().name());
            Err(exit)
        })
        .unwrap();
    victim.switch(nothing()).unwrap();
    let target = victim.clone();
    let killer = Greenlet::builder().name("killer").build_here(move |_| {
        target.kill()?;
        Ok(int(1))
    });
    assert_eq!(as_int(killer.unwrap().switch(nothing())), 1);
    assert_eq!(log.take(), ["killer"]);
    assert_eq!(victim.parent(), Some(hub.clone()), "as before");
    assert_eq!(hub.state(), State::Suspended, "it did not run");
}

#[test]
fn a_greenlet_that_refuses_to_die_is_an_error_and_keeps_its_parent() {
    let stubborn = Greenlet::builder()
        .name("mule")
        .build_here(|_| {
            pause().unwrap_err();
            pause()
        })
        .unwrap();
    stubborn.switch(nothing()).unwrap();
    let thrown = stubborn.kill().unwrap_err();
    assert_eq!(thrown.code(), Some("ERR_GREENLET_KILL_REFUSED"));
    assert!(thrown.to_string().contains("'mule'"), "{thrown}");
    assert_eq!(stubborn.state(), State::Suspended);
    assert_eq!(stubborn.parent(), Some(Greenlet::main()));
    stubborn.kill().unwrap();
}

#[test]
fn kill_throws_the_error_that_the_victim_ended_with() {
    let greenlet = new_greenlet(|_| {
        pause().unwrap_err();
        Err(Oops("in the clean-up").into())
    });
    greenlet.switch(nothing()).unwrap();
    assert_eq!(greenlet.kill().unwrap_err().downcast::<Oops>().unwrap(), Oops("in the clean-up"));
    assert!(greenlet.is_dead());
}

#[test]
fn killing_the_current_greenlet_is_an_exit_to_pass_on_and_main_cannot_be_killed() {
    let suicidal = new_greenlet(|_| {
        Greenlet::current().kill()?;
        unreachable!("the exit is passed on")
    });
    assert_eq!(as_exit(suicidal.switch(nothing())), "the greenlet was told to end");
    assert_eq!(code(Greenlet::main().kill()), "ERR_GREENLET_MAIN");
    let regicide = new_greenlet(|_| {
        assert_eq!(code(Greenlet::main().kill()), "ERR_GREENLET_MAIN");
        Ok(nothing())
    });
    regicide.switch(nothing()).unwrap();
}

#[test]
fn a_child_may_kill_its_parent() {
    let child_of = |parent: Greenlet| {
        Greenlet::builder().parent(&parent.clone()).build_here(move |_| {
            parent.kill()?;
            assert!(parent.is_dead());
            Ok(int(9))
        })
    };
    let parent = new_greenlet(|_| pause());
    parent.switch(nothing()).unwrap();
    // The result of the child then goes past the dead parent, to main.
    assert_eq!(as_int(child_of(parent.clone()).unwrap().switch(nothing())), 9);
}

#[test]
fn two_killers_of_one_victim_each_get_an_answer() {
    let log = Log::default();
    let (first_log, second_log, victim_log) = (log.clone(), log.clone(), log.clone());
    let victim = Greenlet::builder().name("victim").build_here(move |_| {
        // It answers the first exit by switching to main, which starts the second killer.
        let first = pause().unwrap_err();
        pause().unwrap_err();
        victim_log.push(format_args!("victim dies under {}", Greenlet::current().parent().unwrap().name()));
        Err(first)
    });
    let victim = victim.unwrap();
    victim.switch(nothing()).unwrap();
    let killer = |name: &'static str, log: Log, victim: Greenlet| {
        let body = move |_| {
            let result = victim.kill();
            log.push(format_args!("{name}: {:?}", result.map_err(|thrown| thrown.code().map(String::from))));
            Ok(nothing())
        };
        Greenlet::builder().name(name).build_here(body).unwrap()
    };
    let first = killer("first", first_log, victim.clone());
    let second = killer("second", second_log, victim.clone());
    first.switch(nothing()).unwrap();
    assert_eq!((victim.state(), first.state()), (State::Suspended, State::Suspended));
    second.switch(nothing()).unwrap();
    first.switch(nothing()).unwrap();
    assert_eq!(log.take(), ["victim dies under second", "second: Ok(())", "first: Ok(())"]);
}

#[test]
fn a_parent_that_is_set_during_a_kill_gets_the_result() {
    let heir = new_greenlet(|_| {
        let exit = pause()?;
        Ok(Box::new(unpack::<GreenletExit>(exit)?.to_string()))
    });
    heir.switch(nothing()).unwrap();
    let chosen = heir.clone();
    let victim = new_greenlet(move |_| {
        let exit = pause().unwrap_err();
        Greenlet::current().set_parent(&chosen)?;
        Err(exit)
    });
    victim.switch(nothing()).unwrap();
    // The heir gets the exit and ends; its own parent is main, which still waits for the killer.
    let killer = new_greenlet(move |_| victim.kill().map(|()| nothing()));
    let told = unpack::<String>(killer.switch(nothing()).unwrap()).unwrap();
    assert_eq!(told, "the greenlet was told to end");
    assert!(heir.is_dead());
    assert_eq!(killer.state(), State::Suspended);
}

#[test]
#[cfg_attr(miri, ignore = "what is made after a thread's greenlets have ended is leaked")]
fn an_error_that_cannot_be_delivered_comes_back() {
    struct Keeper(RefCell<Option<(Greenlet, mpsc::Sender<Oops>)>>);
    impl Drop for Keeper {
        fn drop(&mut self) {
            let (greenlet, sender) = self.0.take().unwrap();
            let refused = greenlet.throw(Oops("precious")).unwrap_err().downcast::<Error>().unwrap();
            assert_eq!(refused.code(), "ERR_GREENLET_WRONG_THREAD");
            let thrown = refused.into_parcel().expect("this is the thread of the parcel").unwrap_err();
            sender.send(thrown.downcast().unwrap()).unwrap();
        }
    }
    thread_local! {
        static KEEPER: Keeper = const { Keeper(RefCell::new(None)) };
    }
    let (sender, receiver) = mpsc::channel();
    on_a_thread(|| {
        // Before the first greenlet, so that it goes after the thread's greenlets have been ended.
        KEEPER.with(|_| ());
        let greenlet = new_greenlet(Ok);
        KEEPER.with(|keeper| *keeper.0.borrow_mut() = Some((greenlet, sender)));
    });
    assert_eq!(receiver.recv(), Ok(Oops("precious")));
}

#[test]
fn an_error_of_a_greenlet_leaves_by_the_question_mark() {
    fn boxed() -> Result<(), Box<dyn StdError>> {
        new_greenlet(|_| Err(Oops("out").into())).switch(nothing())?;
        Ok(())
    }
    fn boxed_for_all_threads() -> Result<(), Box<dyn StdError + Send + Sync>> {
        new_greenlet(|_| panic!("out too")).switch(nothing())?;
        Ok(())
    }
    assert!(boxed().unwrap_err().is::<Oops>());
    let error = boxed_for_all_threads().unwrap_err();
    assert_eq!(error.to_string(), "panicked: out too");
    assert!(matches!(error.downcast::<ThrownError>().unwrap().into_thrown(), Ok(Thrown::Panic(_))));
}

#[cfg(feature = "anyhow")]
#[test]
fn an_error_of_a_greenlet_leaves_by_the_question_mark_as_an_anyhow_error_and_comes_back() {
    fn anyhow() -> anyhow::Result<()> {
        Greenlet::main().set_parent(&Greenlet::main())?;
        Ok(())
    }
    fn thrown() -> anyhow::Result<()> {
        new_greenlet(|_| Err(Oops("out").into())).switch(nothing())?;
        Ok(())
    }
    assert!(anyhow().unwrap_err().is::<Error>());
    assert_eq!(Thrown::from_anyhow(thrown().unwrap_err()).downcast::<Oops>().unwrap(), Oops("out"));
}
