//! Helpers for several test files.
#![allow(dead_code, reason = "each test file is a program of its own and uses some of this")]

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fmt::{Debug, Display};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::rc::Rc;

use greenlets_core::{Builder, Error, Greenlet, GreenletExit, Thrown, Value, unpack};

/// The result of a greenlet's function.
pub(crate) type Outcome = Result<Value, Thrown>;

pub(crate) fn nothing() -> Value {
    Box::new(())
}

/// A number of repetitions or greenlets: Miri takes a thousand times as long, and each greenlet is a thread there.
pub(crate) const fn times(natively: usize, under_miri: usize) -> usize {
    if cfg!(miri) { under_miri } else { natively }
}

/// A new greenlet; see [`Greenlet::new`].
pub(crate) fn new_greenlet(function: impl FnOnce(Value) -> Outcome + 'static) -> Greenlet {
    // SAFETY: no function of these tests switches while a thread-local is initialised, destroyed, borrowed or set for a scope.
    unsafe { Greenlet::new(function) }
}

/// [`Builder::build`] for functions of these tests.
pub(crate) trait BuildHere {
    fn build_here(self, function: impl FnOnce(Value) -> Outcome + 'static) -> Result<Greenlet, Error>;
}

impl BuildHere for Builder {
    fn build_here(self, function: impl FnOnce(Value) -> Outcome + 'static) -> Result<Greenlet, Error> {
        // SAFETY: as in `new_greenlet`.
        unsafe { self.build(function) }
    }
}

/// An `i32` as a value.
pub(crate) fn int(number: i32) -> Value {
    Box::new(number)
}

/// The `i32` that a switch brought.
#[track_caller]
pub(crate) fn as_int(outcome: Outcome) -> i32 {
    unpack::<i32>(outcome.expect("a value")).expect("an i32")
}

/// The text of a `GreenletExit` that arrived as a value.
#[track_caller]
pub(crate) fn as_exit(outcome: Outcome) -> String {
    unpack::<GreenletExit>(outcome.expect("a value")).expect("a GreenletExit").to_string()
}

/// An error with a text, so that tests can tell one from another.
#[derive(Debug, PartialEq, Eq, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Oops(pub(crate) &'static str);

#[track_caller]
pub(crate) fn as_oops(outcome: Outcome) -> Oops {
    outcome.expect_err("an error").downcast::<Oops>().expect("an Oops")
}

/// The stable code of the error.
#[track_caller]
pub(crate) fn code<T: Debug, E: Into<Thrown>>(outcome: Result<T, E>) -> &'static str {
    outcome.expect_err("an error").into().code().expect("an error of this crate")
}

/// Runs `test` on a thread of its own, for what is counted for each thread, and returns when the thread has ended completely.
pub(crate) fn on_a_thread<R: Send>(test: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| scope.spawn(test).join())
        .unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}

/// A list of events, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn push(&self, entry: impl Display) {
        self.0.borrow_mut().push(entry.to_string());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

/// Writes to the log when it is dropped.
pub(crate) struct OnDrop(pub(crate) Log, pub(crate) &'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.push(self.1);
    }
}

/// Switches to main with no value. Returns what the next switch back brings, value or error.
pub(crate) fn pause() -> Outcome {
    Greenlet::main().switch(nothing())
}

const CHILD: &str = "GREENLETS_TEST_CHILD";

/// Runs `scenario` in a process of its own, which runs this test once more; `test` is the test's name. Returns the process's
/// output and status.
pub(crate) fn in_a_process(test: &str, scenario: impl FnOnce()) -> Output {
    if std::env::var_os(CHILD).is_some() {
        scenario();
        std::process::exit(0);
    }
    let this = std::env::current_exe().expect("this test");
    // In the same way as cargo runs this one: natively, or in an emulator.
    let runner = format!("CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_RUNNER", std::env::consts::ARCH.to_uppercase());
    let runner = std::env::var(runner).unwrap_or_default();
    let mut command_line = runner.split_whitespace().map(OsStr::new).chain([this.as_os_str()]);
    Command::new(command_line.next().expect("at least this test"))
        .args(command_line)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .expect("it runs")
}

/// The signal that ended it.
pub(crate) fn signal(output: &Output) -> Option<i32> {
    output.status.signal()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
