//! The model: greenlets as rows of a table.

use std::collections::VecDeque;

use greenlets_core::State;

use crate::{Event, MOST, Op, Parcel};

/// What a greenlet waits in.
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
    /// Whose, how often it had been resumed.
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
            // With nothing left to do, everybody goes home.
            None if model.current != 0 => model.end(Parcel::Value(-1)),
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
            Op::Switch(to, value) => self.send(to % count, Parcel::Value(value), Waits::InSwitch),
            Op::Throw(to, error) => self.send(to % count, Parcel::Error(error), Waits::InSwitch),
            Op::ThrowExit(to) => self.send(to % count, Parcel::Exit, Waits::InSwitch),
            Op::Kill(victim) => self.kill(victim % count),
            Op::Reparent(child, parent) => {
                let result = self.reparent(child % count, parent % count);
                self.story.push(Event::Reparented(result));
            }
            Op::Look(who) => {
                let who = who % count;
                let Row { state, frames, resumed, .. } = self.rows[who];
                let seen = (state == State::Suspended).then_some(frames);
                self.looks.extend(seen.map(|_| (who, resumed)));
                self.story.push(Event::Saw(seen));
            }
            Op::Enter => self.rows[me].frames += 1,
            // The first one is the function itself.
            Op::Leave => self.rows[me].frames = 1.max(self.rows[me].frames - 1),
            Op::Return(_) | Op::Fail(_) | Op::Panic(_) if me == 0 => {}
            Op::Return(value) => self.end(Parcel::Value(value)),
            Op::Fail(error) => self.end(Parcel::Error(error)),
            Op::Panic(payload) => self.end(Parcel::Panic(payload)),
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
                .map(|(who, resumed)| {
                    let row = &self.rows[*who];
                    row.state == State::Suspended && row.resumed == *resumed
                })
                .collect(),
        });
    }

    fn send(&mut self, to: usize, parcel: Parcel, waits: Waits) {
        self.rows[self.current].waits = waits;
        let (to, parcel) = self.route(to, parcel);
        self.arrive(to, parcel);
    }

    /// Who can take it, and what it is by then.
    fn route(&mut self, mut to: usize, mut parcel: Parcel) -> (usize, Parcel) {
        loop {
            let row = &mut self.rows[to];
            match row.state {
                State::Running | State::Suspended => return (to, parcel),
                State::Unstarted if !parcel.is_thrown() => return (to, parcel),
                State::Unstarted | State::Dead => row.state = State::Dead,
            }
            parcel = past_exit(parcel);
            to = row.parent.unwrap();
        }
    }

    fn arrive(&mut self, to: usize, parcel: Parcel) {
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
            self.story.push(Event::Started(to, parcel));
            return;
        }
        row.state = State::Running;
        let stubborn = row.stubborn;
        if let Waits::InKill { victim } = row.waits {
            let killers = &mut self.rows[victim].killers;
            if let Some(at) = killers.iter().rposition(|killer| *killer == to) {
                killers.remove(at);
            }
            if !parcel.is_thrown() {
                let dead = self.rows[victim].state == State::Dead;
                self.killed(if dead { Ok(()) } else { Err("ERR_GREENLET_KILL_REFUSED") });
                return;
            }
        }
        self.story.push(Event::Got(to, parcel));
        if parcel.is_thrown() && !stubborn {
            self.end(parcel);
        }
    }

    fn end(&mut self, parcel: Parcel) {
        let me = self.current;
        let heir = self.rows[me].killers.last().copied().or(self.rows[me].parent).unwrap();
        self.rows[me].state = State::Dead;
        let (to, parcel) = self.route(heir, past_exit(parcel));
        self.arrive(to, parcel);
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
                self.arrive(me, Parcel::Exit);
            }
            State::Suspended => {
                self.rows[victim].killers.push(me);
                self.send(victim, Parcel::Exit, Waits::InKill { victim });
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

fn past_exit(parcel: Parcel) -> Parcel {
    if parcel == Parcel::Exit { Parcel::ExitValue } else { parcel }
}
