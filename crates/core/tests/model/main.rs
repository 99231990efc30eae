//! Random programs, run by real greenlets and by a model that has the rules but no stacks. Both must record the same events.
//!
//! A program is one list of operations. The running greenlet takes the next one, so a switch hands the rest of the list to its
//! target.

#[path = "../common/mod.rs"]
mod common;
mod program;
mod pure;
mod real;

use std::hash::{BuildHasher, RandomState};

use common::times;
use greenlets_core::{Options, Spilling, Vacated};
use program::{Event, MOST, Op, Payload};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The number of programs, and the most steps of one.
const PROGRAMS: usize = times(2000, 3);
const STEPS: usize = times(300, 30);
fn op() -> impl Strategy<Value = Op> {
    let greenlet = 0..MOST;
    prop_oneof![
        6 => (prop::option::of(greenlet.clone()), prop::bool::weighted(0.4))
            .prop_map(|(parent, stubborn)| Op::Create { parent, stubborn }),
        8 => (greenlet.clone(), 0..100).prop_map(|(to, value)| Op::Switch(to, value)),
        2 => (greenlet.clone(), 0..100).prop_map(|(to, error)| Op::Throw(to, error)),
        1 => greenlet.clone().prop_map(Op::ThrowExit),
        4 => greenlet.clone().prop_map(Op::Kill),
        2 => (greenlet.clone(), greenlet.clone()).prop_map(|(child, parent)| Op::Reparent(child, parent)),
        3 => greenlet.prop_map(Op::Look),
        2 => Just(Op::Enter),
        1 => Just(Op::Leave),
        1 => (0..100).prop_map(Op::Return),
        1 => (0..100).prop_map(Op::Fail),
        1 => (0..100).prop_map(Op::Panic),
    ]
}

/// A failure prints the smallest program that still fails, and the seed. PROPTEST_RNG_SEED=<seed> runs it again; PROPTEST_CASES is
/// the number of programs.
fn config() -> ProptestConfig {
    let set = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seed = set("PROPTEST_RNG_SEED").unwrap_or_else(rand_seed);
    println!("PROPTEST_RNG_SEED={seed}");
    ProptestConfig {
        cases: set("PROPTEST_CASES").map_or(PROGRAMS as u32, |cases| cases as u32),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn rand_seed() -> u64 {
    RandomState::new().hash_one(0)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn real_greenlets_do_what_the_model_says(program in prop::collection::vec(op(), 0..STEPS)) {
        prop_assert_eq!(real::run(program.clone(), Options::default()), pure::run(program));
    }

    #[test]
    #[cfg_attr(miri, ignore = "under Miri no stack can be copied")]
    fn they_do_so_on_few_slots_too(
        program in prop::collection::vec(op(), 0..STEPS),
        slots in 1_u32..4,
        stack_size in 1_usize << 18..1 << 24,
    ) {
        let spilling = if slots == 3 { Spilling::Always } else { Spilling::WhenNeeded };
        let options = Options::slots(slots).stack_size(stack_size).vacated(Vacated::Protected);
        // SAFETY: the programs use nothing on the stack of a suspended greenlet from elsewhere.
        let options = unsafe { options.spilling(spilling) };
        prop_assert_eq!(real::run(program.clone(), options), pure::run(program));
    }
}

/// The model is a test only if the programs do enough: over many programs, every kind of event happens.
#[test]
#[cfg_attr(miri, ignore = "it runs no greenlet, and takes long")]
fn the_programs_reach_every_corner() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    type Corner = (&'static str, fn(&Event) -> bool);
    let mut runner = TestRunner::deterministic();
    let programs = prop::collection::vec(op(), 60..300);
    let mut story = Vec::new();
    for _ in 0..300 {
        story.extend(pure::run(programs.new_tree(&mut runner).unwrap().current()));
    }
    let corners: [Corner; 10] = [
        ("a start with an exit", |event| matches!(event, Event::Started(_, Payload::ExitValue))),
        ("an error that arrives", |event| matches!(event, Event::Got(1.., Payload::Error(_)))),
        ("a panic that arrives", |event| matches!(event, Event::Got(1.., Payload::Panic(_)))),
        ("an exit that arrives", |event| matches!(event, Event::Got(1.., Payload::Exit))),
        ("a kill by a greenlet", |event| matches!(event, Event::Killed(1.., Ok(())))),
        ("a kill refused", |event| matches!(event, Event::Killed(_, Err("ERR_GREENLET_KILL_REFUSED")))),
        ("a cycle refused", |event| matches!(event, Event::Reparented(Err("ERR_GREENLET_PARENT_CYCLE")))),
        ("thirty greenlets", |event| matches!(event, Event::Now { states, .. } if states.len() == MOST)),
        ("a deep stack seen", |event| matches!(event, Event::Saw(Some(3..)))),
        (
            "a snapshot valid, another stale",
            |event| matches!(event, Event::Now { valid, .. } if valid.contains(&true) && valid.contains(&false)),
        ),
    ];
    for (corner, happens) in corners {
        let times = story.iter().filter(|event| happens(event)).count();
        assert!(times >= 10, "{corner}: {times} times");
    }
}
