//! Workers that block deep inside plain functions, and a debug page that shows where each one waits.
//!
//! `cargo run -p greenlets-core --example parked`

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use greenlets_core::{Greenlet, State, Thrown, frame, unpack};

/// The questions without an answer, and the greenlet that waits for each.
type Queue = Rc<RefCell<VecDeque<(String, Greenlet)>>>;

/// Blocks the calling greenlet, not the thread, until main has an answer.
fn ask(queue: &Queue, question: String) -> Result<String, Thrown> {
    frame!("ask");
    queue.borrow_mut().push_back((question, Greenlet::current()));
    let answer = Greenlet::main().switch(Box::new(()))?;
    Ok(unpack(answer)?)
}

fn load_user(queue: &Queue, id: u32) -> Result<String, Thrown> {
    frame!("load_user");
    ask(queue, format!("name of user {id}"))
}

fn load_friends(queue: &Queue, id: u32) -> Result<Vec<String>, Thrown> {
    frame!("load_friends");
    // The switch happens inside the iterator's closure. No function between here and there has to be async.
    (0..id).map(|friend| load_user(queue, friend)).collect()
}

fn handle(queue: &Queue, id: u32) -> Result<String, Thrown> {
    frame!("handle");
    let name = load_user(queue, id)?;
    let friends = load_friends(queue, id)?;
    Ok(format!("{name} knows {}", if friends.is_empty() { "no one".into() } else { friends.join(", ") }))
}

fn print_where_each_greenlet_waits() {
    for greenlet in Greenlet::all() {
        if let (State::Suspended, Some(stack)) = (greenlet.state(), greenlet.stack()) {
            println!("  {} waits in", greenlet.name());
            for frame in stack.detach() {
                println!("    {frame}");
            }
        }
    }
}

pub(crate) fn main() -> Result<(), Thrown> {
    let queue = Queue::default();
    for id in 0..3 {
        let queue = queue.clone();
        let run = move |_| {
            let answer = handle(&queue, id)?;
            println!("request {id}: {answer}");
            Ok(Box::new(()) as _)
        };
        // SAFETY: `ask` switches with nothing of a thread-local borrowed, initialised or set.
        let request = unsafe { Greenlet::builder().name(format!("request {id}")).build(run) }?;
        // Runs until it first waits. From then on the queue keeps it alive.
        request.switch(Box::new(()))?;
    }

    println!("after the start:");
    print_where_each_greenlet_waits();
    let mut answered = 0;
    while let Some((question, greenlet)) = { queue.borrow_mut().pop_front() } {
        let answer = format!("<{question}>");
        greenlet.switch(Box::new(answer))?;
        answered += 1;
        if answered == 4 {
            println!("after {answered} answers:");
            drop((question, greenlet));
            print_where_each_greenlet_waits();
        }
    }
    assert_eq!(Greenlet::all(), [Greenlet::main()]);
    Ok(())
}
