//! Switches between live greenlets, and the way of their results. Row numbers are those of `__test__/conformance/rows.ts`.

mod common;

use std::cell::Cell;
use std::rc::Rc;

use common::{BuildHere, Log, Outcome, as_int, int, new_greenlet, nothing, on_a_thread, pause, times};
use greenlets_core::{Frame, Greenlet, State, Value, View, unpack};

#[test]
fn a_greenlet_runs_when_it_is_switched_to_and_waits_where_it_switched_away() {
    // Row 40.
    let log = Log::default();
    let inside = log.clone();
    let greenlet = new_greenlet(move |_| {
        inside.push(1);
        pause()?;
        inside.push(3);
        Ok(nothing())
    });
    log.push(0);
    greenlet.switch(nothing()).unwrap();
    log.push(2);
    greenlet.switch(nothing()).unwrap();
    log.push(4);
    assert_eq!(log.take(), ["0", "1", "2", "3", "4"]);
    assert!(greenlet.is_dead());
}

#[test]
fn values_go_both_ways_and_the_last_one_is_the_result_of_the_function() {
    let greenlet = new_greenlet(|value| {
        let mut sum = unpack::<i32>(value)?;
        for _ in 0..3 {
            sum += as_int(Greenlet::main().switch(int(sum)));
        }
        Ok(int(-sum))
    });
    let got: Vec<_> = [1, 10, 100, 1000].map(|number| as_int(greenlet.switch(int(number)))).into();
    assert_eq!(got, [1, 11, 111, -1111]);
}

#[test]
fn a_value_arrives_as_the_same_object() {
    let value: Value = Box::new(String::from("itself"));
    let address = &raw const *value as *const ();
    let echo = new_greenlet(|value| {
        let value = Greenlet::main().switch(value)?;
        Ok(value)
    });
    let value = echo.switch(value).unwrap();
    let value = echo.switch(value).unwrap();
    assert_eq!(&raw const *value as *const (), address);
}

#[test]
fn a_ring_of_greenlets_needs_no_switch_to_main() {
    const SIZE: usize = 10;
    let log = Log::default();
    let ring: Rc<Vec<std::cell::OnceCell<Greenlet>>> =
        Rc::new((0..SIZE).map(|_| Default::default()).collect());
    for (i, place) in ring.iter().enumerate() {
        let (log, ring) = (log.clone(), Rc::downgrade(&ring));
        let greenlet = new_greenlet(move |mut value| {
            loop {
                let hops = unpack::<i32>(value)?;
                log.push(i);
                if hops == 0 {
                    return Ok(int(i as i32));
                }
                // The reference to the ring is weak: otherwise the ring would keep itself alive.
                let next = ring.upgrade().unwrap()[(i + 1) % SIZE].get().unwrap().clone();
                value = next.switch(int(hops - 1))?;
            }
        });
        place.set(greenlet).unwrap();
    }
    assert_eq!(as_int(ring[0].get().unwrap().switch(int(35))), 5, "35 hops from 0");
    let expected: Vec<_> = (0..36).map(|hop| (hop % SIZE).to_string()).collect();
    assert_eq!(log.take(), expected);
    let suspended = ring.iter().filter(|place| place.get().unwrap().state() == State::Suspended).count();
    assert_eq!(suspended, SIZE - 1);
    for place in ring.iter() {
        place.get().unwrap().kill().unwrap();
    }
}

#[test]
fn two_children_take_turns() {
    // Row 45.
    let log = Log::default();
    let child = |name: &'static str| {
        let log = log.clone();
        new_greenlet(move |_| {
            for turn in 0..3 {
                log.push(format_args!("{name}{turn}"));
                pause()?;
            }
            Ok(nothing())
        })
    };
    let (g, h) = (child("g"), child("h"));
    for _ in 0..3 {
        g.switch(nothing()).unwrap();
        h.switch(nothing()).unwrap();
    }
    assert_eq!(log.take(), ["g0", "h0", "g1", "h1", "g2", "h2"]);
    g.switch(nothing()).unwrap();
    h.switch(nothing()).unwrap();
    assert!(g.is_dead() && h.is_dead());
}

#[test]
fn a_greenlet_made_inside_a_greenlet_ends_there() {
    // Row 46.
    let log = Log::default();
    let inside = log.clone();
    let g = new_greenlet(move |_| {
        let innermost = inside.clone();
        let h = new_greenlet(move |_| {
            innermost.push("b");
            Ok(int(5))
        });
        assert_eq!(h.parent(), Some(Greenlet::current()));
        inside.push("a");
        let five = as_int(h.switch(nothing()));
        inside.push("c");
        Ok(int(five + 1))
    });
    assert_eq!(as_int(g.switch(nothing())), 6);
    assert_eq!(log.take(), ["a", "b", "c"]);
}

#[test]
fn greenlets_nest_as_deep_as_there_are_slots() {
    fn descend(depth: i32) -> Outcome {
        if depth == 0 {
            return pause();
        }
        let child = new_greenlet(move |_| descend(depth - 1));
        Ok(int(as_int(child.switch(nothing())) + 1))
    }
    const DEPTH: i32 = times(499, 20) as i32;
    let top = new_greenlet(|_| descend(DEPTH));
    top.switch(nothing()).unwrap();
    // The innermost greenlet switched to main, so it gets the value. (The outermost would take it for the result of its child.)
    let innermost = Greenlet::all().pop().unwrap();
    assert_eq!(as_int(innermost.switch(int(0))), DEPTH);
    assert!(top.is_dead());
}

#[test]
fn a_switch_to_the_current_greenlet_gives_the_value_back() {
    assert_eq!(as_int(Greenlet::current().switch(int(5))), 5);
    let greenlet = new_greenlet(|_| Greenlet::current().switch(int(6)));
    assert_eq!(as_int(greenlet.switch(nothing())), 6);
}

#[test]
fn switching_to_a_dead_greenlet_gives_the_value_to_its_parent() {
    // Row 49.
    let greenlet = new_greenlet(Ok);
    greenlet.switch(nothing()).unwrap();
    assert!(greenlet.is_dead());
    assert_eq!(as_int(greenlet.switch(int(25))), 25);

    let parent = new_greenlet(|_| {
        let got = as_int(pause());
        Ok(int(got * 2))
    });
    parent.switch(nothing()).unwrap();
    greenlet.set_parent(&parent).unwrap();
    assert_eq!(as_int(greenlet.switch(int(21))), 42);
    assert!(parent.is_dead());
    assert_eq!(as_int(greenlet.switch(int(1))), 1, "through two dead ones");
}

#[test]
fn a_result_goes_through_dead_parents() {
    let dead = new_greenlet(Ok);
    let child = Greenlet::builder().parent(&dead).build_here(|_| Ok(int(7))).unwrap();
    dead.switch(nothing()).unwrap();
    assert_eq!(as_int(child.switch(nothing())), 7);
}

#[test]
fn a_result_starts_an_unstarted_parent() {
    // Rows 76, 77.
    let parent = new_greenlet(|value| Ok(Box::new((unpack::<i32>(value)?, 24))));
    let child = Greenlet::builder().parent(&parent).build_here(|_| Ok(int(42))).unwrap();
    let result = unpack::<(i32, i32)>(child.switch(nothing()).unwrap()).unwrap();
    assert_eq!(result, (42, 24));
    assert!(parent.is_dead() && child.is_dead());
}

#[test]
fn a_dead_greenlet_with_a_new_unstarted_parent_starts_it() {
    // Row 79.
    let log = Log::default();
    let child = new_greenlet(Ok);
    child.switch(nothing()).unwrap();
    let inside = log.clone();
    let parent = new_greenlet(move |value| {
        inside.push(unpack::<i32>(value)?);
        Ok(int(24))
    });
    child.set_parent(&parent).unwrap();
    assert_eq!(as_int(child.switch(int(42))), 24);
    assert_eq!(log.take(), ["42"]);
    assert_eq!(as_int(child.switch(int(43))), 43, "it runs once");
}

#[test]
fn a_generator_is_a_greenlet_that_switches_to_its_parent() {
    // Row 34.
    let numbers = new_greenlet(|_| {
        for number in 0..5 {
            for _ in 0..2 {
                Greenlet::switch_to_parent(Box::new(Some(number)))?;
            }
        }
        Ok(Box::new(None::<i32>))
    });
    let next = || unpack::<Option<i32>>(numbers.switch(nothing()).unwrap()).unwrap();
    let seen: Vec<_> = std::iter::from_fn(next).collect();
    assert_eq!(seen, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
}

#[test]
fn a_switch_crosses_any_native_frames() {
    // Rows 81, 83: two sorts at once, each suspended inside its comparator.
    let sorter = |input: &'static [i32]| {
        new_greenlet(move |_| {
            let mut list = input.to_vec();
            list.sort_by(|a, b| {
                pause().unwrap();
                a.cmp(b)
            });
            Ok(Box::new(list))
        })
    };
    let (up, down) = (sorter(&[1, 2, 3, 4, 5, 6, 7, 8]), sorter(&[3, 1, 4, 1, 5, 9, 2, 6]));
    let mut sorted = Vec::new();
    while sorted.len() < 2 {
        for greenlet in [&up, &down].into_iter().filter(|greenlet| !greenlet.is_dead()) {
            sorted.extend(unpack::<Vec<i32>>(greenlet.switch(nothing()).unwrap()));
        }
    }
    sorted.sort();
    assert_eq!(sorted, [[1, 1, 2, 3, 4, 5, 6, 9], [1, 2, 3, 4, 5, 6, 7, 8]]);
}

#[test]
fn states_and_the_current_greenlet_follow_the_switches() {
    // Rows 54, 94 to 98.
    let main = Greenlet::main();
    assert_eq!(Greenlet::current(), main);
    assert_eq!(main.state(), State::Running);
    assert_eq!(main.parent(), None);
    let seen = Rc::new(Cell::new(None));
    let inside = seen.clone();
    let greenlet = Greenlet::builder()
        .name("seer")
        .build_here(move |_| {
            let (me, main) = (Greenlet::current(), Greenlet::main());
            inside.set(Some((me.name().into_owned(), me.state(), main.state())));
            main.switch(nothing())
        })
        .unwrap();
    assert_eq!(greenlet.state(), State::Unstarted);
    assert_eq!(format!("{greenlet:?}"), r#"Greenlet { name: "seer", state: Unstarted }"#);
    greenlet.switch(nothing()).unwrap();
    assert_eq!(seen.take(), Some(("seer".into(), State::Running, State::Suspended)));
    assert_eq!((greenlet.state(), main.state()), (State::Suspended, State::Running));
    greenlet.switch(nothing()).unwrap();
    assert_eq!(greenlet.state(), State::Dead);
    assert_eq!(format!("{greenlet:?}"), r#"Greenlet { name: "seer", state: Dead }"#);
}

#[test]
fn unnamed_greenlets_are_numbered_and_all_lists_those_that_are_not_dead_by_age() {
    on_a_thread(|| {
        let names = || Greenlet::all().iter().map(|it| it.name().into_owned()).collect::<Vec<_>>();
        assert_eq!(names(), ["main"]);
        let first = new_greenlet(Ok);
        let second = new_greenlet(|_| pause());
        assert_eq!(names(), ["main", "greenlet-1", "greenlet-2"]);
        second.switch(nothing()).unwrap();
        first.switch(nothing()).unwrap();
        assert_eq!(names(), ["main", "greenlet-2"], "dead greenlets are not in the list");
        drop(second);
        assert_eq!(names(), ["main"], "the list does not keep them alive");
    });
}

#[test]
fn parents_may_form_no_cycle_and_main_gets_no_parent() {
    // Rows 89, 91 to 93.
    let [a, b, c] = ["a", "b", "c"].map(|name| Greenlet::builder().name(name).build_here(Ok).unwrap());
    a.set_parent(&b).unwrap();
    b.set_parent(&c).unwrap();
    for (child, parent) in [(&a, &a), (&c, &b), (&c, &a)] {
        let error = child.set_parent(parent).unwrap_err();
        assert_eq!(error.code(), "ERR_GREENLET_PARENT_CYCLE");
        assert!(error.to_string().contains(&format!("'{}'", child.name())), "{error}");
    }
    let error = Greenlet::main().set_parent(&a).unwrap_err();
    assert_eq!(error.code(), "ERR_GREENLET_MAIN");
    assert_eq!((a.parent(), c.parent()), (Some(b), Some(Greenlet::main())));
}

#[test]
fn two_threads_run_greenlets_at_once() {
    // Row 47.
    const GREENLETS: i32 = times(50, 4) as i32;
    const TURNS: i32 = times(100, 10) as i32;
    let counts: Vec<i32> = std::thread::scope(|scope| {
        let run = || {
            let greenlets: Vec<_> = (0..GREENLETS)
                .map(|i| {
                    new_greenlet(move |_| {
                        let mut sum = i;
                        for _ in 0..TURNS {
                            sum += as_int(pause());
                        }
                        Ok(int(sum))
                    })
                })
                .collect();
            let mut total = 0;
            for _ in 0..=TURNS {
                for greenlet in &greenlets {
                    let value = greenlet.switch(int(1)).unwrap();
                    total += unpack::<i32>(value).unwrap_or(0);
                }
            }
            total
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // Each greenlet starts at its number, 0, 1, 2..., and adds one each turn.
    assert_eq!(counts, [GREENLETS * (GREENLETS - 1) / 2 + GREENLETS * TURNS; 4]);
}

#[test]
fn a_greenlet_smuggled_to_another_thread_is_refused_there() {
    // Rows 58, 84.
    struct Smuggled<'a>(&'a Greenlet, &'a View<Vec<Frame>>);
    // SAFETY: there is none in general. Here the owner waits for the other thread, so the two never use them at the same time.
    unsafe impl Send for Smuggled<'_> {}

    let greenlet = Greenlet::builder().name("foreigner").build_here(|_| pause()).unwrap();
    greenlet.switch(nothing()).unwrap();
    let stack = greenlet.stack().unwrap();
    assert!(stack.is_valid());
    let smuggled = Smuggled(&greenlet, &stack);
    on_a_thread(move || {
        let Smuggled(foreigner, stack) = { smuggled };
        // A greenlet with the same id in this thread's table, suspended in the same epoch.
        let native = new_greenlet(|_| pause());
        native.switch(nothing()).unwrap();
        assert!(!stack.is_valid());
        assert_eq!(common::code(stack.get()), "ERR_GREENLET_STALE_FRAME");
        assert!(foreigner.is_dead(), "on this thread it cannot be switched to");
        let error = foreigner.switch(int(5)).unwrap_err().downcast::<greenlets_core::Error>().unwrap();
        assert_eq!(error.code(), "ERR_GREENLET_WRONG_THREAD");
        assert!(error.to_string().contains("'foreigner'"), "{error}");
        assert_eq!(unpack::<i32>(error.into_value().unwrap()).unwrap(), 5);
        assert_eq!(common::code(foreigner.kill()), "ERR_GREENLET_WRONG_THREAD");
        assert_eq!(common::code(new_greenlet(Ok).set_parent(foreigner)), "ERR_GREENLET_WRONG_THREAD");
        let child = Greenlet::builder().parent(foreigner).build_here(Ok);
        assert_eq!(common::code(child), "ERR_GREENLET_WRONG_THREAD");
        assert!(foreigner.stack().is_none());
    });
    assert_eq!(as_int(greenlet.switch(int(5))), 5, "nothing has changed for it");
}
