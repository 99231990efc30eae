//! A thousand greenlets on two stack slots, and where each of them waits: also the frames of a stack that was copied to the heap can be
//! read, and nothing is copied back for that.
//!
//! `cargo run -p greenlets-core --example spilled_frames`

use std::collections::BTreeMap;

use greenlets_core::{Greenlet, Options, Spilling, Thrown, Value, configure, frame, kill_all};

fn wait() -> Result<Value, Thrown> {
    frame!("wait");
    Greenlet::switch_to_parent(Box::new(()))
}

fn descend(levels: usize) -> Result<Value, Thrown> {
    frame!("descend");
    if levels == 0 { wait() } else { descend(levels - 1) }
}

pub(crate) fn main() -> Result<(), Thrown> {
    // SAFETY: no other code reads or writes what lies on the stacks of these greenlets while they are suspended, nor keeps its address.
    configure(unsafe { Options::slots(2).spilling(Spilling::WhenNeeded) })?;
    let mut all = Vec::new();
    for i in 0..1000 {
        // SAFETY: `wait` switches with nothing of a thread-local borrowed, initialised or set.
        let greenlet = unsafe { Greenlet::new(move |_| descend(i % 3)) };
        greenlet.switch(Box::new(()))?;
        all.push(greenlet);
    }
    let mut places = BTreeMap::new();
    for greenlet in &all {
        let stack = greenlet.stack().expect("it is suspended").detach();
        let names: Vec<_> = stack.iter().map(|frame| frame.name).collect();
        *places.entry(names.join(" < ")).or_insert(0) += 1;
    }
    for (place, count) in &places {
        println!("{count} in {place}");
    }
    assert_eq!(places["wait < descend"], 334);
    assert_eq!(places["wait < descend < descend < descend"], 333);
    kill_all();
    Ok(())
}
