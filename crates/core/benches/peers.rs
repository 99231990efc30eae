//! `cargo bench --bench peers`: a switch of [`Greenlet`] there and back, beside that of other crates. corosensei's is in `core.rs`.

use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use generator::{Gn, done};
use greenlets_core::Greenlet;

criterion_group!(benches, greenlet, generator_rs, may_rs);
criterion_main!(benches);

/// With a value that needs no memory: to a greenlet and back to its parent.
fn greenlet(criterion: &mut Criterion) {
    let echo = |mut value| {
        loop {
            value = Greenlet::switch_to_parent(value)?;
        }
    };
    // SAFETY: `echo` switches with nothing of a thread-local borrowed, initialised or set.
    let greenlet = unsafe { Greenlet::new(echo) };
    criterion.bench_function("greenlet: switch", |bencher| {
        bencher.iter(|| greenlet.switch(Box::new(())).unwrap());
    });
    // It ends with a GreenletExit.
    drop(greenlet);
}

/// generator-rs: to a generator and back.
fn generator_rs(criterion: &mut Criterion) {
    let mut generator = Gn::<bool>::new_scoped(|mut scope| {
        while scope.yield_(()) == Some(true) {}
        done!()
    });
    generator.resume();
    criterion.bench_function("generator-rs: switch", |bencher| {
        bencher.iter(|| generator.send(true));
    });
    generator.raw_send(Some(false));
}

/// may, which is built on generator-rs: from a coroutine to its scheduler and back. Its coroutines cannot switch to each other.
fn may_rs(criterion: &mut Criterion) {
    may::config().set_workers(1);
    criterion.bench_function("may: yield", |bencher| {
        bencher.iter_custom(|count| {
            // SAFETY: the function uses no thread-local and little stack.
            let coroutine = unsafe {
                may::coroutine::spawn(move || {
                    let start = Instant::now();
                    for _ in 0..count {
                        may::coroutine::yield_now();
                    }
                    start.elapsed()
                })
            };
            coroutine.join().unwrap()
        });
    });
}
