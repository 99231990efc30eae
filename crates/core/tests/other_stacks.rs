//! Code that runs on a stack of another library: switches are refused there, because the greenlet's own stack is not the one that
//! would be left. Not under Miri, where all stacks are those of threads.
#![cfg(not(miri))]

mod common;

use common::{Outcome, as_int, int, new_greenlet, nothing, on_a_thread, pause};
use greenlets_core::{Error, Greenlet, Options, Spilling, configure};

#[test]
fn a_greenlet_cannot_switch_away_on_a_coroutines_stack_which_would_be_spilled_from_the_wrong_place() {
    for slots in [1, 2, 8] {
        on_a_thread(move || {
            // SAFETY: no code uses the contents of a suspended stack.
            configure(unsafe { Options::slots(slots).spilling(Spilling::WhenNeeded) }).unwrap();
            let make = || {
                new_greenlet(|_| {
                    let body = |_: &_, ()| Greenlet::main().switch(int(7));
                    let mut coroutine = corosensei::Coroutine::<(), (), Outcome>::new(body);
                    let refused = coroutine.resume(()).as_return().expect("it returned").unwrap_err();
                    let error = refused.downcast::<Error>().unwrap();
                    assert_eq!(error.code(), "ERR_GREENLET_OTHER_STACK");
                    assert_eq!(as_int(Ok(error.into_value().expect("it comes back"))), 7);
                    pause() // on its own stack it can
                })
            };
            let all: Vec<_> = (0..2 * slots).map(|_| make()).collect();
            for _ in 0..2 {
                for greenlet in &all {
                    greenlet.switch(nothing()).unwrap();
                }
            }
            assert!(all.iter().all(Greenlet::is_dead));
        });
    }
}
