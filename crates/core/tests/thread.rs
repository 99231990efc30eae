//! `Thread`, the core that hosts build on: the running stack, ids, epochs, and the promises to a host.

mod common;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::io::ErrorKind;
use std::ptr::NonNull;
use std::rc::Rc;

use common::times;
use greenlets_core::raw::{
    Body, Host, Id, Next, NullHost, Relocation, Snapshot, SnapshotError, StackBounds, SwitchError, Thread,
};
use greenlets_core::{Frame, Options, SLOT_SIZE, Spilling, State, frame};

fn bare(slots: u32) -> Rc<Thread<NullHost>> {
    // SAFETY: these are the bounds of this thread's own stack, and nothing else switches stacks here.
    unsafe { Thread::new(NullHost, StackBounds::of_this_thread().unwrap(), Options::slots(slots)) }.unwrap()
}

/// Starts a stack that switches back to main whenever it runs, `times` times in all. Returns its id.
fn start_waiting(thread: &Thread<NullHost>, times: usize) -> Id {
    let told = Rc::new(Cell::new(None));
    let tell = told.clone();
    let body = Body::new(move |thread| {
        tell.set(Some(thread.current()));
        for _ in 0..times {
            frame!("waiting");
            thread.switch(Next::Resume(thread.main())).unwrap();
        }
        Next::Resume(thread.main())
    });
    thread.switch(Next::Start(body)).unwrap();
    told.get().expect("it has run")
}

#[test]
fn a_new_thread_has_only_main_which_runs() {
    let thread = bare(3);
    assert!(thread.on_main());
    assert_eq!(thread.current(), thread.main());
    assert_eq!(thread.state(thread.main()), State::Running);
    assert_eq!(thread.ids(), [thread.main()]);
    assert_eq!((thread.live(), thread.slots()), (0, 3));
    assert!(thread.bounds().contains(&raw const thread as usize));
    thread.switch(Next::Resume(thread.main())).unwrap();
    assert_eq!(thread.epoch(thread.main()), Some(0), "a switch to the running stack is not counted");
}

#[test]
#[cfg_attr(miri, ignore = "under Miri the stack is that of a thread")]
fn a_running_stack_lies_within_its_bounds() {
    let thread = bare(2);
    let main = thread.bounds();
    let body = Body::new(move |thread| {
        let here = 0_u8;
        let bounds = thread.bounds();
        assert!(bounds.contains(&raw const here as usize));
        assert_ne!(bounds, main);
        assert!(bounds.size() > 900 * 1024);
        assert!(!thread.on_main());
        assert!(!thread.abandon(thread.current()), "it runs");
        assert!(!thread.abandon(thread.main()));
        Next::Resume(thread.main())
    });
    thread.switch(Next::Start(body)).unwrap();
}

#[test]
fn a_thread_can_be_moved_while_it_has_stacks() {
    let thread = bare(2);
    let id = start_waiting(&thread, 2);
    let mut moved = vec![thread];
    moved[0].switch(Next::Resume(id)).unwrap();
    let thread = moved.pop().unwrap();
    thread.switch(Next::Resume(id)).unwrap();
    assert_eq!(thread.state(id), State::Dead);
}

#[test]
fn every_resume_starts_an_epoch() {
    let thread = bare(2);
    let a = start_waiting(&thread, 3);
    assert_eq!((thread.epoch(a), thread.epoch(thread.main())), (Some(1), Some(1)));
    thread.switch(Next::Resume(a)).unwrap();
    let b = start_waiting(&thread, 1);
    assert_eq!((thread.epoch(a), thread.epoch(b)), (Some(2), Some(1)));
    assert_eq!(thread.epoch(thread.main()), Some(3));
    thread.switch(Next::Resume(a)).unwrap();
    thread.switch(Next::Resume(a)).unwrap();
    assert_eq!(thread.epoch(a), None, "it has ended");
    assert_eq!(thread.state(a), State::Dead);
    assert_eq!(thread.epoch(b), Some(1), "the other stack has the same epoch as before");
    thread.switch(Next::Resume(b)).unwrap();
}

#[test]
fn the_last_resumed_is_the_last_suspended() {
    let thread = bare(3);
    let [a, b, c] = [3, 2, 2].map(|resumes| start_waiting(&thread, resumes));
    let order = || {
        let mut ids = [a, b, c];
        ids.sort_by_key(|&id| thread.last_resumed(id));
        ids
    };
    assert_eq!(order(), [a, b, c]);
    thread.switch(Next::Resume(b)).unwrap();
    assert_eq!(order(), [a, c, b]);
    thread.switch(Next::Resume(a)).unwrap();
    thread.switch(Next::Resume(a)).unwrap();
    assert_eq!(order(), [c, b, a], "the second resume in a row counts too");
    thread.switch(Next::Resume(a)).unwrap();
    assert_eq!(thread.last_resumed(a), None, "it has ended");
    for id in [b, c, c] {
        thread.switch(Next::Resume(id)).unwrap();
    }
}

#[test]
#[cfg_attr(miri, ignore = "under Miri the stack is that of a thread")]
fn a_stack_has_a_size_while_it_is_suspended() {
    let thread = bare(2);
    let id = start_waiting(&thread, 1);
    let size = thread.stack_size(id);
    assert!((64..SLOT_SIZE).contains(&size), "{size}");
    assert_eq!(thread.stack_size(thread.main()), 0);
    thread.switch(Next::Resume(id)).unwrap();
    assert_eq!(thread.state(id), State::Dead);
    assert_eq!(thread.stack_size(id), 0);
}

#[test]
fn ids_are_never_used_again() {
    let thread = bare(1);
    let mut seen = HashSet::from([thread.main()]);
    for _ in 0..times(10_000, 20) {
        let id = start_waiting(&thread, 0);
        assert!(seen.insert(id), "{id:?} was given away before");
        assert_eq!(thread.state(id), State::Dead);
    }
    let places: HashSet<_> = seen.iter().map(|id| id.parts().0).collect();
    assert_eq!(places.len(), 2, "one for main, one for all the others in turn");
}

#[test]
#[cfg_attr(miri, ignore = "under Miri the stack is that of a thread")]
fn a_switch_is_refused_on_a_stack_of_another_thread() {
    let (one, beside) = (bare(4), bare(4));
    let refused = Rc::new(Cell::new(0));
    let (one_inside, count) = (one.clone(), refused.clone());
    let outer = Body::new(move |_| {
        // `beside` takes the thread's own stack for the running one.
        let goes_home = Body::new(|thread| Next::Resume(thread.main()));
        assert!(matches!(beside.switch(Next::Start(goes_home)), Err(SwitchError::OtherStack(Some(_)))));
        // SAFETY: this is the running stack, and what is switched here is switched back before this function returns.
        let nested = unsafe { Thread::new(NullHost, one_inside.bounds(), Options::slots(4)) }.unwrap();
        let one = one_inside.clone();
        let inner = Body::new(move |nested| {
            // On a stack of `nested`, while `one` takes its own stack for the running one.
            assert!(matches!(one.switch(Next::Resume(one.main())), Err(SwitchError::OtherStack(None))));
            count.set(count.get() + 1);
            Next::Resume(nested.main())
        });
        nested.switch(Next::Start(inner)).unwrap();
        Next::Resume(one_inside.main())
    });
    one.switch(Next::Start(outer)).unwrap();
    assert_eq!((refused.get(), one.live()), (1, 0));
}

#[test]
fn a_switch_to_a_stack_that_has_ended_or_never_existed_changes_nothing() {
    let thread = bare(1);
    let dead = start_waiting(&thread, 0);
    let alive = start_waiting(&thread, 1);
    for unknown in [dead, Id::from_parts(9, 9), Id::from_parts(u32::MAX, 1)] {
        assert!(matches!(thread.switch(Next::Resume(unknown)), Err(SwitchError::Gone(id)) if id == unknown));
    }
    assert!(thread.on_main());
    assert_eq!(thread.state(alive), State::Suspended);
    thread.switch(Next::Resume(alive)).unwrap();
}

#[test]
fn a_body_that_finds_no_slot_comes_back() {
    let thread = bare(1);
    let waiting = start_waiting(&thread, 1);
    let ran = Rc::new(Cell::new(false));
    let runs = ran.clone();
    let mut body = Body::new(move |thread| {
        runs.set(true);
        Next::Resume(thread.main())
    });
    for _ in 0..3 {
        let Err(SwitchError::NoSlot(back)) = thread.switch(Next::Start(body)) else { panic!("one slot") };
        body = back;
    }
    thread.switch(Next::Resume(waiting)).unwrap();
    thread.switch(Next::Start(body)).unwrap();
    assert!(ran.get());
}

#[test]
fn main_gets_an_error_when_a_stack_ends_and_names_one_that_has_ended() {
    let thread = bare(1);
    let dead = start_waiting(&thread, 0);
    let result = thread.switch(Next::Start(Body::new(move |_| Next::Resume(dead))));
    assert!(matches!(result, Err(SwitchError::Gone(id)) if id == dead));
    assert_eq!(thread.live(), 0);
    start_waiting(&thread, 0);
}

#[test]
fn a_stack_that_ends_can_start_the_next_in_its_own_slot() {
    const LINKS: usize = times(100, 10);
    let thread = bare(1);
    fn chain(left: usize, count: Rc<Cell<usize>>) -> Body {
        Body::new(move |thread| {
            count.set(count.get() + 1);
            if left == 0 { Next::Resume(thread.main()) } else { Next::Start(chain(left - 1, count)) }
        })
    }
    let count = Rc::new(Cell::new(0));
    thread.switch(Next::Start(chain(LINKS - 1, count.clone()))).unwrap();
    assert_eq!(count.get(), LINKS);
}

#[test]
fn options_that_are_refused_change_nothing() {
    let thread = bare(2);
    let refused =
        [Options::slots(0).max_greenlets(0), Options::slots(u32::MAX).stack_size(1 << 40).max_greenlets(0)];
    for options in refused {
        assert!(thread.configure(options).is_err());
        assert_eq!(thread.slots(), 2);
        let id = start_waiting(&thread, 1);
        assert_eq!(thread.configure(Options::slots(4)).unwrap_err().kind(), ErrorKind::ResourceBusy);
        thread.switch(Next::Resume(id)).unwrap();
    }
    thread.configure(Options::slots(4)).unwrap();
    assert_eq!(thread.slots(), 4);
}

#[test]
fn a_snapshot_is_of_one_epoch() {
    let thread = bare(2);
    let id = start_waiting(&thread, 2);
    let snapshot: Snapshot<Vec<Frame>> = thread.snapshot(id).unwrap();
    assert_eq!((snapshot.id(), snapshot.epoch()), (id, 1));
    assert_eq!(snapshot.frames(&thread).unwrap()[0].name, "waiting");
    thread.switch(Next::Resume(id)).unwrap();
    assert_eq!(snapshot.frames(&thread).unwrap_err(), SnapshotError::Stale { taken: 1, now: 2 });
    assert!(!snapshot.is_valid(&thread));
    thread.switch(Next::Resume(id)).unwrap();
    assert_eq!(snapshot.frames(&thread).unwrap_err(), SnapshotError::Gone);
    assert_eq!(thread.snapshot(id).unwrap_err(), SnapshotError::Gone);
    assert_eq!(thread.snapshot(thread.main()).unwrap_err(), SnapshotError::Running);
}

#[test]
fn an_abandoned_stack_and_its_slot_are_lost() {
    let thread = bare(2);
    let (a, b) = (start_waiting(&thread, 1), start_waiting(&thread, 1));
    assert!(!thread.abandon(thread.main()));
    assert!(thread.abandon(a));
    assert!(!thread.abandon(a));
    assert_eq!((thread.state(a), thread.live()), (State::Dead, 1));
    let full = thread.switch(Next::Start(Body::new(|thread| Next::Resume(thread.main()))));
    assert!(matches!(full, Err(SwitchError::NoSlot(_))), "the slot is lost");
    // SAFETY: main runs, and no code relies on the frames of the suspended stacks.
    unsafe { thread.abandon_all() };
    assert_eq!((thread.state(b), thread.live()), (State::Dead, 0));
    start_waiting(&thread, 0);
}

#[test]
fn the_contents_of_an_abandoned_stack_stay_when_the_thread_is_gone() {
    let thread = bare(2);
    let address = Rc::new(Cell::new(0));
    let tell = address.clone();
    let body = Body::new(move |thread| {
        let word = Cell::new(4711_u64);
        tell.set(word.as_ptr() as usize);
        thread.switch(Next::Resume(thread.main())).unwrap();
        unreachable!("{} is never read here", word.get())
    });
    thread.switch(Next::Start(body)).unwrap();
    drop(thread);
    // SAFETY: the word lies on a stack that was suspended when its thread was dropped. Such a stack is left as it is.
    assert_eq!(unsafe { *(address.get() as *const u64) }, 4711);
}

/// A host that keeps nothing for a stack but a number, and checks at every call that the core keeps its promises.
#[derive(Default)]
struct Auditor {
    /// Whether each state is parked, by its address.
    parked: RefCell<BTreeMap<usize, Parked>>,
    log: Rc<RefCell<Vec<String>>>,
    next_number: Cell<u32>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Parked {
    Yes,
    No,
}

impl Auditor {
    fn set(&self, vm: NonNull<u32>, from: Parked, to: Option<Parked>, what: &str) {
        let mut parked = self.parked.borrow_mut();
        let address = vm.as_ptr() as usize;
        assert_eq!(parked.remove(&address), Some(from), "{what}");
        parked.extend(to.map(|to| (address, to)));
        let live = parked.values().filter(|parked| **parked == Parked::No).count();
        assert!(live <= 1, "{what}: {live} stacks are live");
        // SAFETY: the host is promised that `vm` is valid.
        let number = unsafe { vm.read() };
        self.log.borrow_mut().push(format!("{what} {number}"));
    }

    fn next(&self) -> u32 {
        self.next_number.replace(self.next_number.get() + 1)
    }
}

type Task = Box<dyn FnOnce(&Thread<Auditor>) -> Next<Auditor>>;

// SAFETY: the tasks below do not panic, and nothing is kept between `park` and `unpark`.
unsafe impl Host for Auditor {
    const ABOVE_BASE: usize = 4096;
    type VmState = u32;
    type Body = Task;
    type Capture = u32;

    fn main_state(&self) -> u32 {
        self.next()
    }

    fn fresh_state(&self, _: StackBounds) -> u32 {
        self.next()
    }

    unsafe fn enlist(&self, vm: NonNull<u32>, stack: StackBounds) {
        let is_main = self.parked.borrow().is_empty();
        if !is_main {
            let above = stack.base as *mut u8;
            // SAFETY: the host owns `ABOVE_BASE` bytes from the base up.
            unsafe { above.write_bytes(0xAB, Self::ABOVE_BASE) };
        }
        let state = if is_main { Parked::No } else { Parked::Yes };
        assert_eq!(self.parked.borrow_mut().insert(vm.as_ptr() as usize, state), None, "enlisted once");
    }

    unsafe fn park(&self, vm: NonNull<u32>) {
        self.set(vm, Parked::No, Some(Parked::Yes), "park");
    }

    unsafe fn unpark(&self, vm: NonNull<u32>) {
        self.set(vm, Parked::Yes, Some(Parked::No), "unpark");
    }

    unsafe fn relocate(&self, vm: NonNull<u32>, moved: &Relocation) {
        let way = if moved.home { "unspills" } else { "spills" };
        self.set(vm, Parked::Yes, Some(Parked::Yes), way);
    }

    unsafe fn retire(&self, vm: NonNull<u32>) {
        self.set(vm, Parked::No, None, "retire");
    }

    unsafe fn abandon(&self, vm: NonNull<u32>) {
        self.set(vm, Parked::Yes, None, "abandon");
    }

    unsafe fn capture(&self, vm: NonNull<u32>) -> u32 {
        self.set(vm, Parked::Yes, Some(Parked::Yes), "capture");
        // SAFETY: the host is promised that `vm` is valid.
        unsafe { vm.read() }
    }

    fn run(thread: &Thread<Self>, body: Task) -> Next<Self> {
        body(thread)
    }
}

#[test]
#[cfg_attr(miri, ignore = "under Miri no stack can move")]
fn a_host_is_told_when_a_stack_moves() {
    let auditor = Auditor::default();
    let log = auditor.log.clone();
    // SAFETY: no code uses the contents of a suspended stack.
    let options = unsafe { Options::slots(1).spilling(Spilling::WhenNeeded) };
    // SAFETY: these are the bounds of this thread's own stack, and nothing else switches stacks here.
    let thread = unsafe { Thread::new(auditor, StackBounds::of_this_thread().unwrap(), options) }.unwrap();
    assert!(log.take().is_empty(), "the host is not called for the core's own preparations");
    let waits: fn() -> Task = || {
        Box::new(|thread| {
            thread.switch(Next::Resume(thread.main())).unwrap();
            Next::Resume(thread.main())
        })
    };
    thread.switch(Next::Start(waits())).unwrap();
    let first = *thread.ids().iter().find(|id| **id != thread.main()).unwrap();
    assert_eq!(log.take(), ["park 0", "unpark 1", "park 1", "unpark 0"]);
    thread.switch(Next::Start(waits())).unwrap();
    assert_eq!(log.take(), ["park 0", "spills 1", "unpark 2", "park 2", "unpark 0"]);
    assert_eq!(thread.snapshot(first).unwrap().detach(), 1);
    assert_eq!(log.take(), ["capture 1"], "nothing moves for a snapshot");
    thread.switch(Next::Resume(first)).unwrap();
    assert_eq!(log.take(), ["park 0", "spills 2", "unspills 1", "unpark 1", "retire 1", "unpark 0"]);
    drop(thread);
    assert_eq!(log.take(), ["abandon 2", "retire 0"]);
}

#[test]
fn a_host_is_called_as_its_contract_says() {
    let auditor = Auditor::default();
    let log = auditor.log.clone();
    // SAFETY: these are the bounds of this thread's own stack, and nothing else switches stacks here.
    let thread =
        unsafe { Thread::new(auditor, StackBounds::of_this_thread().unwrap(), Options::slots(3)) }.unwrap();
    let waits: fn() -> Task = || {
        Box::new(|thread| {
            thread.switch(Next::Resume(thread.main())).unwrap();
            Next::Resume(thread.main())
        })
    };
    thread.switch(Next::Start(waits())).unwrap();
    let first = *thread.ids().iter().find(|id| **id != thread.main()).unwrap();
    assert_eq!(log.take(), ["park 0", "unpark 1", "park 1", "unpark 0"]);

    assert_eq!(thread.snapshot(first).unwrap().detach(), 1);
    assert_eq!(log.take(), ["capture 1"], "nothing is parked or unparked for a snapshot");

    let passes_on: Task = Box::new(move |_| Next::Resume(first));
    thread.switch(Next::Start(passes_on)).unwrap();
    assert_eq!(log.take(), ["park 0", "unpark 2", "retire 2", "unpark 1", "retire 1", "unpark 0"]);

    for _ in 0..3 {
        thread.switch(Next::Start(waits())).unwrap();
    }
    log.take();
    assert!(matches!(thread.switch(Next::Start(waits())), Err(SwitchError::NoSlot(_))));
    assert!(thread.switch(Next::Resume(first)).is_err());
    thread.switch(Next::Resume(thread.main())).unwrap();
    assert!(log.take().is_empty(), "nothing is parked for a switch that does not happen");

    drop(thread);
    let mut end = log.take();
    assert_eq!(end.pop().unwrap(), "retire 0", "main last");
    end.sort();
    assert_eq!(end, ["abandon 3", "abandon 4", "abandon 5"]);
}
