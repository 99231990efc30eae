//! The programs: what a step can be, and what a program records. Also used by the fuzz target (`fuzz/`).

use greenlets_core::State;

/// The number of greenlets a program may make, main included.
pub(crate) const MOST: usize = 30;

/// One step. Greenlets are numbered in the order in which they are made; 0 is main. A number that is too high is taken modulo the
/// number of greenlets.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A `parent` of `None` is the running greenlet. A stubborn greenlet catches everything that is thrown into it and goes on.
    Create {
        parent: Option<usize>,
        stubborn: bool,
    },
    Switch(usize, i32),
    Throw(usize, i32),
    ThrowExit(usize),
    Kill(usize),
    Reparent(usize, usize),
    /// Takes a snapshot, and keeps it.
    Look(usize),
    /// One more frame on the stack of the running greenlet, and one less.
    Enter,
    Leave,
    /// These three end the running greenlet; main does nothing.
    Return(i32),
    Fail(i32),
    Panic(i32),
}

/// A value or an error that arrives at a greenlet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    Value(i32),
    /// A `GreenletExit` as a value.
    ExitValue,
    Error(i32),
    Exit,
    Panic(i32),
}

impl Payload {
    pub(crate) fn is_thrown(self) -> bool {
        matches!(self, Payload::Error(_) | Payload::Exit | Payload::Panic(_))
    }
}

/// What a program records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Started(usize, Payload),
    /// A switch or a throw of this greenlet came back with this.
    Got(usize, Payload),
    /// A kill of this greenlet returned: with nothing, or a code of the crate.
    Killed(usize, Result<(), &'static str>),
    Reparented(Result<(), &'static str>),
    /// The number of frames that were read, or `None` where there is no stack to read.
    Saw(Option<usize>),
    /// Before each operation: the running greenlet, the states, the parents, and which of the kept snapshots are still valid.
    Now {
        current: usize,
        states: Vec<State>,
        parents: Vec<Option<usize>>,
        valid: Vec<bool>,
    },
}
