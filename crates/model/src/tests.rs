//! What the addon does while greenlets are suspended, with scavenges in the middle of it.

use crate::collector::{World, YOUNG, top};
use crate::settings::Scan;
use crate::v8::stack::capture::Captured;
use crate::v8::stack::state::QUIET;

/// An object that is young, and where the scavenger puts it.
const OBJECT: u64 = YOUNG | 0x1001;
const OLD: u64 = 0x1001;
const NUMBER: u64 = YOUNG | 0x1000;

#[test]
fn a_scavenge_moves_what_stacks_hold_and_then_leaves_them_out() {
    for scan in [Scan::Young, Scan::Verify, Scan::All] {
        let world = World::new();
        world.quiet.scan.set(scan);
        let stacks = [(); 3].map(|()| world.add(&[OBJECT, NUMBER, OLD]));
        world.scavenge();
        assert_eq!(world.visited.get(), 3);
        for stack in &stacks {
            // SAFETY: these are words of the stack.
            assert_eq!(unsafe { [1, 2, 3].map(|i| *stack.word(i)) }, [OLD, NUMBER, OLD]);
        }
        world.scavenge();
        world.scavenge();
        assert_eq!(world.visited.get(), if scan == Scan::Young { 0 } else { 3 }, "{scan:?}");
        // SAFETY: nothing else refers to the state.
        let quiet = stacks.each_ref().map(|stack| unsafe { (*stack.vm().as_ptr()).unusual & QUIET != 0 });
        assert_eq!(quiet, [scan != Scan::All; 3]);
    }
}

#[test]
fn the_first_scavenge_after_a_full_collection_leaves_all_suspended_stacks_out() {
    for scan in [Scan::Young, Scan::Verify, Scan::All] {
        let world = World::new();
        world.quiet.scan.set(scan);
        let stacks = [(); 3].map(|()| world.add(&[OBJECT, NUMBER, OLD]));
        world.switch(stacks[1].vm());
        world.full_collection();
        // It visits main, too, which is suspended now.
        assert_eq!(world.visited.get(), 3);
        let quiet = |i: usize| {
            // SAFETY: nothing else refers to the state.
            unsafe { (*stacks[i].vm().as_ptr()).unusual & QUIET != 0 }
        };
        assert_eq!([0, 1, 2].map(quiet), [scan != Scan::All, false, scan != Scan::All], "{scan:?}");
        world.scavenge();
        assert_eq!(world.visited.get(), if scan == Scan::Young { 1 } else { 3 }, "{scan:?}");
        world.switch(world.main());
        world.full_collection();
        assert_eq!([0, 1, 2].map(quiet), [scan != Scan::All; 3], "{scan:?}");
        // What has run is visited again.
        world.switch(stacks[0].vm());
        // SAFETY: a word of the running stack.
        unsafe { *stacks[0].word(1) = OBJECT };
        world.switch(world.main());
        world.scavenge();
        // SAFETY: a word of the suspended stack.
        assert_eq!(unsafe { *stacks[0].word(1) }, OLD);
        assert_eq!(world.visited.get(), if scan == Scan::Young { 1 } else { 3 }, "{scan:?}");
    }
}

#[test]
fn a_quiet_stack_that_runs_is_visited_again() {
    let world = World::new();
    world.quiet.scan.set(Scan::Young);
    let stacks = [(); 2].map(|()| world.add(&[OLD]));
    for _ in 0..3 {
        world.scavenge();
    }
    assert_eq!(world.visited.get(), 0);
    let frame = world.v8.embedder_data.unwrap();
    for round in 1..4 {
        world.switch(stacks[0].vm());
        // SAFETY: words of the running stack and of the isolate.
        unsafe {
            *stacks[0].word(1) = OBJECT;
            *frame = OLD + round * 8;
        }
        // Main and the root table are visited while a greenlet runs.
        world.scavenge();
        world.switch(world.main());
        world.scavenge();
        assert_eq!(world.visited.get(), 1);
        // SAFETY: a word of the suspended stack.
        assert_eq!(unsafe { *stacks[0].word(1) }, OLD);
    }
    world.switch(stacks[0].vm());
    // SAFETY: a word of the isolate.
    assert_eq!(unsafe { *frame }, OLD + 24, "the context comes back with its stack");
    world.switch(world.main());
}

#[test]
fn a_scavenge_in_the_middle_of_a_snapshot_moves_the_context_of_the_stack_that_is_read() {
    for scan in [Scan::Young, Scan::Verify, Scan::All] {
        let world = World::new();
        world.quiet.scan.set(scan);
        let [read, other] = [(); 2].map(|()| world.add(&[OBJECT]));
        for _ in 0..2 {
            world.scavenge();
        }
        let context = world.v8.context_word;
        for round in 0..3 {
            let object = OBJECT + round * 8;
            // SAFETY: words of an image and of the isolate.
            unsafe {
                *top(&world, read.vm(), context) = object;
                *world.v8.thread_local_top.add(context) = object + 0x100;
            }
            assert!(matches!(world.read(read.vm()), Some(Captured::Frames(_))));
            // SAFETY: as above.
            unsafe {
                assert_eq!(*top(&world, read.vm(), context), object & !YOUNG);
                assert_eq!(*world.v8.thread_local_top.add(context), (object + 0x100) & !YOUNG);
            }
            world.scavenge();
        }
        drop(other);
    }
}
