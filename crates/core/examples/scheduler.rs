//! A round-robin scheduler in thirty lines: tasks that sleep and send to each other, and block nothing but themselves.
//!
//! `cargo run -p greenlets-core --example scheduler`

use std::cell::RefCell;
use std::collections::VecDeque;

use greenlets_core::{Greenlet, Thrown};

thread_local! {
    /// The greenlets that can run, in order. Borrowed for moments, never across a switch.
    static READY: RefCell<VecDeque<Greenlet>> = const { RefCell::new(VecDeque::new()) };
}

/// Lets the other tasks run. Returns when it is this task's turn again.
fn pause() -> Result<(), Thrown> {
    READY.with_borrow_mut(|ready| ready.push_back(Greenlet::current()));
    // To the scheduler, which is the parent of every task.
    Greenlet::switch_to_parent(Box::new(())).map(drop)
}

/// Adds a task.
fn spawn(name: &str, task: impl FnOnce() -> Result<(), Thrown> + 'static) -> Result<(), Thrown> {
    let run = move |_| {
        task()?;
        Ok(Box::new(()) as _)
    };
    // SAFETY: the tasks below switch in `pause` only, with nothing of a thread-local borrowed, initialised or set.
    let task = unsafe { Greenlet::builder().name(name).parent(&Greenlet::main()).build(run) }?;
    READY.with_borrow_mut(|ready| ready.push_back(task));
    Ok(())
}

/// Runs tasks until there are none.
fn run() -> Result<(), Thrown> {
    while let Some(task) = READY.with_borrow_mut(VecDeque::pop_front) {
        // What a task ends with arrives here too: an error ends the scheduler, and the other tasks when their handles are dropped.
        task.switch(Box::new(()))?;
    }
    Ok(())
}

pub(crate) fn main() -> Result<(), Thrown> {
    for (name, turns) in [("a", 3), ("b", 1), ("c", 2)] {
        spawn(name, move || {
            for turn in 1..=turns {
                println!("{name}: turn {turn} of {turns}");
                pause()?;
            }
            if name == "b" {
                spawn("d", || {
                    println!("d: started by b");
                    Ok(())
                })?;
            }
            Ok(())
        })?;
    }
    run()?;
    assert_eq!(Greenlet::all(), [Greenlet::main()]);
    Ok(())
}
