//! The locker lane: V8 moves its state itself.
//!
//! `GREENLETS_LANE=locker` has V8 believe that every greenlet is a thread, and that threads take turns by `v8::Unlocker` and
//! `v8::Locker`. It archives and restores all that it keeps of a stack, the parts included that the fast lane (`state.rs`)
//! leaves where they are. It is slower, and a reference: tests run in both lanes, and compare.
//!
//! ```text
//!            park(A)                   core             unpark(B)
//!   A runs ── Unlocker: V8 is nobody's ──► thread id := B's, ~Unlocker: V8 archives A, restores B ──► B runs
//! ```
//!
//! What V8 does not count among a thread's state is taken along as in the fast lane: where the stack starts, the async
//! context, the list of doomed objects. What it counts wrongly is put right: an interrupt is meant for who runs.
//!
//! A stand-in is a thread for V8 and a number for us. It is never given back while greenlets run, because between freeing one
//! and restoring another an interrupt would be lost; the next greenlet gets it. Its handles are V8's own, outside of the slot:
//! stacks cannot be spilled in this lane.

use std::cell::{Cell, RefCell};
use std::mem::{replace, take};
use std::ptr::{NonNull, null_mut};

use greenlets_core::StackBounds;
use napi::sys;

use super::debug::Along;
use super::facts::{BLOCKS, BLOCKS_SIZE, HANDLE_BLOCK_WORDS, STACK_GUARD};
use super::host::V8Host;
use super::rehearsal::request_again;
use super::state::{VmState, put_aside, put_back, set_limit};

/// What V8 takes for a thread.
#[derive(Debug, Default)]
pub(crate) struct StandIn {
    thread_id: i32,
    /// Whether V8 has seen it.
    is_known: bool,
    /// The `v8::Locker` by which it first came; main's is Node's own.
    locker: [usize; 2],
}

impl StandIn {
    pub(crate) fn of_main(thread_id: i32) -> StandIn {
        StandIn { thread_id, is_known: true, locker: [0; 2] }
    }
}

/// The lane of one isolate.
#[derive(Debug, Default)]
pub(crate) struct Locker {
    /// The `v8::Unlocker` of whoever does not run: one word, the isolate, the same for all.
    unlocker: Cell<usize>,
    /// What the debugger has under way between the two.
    along: Cell<Option<Along>>,
    /// Those whose greenlet has ended.
    idle: RefCell<Vec<StandIn>>,
}

impl Locker {
    /// Nobody has the isolate from now on.
    ///
    /// # Safety
    /// The running stack's state is live; nothing of V8 is called before [`Locker::take`].
    unsafe fn give(&self, host: &V8Host) {
        // SAFETY: the thread holds the isolate's lock, under the id of who runs.
        unsafe {
            self.along.set(Some(host.layout.debug.take_along()));
            (host.symbols.unlocker_initialize)(self.unlocker.as_ptr(), host.layout.isolate);
        }
    }

    /// `stand_in` has it, running on `stack`.
    ///
    /// # Safety
    /// After [`Locker::give`]. The stacks of both are as they were when they gave it.
    unsafe fn take(&self, host: &V8Host, stand_in: &mut StandIn, stack: StackBounds) {
        let v8 = &host.layout;
        // SAFETY: the thread's own words. V8 locks and restores under the id that it finds there.
        unsafe {
            let before = replace(&mut *v8.thread.thread_id, stand_in.thread_id);
            *v8.thread.stack_start = stack.base;
            if replace(&mut stand_in.is_known, true) {
                (host.symbols.unlocker_drop)(self.unlocker.as_ptr());
            } else {
                (host.symbols.locker_initialize)(&mut stand_in.locker, v8.isolate);
                // As one open HandleScope; V8 adds the block with the first handle.
                *v8.handle_scope_data.add(2) = 1;
            }
            // The heap follows the stack's start.
            (host.symbols.enter)(v8.isolate);
            (host.symbols.exit)(v8.isolate);
            set_limit(v8, stack.limit as u64);
            forward_interrupts(host, before);
            if let Some(along) = self.along.take() {
                v8.debug.put_along(along);
            }
        }
    }
}

/// What was requested of the stack that was just archived, that of `thread_id`, is requested of the one that runs.
unsafe fn forward_interrupts(host: &V8Host, thread_id: i32) {
    let v8 = &host.layout;
    // SAFETY: the first node of V8's list is what it has archived last; its archive holds what the facts say. Only this
    // thread looks at it.
    unsafe {
        let archived = (*v8.in_use).next;
        if (*archived).thread_id as i32 != thread_id || thread_id == *v8.thread.thread_id {
            return;
        }
        let flags = (*archived).data.add(v8.facts.debug_in_archive() - 1).cast::<u32>();
        let requested = take(&mut *flags);
        if requested != 0 {
            request_again(&host.symbols, v8.facts, v8.isolate, requested);
        }
    }
}

/// Gives the new greenlet of `vm` a stand-in.
///
/// # Safety
/// On the isolate's thread.
pub(crate) unsafe fn enlist(host: &V8Host, lane: &Locker, vm: &mut VmState) {
    vm.stand_in = lane.idle.borrow_mut().pop().unwrap_or_else(|| {
        let thread_id = host.layout.thread.thread_id;
        // SAFETY: the thread's own word. V8 gives a thread that has none the next id, whatever it is asked (ThreadId::Current,
        // thread-id.h), and does nothing else here.
        unsafe {
            let own = take(&mut *thread_id);
            (host.symbols.is_locked)(host.layout.isolate);
            StandIn { thread_id: replace(&mut *thread_id, own), ..StandIn::default() }
        }
    });
    vm.is_new = true;
}

/// As [`super::state::park`].
///
/// # Safety
/// As there.
#[cold]
pub(crate) unsafe fn park(host: &V8Host, vm: NonNull<VmState>) {
    // SAFETY: `vm` is live and nobody else holds a reference to it; learnt words of the isolate, on its thread.
    unsafe {
        put_aside(&host.layout, &mut *vm.as_ptr());
        host.lane().give(host);
    }
}

/// As [`super::state::unpark`].
///
/// # Safety
/// As there.
#[cold]
pub(crate) unsafe fn unpark(host: &V8Host, vm: NonNull<VmState>) {
    let (v8, lane) = (&host.layout, host.lane());
    host.running.set(vm);
    // SAFETY: as in `park`.
    unsafe {
        let vm = &mut *vm.as_ptr();
        // A greenlet begins in the context of the stack that ran last, whose words are still there.
        let context = v8.thread_local_top.add(v8.context_word);
        let last = *context;
        lane.take(host, &mut vm.stand_in, vm.stack);
        if take(&mut vm.is_new) {
            *context = last;
        }
        put_back(v8, vm);
    }
}

/// The running greenlet has ended. Its stand-in keeps V8's state of a thread that runs nothing.
///
/// # Safety
/// `vm` is the live state, with nothing left on its stack.
pub(crate) unsafe fn retire(host: &V8Host, vm: &mut VmState) {
    let (v8, lane) = (&host.layout, host.lane());
    // SAFETY: what handles are left are those of the greenlet's base, few enough for one block, and nobody's any more.
    unsafe {
        let limit = *v8.handle_scope_data.add(1);
        *v8.handle_scope_data = limit.saturating_sub(HANDLE_BLOCK_WORDS as u64 * 8);
        lane.give(host);
    }
    lane.idle.borrow_mut().push(take(&mut vm.stand_in));
}

/// Calls `look` while V8 has the suspended stack of `vm` in place of the running one.
///
/// # Safety
/// `vm` is parked and its stack untouched since. `look` leaves the stack's handles as they were, and runs no JavaScript.
pub(crate) unsafe fn borrow<T>(host: &V8Host, vm: NonNull<VmState>, look: impl FnOnce() -> T) -> T {
    let lane = host.lane();
    // SAFETY: the two are distinct, and live. The machine stays on the stack it is on, and V8 knows its bounds.
    unsafe {
        let me = &mut *host.running.get().as_ptr();
        lane.give(host);
        lane.take(host, &mut (*vm.as_ptr()).stand_in, me.stack);
        let seen = look();
        lane.give(host);
        lane.take(host, &mut me.stand_in, me.stack);
        seen
    }
}

/// Has V8 free all that it keeps for a stand-in.
///
/// # Safety
/// Main runs. Nothing relies on the frames of the stand-in's stack any more.
unsafe fn dispose(host: &V8Host, mut stand_in: StandIn) {
    let (v8, lane) = (&host.layout, host.lane());
    let mut scope = null_mut();
    // SAFETY: in the order of `rehearsal.rs`. V8 expects that all scopes were closed, and frees the list of blocks only. Node
    // calls clean-up hooks without a HandleScope, and V8 wants one where it restores a stack.
    unsafe {
        sys::napi_open_handle_scope(host.env, &mut scope);
        let me = &mut *host.running.get().as_ptr();
        lane.give(host);
        lane.take(host, &mut stand_in, me.stack);
        let implementer = v8.handle_scope_implementer;
        let blocks = *implementer.add(BLOCKS) as *const u64;
        for i in 0..take(&mut *implementer.add(BLOCKS_SIZE)) as usize {
            libc::free(*blocks.add(i) as *mut _);
        }
        let guard = (v8.isolate as usize + STACK_GUARD) as *const u64;
        let requested = guard.add(v8.facts.interrupt_flags).read_volatile() as u32;
        (host.symbols.locker_drop)(&mut stand_in.locker);
        (host.symbols.discard_thread)(v8.isolate);
        lane.take(host, &mut me.stand_in, me.stack);
        sys::napi_close_handle_scope(host.env, scope);
        request_again(&host.symbols, v8.facts, v8.isolate, requested);
    }
}

/// The suspended stack of `vm` will never run again.
///
/// # Safety
/// As for [`dispose`].
pub(crate) unsafe fn abandon(host: &V8Host, vm: &mut VmState) {
    // SAFETY: passed on.
    unsafe { dispose(host, take(&mut vm.stand_in)) };
}

/// The environment ends.
///
/// # Safety
/// As for [`dispose`].
pub(crate) unsafe fn dispose_all(host: &V8Host) {
    loop {
        let Some(stand_in) = host.lane().idle.borrow_mut().pop() else { return };
        // SAFETY: passed on; nothing is on the stack of an idle one.
        unsafe { dispose(host, stand_in) };
    }
}
