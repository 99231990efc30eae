//! Plain functions that wait for futures: each request is a greenlet, and one task of a `LocalSet` for each future that a greenlet
//! waits for resumes it.
//!
//! The runtime stays on main. A greenlet never calls `block_on`: it would suspend the runtime's own entry on its stack, and every
//! other `block_on` of the thread would panic. Switching away inside `poll` of a future, or while a guard of `Runtime::enter` is
//! alive, is what [`Greenlet::new`] forbids: the runtime's context is a scoped thread-local.
//!
//! `cargo run -p greenlets-core --example tokio_local_set`

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use greenlets_core::{Greenlet, Thrown, Value, unpack};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Resumes a greenlet with the result of its future.
type Wake = (Greenlet, Value);

type Boxed = Pin<Box<dyn Future<Output = Value>>>;

/// Where greenlets wait. The hub is main, outside of every `poll`.
#[derive(Clone)]
struct Hub {
    /// Futures that were asked for and that no task runs yet.
    asked: Rc<RefCell<Vec<(Greenlet, Boxed)>>>,
    done: UnboundedSender<Wake>,
}

impl Hub {
    fn new() -> (Hub, UnboundedReceiver<Wake>) {
        let (done, wakes) = unbounded_channel();
        (Hub { asked: Rc::default(), done }, wakes)
    }

    /// Blocks the calling greenlet, not the thread, until the future is ready.
    fn wait<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Result<T, Thrown> {
        let boxed = Box::pin(async move { Box::new(future.await) as Value });
        self.asked.borrow_mut().push((Greenlet::current(), boxed));
        Ok(unpack(Greenlet::switch_to_parent(Box::new(()))?)?)
    }

    /// Runs the greenlets until none waits. Each turn of the runtime is a `block_on` of its own, so that greenlets run between them
    /// and never inside of one.
    fn run(&self, mut wakes: UnboundedReceiver<Wake>) -> Result<(), Thrown> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let local = tokio::task::LocalSet::new();
        let mut waiting = 0;
        loop {
            for (greenlet, future) in self.asked.take() {
                let done = self.done.clone();
                waiting += 1;
                local.spawn_local(async move {
                    // Fails where the hub has gone, and with it the greenlets.
                    let _ = done.send((greenlet, future.await));
                });
            }
            if waiting == 0 {
                return Ok(());
            }
            let (greenlet, value) = local.block_on(&runtime, wakes.recv()).expect("the hub has a sender too");
            waiting -= 1;
            greenlet.switch(value)?;
        }
    }
}

/// A plain function, three calls deep, that takes some time.
fn fetch(hub: &Hub, id: u64) -> Result<String, Thrown> {
    let milliseconds = 30 - 10 * id;
    hub.wait(tokio_sleep(milliseconds))?;
    Ok(format!("answer {id} after {milliseconds} ms"))
}

async fn tokio_sleep(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

pub(crate) fn main() -> Result<(), Thrown> {
    let (hub, wakes) = Hub::new();
    let start = Instant::now();
    let (asked, answered) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    for id in 0..3 {
        let (hub, asked, answered) = (hub.clone(), asked.clone(), answered.clone());
        let handle = move |_| {
            asked.set(asked.get() + 1);
            println!("{}", fetch(&hub, id)?);
            assert_eq!(asked.get(), 3, "they wait at the same time");
            answered.set(answered.get() + 1);
            Ok(Box::new(()) as _)
        };
        // SAFETY: `wait` switches outside of the runtime, with nothing of a thread-local borrowed, initialised or set.
        let request = unsafe { Greenlet::new(handle) };
        request.switch(Box::new(()))?;
    }
    hub.run(wakes)?;
    println!("all after {:?}", start.elapsed());
    assert_eq!(answered.get(), 3);
    Ok(())
}
