//! The examples run to their ends; each of them checks its own results.
#![cfg(not(miri))]

#[path = "../examples/parked.rs"]
mod parked;
#[path = "../examples/qsort.rs"]
mod qsort;
#[path = "../examples/same_fringe.rs"]
mod same_fringe;
#[path = "../examples/scheduler.rs"]
mod scheduler;
#[path = "../examples/spilled_frames.rs"]
mod spilled_frames;
#[path = "../examples/tokio_local_set.rs"]
mod tokio_local_set;

/// Each on a thread of its own, whose greenlets it has for itself.
fn runs<E: std::fmt::Debug + 'static>(example: fn() -> Result<(), E>) {
    std::thread::spawn(move || example().unwrap()).join().unwrap();
}

#[test]
fn every_example_runs_to_its_end() {
    runs(parked::main);
    runs(qsort::main);
    runs(|| {
        same_fringe::main();
        Ok::<(), ()>(())
    });
    runs(scheduler::main);
    runs(spilled_frames::main);
    runs(tokio_local_set::main);
}
