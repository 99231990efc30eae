//! Reading the frames of suspended greenlets. Row numbers are those of `__test__/conformance/rows.ts`.

mod common;

use common::{BuildHere, Log, Outcome, as_int, code, int, new_greenlet, nothing, on_a_thread, pause, times};
use greenlets_core::{Error, Frame, Greenlet, Thrown, frame};

fn inner() -> Outcome {
    frame!("inner");
    pause()
}

fn outer() -> Outcome {
    frame!("outer");
    inner()
}

fn seed() -> Greenlet {
    let greenlet = Greenlet::builder().name("seed").build_here(|_| outer()).unwrap();
    greenlet.switch(nothing()).unwrap();
    greenlet
}

fn names(greenlet: &Greenlet) -> Vec<&'static str> {
    greenlet.stack().unwrap().get().unwrap().iter().map(|frame| frame.name).collect()
}

#[test]
fn the_whole_stack_of_a_suspended_greenlet_can_be_read() {
    // Row 80: the test of #388. Other greenlets run on their stacks in between.
    let greenlet = seed();
    for _ in 0..3 {
        new_greenlet(|_| outer()).switch(nothing()).unwrap();
    }
    assert_eq!(names(&greenlet), ["inner", "outer"]);
    let stack = greenlet.stack().unwrap();
    let frames = stack.get().unwrap();
    assert!(frames.iter().all(|frame| frame.file.ends_with("frames.rs")));
    assert!(frames[0].line < frames[1].line, "inner is defined above outer in this file");
    assert_eq!(greenlet.frame().unwrap().get().unwrap(), &frames[0]);
}

#[test]
fn reading_a_stack_changes_nothing_and_can_be_repeated() {
    let greenlet = seed();
    let first = greenlet.stack().unwrap();
    for _ in 0..100 {
        assert_eq!(greenlet.stack().unwrap().get().unwrap(), first.get().unwrap());
    }
    assert!(first.is_valid());
    assert_eq!(as_int(greenlet.switch(int(5))), 5);
}

#[test]
fn each_greenlet_has_the_frames_of_its_own_depth() {
    // Row 81.
    fn descend(depth: usize) -> Outcome {
        frame!("level");
        if depth == 0 { pause() } else { descend(depth - 1) }
    }
    let greenlets: Vec<_> = (0..times(50, 8))
        .map(|depth| {
            let greenlet = new_greenlet(move |_| descend(depth));
            greenlet.switch(nothing()).unwrap();
            greenlet
        })
        .collect();
    for (depth, greenlet) in greenlets.iter().enumerate() {
        assert_eq!(names(greenlet), vec!["level"; depth + 1]);
    }
}

#[test]
fn a_greenlet_without_frames_has_an_empty_stack_and_no_frame() {
    let greenlet = new_greenlet(|_| pause());
    greenlet.switch(nothing()).unwrap();
    assert!(greenlet.stack().unwrap().get().unwrap().is_empty());
    assert!(greenlet.frame().is_none());
}

#[test]
fn only_a_suspended_greenlet_has_a_stack_to_show() {
    // Row 54.
    let greenlet = new_greenlet(|_| {
        frame!("runs");
        assert!(Greenlet::current().stack().is_none());
        assert!(Greenlet::current().frame().is_none());
        pause()
    });
    assert!(greenlet.stack().is_none(), "unstarted");
    greenlet.switch(nothing()).unwrap();
    assert_eq!(names(&greenlet), ["runs"]);
    greenlet.switch(nothing()).unwrap();
    assert!(greenlet.stack().is_none(), "dead");
    assert!(Greenlet::main().stack().is_none(), "main runs");
}

#[test]
fn main_can_be_read_from_a_greenlet() {
    frame!("on main");
    let greenlet = new_greenlet(|_| {
        frame!("in the greenlet");
        assert_eq!(names(&Greenlet::main()), ["on main"]);
        Ok(nothing())
    });
    greenlet.switch(nothing()).unwrap();
    let greenlet = new_greenlet(|_| {
        let top = Greenlet::main().frame().unwrap();
        Ok(Box::new(*top.get()?))
    });
    let top = greenlet.switch(nothing()).unwrap().downcast::<Frame>().unwrap();
    assert_eq!(top.name, "on main");
}

#[test]
fn a_view_is_stale_once_the_greenlet_was_resumed() {
    let greenlet = Greenlet::builder().name("seed").build_here(|_| {
        outer()?;
        outer()
    });
    let greenlet = greenlet.unwrap();
    greenlet.switch(nothing()).unwrap();
    let (stack, frame) = (greenlet.stack().unwrap(), greenlet.frame().unwrap());
    let kept = stack.clone().detach();
    greenlet.switch(nothing()).unwrap();
    assert!(!stack.is_valid() && !frame.is_valid());
    assert_eq!(code(stack.get()), "ERR_GREENLET_STALE_FRAME");
    let error = frame.get().unwrap_err();
    let expected = format!(
        "greenlet 'seed' was resumed; this snapshot is of epoch {}, it is now at {}; use detach() to keep one",
        stack.epoch(),
        stack.epoch() + 1,
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(kept[0].name, "inner", "a detached copy stays");
    assert_eq!(
        names(&greenlet),
        ["inner", "outer"],
        "it is suspended at the same place again, but in another epoch"
    );
    assert_eq!(stack.detach(), kept, "a stale view can be detached too");
}

#[test]
fn a_view_is_stale_once_the_greenlet_has_ended() {
    let greenlet = seed();
    let stack = greenlet.stack().unwrap();
    greenlet.switch(nothing()).unwrap();
    let error = stack.get().unwrap_err();
    assert!(matches!(error, Error::StaleFrame { now: None, .. }), "{error:?}");
    assert!(error.to_string().starts_with("greenlet 'seed' has ended"), "{error}");
    // The next greenlet has the same slot, and the same place in the table.
    let next = seed();
    assert!(!stack.is_valid());
    drop(next);
}

#[test]
fn a_throw_makes_views_stale_as_a_switch_does() {
    let greenlet = new_greenlet(|_| {
        let _ = outer();
        outer()
    });
    greenlet.switch(nothing()).unwrap();
    let stack = greenlet.stack().unwrap();
    greenlet.throw(Thrown::error("wake up")).unwrap();
    assert!(!stack.is_valid());
}

#[test]
fn a_view_does_not_keep_its_greenlet_alive() {
    let greenlet = seed();
    let stack = greenlet.stack().unwrap();
    drop(greenlet);
    assert!(!stack.is_valid());
    assert_eq!(Greenlet::all(), [Greenlet::main()]);
}

#[test]
fn a_frame_that_has_ended_is_not_seen() {
    let log = Log::default();
    let greenlet = new_greenlet(|_| {
        frame!("first");
        {
            frame!("gone");
        }
        frame!("second");
        pause()
    });
    greenlet.switch(nothing()).unwrap();
    log.push(names(&greenlet).join(" "));
    assert_eq!(log.take(), ["second first"]);
}

#[test]
fn frames_belong_to_the_stack_they_are_on_across_switches_in_any_order() {
    on_a_thread(|| {
        frame!("main");
        let make = |name: &'static str| {
            Greenlet::builder()
                .name(name)
                .build_here(|_| {
                    for _ in 0..3 {
                        outer()?;
                        frame!("between");
                        pause()?;
                    }
                    Ok(nothing())
                })
                .unwrap()
        };
        let (a, b) = (make("a"), make("b"));
        // a is always one step ahead.
        a.switch(nothing()).unwrap();
        for _ in 0..2 {
            assert_eq!(names(&a), ["inner", "outer"]);
            a.switch(nothing()).unwrap();
            b.switch(nothing()).unwrap();
            assert_eq!((names(&a), names(&b)), (vec!["between"], vec!["inner", "outer"]));
            a.switch(nothing()).unwrap();
            b.switch(nothing()).unwrap();
            assert_eq!((names(&a), names(&b)), (vec!["inner", "outer"], vec!["between"]));
        }
        let probe = new_greenlet(|_| {
            assert_eq!(names(&Greenlet::main()), ["main"]);
            Ok(nothing())
        });
        probe.switch(nothing()).unwrap();
    });
}
