//! Switches there and back as often as its first argument says, for an instruction counter:
//! `valgrind --tool=callgrind target/release/examples/count 10000`. With `spill` as second argument, it switches to two stacks of
//! 2 KB in turn that share a slot, so that one is copied out and the other back each time. `scripts/stages/instructions.ts`
//! compares the difference of two runs with a bound.

use std::cell::Cell;
use std::error::Error;
use std::hint::black_box;
use std::rc::Rc;

use greenlets_core::raw::{Body, Id, Next, NullHost, StackBounds, Thread};
use greenlets_core::{Options, Spilling};

type Core = Thread<NullHost>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().ok_or("how often?")?.parse()?;
    let spills = arguments.next().is_some_and(|word| word == "spill");
    // SAFETY: no code uses the contents of these stacks while they are suspended.
    let options = unsafe { Options::slots(1).spilling(Spilling::WhenNeeded) };
    // SAFETY: these are the bounds of this thread's own stack, and nothing else switches stacks here.
    let thread = unsafe { Thread::new(NullHost, StackBounds::of_this_thread()?, options) }?;

    let first = start(&thread)?;
    let ids = if spills { [first, start(&thread)?] } else { [first; 2] };
    for turn in 0..count {
        thread.switch(Next::Resume(ids[turn % 2]))?;
    }
    println!("{count} switches there and back, to {} bytes", thread.stack_size(ids[1 - count % 2]));
    // SAFETY: main runs, and no code relies on the frames of the suspended stacks.
    unsafe { thread.abandon_all() };
    Ok(())
}

/// A stack of 2 KB that switches back whenever it runs.
fn start(thread: &Core) -> Result<Id, Box<dyn Error>> {
    let told = Rc::new(Cell::new(thread.main()));
    let tell = told.clone();
    let body = Body::new(move |thread| {
        tell.set(thread.current());
        drop(tell);
        let mut words = [0_usize; 200];
        // Every eighth word is an address on the stack, as in a chain of frames.
        let start = words.as_ptr() as usize;
        for (i, word) in words.iter_mut().enumerate().step_by(8) {
            *word = start + i * size_of::<usize>();
        }
        loop {
            black_box(&words);
            thread.switch(Next::Resume(thread.main())).expect("main can always be switched to");
        }
    });
    thread.switch(Next::Start(body))?;
    Ok(told.get())
}
