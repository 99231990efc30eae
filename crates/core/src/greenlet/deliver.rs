//! Which greenlet gets a value or an error: the rules of Python's greenlet. And the switch there.
//!
//! ```text
//!   switch(), throw() ──► deliver ──► transfer ═══════► enter ──► the greenlet's function
//!                           │            │    (stacks)                │
//!                        receiver     returns                         │
//!                           │            ▲                            ▼
//!                           └─────────── ╬ ◄═══════════════════════ finish
//! ```
//!
//! * The result of a finished greenlet goes to its parent, an error too; [`GreenletExit`](crate::GreenletExit) becomes a value
//!   there.
//! * A dead greenlet hands everything it gets on to its parent.
//! * An unstarted greenlet starts with a value. Anything thrown into it ends it, and goes on to its parent.
//! * While a greenlet is being killed, the greenlet that kills it takes the place of its parent.
//!
//! The payload itself waits in [`ThreadGreenlets`]; the core only learns which stack is to run. **Between choosing the receiver
//! and arriving there no foreign code may run**: no destructor of a value, no hook. It could switch, and the choice would be
//! out of date.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::greenlet::error::{Error, Parcel, Value};
use crate::greenlet::record::{Greenlet, Lifecycle};
use crate::greenlet::thread_greenlets::{Payload, ThreadGreenlets};
use crate::greenlet::thrown::Thrown;
use crate::raw::{Body, Next, NullHost, SwitchError, Thread};

/// Takes `payload` to `target`, or to the first of its ancestors that can receive it. Returns what the next switch back here
/// brings.
#[inline(always)]
pub(crate) fn deliver(greenlets: &ThreadGreenlets, target: Greenlet, payload: Payload) -> Payload {
    match target.record().stack.get() {
        // It can receive anything as it is. This is nearly always the case.
        Some(stack) if target.record().token == greenlets.token => {
            greenlets.send(payload, target);
            // SAFETY: a record's `stack` is in the registry of its thread's stacks, which exist then: `die` forgets it before it leaves.
            let result = unsafe { greenlets.stacks().unwrap_unchecked().switch_to(stack) };
            receive(greenlets, result)
        }
        _ => deliver_elsewhere(greenlets, target, payload),
    }
}

/// As [`deliver`], for something thrown.
#[inline(never)]
pub(crate) fn throw(greenlets: &ThreadGreenlets, target: Greenlet, thrown: Thrown) -> Payload {
    deliver(greenlets, target, Err(thrown))
}

/// As [`deliver`], for every `target`.
#[cold]
#[inline(never)]
fn deliver_elsewhere(greenlets: &ThreadGreenlets, target: Greenlet, payload: Payload) -> Payload {
    if target.record().token != greenlets.token {
        let greenlet = target.record().name().into_owned();
        return Err(Error::WrongThread { greenlet, parcel: Some(Parcel::new(payload)) }.into());
    }
    let (to, payload) = receiver(greenlets, target, payload);
    if greenlets.is_current(&to) {
        return payload;
    }
    match greenlets.make_stacks() {
        Ok(stacks) => {
            let next = next_stack(stacks, &to);
            greenlets.send(payload, to);
            receive(greenlets, stacks.switch(next))
        }
        Err(source) => {
            let greenlet = to.record().name().into_owned();
            Err(Error::NoMemory { greenlet, source, parcel: Some(Parcel::new(payload)) }.into())
        }
    }
}

/// The first of `to` and its ancestors that can receive `payload`, and the payload as it arrives there. Unstarted greenlets that
/// something thrown passes on the way are ended.
fn receiver(greenlets: &ThreadGreenlets, mut to: Greenlet, mut payload: Payload) -> (Greenlet, Payload) {
    loop {
        match to.record().lifecycle.get() {
            Lifecycle::Main | Lifecycle::Started(_) => return (to, payload),
            Lifecycle::Unstarted if payload.is_ok() => return (to, payload),
            Lifecycle::Unstarted => end_unstarted(greenlets, &to),
            Lifecycle::Dead => {}
        }
        payload = exit_to_value(payload);
        let parent = to.record().parent.borrow().clone();
        to = parent.expect("only main has no parent, and main receives everything");
    }
}

/// After a switch, or where it was refused: what it brings.
#[inline(always)]
fn receive(greenlets: &ThreadGreenlets, result: Result<(), SwitchError<Body>>) -> Payload {
    match result {
        Ok(()) => arrive(greenlets),
        Err(error) => refuse(greenlets, error),
    }
}

/// The stack of a greenlet that `receiver` has chosen.
fn next_stack(stacks: &Thread<NullHost>, to: &Greenlet) -> Next<NullHost> {
    match to.record().lifecycle.get() {
        Lifecycle::Main => Next::Resume(stacks.main()),
        Lifecycle::Started(id) => Next::Resume(id),
        Lifecycle::Unstarted => {
            Next::Start(to.record().body.take().expect("an unstarted greenlet has its function"))
        }
        Lifecycle::Dead => unreachable!("a dead greenlet receives nothing"),
    }
}

/// The other side of a switch: takes the payload, and drops the handle to the greenlet that was left.
#[inline(always)]
fn arrive(greenlets: &ThreadGreenlets) -> Payload {
    match greenlets.origin.take() {
        Some(origin) if origin.is_last_handle() => arrive_from_last(greenlets, origin),
        // Not the last handle, so dropping it runs no code.
        origin => {
            drop(origin);
            take_payload(greenlets)
        }
    }
}

#[inline(always)]
fn take_payload(greenlets: &ThreadGreenlets) -> Payload {
    greenlets.payload.take().expect("every switch brings something")
}

/// If the greenlet that was left is suspended, dropping its last handle kills it. The payload is taken out before.
#[cold]
fn arrive_from_last(greenlets: &ThreadGreenlets, origin: Greenlet) -> Payload {
    let payload = take_payload(greenlets);
    greenlets.discard(&greenlets.current(), origin);
    payload
}

/// The core did not switch. Puts everything back.
#[cold]
fn refuse(greenlets: &ThreadGreenlets, error: SwitchError<Body>) -> Payload {
    let origin = greenlets.origin.take().expect("set before the switch");
    // Where a greenlet has ended and the one it named could not run, main runs.
    let ended = matches!(origin.record().lifecycle.get(), Lifecycle::Dead);
    let to = greenlets.current.replace(if ended { greenlets.main.clone() } else { origin });
    let parcel = greenlets.payload.take().map(Parcel::new);
    let greenlet = to.record().name().into_owned();
    let put_back = |body| to.record().body.set(Some(body));
    Err(match error {
        SwitchError::NoSlot(body) => {
            put_back(body);
            Error::NoSlot { greenlet, slots: greenlets.slots(), parcel }
        }
        SwitchError::Limit(body, limit) => {
            put_back(body);
            Error::Limit { greenlet, limit, parcel }
        }
        SwitchError::NoMemory(body, source) => {
            body.map(put_back);
            Error::NoMemory { greenlet, source, parcel }
        }
        SwitchError::OtherStack(body) => {
            body.map(put_back);
            Error::OtherStack { greenlet: greenlets.current().name().into_owned(), parcel }
        }
        SwitchError::Gone(id) => {
            unreachable!("{greenlet} is Started({id:?}), so its stack exists")
        }
    }
    .into())
}

/// The first and last thing on a new stack.
pub(crate) fn enter(
    thread: &Thread<NullHost>,
    function: impl FnOnce(Value) -> Result<Value, Thrown>,
) -> Next<NullHost> {
    let greenlets = ThreadGreenlets::existing().expect("a greenlet was started, so its thread has greenlets");
    greenlets.current().record().start(thread.current(), thread.current_target());
    let result = catch_unwind(AssertUnwindSafe(|| function(arrive(greenlets)?)));
    finish(greenlets, thread, result.unwrap_or_else(|payload| Err(Thrown::Panic(payload))))
}

/// The greenlet's function has returned: finds the greenlet that gets its result, and marks this one dead.
fn finish(greenlets: &ThreadGreenlets, thread: &Thread<NullHost>, payload: Payload) -> Next<NullHost> {
    let me = greenlets.current();
    // A killer is alive: it waits in its kill().
    let heir = me.record().killer_or_parent().expect("only main has no parent, and main never ends");
    let (to, payload) = receiver(greenlets, heir, exit_to_value(payload));
    let next = next_stack(thread, &to);
    // Not earlier: the destructors that `end_unstarted` runs may switch, and another greenlet may switch back here.
    me.record().die();
    greenlets.unregister(me.record());
    greenlets.send(payload, to);
    next
}

/// Ends an unstarted greenlet without running it.
pub(crate) fn end_unstarted(greenlets: &ThreadGreenlets, greenlet: &Greenlet) {
    let record = greenlet.record();
    record.die();
    greenlets.unregister(record);
    greenlets.discard(greenlet, record.body.take());
}

/// A `GreenletExit` that leaves a greenlet goes on as a value.
fn exit_to_value(payload: Payload) -> Payload {
    match payload {
        Err(Thrown::Exit(exit)) => Ok(Box::new(exit)),
        other => other,
    }
}
