//! Situations that end a process, on purpose or by the rules. Each scenario runs in a process of its own; Miri starts none.
#![cfg(not(miri))]

mod common;

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;

use common::{BuildHere, Log, OnDrop, in_a_process, new_greenlet, nothing, pause, signal, stderr, stdout};
use greenlets_core::raw::{Body, Next, NullHost, StackBounds, Thread};
use greenlets_core::{Greenlet, Options, SLOT_SIZE, frame, kill_all};

/// Prints when it is dropped, so that the end can be seen from outside.
struct Shouts(&'static str);

impl Drop for Shouts {
    fn drop(&mut self) {
        println!("{}", self.0);
    }
}

/// Recurses until `depth` bytes of stack lie between `top` and here, and comes back.
fn dig(top: usize, depth: usize) -> usize {
    let block = black_box([top; 16]);
    let here = block.as_ptr() as usize;
    if top - here < depth { dig(top, depth) + black_box(&block)[0] - top } else { 0 }
}

/// Overflows the stack of a greenlet called `name`.
fn overflow(name: &str) {
    // The slot below is in use: without a guard the overflow would run into it unnoticed, and come back.
    let neighbour = new_greenlet(|_| pause());
    neighbour.switch(nothing()).unwrap();
    let digs = Greenlet::builder().name(name).build_here(|_| {
        let top = 0_u8;
        Ok(Box::new(dig(black_box(&raw const top as usize), SLOT_SIZE + SLOT_SIZE / 4)))
    });
    println!("digging");
    digs.unwrap().switch(nothing()).unwrap();
    println!("survived");
}

#[test]
fn a_stack_overflow_hits_the_guard_and_names_the_greenlet() {
    let name = "the one that digs ".repeat(30);
    let output = in_a_process("a_stack_overflow_hits_the_guard_and_names_the_greenlet", || overflow(&name));
    assert_eq!(signal(&output), Some(libc::SIGABRT), "{output:?}");
    let printed = stdout(&output);
    assert!(printed.contains("digging") && !printed.contains("survived"), "{printed}");
    let told = stderr(&output);
    assert!(told.contains("greenlets: greenlet 'the one that digs the one that digs"), "{told}");
    assert!(told.contains("' has overflowed its stack of 1024 KiB; recurse less"), "{told}");
}

#[test]
fn a_stack_overflow_on_a_thread_that_is_not_rusts_says_so_too() {
    extern "C" fn work(_: *mut libc::c_void) -> *mut libc::c_void {
        overflow("foreign");
        std::ptr::null_mut()
    }
    let output = in_a_process("a_stack_overflow_on_a_thread_that_is_not_rusts_says_so_too", || {
        let mut thread = 0;
        // SAFETY: the thread is joined, and its function gets nothing.
        unsafe {
            assert_eq!(libc::pthread_create(&mut thread, std::ptr::null(), work, std::ptr::null_mut()), 0);
            libc::pthread_join(thread, std::ptr::null_mut());
        }
    });
    assert_eq!(signal(&output), Some(libc::SIGABRT), "{output:?}");
    assert!(stderr(&output).contains("greenlet 'foreign' has overflowed its stack"), "{output:?}");
}

#[test]
fn other_faults_go_on_to_the_handler_that_was_there_before() {
    let output = in_a_process("other_faults_go_on_to_the_handler_that_was_there_before", || {
        new_greenlet(Ok).switch(nothing()).unwrap();
        // SAFETY: none: this is the fault that the test is about.
        unsafe { black_box(std::ptr::null_mut::<u8>()).write_volatile(1) };
    });
    assert_eq!(signal(&output), Some(libc::SIGSEGV), "{output:?}");
    assert!(!stderr(&output).contains("overflowed"), "{output:?}");
}

#[test]
fn an_overflow_of_a_threads_own_stack_is_told_as_without_greenlets() {
    let output = in_a_process("an_overflow_of_a_threads_own_stack_is_told_as_without_greenlets", || {
        let work = || {
            new_greenlet(Ok).switch(nothing()).unwrap();
            let top = 0_u8;
            dig(black_box(&raw const top as usize), 1 << 30);
        };
        std::thread::Builder::new().name("deep".into()).spawn(work).unwrap().join().unwrap();
    });
    assert_eq!(signal(&output), Some(libc::SIGABRT), "{output:?}");
    let told = stderr(&output);
    assert!(told.contains("thread 'deep'") && told.contains("has overflowed its stack"), "{told}");
}

/// Suspends a thousand greenlets that nothing will resume.
fn forget_a_thousand() {
    for _ in 0..1000 {
        let greenlet = new_greenlet(|_| {
            let _shouts = Shouts("cleaned up");
            pause()
        });
        greenlet.switch(nothing()).unwrap();
        std::mem::forget(greenlet);
    }
}

#[test]
fn a_process_that_ends_leaves_its_greenlets_as_they_are_and_says_so() {
    let output = in_a_process("a_process_that_ends_leaves_its_greenlets_as_they_are_and_says_so", || {
        forget_a_thousand();
        std::process::exit(7);
    });
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    assert_eq!(stdout(&output).matches("cleaned up").count(), 0);
    let told = "greenlets: greenlet 'greenlet-1' and 999 more were suspended when the thread ended";
    assert!(stderr(&output).contains(told), "{}", stderr(&output));
}

#[test]
fn a_process_can_end_all_its_greenlets() {
    let output = in_a_process("a_process_can_end_all_its_greenlets", || {
        forget_a_thousand();
        kill_all();
        std::process::exit(7);
    });
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    assert_eq!(stdout(&output).matches("cleaned up").count(), 1000);
    assert!(!stderr(&output).contains("greenlets:"), "{}", stderr(&output));
}

#[test]
fn after_exit_inside_a_greenlet_a_destructor_cannot_switch_to_main() {
    struct Switches(Cell<Option<Greenlet>>);
    impl Drop for Switches {
        fn drop(&mut self) {
            let main = self.0.take().unwrap();
            println!("{}", main.switch(nothing()).unwrap_err().code().unwrap());
        }
    }
    thread_local! {
        static SWITCHES: Switches = const { Switches(Cell::new(None)) };
    }
    let output = in_a_process("after_exit_inside_a_greenlet_a_destructor_cannot_switch_to_main", || {
        // Used first, so destroyed last.
        SWITCHES.with(|_| ());
        let greenlet = new_greenlet(|_| {
            SWITCHES.with(|switches| switches.0.set(Some(Greenlet::main())));
            std::process::exit(4)
        });
        let _ = greenlet.switch(nothing());
        println!("came back");
    });
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stdout(&output).ends_with("ERR_GREENLET_WRONG_THREAD\n"), "{output:?}");
    assert!(!stdout(&output).contains("came back"));
}

#[test]
fn exit_inside_a_greenlet_ends_the_process_with_that_code() {
    let output = in_a_process("exit_inside_a_greenlet_ends_the_process_with_that_code", || {
        let other = new_greenlet(|_| {
            let _shouts = Shouts("unwound");
            pause()
        });
        other.switch(nothing()).unwrap();
        let greenlet = new_greenlet(|_| {
            println!("leaving");
            std::process::exit(3)
        });
        let _ = greenlet.switch(nothing());
        println!("came back");
    });
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let printed = stdout(&output);
    assert!(printed.contains("leaving") && !printed.contains("came back"), "{printed}");
    assert!(!printed.contains("unwound"), "the stacks of the others stay as they are: {printed}");
}

#[test]
fn exit_inside_a_greenlet_of_a_bare_thread_ends_the_process_with_that_code() {
    let test = "exit_inside_a_greenlet_of_a_bare_thread_ends_the_process_with_that_code";
    let output = in_a_process(test, || {
        thread_local! {
            static BARE: Rc<Thread<NullHost>> =
                // SAFETY: these are the bounds of this thread's own stack, and nothing else switches stacks here.
                unsafe { Thread::new(NullHost, StackBounds::of_this_thread().unwrap(), Options::slots(4)) }.unwrap();
        }
        // `exit` destroys the thread-local on the stack of the greenlet that it holds.
        BARE.with(|bare| bare.switch(Next::Start(Body::new(|_| std::process::exit(5))))).unwrap();
    });
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
}

#[test]
fn a_panic_out_of_a_host_aborts_with_a_reason() {
    let output = in_a_process("a_panic_out_of_a_host_aborts_with_a_reason", || {
        // SAFETY: these are the bounds of this thread's own stack, and nothing else switches stacks here.
        let bare =
            unsafe { Thread::new(NullHost, StackBounds::of_this_thread().unwrap(), Options::slots(4)) }
                .unwrap();
        let _ = bare.switch(Next::Start(Body::new(|_| panic!("not caught"))));
    });
    assert_eq!(signal(&output), Some(libc::SIGABRT), "{output:?}");
    assert!(stderr(&output).contains("a panic must not leave Host::run"), "{}", stderr(&output));
}

#[test]
fn a_frame_that_ends_on_another_chain_aborts_with_a_reason() {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    async fn sleepwalker(times: u32) {
        frame!("sleepwalker");
        let mut left = times;
        std::future::poll_fn(move |_| {
            left = left.saturating_sub(1);
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    let output = in_a_process("a_frame_that_ends_on_another_chain_aborts_with_a_reason", || {
        let mut context = Context::from_waker(Waker::noop());
        let (mut first, mut second) = (pin!(sleepwalker(2)), pin!(sleepwalker(3)));
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        // It would take its record off the chain, and the record of the second one would still point to it.
        let _ = first.as_mut().poll(&mut context);
        println!("survived");
    });
    assert_eq!(signal(&output), Some(libc::SIGABRT), "{output:?}");
    assert!(stderr(&output).contains(r#"frame!("sleepwalker")"#), "{}", stderr(&output));
    assert!(stderr(&output).contains("across .await"), "{}", stderr(&output));
}

#[test]
fn errors_that_cannot_be_delivered_go_to_standard_error() {
    let output = in_a_process("errors_that_cannot_be_delivered_go_to_standard_error", || {
        let body = |_| {
            let log = Log::default();
            let _held = OnDrop(log, "");
            loop {
                let _ = pause();
            }
        };
        let greenlet = Greenlet::builder().name("mule").build_here(body).unwrap();
        greenlet.switch(nothing()).unwrap();
        drop(greenlet);
    });
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let expected =
        "greenlets: greenlet 'mule' failed while it was being killed: greenlet 'mule' was told to end";
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
}
