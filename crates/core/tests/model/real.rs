//! The same programs on real stacks.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use greenlets_core::{
    Frame, Greenlet, GreenletExit, Options, Thrown, Value, View, configure, frame, kill_all,
    set_unraisable_hook,
};

use crate::common::{BuildHere, Outcome, int, on_a_thread};
use crate::{Event, MOST, Op, Payload};

#[derive(Debug, thiserror::Error)]
#[error("error {0}")]
struct Numbered(i32);

struct World {
    program: RefCell<VecDeque<Op>>,
    greenlets: RefCell<Vec<Greenlet>>,
    looks: RefCell<Vec<View<Vec<Frame>>>>,
    story: RefCell<Vec<Event>>,
    /// Set when the program is over and the greenlets are cleaned up.
    told: Cell<bool>,
}

/// Why a frame is left.
enum Flow {
    Leave,
    End(Outcome),
}

pub(crate) fn run(program: Vec<Op>, options: Options) -> Vec<Event> {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let reporter = reports.clone();
    // On a thread of its own: a greenlet that waits in a kill() and its victim may keep each other alive until `kill_all`.
    let story = on_a_thread(move || {
        configure(options).unwrap();
        set_unraisable_hook(move |unraisable| reporter.lock().unwrap().push(unraisable.to_string()));
        let world = Rc::new(World {
            program: RefCell::new(program.into()),
            greenlets: RefCell::new(vec![Greenlet::main()]),
            looks: RefCell::default(),
            story: RefCell::default(),
            told: Cell::new(false),
        });
        frame!("main");
        // Main leaves its outermost frame only when the program is over.
        while let Flow::Leave = world.act(0, true) {
            if world.program.borrow().is_empty() {
                break;
            }
        }
        world.told.set(true);
        let greenlets = world.greenlets.take();
        drop(greenlets);
        kill_all();
        world.story.take()
    });
    assert!(
        reports.lock().unwrap().is_empty(),
        "the clean-up reports nothing: {:?}",
        reports.lock().unwrap()
    );
    story
}

impl World {
    /// What the greenlet `me` does; also for main.
    fn act(self: &Rc<World>, me: usize, stubborn: bool) -> Flow {
        loop {
            let Some(op) = self.program.borrow_mut().pop_front() else {
                return if me == 0 { Flow::Leave } else { Flow::End(Ok(int(-1))) };
            };
            self.take_stock();
            let count = self.greenlets.borrow().len();
            let arrived = match op {
                Op::Create { .. } if count == MOST => continue,
                Op::Create { parent, stubborn } => {
                    self.create(parent.map(|parent| parent % count), stubborn);
                    continue;
                }
                Op::Switch(to, value) => self.greenlet(to).switch(int(value)),
                Op::Throw(to, error) => self.greenlet(to).throw(Numbered(error)),
                Op::ThrowExit(to) => self.greenlet(to).throw(GreenletExit::default()),
                Op::Kill(victim) => match self.greenlet(victim).kill() {
                    Ok(()) => {
                        self.tell(Event::Killed(me, Ok(())));
                        continue;
                    }
                    Err(Thrown::Error(error)) if error.is::<greenlets_core::Error>() => {
                        let error = error.downcast::<greenlets_core::Error>().unwrap();
                        self.tell(Event::Killed(me, Err(error.code())));
                        continue;
                    }
                    Err(thrown) => Err(thrown),
                },
                Op::Reparent(child, parent) => {
                    let result = self.greenlet(child).set_parent(&self.greenlet(parent));
                    self.tell(Event::Reparented(result.map_err(|error| error.code())));
                    continue;
                }
                Op::Look(greenlet) => {
                    let stack = self.greenlet(greenlet).stack();
                    self.tell(Event::Saw(stack.as_ref().map(|stack| stack.get().unwrap().len())));
                    self.looks.borrow_mut().extend(stack);
                    continue;
                }
                Op::Enter => {
                    frame!("nested");
                    match self.act(me, stubborn) {
                        Flow::Leave => continue,
                        end => return end,
                    }
                }
                Op::Leave => return Flow::Leave,
                Op::Return(_) | Op::Fail(_) | Op::Panic(_) if me == 0 => continue,
                Op::Return(value) => return Flow::End(Ok(int(value))),
                Op::Fail(error) => return Flow::End(Err(Numbered(error).into())),
                Op::Panic(payload) => resume_unwind(Box::new(payload)),
            };
            let (payload, arrived) = label(arrived);
            self.tell(Event::Got(me, payload));
            if arrived.is_err() && !stubborn {
                return Flow::End(arrived);
            }
        }
    }

    fn create(self: &Rc<World>, parent: Option<usize>, stubborn: bool) {
        let world = self.clone();
        let me = self.greenlets.borrow().len();
        let body = move |value| {
            frame!("body");
            let (payload, _) = label(Ok(value));
            world.tell(Event::Started(me, payload));
            loop {
                // Its outermost frame is left only by its end.
                if let Flow::End(outcome) = world.act(me, stubborn) {
                    return outcome;
                }
            }
        };
        let parent = parent.map_or_else(Greenlet::current, |parent| self.greenlet(parent));
        let greenlet = Greenlet::builder().parent(&parent).build_here(body).unwrap();
        self.greenlets.borrow_mut().push(greenlet);
    }

    fn greenlet(&self, number: usize) -> Greenlet {
        let greenlets = self.greenlets.borrow();
        greenlets[number % greenlets.len()].clone()
    }

    fn tell(&self, event: Event) {
        if !self.told.get() {
            self.story.borrow_mut().push(event);
        }
    }

    fn take_stock(&self) {
        let greenlets = self.greenlets.borrow();
        let number = |greenlet: Greenlet| greenlets.iter().position(|it| *it == greenlet).unwrap();
        self.tell(Event::Now {
            current: number(Greenlet::current()),
            states: greenlets.iter().map(Greenlet::state).collect(),
            parents: greenlets.iter().map(|it| it.parent().map(number)).collect(),
            valid: self.looks.borrow().iter().map(View::is_valid).collect(),
        });
    }
}

/// Its description, and the outcome itself.
fn label(outcome: Outcome) -> (Payload, Outcome) {
    let payload = match &outcome {
        Ok(value) => label_value(value),
        Err(Thrown::Exit(_)) => Payload::Exit,
        Err(Thrown::Error(error)) => Payload::Error(error.downcast_ref::<Numbered>().expect("ours").0),
        Err(Thrown::Panic(payload)) => Payload::Panic(*payload.downcast_ref().expect("ours")),
        Err(other) => unreachable!("{other}"),
    };
    (payload, outcome)
}

fn label_value(value: &Value) -> Payload {
    value.downcast_ref().map_or(Payload::ExitValue, |number| Payload::Value(*number))
}
