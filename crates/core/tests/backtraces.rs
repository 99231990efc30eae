//! Backtraces inside a greenlet go on to the code that resumed it, whichever switch is used. Not under Miri, where a greenlet's stack is
//! that of a thread.
#![cfg(not(miri))]

mod common;

use std::backtrace::Backtrace;

use common::{new_greenlet, nothing, pause};
use greenlets_core::{Greenlet, Value, unpack};

#[inline(never)]
fn looks_back() -> Value {
    Box::new(std::hint::black_box(Backtrace::force_capture().to_string()))
}

#[inline(never)]
fn resumes_first(greenlet: &Greenlet) {
    std::hint::black_box(greenlet.switch(nothing()).unwrap());
}

#[inline(never)]
fn resumes_again(greenlet: &Greenlet) -> String {
    std::hint::black_box(unpack(greenlet.switch(nothing()).unwrap()).unwrap())
}

#[test]
fn a_backtrace_goes_on_to_the_code_that_resumed_the_greenlet_last() {
    let greenlet = new_greenlet(|_| {
        pause()?;
        Ok(looks_back())
    });
    resumes_first(&greenlet);
    let text = resumes_again(&greenlet);
    // The last place of the test's own name: the greenlet's function has it too.
    let places = [text.find("looks_back"), text.find("resumes_again"), text.rfind("a_backtrace_goes_on_to")];
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} in {text}");
    assert!(!text.contains("resumes_first"), "{text}");
}
