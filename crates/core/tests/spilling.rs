//! More greenlets than slots: a stack is copied to the heap while another one needs its slot, and no greenlet notices. Not under
//! Miri, where a stack is that of a thread and cannot be copied.
#![cfg(not(miri))]

mod common;

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{
    BuildHere, Log, OnDrop, Oops, as_exit, as_int, as_oops, code, in_a_process, int, new_greenlet, nothing,
    on_a_thread, pause, signal, stdout,
};
use greenlets_core::raw::{Body, Id, Next, NullHost, StackBounds, SwitchError, Thread};
use greenlets_core::{
    Error, Greenlet, GreenletExit, Options, Spilling, State, Thrown, Vacated, Value, configure, frame,
    kill_all, unpack,
};

const ALL_WAYS: [Vacated; 3] = [Vacated::Kept, Vacated::Filled, Vacated::Protected];

fn shared(slots: u32, vacated: Vacated) -> Options {
    let options = Options::slots(slots).vacated(vacated);
    // SAFETY: these tests use nothing on the stack of a suspended greenlet from elsewhere.
    unsafe { options.spilling(Spilling::WhenNeeded) }
}

/// Runs `test` with few slots, in each way of treating vacated memory, and with every stack spilled at every switch.
fn with_few_slots(test: impl Fn() + Copy + Send + Sync) {
    for vacated in ALL_WAYS {
        for slots in 1..=3 {
            on_a_thread(move || {
                configure(shared(slots, vacated)).unwrap();
                test();
            });
        }
        on_a_thread(move || {
            // SAFETY: these tests use nothing on the stack of a suspended greenlet from elsewhere.
            configure(unsafe { shared(4, vacated).spilling(Spilling::Always) }).unwrap();
            test();
        });
    }
}

fn names(greenlet: &Greenlet) -> Vec<&'static str> {
    greenlet.stack().map_or_else(Vec::new, |stack| stack.detach().iter().map(|frame| frame.name).collect())
}

/// Waits under `depth` frames, each of which checks its contents afterwards, and returns what it was sent.
fn descend(depth: i32) -> Result<Value, Thrown> {
    frame!("descend");
    let own = black_box([depth; 16]);
    let address = own.as_ptr() as usize;
    let link = black_box(&own);
    let result = if depth == 0 { pause() } else { descend(depth - 1) };
    assert_eq!(link.as_ptr() as usize, address);
    assert!(black_box(&own).iter().all(|word| *word == depth));
    result
}

#[test]
fn any_number_of_greenlets_take_turns_in_few_slots() {
    with_few_slots(|| {
        let greenlets: Vec<_> = (0..20)
            .map(|depth| {
                new_greenlet(move |_| {
                    for round in 0.. {
                        if as_int(descend(depth)) == -1 {
                            return Ok(int(round));
                        }
                    }
                    unreachable!()
                })
            })
            .collect();
        for greenlet in &greenlets {
            greenlet.switch(nothing()).unwrap();
        }
        for round in 0..5 {
            for i in 0..greenlets.len() {
                greenlets[(i * 7 + round) % greenlets.len()].switch(int(0)).unwrap();
            }
        }
        for greenlet in &greenlets {
            assert_eq!(as_int(greenlet.switch(int(-1))), 5);
            assert!(greenlet.is_dead());
        }
    });
}

#[test]
fn the_frames_of_a_spilled_greenlet_are_read_from_its_copy() {
    with_few_slots(|| {
        let greenlets: Vec<_> = [0, 1, 5, 300]
            .map(|depth| {
                let greenlet = new_greenlet(move |_| {
                    frame!("outermost");
                    descend(depth)
                });
                greenlet.switch(nothing()).unwrap();
                (greenlet, depth as usize + 1)
            })
            .into();
        for _ in 0..2 {
            for (greenlet, frames) in &greenlets {
                let names = names(greenlet);
                assert_eq!(names.len(), frames + 1);
                assert_eq!((names[0], names[*frames]), ("descend", "outermost"));
                let first = greenlet.frame().unwrap();
                assert_eq!(first.get().unwrap().name, "descend");
            }
        }
        let views: Vec<_> = greenlets.iter().map(|(greenlet, _)| greenlet.stack().unwrap()).collect();
        greenlets[1].0.switch(int(1)).unwrap();
        assert_eq!(views.iter().map(|view| view.is_valid()).collect::<Vec<_>>(), [true, false, true, true]);
    });
}

#[test]
fn a_greenlet_starts_in_the_slot_of_its_parent() {
    /// A greenlet in a greenlet in a greenlet: each waits for the next one, which gives it one number and then its result.
    fn nest(depth: i32) -> i32 {
        let greenlet = new_greenlet(move |_| {
            frame!("nest");
            let own = black_box([depth; 8]);
            let below = if depth == 0 { 0 } else { nest(depth - 1) };
            assert_eq!(as_int(Greenlet::switch_to_parent(int(depth))), depth + 100);
            assert!(black_box(&own).iter().all(|word| *word == depth));
            Ok(int(below + 1))
        });
        assert_eq!(as_int(greenlet.switch(nothing())), depth);
        as_int(greenlet.switch(int(depth + 100)))
    }
    with_few_slots(|| assert_eq!(nest(30), 31));
}

#[test]
fn a_ring_of_greenlets_works_with_one_slot() {
    with_few_slots(|| {
        let ring: Rc<RefCell<Vec<Greenlet>>> = Rc::default();
        for i in 0..7 {
            let others = ring.clone();
            let member = new_greenlet(move |value| {
                let mut count = unpack::<i32>(value)?;
                while count < 100 {
                    let next = others.borrow()[(i + 1) % 7].clone();
                    count = unpack::<i32>(next.switch(int(count + 1))?)?;
                }
                Greenlet::main().switch(int(count))
            });
            ring.borrow_mut().push(member);
        }
        let first = ring.borrow()[0].clone();
        assert_eq!(as_int(first.switch(int(0))), 100);
        let members = ring.take();
        members.iter().for_each(|member| member.kill().unwrap());
    });
}

#[test]
fn an_error_thrown_into_a_spilled_greenlet_arrives_there() {
    with_few_slots(|| {
        let log = Log::default();
        let make = |name: &'static str| {
            let log = log.clone();
            let greenlet = new_greenlet(move |_| {
                let _held = OnDrop(log.clone(), name);
                descend(10)
            });
            greenlet.switch(nothing()).unwrap();
            greenlet
        };
        let [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(make);
        assert_eq!(as_oops(a.throw(Thrown::error(Oops("thrown")))), Oops("thrown"));
        assert_eq!(log.take(), ["a"]);
        b.kill().unwrap();
        assert_eq!((log.take(), b.is_dead()), (vec!["b".to_owned()], true));
        drop(c);
        assert_eq!(log.take(), ["c"], "its last handle");
        assert_eq!(as_int(d.switch(int(4))), 4);
        assert_eq!(log.take(), ["d"]);
        assert_eq!(as_exit(e.throw(GreenletExit::new("enough"))), "enough");
        assert_eq!(log.take(), ["e"]);
    });
}

#[test]
fn a_panic_goes_to_a_parent_in_the_same_slot() {
    with_few_slots(|| {
        let parent = new_greenlet(|_| {
            let child = new_greenlet(|_| std::panic::resume_unwind(Box::new(7_i32)));
            match child.switch(nothing()) {
                Err(Thrown::Panic(payload)) => Ok(int(*payload.downcast::<i32>().unwrap())),
                other => other,
            }
        });
        assert_eq!(as_int(parent.switch(nothing())), 7);
    });
}

#[test]
fn thousands_start_and_end_in_one_slot_while_others_are_spilled_from_it() {
    with_few_slots(|| {
        let waiting: Vec<_> = (0..5).map(|_| new_greenlet(|_| pause())).collect();
        waiting.iter().for_each(|greenlet| drop(greenlet.switch(nothing())));
        for i in 0..1000 {
            assert_eq!(as_int(new_greenlet(Ok).switch(int(i))), i);
        }
        for greenlet in waiting {
            assert_eq!(as_int(greenlet.switch(int(5))), 5);
        }
    });
}

#[test]
fn kill_all_ends_spilled_greenlets() {
    for vacated in ALL_WAYS {
        let ended = on_a_thread(move || {
            configure(shared(1, vacated)).unwrap();
            struct Counts(Arc<AtomicU32>);
            impl Drop for Counts {
                fn drop(&mut self) {
                    self.0.fetch_add(1, Ordering::Relaxed);
                }
            }
            let count = Arc::new(AtomicU32::new(0));
            for _ in 0..50 {
                let counts = Counts(count.clone());
                let greenlet = new_greenlet(move |_| {
                    let _counts = counts;
                    pause()
                });
                greenlet.switch(nothing()).unwrap();
                std::mem::forget(greenlet);
            }
            kill_all();
            count
        });
        assert_eq!(ended.load(Ordering::Relaxed), 50);
    }
}

#[test]
fn a_limit_on_greenlets_is_an_error_that_gives_the_value_back() {
    on_a_thread(|| {
        configure(shared(1, Vacated::Kept).max_greenlets(3)).unwrap();
        let waiting: Vec<_> = (0..3).map(|_| new_greenlet(|_| pause())).collect();
        waiting.iter().for_each(|greenlet| drop(greenlet.switch(nothing())));
        let late = Greenlet::builder().name("late").build_here(Ok).unwrap();
        for _ in 0..2 {
            let error = late.switch(Box::new("precious")).unwrap_err().downcast::<Error>().unwrap();
            assert_eq!(error.code(), "ERR_GREENLET_LIMIT");
            assert!(
                error.to_string().contains("'late' cannot start: 3 greenlets have started and not finished"),
                "{error}"
            );
            assert_eq!(unpack::<&str>(error.into_value().unwrap()).unwrap(), "precious");
            assert_eq!(late.state(), State::Unstarted);
        }
        waiting[1].kill().unwrap();
        assert_eq!(as_int(late.switch(int(1))), 1);
    });
}

#[test]
fn a_limit_on_memory_stops_only_greenlets_that_start() {
    on_a_thread(|| {
        configure(shared(1, Vacated::Kept).max_spilled(20_000)).unwrap();
        let greenlets: Vec<_> = (0..100).map(|_| new_greenlet(|_| descend(20))).collect();
        let started = greenlets.iter().take_while(|greenlet| greenlet.switch(nothing()).is_ok()).count();
        assert!((2..100).contains(&started), "{started}");
        assert_eq!(code(greenlets[started].switch(nothing())), "ERR_GREENLET_LIMIT");
        for greenlet in &greenlets[..started] {
            assert_eq!(as_int(greenlet.switch(int(1))), 1);
        }
        assert!(greenlets[started].switch(nothing()).is_ok());
    });
}

#[test]
fn without_spilling_each_slot_has_one_stack() {
    on_a_thread(|| {
        configure(Options::slots(1)).unwrap();
        let waiting = new_greenlet(|_| pause());
        waiting.switch(nothing()).unwrap();
        assert_eq!(code(new_greenlet(Ok).switch(nothing())), "ERR_GREENLET_NO_SLOT");
    });
}

// ---- the bare thread ----

fn bare(options: Options) -> Rc<Thread<NullHost>> {
    // SAFETY: these are the bounds of this thread's own stack, and nothing else switches stacks here.
    unsafe { Thread::new(NullHost, StackBounds::of_this_thread().unwrap(), options) }.unwrap()
}

/// Starts a stack that switches to main `times` times under `depth` frames.
fn start(thread: &Thread<NullHost>, times: u32, depth: u32) -> Id {
    fn wait(thread: &Thread<NullHost>, depth: u32) {
        frame!("wait");
        let own = black_box([depth; 16]);
        if depth == 0 {
            thread.switch(Next::Resume(thread.main())).unwrap();
        } else {
            wait(thread, depth - 1);
        }
        assert!(black_box(&own).iter().all(|word| *word == depth));
    }
    let told = Rc::new(Cell::new(None));
    let tell = told.clone();
    let body = Body::new(move |thread| {
        tell.set(Some(thread.current()));
        (0..times).for_each(|_| wait(thread, depth));
        Next::Resume(thread.main())
    });
    thread.switch(Next::Start(body)).unwrap();
    told.get().expect("it has run")
}

#[test]
fn nothing_is_copied_while_each_stack_has_a_slot() {
    let thread = bare(shared(5, Vacated::Protected));
    let ids: Vec<_> = (0..5).map(|_| start(&thread, 3, 2)).collect();
    for id in &ids {
        thread.switch(Next::Resume(*id)).unwrap();
        assert_eq!((thread.spilled(), thread.spilled_bytes()), (0, 0));
    }
    let sixth = start(&thread, 1, 2);
    assert_eq!((thread.spilled(), thread.live()), (1, 6));
    thread.switch(Next::Resume(sixth)).unwrap();
    assert_eq!((thread.spilled(), thread.live()), (1, 5));
    for id in ids.iter().cycle().take(10) {
        thread.switch(Next::Resume(*id)).unwrap();
    }
    assert_eq!((thread.spilled(), thread.spilled_bytes(), thread.live()), (0, 0, 0));
}

#[test]
fn a_thread_without_stacks_can_be_configured_again() {
    let thread = bare(Options::slots(1));
    let id = start(&thread, 1, 0);
    assert_eq!(thread.configure(Options::slots(2)).unwrap_err().kind(), std::io::ErrorKind::ResourceBusy);
    thread.switch(Next::Resume(id)).unwrap();
    assert!(thread.configure(Options::slots(0)).is_err() && thread.slots() == 1);
    thread.configure(shared(2, Vacated::Protected)).unwrap();
    let ids: Vec<_> = (0..5).map(|_| start(&thread, 1, 5)).collect();
    assert_eq!((thread.slots(), thread.spilled()), (2, 3));
    for id in ids {
        thread.switch(Next::Resume(id)).unwrap();
    }
    thread.configure(Options::slots(1)).unwrap();
    let id = start(&thread, 1, 0);
    let full = thread.switch(Next::Start(Body::new(|thread| Next::Resume(thread.main()))));
    assert!(matches!(full, Err(SwitchError::NoSlot(_))));
    thread.switch(Next::Resume(id)).unwrap();
}

#[test]
fn spilled_stacks_can_be_abandoned() {
    let thread = bare(shared(2, Vacated::Protected));
    let ids: Vec<_> = (0..6).map(|_| start(&thread, 2, 3)).collect();
    assert_eq!(thread.spilled(), 4);
    assert!(ids.iter().step_by(2).all(|id| thread.abandon(*id)));
    assert_eq!((thread.live(), ids.iter().step_by(2).filter(|id| thread.abandon(**id)).count()), (3, 0));
    for id in ids.iter().skip(1).step_by(2) {
        thread.switch(Next::Resume(*id)).unwrap();
    }
    start(&thread, 0, 0);
    // SAFETY: main runs, and no code relies on the frames of the suspended stacks.
    unsafe { thread.abandon_all() };
    assert_eq!((thread.live(), thread.spilled(), thread.spilled_bytes()), (0, 0, 0));
    start(&thread, 0, 0);
    start(&thread, 1, 0);
    start(&thread, 1, 0);
    start(&thread, 1, 0);
    drop(thread);
}

#[test]
fn a_deep_stack_does_not_share_its_slot_where_other_slots_can_be_shared() {
    let thread = bare(shared(4, Vacated::Kept));
    // With AddressSanitizer frames are larger.
    let deep = start(&thread, 2, if cfg!(feature = "sanitizer") { 200 } else { 400 });
    let others: Vec<_> = (0..30).map(|_| start(&thread, 1, 0)).collect();
    let before = thread.spilled_bytes();
    thread.switch(Next::Resume(deep)).unwrap();
    assert!(before.abs_diff(thread.spilled_bytes()) < 20_000, "it was resident");
    for id in others.into_iter().chain([deep]) {
        thread.switch(Next::Resume(id)).unwrap();
    }
    assert_eq!(thread.live(), 0);
}

#[test]
fn trimming_gives_back_the_empty_slots_and_changes_no_stack() {
    for vacated in ALL_WAYS {
        let thread = bare(shared(100, vacated));
        let ids: Vec<_> = (0..150).map(|_| start(&thread, 2, 30)).collect();
        assert_eq!(thread.trim(), 0, "every slot has an occupant");
        for id in &ids[..100] {
            thread.switch(Next::Resume(*id)).unwrap();
            thread.switch(Next::Resume(*id)).unwrap();
        }
        let empty = thread.trim();
        assert!(empty >= 30, "{empty}");
        assert_eq!(thread.trim(), 0, "once");
        for id in ids[100..].iter().chain(&ids[100..]) {
            thread.switch(Next::Resume(*id)).unwrap();
        }
        start(&thread, 0, 100);
        assert_eq!(thread.live(), 0);
    }
}

#[test]
fn a_body_that_exceeds_the_limit_comes_back_and_nothing_has_changed() {
    let thread = bare(shared(1, Vacated::Kept).max_greenlets(1));
    let id = start(&thread, 1, 0);
    let refused = thread.switch(Next::Start(Body::new(|thread| Next::Resume(thread.main()))));
    assert!(matches!(refused, Err(SwitchError::Limit(..))), "{refused:?}");
    thread.switch(Next::Resume(id)).unwrap();
    start(&thread, 0, 0);
}

// ---- in processes of their own ----

#[test]
#[cfg_attr(feature = "sanitizer", ignore = "AddressSanitizer ends the process where memory is refused")]
fn memory_that_the_system_refuses_is_an_error_and_all_greenlets_go_on() {
    let test = "memory_that_the_system_refuses_is_an_error_and_all_greenlets_go_on";
    let output = in_a_process(test, || {
        configure(shared(1, Vacated::Kept)).unwrap();
        let deep = new_greenlet(|_| descend(2000));
        deep.switch(nothing()).unwrap();
        let small = Greenlet::builder().name("small").build_here(|_| pause()).unwrap();
        let inside = new_greenlet(|_| {
            // It runs in the only slot, the one in which `small` is to start.
            Greenlet::builder().name("another").build_here(Ok).unwrap().switch(int(3))
        });
        let limit = libc::rlimit { rlim_cur: 0, rlim_max: libc::RLIM_INFINITY };
        let mut before = limit;
        // SAFETY: plain system calls with memory for their results. With no address space left, malloc gets no more memory.
        unsafe {
            libc::getrlimit(libc::RLIMIT_AS, &raw mut before);
            libc::setrlimit(libc::RLIMIT_AS, &raw const limit);
        }
        // This uses up the memory that the pool and malloc still have.
        let mut hoard = Vec::with_capacity(1000);
        let mut size = 1 << 20;
        while size >= 64 * 1024 {
            let layout = std::alloc::Layout::from_size_align(size, 8).unwrap();
            // SAFETY: the size is not 0.
            let block = unsafe { std::alloc::alloc(layout) };
            if block.is_null() || hoard.len() == 1000 {
                size /= 2;
            } else {
                hoard.push(block);
            }
        }
        let refused = small.switch(int(1));
        // SAFETY: a plain system call; `before` is what getrlimit(2) wrote.
        unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const before) };
        let error = refused.unwrap_err().downcast::<Error>().unwrap();
        println!("{} {}", error.code(), error);
        assert_eq!(unpack::<i32>(error.into_value().unwrap()).unwrap(), 1);
        assert_eq!(small.state(), State::Unstarted);
        small.switch(nothing()).unwrap();
        assert_eq!(as_int(inside.switch(nothing())), 3);
        assert_eq!(as_int(small.switch(int(8))), 8);
        assert_eq!(as_int(deep.switch(int(9))), 9);
        println!("all went on");
    });
    let printed = stdout(&output);
    assert!(printed.contains("ERR_GREENLET_NO_MEMORY greenlet 'small' cannot run"), "{output:?}");
    assert!(printed.contains("all went on"), "{output:?}");
}

#[test]
fn a_use_of_the_stack_of_a_spilled_greenlet_is_found() {
    let output = in_a_process("a_use_of_the_stack_of_a_spilled_greenlet_is_found", || {
        configure(shared(1, Vacated::Protected)).unwrap();
        let address = Rc::new(Cell::new(0));
        let tell = address.clone();
        let first = new_greenlet(move |_| {
            let local = black_box(4711_u64);
            tell.set(&raw const local as usize);
            pause()
        });
        first.switch(nothing()).unwrap();
        let second = new_greenlet(Ok);
        second.switch(nothing()).unwrap();
        println!("looking");
        // SAFETY: there is none: the memory is protected, and this test shows it.
        let word = unsafe { (address.get() as *const u64).read_volatile() };
        println!("seen {word}");
    });
    assert_eq!(signal(&output), Some(libc::SIGSEGV), "{output:?}");
    assert!(stdout(&output).contains("looking") && !stdout(&output).contains("seen"), "{output:?}");
}
