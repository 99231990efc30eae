//! Isolates that an add-on makes and enters on a thread with greenlets, such as those of isolated-vm.
//!
//! V8 keeps a stack limit for each isolate and thread: that of the stack on which the thread entered the isolate first. On another
//! stack this limit is wrong: too high, and all code overflows at once; too low, and endless recursion is a SIGSEGV. V8 also keeps the
//! start of the stack on which the isolate was entered last. So `Isolate::Enter` and `Isolate::Exit` of all add-ons lead here, and
//! an isolate gets both of the running stack: where it is entered, and where the JavaScript that its code calls in Node's isolate
//! returns to it, for other stacks may have entered it meanwhile.
//!
//! ```text
//!   enter(isolate) ─► V8's Enter ─► limit      code of the isolate ─► callback ─► enter(Node's) ... exit(Node's) ─► start, limit
//! ```
//!
//! Such calls are nested by their nature: V8 keeps the entered isolates as a stack, and so does isolated-vm. A stack may be left inside
//! of such a call if no other stack is inside of one; then all others return before it goes on. A second one must not be left.
//!
//! # Contract
//! - **thread**: the pointer in [`THREAD`] is valid: `watch` has set it on this thread, and `forget` removes it before the environment
//!   ends.
//! - **entered**: `enter` and `exit` are called as V8's functions are, by C++ that has the isolate's lock if there is one.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::OnceLock;

use greenlets_core::raw::{Id, Thread};

use crate::imports::{Redirection, keep_loaded, redirect};
use crate::v8::learn::symbols::{Isolate, Symbols};
use crate::v8::stack::state::limit;
use crate::v8_host::V8Host;

thread_local! {
    static THREAD: Cell<Option<NonNull<Thread<V8Host>>>> = const { Cell::new(None) };
    /// The calls that are inside of another isolate, in the order in which they entered.
    static INSIDE: RefCell<Vec<Inside>> = const { RefCell::new(Vec::new()) };
}

/// V8's functions. Set before anything is redirected.
static SYMBOLS: OnceLock<Symbols> = OnceLock::new();

/// A call that is inside of another isolate.
struct Inside {
    isolate: Isolate,
    /// The greenlet that makes the call.
    greenlet: Id,
}

/// From now on the isolates that add-ons enter on this thread have the limits of its stacks.
pub(crate) fn watch(thread: &Thread<V8Host>) {
    THREAD.set(Some(NonNull::from(thread)));
    let _ = SYMBOLS.set(thread.host().v8.layout.symbols);
    find_addons();
}

/// The thread is about to have no greenlets any more.
pub(crate) fn forget(thread: &Thread<V8Host>) {
    if THREAD.get() == Some(NonNull::from(thread)) {
        THREAD.set(None);
    }
}

/// Redirects the functions in the add-ons that are loaded now.
pub(crate) fn find_addons() {
    let redirections = [
        Redirection { name: c"_ZN2v87Isolate5EnterEv", to: enter as *const () as usize },
        Redirection { name: c"_ZN2v87Isolate4ExitEv", to: exit as *const () as usize },
    ];
    // SAFETY: `enter` and `exit` have the types of V8's functions, as `Symbols` has them. They stay loaded, see below.
    if unsafe { redirect(&redirections) } {
        keep_loaded(enter as *const () as usize);
    }
}

/// `Isolate::Enter()`.
unsafe extern "C" fn enter(isolate: Isolate) {
    let symbols = SYMBOLS.get().expect("set before anything is redirected");
    // SAFETY: the contract's clause **entered**.
    unsafe { (symbols.enter)(isolate) };
    // SAFETY: the contract's clause **thread**.
    let Some(thread) = THREAD.get().map(|thread| unsafe { thread.as_ref() }) else { return };
    if isolate == thread.host().v8.layout.isolate {
        return;
    }
    let greenlet = thread.current();
    INSIDE.with_borrow_mut(|inside| {
        inside.push(Inside { isolate, greenlet });
        if inside.iter().any(|call| call.greenlet != greenlet) {
            thread.host().mail.hold_in_isolate(true);
        }
    });
    // SAFETY: the contract's clause **entered**.
    unsafe { set_limit(thread, isolate) };
}

/// `Isolate::Exit()`.
unsafe extern "C" fn exit(isolate: Isolate) {
    let symbols = SYMBOLS.get().expect("set before anything is redirected");
    // SAFETY: the contract's clause **entered**.
    unsafe { (symbols.exit)(isolate) };
    // SAFETY: the contract's clause **thread**.
    let Some(thread) = THREAD.get().map(|thread| unsafe { thread.as_ref() }) else { return };
    let own = thread.host().v8.layout.isolate;
    if isolate != own {
        let greenlet = thread.current();
        INSIDE.with_borrow_mut(|inside| {
            let is_it = |call: &Inside| call.isolate == isolate && call.greenlet == greenlet;
            if let Some(place) = inside.iter().rposition(is_it) {
                inside.remove(place);
            }
            if !inside.iter().any(|call| call.greenlet == greenlet) {
                thread.host().mail.hold_in_isolate(false);
            }
        });
        return;
    }
    // SAFETY: V8's function for the running thread.
    let outer = unsafe { (symbols.current_isolate)() };
    if !outer.is_null() && outer != own {
        // SAFETY: the contract's clause **entered**: `outer` is entered, and has been left by this stack for Node's isolate only.
        // Entering it again sets the start of its stack.
        unsafe {
            (symbols.enter)(outer);
            (symbols.exit)(outer);
            set_limit(thread, outer);
        }
    }
}

/// # Safety
/// The contract's clause **entered**; the isolate is the entered one.
unsafe fn set_limit(thread: &Thread<V8Host>, isolate: Isolate) {
    let v8 = &thread.host().v8.layout;
    // SAFETY: on the thread of the environment, of which the isolate was learnt; and the caller's promise.
    unsafe { (v8.symbols.set_stack_limit)(isolate, limit(v8)) };
}
