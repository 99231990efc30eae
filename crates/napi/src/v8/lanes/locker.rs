//! The locker lane: V8 moves its state itself.
//!
//! With `GREENLETS_LANE=locker` V8 takes every greenlet for a thread, and the threads take turns by `v8::Unlocker` and `v8::Locker`.
//! V8 archives and restores all that it keeps of a stack, including the parts that the fast lane leaves where they are. It is
//! slower, and a reference: tests run in both lanes, and compare.
//!
//! ```text
//!            park(A)                     core               unpark(B)
//!   A runs ── Unlocker: no thread has V8 ──► thread id := B's, ~Unlocker: V8 archives A, restores B ──► B runs
//! ```
//!
//! What V8 does not count as a thread's state is taken along as in the fast lane: where the stack starts, the async context, the
//! list of objects to destroy. What V8 counts wrongly is corrected: an interrupt is meant for the thread, so it is requested again of
//! the running stack.
//!
//! A stand-in is a thread for V8 and a number for us. It is not given back while greenlets run, because an interrupt would be lost
//! between freeing one and restoring another; the next greenlet gets it. Its handles are V8's own, outside of the slot: stacks cannot
//! be spilled in this lane.
//!
//! # Contract
//! Beside the clauses **thread**, **learnt**, **live**, **raw** and **parked** of `stack/state.rs`:
//! - **turn**: `release` and `acquire` are called alternately. Between them only the core runs, and nothing of V8 is called.

use std::cell::{Cell, RefCell};
use std::mem::{replace, take};
use std::ptr::{NonNull, null_mut};

use greenlets_core::raw::StackBounds;
use napi::sys;

use crate::v8::learn::facts::{BLOCKS, BLOCKS_SIZE, HANDLE_BLOCK_BYTES, STACK_GUARD};
use crate::v8::learn::layout::Layout;
use crate::v8::learn::rehearsal::request_again;
use crate::v8::stack::capture::{Capture, Captured, Handles};
use crate::v8::stack::debugger::Following;
use crate::v8::stack::stacks::Stacks;
use crate::v8::stack::state::{StackState, StandIn, put_aside, put_back, set_limit};

/// The lane of one isolate.
#[derive(Debug, Default)]
pub(crate) struct Locker {
    /// The `v8::Unlocker` of the stack that does not run: one word, the isolate, the same for all.
    unlocker: Cell<usize>,
    /// What the debugger has in progress between the two calls.
    following: Cell<Option<Following>>,
    /// The stand-ins of greenlets that have ended.
    idle: RefCell<Vec<StandIn>>,
}

impl Locker {
    /// V8 belongs to no thread from now on.
    ///
    /// # Safety
    /// The contract's clauses **thread**, **learnt** and **turn**; the running stack's state is live.
    unsafe fn release(&self, v8: &Layout) {
        // SAFETY: the clause **turn**: the thread holds the isolate's lock, under the id of the running stack's stand-in.
        unsafe {
            self.following.set(Some(v8.debugger.take_following()));
            (v8.symbols.unlocker_initialize)(self.unlocker.as_ptr(), v8.isolate);
        }
    }

    /// V8 belongs to `stand_in`, which runs on `stack`.
    ///
    /// # Safety
    /// The contract's clauses **thread**, **learnt** and **turn**; `stand_in` is live. Both stacks are as they were when V8 was
    /// released.
    unsafe fn acquire(&self, v8: &Layout, stand_in: *mut StandIn, stack: StackBounds) {
        // SAFETY: the clause **learnt** for this thread's own words. V8 locks and restores under the id that it finds there.
        unsafe {
            let before = replace(&mut *v8.thread.thread_id, (*stand_in).thread_id);
            *v8.thread.stack_start = stack.base;
            if replace(&mut (*stand_in).is_known, true) {
                (v8.symbols.unlocker_drop)(self.unlocker.as_ptr());
            } else {
                (v8.symbols.locker_initialize)(&raw mut (*stand_in).locker, v8.isolate);
                // As with one open HandleScope; V8 adds the block with the first handle.
                *v8.handle_scope_data.add(2) = 1;
            }
            // The heap's copy follows the stack's start.
            (v8.symbols.enter)(v8.isolate);
            (v8.symbols.exit)(v8.isolate);
            set_limit(v8, v8.facts, stack.limit as u64);
            forward_interrupts(v8, before);
            if let Some(following) = self.following.take() {
                v8.debugger.give_following(following);
            }
        }
    }

    /// Gives the new greenlet of `vm` a stand-in.
    ///
    /// # Safety
    /// The contract's clauses **thread**, **learnt** and **live**.
    pub(super) unsafe fn enlist(&self, v8: &Layout, vm: NonNull<StackState>) {
        let stand_in = self.idle.borrow_mut().pop().unwrap_or_else(|| {
            let thread_id = v8.thread.thread_id;
            // SAFETY: the clause **learnt** for the thread's own word. V8 gives a thread without an id the next one, whatever it is
            // asked (ThreadId::Current, thread-id.h), and does nothing else here.
            unsafe {
                let own = take(&mut *thread_id);
                (v8.symbols.is_locked)(v8.isolate);
                StandIn { thread_id: replace(&mut *thread_id, own), ..StandIn::default() }
            }
        });
        // SAFETY: the clauses **live** and **raw**.
        unsafe {
            (*vm.as_ptr()).stand_in = stand_in;
            (*vm.as_ptr()).is_new = true;
        }
    }

    /// Takes the live state away from `vm`'s stack.
    ///
    /// # Safety
    /// The contract's clauses **thread**, **learnt**, **live** and **turn**; `vm` is the running stack's.
    #[cold]
    pub(super) unsafe fn park(&self, v8: &Layout, vm: NonNull<StackState>) {
        // SAFETY: the caller's clauses are the ones that both need.
        unsafe {
            put_aside(v8, v8.facts, vm);
            self.release(v8);
        }
    }

    /// Makes `vm` the live state.
    ///
    /// # Safety
    /// The contract's clauses **thread**, **learnt**, **live** and **turn**.
    #[cold]
    pub(super) unsafe fn unpark(&self, v8: &Layout, vm: NonNull<StackState>) {
        // SAFETY: the caller's clauses are the ones that these need.
        unsafe {
            let state = vm.as_ptr();
            // A greenlet begins in the context of the stack that ran last, of which the words are still there.
            let context = v8.thread_local_top.add(v8.context_word);
            let last = *context;
            self.acquire(v8, &raw mut (*state).stand_in, (*state).stack);
            if replace(&mut (*state).is_new, false) {
                *context = last;
            }
            put_back(v8, v8.facts, vm);
        }
    }

    /// The running greenlet has ended. Its stand-in keeps V8's state of a thread that runs nothing.
    ///
    /// # Safety
    /// The contract's clauses **thread**, **learnt**, **live** and **turn**; nothing is left on the stack of `vm`.
    pub(super) unsafe fn retire(&self, v8: &Layout, vm: NonNull<StackState>) {
        // SAFETY: the caller's clauses. The remaining handles are those of the greenlet's base, few enough for one block, and not
        // used any more.
        unsafe {
            let limit = *v8.handle_scope_data.add(1);
            *v8.handle_scope_data = limit.saturating_sub(HANDLE_BLOCK_BYTES);
            self.release(v8);
            self.idle.borrow_mut().push(take(&mut (*vm.as_ptr()).stand_in));
        }
    }

    /// The suspended stack of `vm` will never run again.
    ///
    /// # Safety
    /// The same as for `dispose`.
    pub(super) unsafe fn abandon(&self, v8: &Layout, stacks: &Stacks, vm: NonNull<StackState>) {
        // SAFETY: the caller's promise is the one that `dispose` needs.
        unsafe { self.dispose(v8, stacks, take(&mut (*vm.as_ptr()).stand_in)) };
    }

    /// The environment ends: frees all stand-ins.
    ///
    /// # Safety
    /// The same as for `dispose`.
    pub(super) unsafe fn dispose_all(&self, v8: &Layout, stacks: &Stacks) {
        loop {
            let Some(stand_in) = self.idle.borrow_mut().pop() else { return };
            // SAFETY: the caller's promise; nothing is on the stack of an idle stand-in.
            unsafe { self.dispose(v8, stacks, stand_in) };
        }
    }

    /// Makes V8 free all that it keeps for a stand-in.
    ///
    /// # Safety
    /// The contract's clauses **thread**, **learnt** and **turn**; main runs. Nothing relies on the frames of the stand-in's stack any
    /// more.
    unsafe fn dispose(&self, v8: &Layout, stacks: &Stacks, mut stand_in: StandIn) {
        let mut scope = null_mut();
        // SAFETY: the calls are in the order of `learn/rehearsal.rs`. V8 expects that all scopes were closed, and frees the list of
        // blocks only. Node calls clean-up hooks without a HandleScope, and V8 wants one where it restores a stack.
        unsafe {
            sys::napi_open_handle_scope(v8.env, &mut scope);
            let me = stacks.running.get().as_ptr();
            let stack = (*me).stack;
            self.release(v8);
            self.acquire(v8, &raw mut stand_in, stack);
            let implementer = v8.handle_scope_implementer;
            let blocks = *implementer.add(BLOCKS) as *const u64;
            for i in 0..replace(&mut *implementer.add(BLOCKS_SIZE), 0) as usize {
                libc::free(*blocks.add(i) as *mut _);
            }
            let guard = (v8.isolate as usize + STACK_GUARD) as *const u64;
            let requested = guard.add(v8.facts.interrupt_flags).read_volatile() as u32;
            (v8.symbols.locker_drop)(&mut stand_in.locker);
            (v8.symbols.discard_thread)(v8.isolate);
            self.acquire(v8, &raw mut (*me).stand_in, stack);
            sys::napi_close_handle_scope(v8.env, scope);
            request_again(&v8.symbols, v8.facts, v8.isolate, requested);
        }
    }

    /// Captures a suspended stack: V8 puts it in the running one's place, with its handles. The Error is in a handle of the running
    /// stack afterwards; no collection happens in between.
    ///
    /// # Safety
    /// The contract's clause **turn**, and the clause **captured** of `stack/capture.rs`.
    pub(super) unsafe fn capture(
        &self,
        v8: &Layout,
        stacks: &Stacks,
        vm: NonNull<StackState>,
        capture: &Capture,
        handles: &Handles,
    ) -> Option<Captured> {
        let (mut scope, mut word) = (null_mut(), 0);
        let me = stacks.running.get().as_ptr();
        // SAFETY: the caller's clauses: both states are live and distinct. The machine stays on its stack, and V8 knows its bounds.
        // Scopes close in the opposite order of opening, and the other stack's handles are not used after that.
        unsafe {
            let stack = (*me).stack;
            self.release(v8);
            self.acquire(v8, &raw mut (*vm.as_ptr()).stand_in, stack);
            sys::napi_open_handle_scope(v8.env, &mut scope);
            (v8.symbols.context_enter)(handles.context);
            let captured = capture.read(v8, handles);
            (v8.symbols.context_exit)(handles.context);
            if let Some(Captured::Frames(error)) = captured {
                word = *error.cast::<u64>();
            }
            sys::napi_close_handle_scope(v8.env, scope);
            self.release(v8);
            self.acquire(v8, &raw mut (*me).stand_in, stack);
            Some(match captured? {
                Captured::Frames(_) => {
                    *handles.spare = word;
                    Captured::Frames(handles.spare.cast())
                }
                ids => ids,
            })
        }
    }
}

/// Requests the interrupts of the stack that was just archived, that of `thread_id`, again of the running stack.
///
/// # Safety
/// The contract's clauses **thread** and **learnt**.
unsafe fn forward_interrupts(v8: &Layout, thread_id: i32) {
    // SAFETY: the first node of V8's list is the one that it archived last; its archive holds what the facts say. Only this thread
    // accesses it.
    unsafe {
        let archived = (*v8.in_use).next;
        if (*archived).thread_id as i32 != thread_id || thread_id == *v8.thread.thread_id {
            return;
        }
        let flags = (*archived).data.add(v8.facts.debug_in_archive() - 1).cast::<u32>();
        let requested = replace(&mut *flags, 0);
        if requested != 0 {
            request_again(&v8.symbols, v8.facts, v8.isolate, requested);
        }
    }
}
