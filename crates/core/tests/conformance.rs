//! The tests of Python's greenlet that are about native code: its C API, in the place of which this crate stands, and situations
//! that must end the process. One test for each row of the table `__test__/conformance/rows.ts`; the other rows' tests are beside
//! that table.

mod common;

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::mpsc;

use common::{
    Log, Oops, as_exit, as_int, as_oops, code, in_a_process, int, new_greenlet, nothing, on_a_thread, pause,
    times,
};
use common::{signal, stderr, stdout};
use greenlets_core::raw::{Body, Next, NullHost, StackBounds, Thread};
use greenlets_core::{Error, Greenlet, GreenletExit, Options, State, Thrown, Value, unpack};

#[test]
fn row_16_switch() {
    let greenlet = new_greenlet(|_| Ok(int(50)));
    assert_eq!(as_int(greenlet.switch(nothing())), 50);
    assert!(greenlet.is_dead());
}

/// Named arguments are a value like any other. An argument that is no greenlet does not compile, so the wrong type is tested with
/// the value.
#[test]
fn row_17_switch_kwargs() {
    let multiplier = || {
        new_greenlet(|named| {
            let named = unpack::<HashMap<&str, i32>>(named)?;
            Ok(int(named["x"] * named["y"]))
        })
    };
    assert_eq!(as_int(multiplier().switch(Box::new(HashMap::from([("x", 3), ("y", 2)])))), 6);

    let thrown = multiplier().switch(Box::new("not a map")).unwrap_err();
    assert_eq!(thrown.code(), Some("ERR_GREENLET_INVALID_ARG"));
    let value = thrown.downcast::<Error>().unwrap().into_value().expect("it comes back");
    assert_eq!(unpack::<&str>(value).unwrap(), "not a map");
}

#[test]
fn row_18_setparent() {
    let foo = new_greenlet(|_| {
        let child = new_greenlet(|_| {
            Greenlet::switch_to_parent(nothing())?;
            // By now it has another parent.
            Greenlet::switch_to_parent(int(1))?;
            Err(Oops("switched to once more").into())
        });
        child.switch(nothing())?;
        Greenlet::switch_to_parent(Box::new(child))?;
        Err(Oops("came back here").into())
    });
    let child = unpack::<Greenlet>(foo.switch(nothing()).unwrap()).unwrap();
    assert_eq!(child.parent(), Some(foo.clone()));
    child.set_parent(&Greenlet::current()).unwrap();
    assert_eq!(as_int(child.switch(nothing())), 1, "to main, and not to foo");
    assert_eq!(child.parent(), Some(Greenlet::main()));
    assert_eq!(foo.state(), State::Suspended);
}

#[test]
fn row_19_getcurrent() {
    let main = Greenlet::current();
    assert_eq!(main, Greenlet::main());
    assert_eq!(main.state(), State::Running);
    let greenlet = new_greenlet(|_| {
        let me = Greenlet::current();
        Ok(Box::new((me.state(), me.parent() == Some(Greenlet::main()), me)))
    });
    let (state, parent, me) = unpack::<(State, bool, Greenlet)>(greenlet.switch(nothing()).unwrap()).unwrap();
    assert_eq!((state, parent, me), (State::Running, true, greenlet));
}

#[test]
fn row_20_new_greenlet() {
    let made = || new_greenlet(|_| Ok(int(-15))).switch(nothing());
    assert_eq!(as_int(made()), -15);
    let thrown = new_greenlet(|_| Err(Oops("no result").into())).switch(nothing());
    assert_eq!(as_oops(thrown), Oops("no result"));
}

#[test]
fn row_21_raise_greenlet_dead() {
    let greenlet = new_greenlet(|_| Err(GreenletExit::new("test GreenletExit exception.").into()));
    assert_eq!(as_exit(greenlet.switch(nothing())), "test GreenletExit exception.");
    assert!(greenlet.is_dead());
    // Outside of a greenlet it is an error that native code can see.
    let thrown: Thrown = GreenletExit::default().into();
    assert!(thrown.is_exit());
    assert_eq!(thrown.code(), Some("ERR_GREENLET_EXIT"));
}

#[test]
fn row_22_raise_greenlet_error() {
    let greenlet = new_greenlet(|_| Err(Error::MainParent.into()));
    let thrown = greenlet.switch(nothing()).unwrap_err();
    assert_eq!(thrown.code(), Some("ERR_GREENLET_MAIN"));
    assert!(!thrown.is_exit());
}

#[test]
fn row_23_throw() {
    let seen = Log::default();
    let inside = seen.clone();
    let greenlet = new_greenlet(move |_| match pause() {
        Err(thrown) if !thrown.is_exit() => {
            inside.push(thrown.downcast::<Oops>()?);
            Ok(nothing())
        }
        other => other,
    });
    greenlet.switch(nothing()).unwrap();
    greenlet.throw(Oops("take that sucka!")).unwrap();
    assert_eq!(seen.take(), ["take that sucka!"]);
    assert!(greenlet.is_dead());
}

/// Each value is dropped once, and each handle.
#[test]
fn row_27_leaks() {
    struct Counted(Rc<Cell<usize>>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let dropped = Rc::new(Cell::new(0));
    let before = Greenlet::all().len();
    const TIMES: usize = times(100, 10);
    for _ in 0..TIMES {
        let value: Value = Box::new(Counted(dropped.clone()));
        let held = Counted(dropped.clone());
        let greenlet = new_greenlet(move |value| {
            let _held = held;
            Greenlet::main().switch(value)
        });
        let value = greenlet.switch(value).unwrap();
        greenlet.switch(value).unwrap();
        assert!(greenlet.is_dead());
    }
    assert_eq!(dropped.get(), 2 * TIMES);
    assert_eq!(Rc::strong_count(&dropped), 1);
    assert_eq!(Greenlet::all().len(), before);
}

/// A switch that fails at the lowest level leaves no stack to go on with. Python's greenlet ends the process too.
#[test]
#[cfg_attr(miri, ignore = "Miri starts no process")]
fn row_105_failed_to_slp_switch_into_running() {
    let output = in_a_process("row_105_failed_to_slp_switch_into_running", || {
        // SAFETY: these are the bounds of this thread's own stack, and nothing else switches stacks here.
        let bare =
            unsafe { Thread::new(NullHost, StackBounds::of_this_thread().unwrap(), Options::slots(4)) }
                .unwrap();
        let body = |thread: &Thread<NullHost>| -> Next<NullHost> {
            for run in [1, 2] {
                println!("{run}");
                thread.switch(Next::Resume(thread.main())).unwrap();
            }
            panic!("not caught")
        };
        bare.switch(Next::Start(Body::new(body))).unwrap();
        let id = *bare.ids().iter().find(|&&id| id != bare.main()).unwrap();
        bare.switch(Next::Resume(id)).unwrap();
        println!("going on");
        let _ = bare.switch(Next::Resume(id));
        println!("survived");
    });
    assert_eq!(signal(&output), Some(libc::SIGABRT), "{output:?}");
    let printed = stdout(&output);
    assert!(printed.contains("1\n2\ngoing on\n") && !printed.contains("survived"), "{printed}");
    assert!(stderr(&output).contains("a panic must not leave Host::run"), "{}", stderr(&output));
}

/// In destructors that run after the thread's greenlets have been ended.
#[test]
fn row_134_api_getcurrent_no_system_error_at_module_gc_time() {
    struct WithDel(OnceCell<Greenlet>, mpsc::Sender<(bool, State, &'static str)>);
    impl Drop for WithDel {
        fn drop(&mut self) {
            let current = Greenlet::current();
            let kept = self.0.get().unwrap();
            self.1.send((current == Greenlet::main(), kept.state(), code(kept.switch(nothing())))).unwrap();
        }
    }
    thread_local! {
        static WITH_DEL: OnceCell<WithDel> = const { OnceCell::new() };
    }
    let (sender, receiver) = mpsc::channel();
    on_a_thread(move || {
        // Registered before the greenlets, so destroyed after them.
        WITH_DEL.with(|it| assert!(it.set(WithDel(OnceCell::new(), sender)).is_ok()));
        let suspended = new_greenlet(|_| pause());
        suspended.switch(nothing()).unwrap();
        WITH_DEL.with(|it| it.get().unwrap().0.set(suspended).unwrap());
    });
    let (on_main, state, error) = receiver.recv().unwrap();
    assert!(on_main);
    assert_eq!((state, error), (State::Dead, "ERR_GREENLET_WRONG_THREAD"));
}
