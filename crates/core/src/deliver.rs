//! Who gets what: Python greenlet's rules.
//!
//! ```text
//!   switch(), throw() ──► deliver ──► transfer ═══════► enter ──► the greenlet's function
//!                           │  ▲         │    (stacks)                │
//!      dead: on to parent ◄─┘  └─────────┘                            │
//!                              returns  ◄══════════════════════════ finish
//! ```
//!
//! * A finished greenlet's result goes to its parent, an error too; [`GreenletExit`](crate::GreenletExit) becomes a value there.
//! * A dead greenlet hands on to its parent whatever it gets.
//! * An unstarted one starts with a value, and dies of anything thrown, which goes on to its parent.
//! * While a greenlet is being killed, whoever kills it takes its parent's place.
//!
//! The parcel itself waits in [`Local`]; the core is told no more than which stack is to run. **Between choosing the receiver
//! and arriving there no foreign code may run**: no destructor of a value, no hook. It could switch, and the choice would be
//! out of date.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use crate::error::{Error, Value};
use crate::greenlet::{Greenlet, Stage};
use crate::local::{Local, Parcel};
use crate::null_host::{Body, NullHost};
use crate::refusal::SwitchError;
use crate::registry::Id;
use crate::thread::{Next, Thread};
use crate::thrown::{GreenletExit, Thrown};

/// Takes `parcel` to `target`, or to the first of its ancestors that can take it. Returns what the next switch back here brings.
pub(crate) fn deliver(local: &Local, target: &Greenlet, mut parcel: Parcel) -> Parcel {
    let mut to = target.clone();
    loop {
        if to.inner().token != local.token {
            return Err(Error::WrongThread { greenlet: to.name().into_owned(), value: parcel.ok() }.into());
        }
        if local.is_current(&to) {
            return parcel;
        }
        match to.inner().stage.get() {
            Stage::Main => return transfer(local, to, Next::Resume(main_id(local)), parcel),
            Stage::Started(id) => return transfer(local, to, Next::Resume(id), parcel),
            Stage::Unstarted if parcel.is_ok() => return start(local, to, parcel),
            Stage::Unstarted => succumb(local, &to),
            Stage::Dead => {}
        }
        parcel = past_exit(parcel);
        to = parent_of(&to);
    }
}

fn start(local: &Local, to: Greenlet, parcel: Parcel) -> Parcel {
    if let Err(source) = local.core() {
        return Err(Error::NoMemory { greenlet: to.name().into_owned(), source, value: parcel.ok() }.into());
    }
    let body = take_body(&to);
    transfer(local, to, Next::Start(body), parcel)
}

/// Leaves this stack. Returns when somebody switches back, or at once where the switch is refused.
fn transfer(local: &Local, to: Greenlet, next: Next<NullHost>, parcel: Parcel) -> Parcel {
    let core = local.core().expect("who has started has a stack, and `start` made sure for who has not");
    local.parcel.set(Some(parcel));
    // The handle that kept us alive goes along, so that we stay alive only if somebody else has one.
    local.origin.set(Some(local.current.replace(to)));
    match core.switch(next) {
        Ok(()) => arrive(local),
        Err(error) => refuse(local, error),
    }
}

/// The other side of a switch: takes what was brought, lets go of who brought it.
fn arrive(local: &Local) -> Parcel {
    let parcel = local.parcel.take().expect("every switch brings something");
    if let Some(origin) = local.origin.take() {
        if Rc::strong_count(origin.inner()) > 1 {
            drop(origin);
        } else {
            // Nobody has a handle any more: if it is suspended, dropping this one kills it. The parcel is safe by now.
            local.discard(&local.current(), origin);
        }
    }
    parcel
}

/// The core did not switch. Puts everything back.
#[cold]
fn refuse(local: &Local, error: SwitchError<Body>) -> Parcel {
    let origin = local.origin.take().expect("set before the switch");
    // Where a greenlet has ended and who it named could not run, main runs.
    let ended = matches!(origin.inner().stage.get(), Stage::Dead);
    let to = local.current.replace(if ended { local.main.clone() } else { origin });
    let value = local.parcel.take().and_then(Result::ok);
    let greenlet = to.name().into_owned();
    let unstart = |body| to.inner().body.set(Some(body));
    Err(match error {
        SwitchError::NoSlot(body) => {
            unstart(body);
            Error::NoSlot { greenlet, slots: local.slots(), value }
        }
        SwitchError::Limit(body, limit) => {
            unstart(body);
            Error::Limit { greenlet, limit, value }
        }
        SwitchError::NoMemory(body, source) => {
            body.map(unstart);
            Error::NoMemory { greenlet, source, value }
        }
        SwitchError::Gone(id) => {
            unreachable!("{greenlet} is at stage Started({id:?}), so its stack is there")
        }
    }
    .into())
}

/// The first and last thing on a new stack.
pub(crate) fn enter(
    thread: &Thread<NullHost>,
    function: impl FnOnce(Value) -> Result<Value, Thrown>,
) -> Next<NullHost> {
    let local = Local::get();
    local.current.borrow().inner().stage.set(Stage::Started(thread.current()));
    let result = catch_unwind(AssertUnwindSafe(|| function(arrive(local)?)));
    finish(local, result.unwrap_or_else(|payload| Err(Thrown::Panic(payload))))
}

/// The greenlet's function has returned: finds out who gets its result, and dies.
fn finish(local: &Local, parcel: Parcel) -> Next<NullHost> {
    let me = local.current();
    let parcel = past_exit(parcel);
    // A killer is alive: it waits in its kill().
    let killer = me.inner().killers.borrow().last().cloned();
    let mut to = killer.unwrap_or_else(|| parent_of(&me));
    let next = loop {
        match to.inner().stage.get() {
            Stage::Main => break Next::Resume(main_id(local)),
            Stage::Started(id) => break Next::Resume(id),
            Stage::Unstarted if parcel.is_ok() => break Next::Start(take_body(&to)),
            Stage::Unstarted => succumb(local, &to),
            Stage::Dead => {}
        }
        to = parent_of(&to);
    };
    // Not before: the destructors that `succumb` runs may switch, and those they switch to may come back to us.
    me.inner().stage.set(Stage::Dead);
    local.strike(me.inner());
    local.parcel.set(Some(parcel));
    local.origin.set(Some(local.current.replace(to)));
    next
}

/// Throws [`GreenletExit`] into a suspended greenlet and makes the current one its parent meanwhile. Returns when it is dead, or
/// when it, or anybody, switches back here.
pub(crate) fn kill_suspended(local: &Local, greenlet: &Greenlet, exit: GreenletExit) -> Parcel {
    let killers = &greenlet.inner().killers;
    killers.borrow_mut().push(local.current());
    let parcel = deliver(local, greenlet, Err(Thrown::Exit(exit)));
    // Others may have killed it while we waited, or set its parent, which counts for more than we do.
    let mut killers = killers.borrow_mut();
    let ours = killers.iter().rposition(|killer| local.is_current(killer)).map(|at| killers.remove(at));
    drop(killers);
    drop(ours);
    parcel
}

/// As [`kill_suspended`], for a greenlet that nobody will ever switch to again. What goes wrong is reported; a greenlet that
/// refuses is abandoned, unless by now somebody has a handle to it again.
#[cold]
pub(crate) fn kill_or_abandon(local: &Local, greenlet: &Greenlet) {
    if !greenlet.inner().has_stack() {
        return;
    }
    let last_handle = Rc::strong_count(greenlet.inner()) == 1;
    let exit = match last_handle {
        true => "the last handle to the greenlet was dropped",
        false => "the greenlet's thread ends",
    };
    if let Err(thrown) = kill_suspended(local, greenlet, GreenletExit::new(exit)) {
        local.report(greenlet, thrown);
    }
    let resurrected = last_handle && Rc::strong_count(greenlet.inner()) > 1;
    if greenlet.inner().has_stack() && !resurrected {
        local.abandon(greenlet);
        local.report(greenlet, Error::KillRefused { greenlet: greenlet.name().into_owned() }.into());
    }
}

/// An unstarted greenlet dies without having run.
pub(crate) fn succumb(local: &Local, greenlet: &Greenlet) {
    let inner = greenlet.inner();
    inner.stage.set(Stage::Dead);
    local.strike(inner);
    local.discard(greenlet, inner.body.take());
}

/// What ends a greenlet has done its work when it leaves one, and goes on as a value.
fn past_exit(parcel: Parcel) -> Parcel {
    match parcel {
        Err(Thrown::Exit(exit)) => Ok(Box::new(exit)),
        other => other,
    }
}

fn take_body(greenlet: &Greenlet) -> Body {
    greenlet.inner().body.take().expect("an unstarted greenlet has its function")
}

fn parent_of(greenlet: &Greenlet) -> Greenlet {
    greenlet.inner().parent.borrow().clone().expect("only main has no parent, and main is never passed over")
}

fn main_id(local: &Local) -> Id {
    local.stacks().expect("only a greenlet that has started can switch to main").main()
}
