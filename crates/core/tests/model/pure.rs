//! The model: greenlets as rows of a table.

use std::collections::VecDeque;

use greenlets_core::State;

use crate::{Event, MOST, Op, Payload};

/// The call that a greenlet waits in.
#[derive(Clone, Copy)]
enum Waits {
    InSwitch,
    InKill { victim: usize },
}

struct Row {
    state: State,
    parent: Option<usize>,
    killers: Vec<usize>,
    waits: Waits,
    stubborn: bool,
    frames: usize,
    resumed: u64,
}

struct Model {
    rows: Vec<Row>,
    current: usize,
    /// The greenlet, and how often it had been resumed.
    looks: Vec<(usize, u64)>,
    story: Vec<Event>,
}

pub(crate) fn run(program: Vec<Op>) -> Vec<Event> {
    let main = Row::new(None, true);
    let main = Row { state: State::Running, frames: 1, ..main };
    let mut model = Model { rows: vec![main], current: 0, looks: Vec::new(), story: Vec::new() };
    let mut program = VecDeque::from(program);
    loop {
        match program.pop_front() {
            Some(op) => model.step(op),
            // The program is over: every greenlet that gets control ends.
            None if model.current != 0 => model.end(Payload::Value(-1)),
            None => return model.story,
        }
    }
}

impl Row {
    fn new(parent: Option<usize>, stubborn: bool) -> Row {
        let waits = Waits::InSwitch;
        Row { state: State::Unstarted, parent, killers: Vec::new(), waits, stubborn, frames: 0, resumed: 0 }
    }
}

impl Model {
    fn step(&mut self, op: Op) {
        self.take_stock();
        let (me, count) = (self.current, self.rows.len());
        match op {
            Op::Create { .. } if count == MOST => {}
            Op::Create { parent, stubborn } => {
                let parent = parent.map_or(me, |parent| parent % count);
                self.rows.push(Row::new(Some(parent), stubborn));
            }
            Op::Switch(to, value) => self.send(to % count, Payload::Value(value), Waits::InSwitch),
            Op::Throw(to, error) => self.send(to % count, Payload::Error(error), Waits::InSwitch),
            Op::ThrowExit(to) => self.send(to % count, Payload::Exit, Waits::InSwitch),
            Op::Kill(victim) => self.kill(victim % count),
            Op::Reparent(child, parent) => {
                let result = self.reparent(child % count, parent % count);
                self.story.push(Event::Reparented(result));
            }
            Op::Look(greenlet) => {
                let greenlet = greenlet % count;
                let Row { state, frames, resumed, .. } = self.rows[greenlet];
                let seen = (state == State::Suspended).then_some(frames);
                self.looks.extend(seen.map(|_| (greenlet, resumed)));
                self.story.push(Event::Saw(seen));
            }
            Op::Enter => self.rows[me].frames += 1,
            // The first frame is the function itself.
            Op::Leave => self.rows[me].frames = 1.max(self.rows[me].frames - 1),
            Op::Return(_) | Op::Fail(_) | Op::Panic(_) if me == 0 => {}
            Op::Return(value) => self.end(Payload::Value(value)),
            Op::Fail(error) => self.end(Payload::Error(error)),
            Op::Panic(payload) => self.end(Payload::Panic(payload)),
        }
    }

    fn take_stock(&mut self) {
        self.story.push(Event::Now {
            current: self.current,
            states: self.rows.iter().map(|row| row.state).collect(),
            parents: self.rows.iter().map(|row| row.killers.last().copied().or(row.parent)).collect(),
            valid: self
                .looks
                .iter()
                .map(|(greenlet, resumed)| {
                    let row = &self.rows[*greenlet];
                    row.state == State::Suspended && row.resumed == *resumed
                })
                .collect(),
        });
    }

    fn send(&mut self, to: usize, payload: Payload, waits: Waits) {
        self.rows[self.current].waits = waits;
        let (to, payload) = self.route(to, payload);
        self.arrive(to, payload);
    }

    /// The greenlet that can receive it, and the payload as it arrives there.
    fn route(&mut self, mut to: usize, mut payload: Payload) -> (usize, Payload) {
        loop {
            let row = &mut self.rows[to];
            match row.state {
                State::Running | State::Suspended => return (to, payload),
                State::Unstarted if !payload.is_thrown() => return (to, payload),
                State::Unstarted | State::Dead => row.state = State::Dead,
            }
            payload = exit_to_value(payload);
            to = row.parent.unwrap();
        }
    }

    fn arrive(&mut self, to: usize, payload: Payload) {
        if to != self.current {
            if self.rows[self.current].state == State::Running {
                self.rows[self.current].state = State::Suspended;
            }
            self.rows[to].resumed += 1;
            self.current = to;
        }
        let row = &mut self.rows[to];
        if row.state == State::Unstarted {
            (row.state, row.frames) = (State::Running, 1);
            self.story.push(Event::Started(to, payload));
            return;
        }
        row.state = State::Running;
        let stubborn = row.stubborn;
        if let Waits::InKill { victim } = row.waits {
            let killers = &mut self.rows[victim].killers;
            if let Some(at) = killers.iter().rposition(|killer| *killer == to) {
                killers.remove(at);
            }
            if !payload.is_thrown() {
                let dead = self.rows[victim].state == State::Dead;
                self.killed(if dead { Ok(()) } else { Err("ERR_GREENLET_KILL_REFUSED") });
                return;
            }
        }
        self.story.push(Event::Got(to, payload));
        if payload.is_thrown() && !stubborn {
            self.end(payload);
        }
    }

    fn end(&mut self, payload: Payload) {
        let me = self.current;
        let heir = self.rows[me].killers.last().copied().or(self.rows[me].parent).unwrap();
        self.rows[me].state = State::Dead;
        let (to, payload) = self.route(heir, exit_to_value(payload));
        self.arrive(to, payload);
    }

    fn kill(&mut self, victim: usize) {
        let me = self.current;
        match self.rows[victim].state {
            _ if victim == 0 => self.killed(Err("ERR_GREENLET_MAIN")),
            State::Dead => self.killed(Ok(())),
            State::Unstarted => {
                self.rows[victim].state = State::Dead;
                self.killed(Ok(()));
            }
            State::Running => {
                self.rows[me].waits = Waits::InSwitch;
                self.arrive(me, Payload::Exit);
            }
            State::Suspended => {
                self.rows[victim].killers.push(me);
                self.send(victim, Payload::Exit, Waits::InKill { victim });
            }
        }
    }

    fn killed(&mut self, result: Result<(), &'static str>) {
        self.story.push(Event::Killed(self.current, result));
    }

    fn reparent(&mut self, child: usize, parent: usize) -> Result<(), &'static str> {
        if child == 0 {
            return Err("ERR_GREENLET_MAIN");
        }
        let mut ancestor = Some(parent);
        while let Some(row) = ancestor {
            if row == child {
                return Err("ERR_GREENLET_PARENT_CYCLE");
            }
            ancestor = self.rows[row].parent;
        }
        self.rows[child].parent = Some(parent);
        self.rows[child].killers.clear();
        Ok(())
    }
}

fn exit_to_value(payload: Payload) -> Payload {
    if payload == Payload::Exit { Payload::ExitValue } else { payload }
}
