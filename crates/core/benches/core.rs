//! `cargo bench`: the core alone, with [`NullHost`], beside corosensei's own coroutine. The memory of a greenlet is measured in
//! `memory.rs`. The instructions of a switch, a more exact number than any time, are counted by `make test STAGES=rust`
//! (`examples/count.rs`).

use std::cell::Cell;
use std::hint::black_box;
use std::ops::RangeInclusive;
use std::rc::Rc;

use corosensei::{Coroutine, CoroutineResult};
use criterion::{Criterion, criterion_group, criterion_main};
use greenlets_core::raw::{Body, Id, Next, NullHost, StackBounds, Thread};
use greenlets_core::{Options, Spilling};

criterion_group!(benches, switch, life, spill);
criterion_main!(benches);

type Core = Thread<NullHost>;

/// The row of the switch that was chosen when this was built.
const NAME: &str = if cfg!(feature = "own-switch") { "own-switch: core: switch" } else { "core: switch" };

/// There and back, without a value.
fn switch(criterion: &mut Criterion) {
    let thread = bare(Options::slots(1));
    let id = start(&thread, wait_for_ever::<1>);
    criterion.bench_function(NAME, |bencher| {
        bencher.iter(|| thread.switch(Next::Resume(black_box(id))).unwrap());
    });

    let mut coroutine = Coroutine::<(), (), ()>::new(|yielder, ()| {
        loop {
            yielder.suspend(());
        }
    });
    criterion.bench_function("corosensei: switch", |bencher| {
        bencher.iter(|| assert!(matches!(coroutine.resume(()), CoroutineResult::Yield(()))));
    });
    // SAFETY: no code relies on the frames of that stack.
    unsafe { coroutine.force_reset() };
}

/// Create, run, finish.
fn life(criterion: &mut Criterion) {
    let thread = bare(Options::slots(1));
    criterion.bench_function("core: life", |bencher| {
        bencher.iter(|| {
            thread.switch(Next::Start(Body::new(|thread| Next::Resume(thread.main())))).unwrap();
        });
    });
}

/// Bytes that lie on the stacks that are copied.
const LIVE: RangeInclusive<usize> = 1900..=2100;

/// Two stacks that take turns, each in a slot of its own, and both in one slot: there each turn spills one and unspills the other.
fn spill(criterion: &mut Criterion) {
    for (name, slots) in [("core: switch, 2 KB, at home", 2), ("core: switch, 2 KB, spilled", 1)] {
        // SAFETY: no code uses the contents of these stacks while they are suspended.
        let thread = bare(unsafe { Options::slots(slots).spilling(Spilling::WhenNeeded) });
        let ids = [(); 2].map(|()| start(&thread, wait_for_ever::<200>));
        for id in ids {
            assert!(LIVE.contains(&thread.stack_size(id)), "{} bytes", thread.stack_size(id));
        }
        let mut turn = 0;
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                turn ^= 1;
                thread.switch(Next::Resume(ids[turn])).unwrap();
            });
        });
    }
}

fn bare(options: Options) -> Rc<Core> {
    // SAFETY: these are the bounds of this thread's own stack, and nothing else switches stacks here.
    unsafe { Thread::new(NullHost, StackBounds::of_this_thread().unwrap(), options) }.unwrap()
}

fn start(thread: &Core, run: fn(&Core) -> Next<NullHost>) -> Id {
    let told = Rc::new(Cell::new(None));
    let tell = told.clone();
    let body = Body::new(move |thread| {
        tell.set(Some(thread.current()));
        drop(tell);
        run(thread)
    });
    thread.switch(Next::Start(body)).unwrap();
    told.get().expect("it has run")
}

/// Switches back whenever it runs, with words on its stack of which every eighth leads to another one, as in a chain of frames.
fn wait_for_ever<const WORDS: usize>(thread: &Core) -> Next<NullHost> {
    let mut words = [0_usize; WORDS];
    let start = words.as_ptr() as usize;
    for (i, word) in words.iter_mut().enumerate() {
        *word = if i % 8 == 0 { start + i * size_of::<usize>() } else { i };
    }
    loop {
        black_box(&words);
        thread.switch(Next::Resume(thread.main())).unwrap();
    }
}
