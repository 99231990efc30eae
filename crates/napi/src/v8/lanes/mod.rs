//! The two lanes: the ways in which V8's state of the running stack is parked and unparked.
//!
//! - `fast` copies V8's words itself, between the isolate and the state of a stack.
//! - `locker` lets V8 do it, by `v8::Locker`. It is slower, and the reference with which tests compare.
//!
//! [`V8`] is everything that belongs to one isolate, and chooses between them. In the fast lane the choice costs a switch nothing: a
//! state has a byte for what is unusual about it, and being in the locker lane is one bit of it.
//!
//! The clauses **thread**, **learnt**, **live**, **raw** and **parked** are those of `stack/state.rs`.

mod fast;
pub(crate) mod locker;

use std::ptr::NonNull;

use greenlets_core::raw::{Relocation, StackBounds};

use super::gc::greenlets::Greenlets;
use super::gc::hooks::Collector;
use super::learn::layout::Layout;
use super::stack::capture::{Capture, Captured};
use super::stack::depth::Depth;
use super::stack::error_stack::ErrorStack;
use super::stack::same_frames::SameFrames;
use super::stack::stacks::Stacks;
use super::stack::state::{self, LOCKED, QUIET, StackState, StandIn};
use super::stack::{js_entries, list};
use fast::FastLane;
use locker::Locker;

/// One isolate: what was learnt of it, and what changes, each with its one owner.
pub(crate) struct V8 {
    pub(crate) layout: Layout,
    pub(crate) stacks: Stacks,
    pub(crate) gc: Collector,
    pub(crate) capture: Capture,
    pub(crate) same_frames: SameFrames,
    /// V8 11.3 only.
    pub(crate) error_stack: Option<ErrorStack>,
    pub(crate) depth: Depth,
    /// Present where the locker lane was chosen.
    pub(crate) locker: Option<Locker>,
    fast: FastLane,
}

impl V8 {
    pub(crate) fn new(layout: Layout, locker: Option<Locker>) -> V8 {
        V8 {
            stacks: Stacks::new(&layout),
            gc: Collector::new(&layout),
            capture: Capture::new(),
            same_frames: SameFrames::default(),
            error_stack: ErrorStack::find(),
            depth: Depth::of_main(&layout),
            fast: FastLane::of(layout.facts),
            layout,
            locker,
        }
    }

    /// Main's state.
    pub(crate) fn main_state(&self) -> StackState {
        let mut state = StackState::new(&self.layout, self.layout.main, true);
        state.embedder_data = self.gc.roots.of_main();
        state.node.data = self.stacks.blank_image();
        state.stand_in = StandIn::of_main(self.layout.thread_id);
        self.mark_lane(&mut state);
        state
    }

    /// The state of a new greenlet in `slot`, without a context.
    pub(crate) fn fresh_state(&self, slot: StackBounds) -> StackState {
        let limit = self.depth.limit(slot);
        let mut state = StackState::new(&self.layout, StackBounds { base: slot.base, limit }, false);
        self.mark_lane(&mut state);
        state
    }

    fn mark_lane(&self, state: &mut StackState) {
        if self.locker.is_some() {
            state.unusual = LOCKED;
        }
    }

    /// Makes V8 know the parked state of a new greenlet. `greenlets` is told of collections from the first one on.
    ///
    /// # Safety
    /// The clauses **thread**, **learnt** and **live**. The slot of the stack, with space for a handle block above the base, is the
    /// greenlet's own. This object and `greenlets` stay where they are until [`V8::close`].
    pub(crate) unsafe fn enlist(&self, vm: NonNull<StackState>, greenlets: NonNull<dyn Greenlets>) {
        // SAFETY: the caller's clauses are the ones that the lanes and the collector need.
        unsafe {
            match &self.locker {
                Some(locker) => locker.enlist(&self.layout, vm),
                None => fast::enlist(&self.layout, vm),
            }
            self.stacks.count.set(self.stacks.count.get() + 1);
            self.gc.classes.count_stack(self.stacks.count.get());
            if !self.gc.roots.is_listed() {
                // The first stack brings main's node, the root table and the callbacks of the collector with it.
                if self.locker.is_none() {
                    list::link(self.layout.in_use, self.stacks.main_node());
                }
                list::link(self.layout.in_use, self.gc.roots.node());
                self.gc.hook(&self.layout, &self.stacks, greenlets);
            }
        }
    }

    /// Takes the live state into `vm`.
    ///
    /// # Safety
    /// The clauses **thread**, **learnt** and **live**; `vm` is the running stack's.
    #[inline(always)]
    pub(crate) unsafe fn park(&self, vm: NonNull<StackState>) {
        // SAFETY: the caller's clauses are the ones that the lanes need.
        unsafe {
            if (*vm.as_ptr()).unusual & LOCKED != 0 {
                return self.lane().park(&self.layout, vm);
            }
            self.fast.park(&self.layout, &self.stacks, vm);
        }
    }

    /// Makes `vm` the live state.
    ///
    /// # Safety
    /// The clauses **thread**, **learnt**, **live** and **parked**. The state that was live before was parked or retired.
    #[inline(always)]
    pub(crate) unsafe fn unpark(&self, vm: NonNull<StackState>) {
        self.stacks.running.set(vm);
        // SAFETY: the caller's clauses are the ones that the lanes and the collector need.
        unsafe {
            if (*vm.as_ptr()).unusual & (QUIET | LOCKED) != 0 {
                if (*vm.as_ptr()).unusual & LOCKED != 0 {
                    return self.lane().unpark(&self.layout, vm);
                }
                self.gc.mark_active(&self.layout, vm);
            }
            self.fast.unpark(&self.layout, &self.stacks, vm);
        }
    }

    /// The greenlet of the live state `vm` has ended.
    ///
    /// # Safety
    /// The clauses **thread**, **learnt** and **live**; nothing is left on the stack.
    pub(crate) unsafe fn retire(&self, vm: NonNull<StackState>) {
        // SAFETY: the caller's clauses are the ones that the lanes need.
        unsafe {
            match &self.locker {
                Some(locker) => locker.retire(&self.layout, vm),
                None => fast::retire(&self.layout, &self.stacks, vm),
            }
            self.drop_context(vm);
        }
        self.stack_removed();
    }

    /// The suspended stack of `vm` will never run again. `live` are its bytes.
    ///
    /// # Safety
    /// The clauses **thread**, **learnt**, **live** and **parked**; no collection is in progress.
    pub(crate) unsafe fn abandon(&self, vm: NonNull<StackState>, live: Option<std::ops::Range<usize>>) {
        // SAFETY: the caller's clauses are the ones that the lanes, the list of callbacks and the collector need.
        unsafe {
            if let (Some(callbacks), Some(live)) = (self.layout.epilogue_callbacks, live) {
                callbacks.forget(live);
            }
            match &self.locker {
                Some(locker) => locker.abandon(&self.layout, &self.stacks, vm),
                None => {
                    fast::free(&self.layout, vm);
                    self.gc.mark_active(&self.layout, vm);
                    list::unlink(state::node_of(vm));
                }
            }
            self.drop_context(vm);
        }
        self.stack_removed();
    }

    /// Where the handles of a parked stack end.
    ///
    /// # Safety
    /// The clauses **live** and **parked**; `vm` is not main's.
    pub(crate) unsafe fn live_end(&self, vm: NonNull<StackState>) -> usize {
        // SAFETY: the caller's clauses are the ones that `live_end` needs.
        unsafe { state::live_end(&self.layout, vm) }
    }

    /// The live bytes of a stack have moved.
    ///
    /// # Safety
    /// The clauses **thread**, **live** and **parked**; the bytes are where `moved` says, and no collection is in progress.
    pub(crate) unsafe fn relocate(&self, vm: NonNull<StackState>, moved: &Relocation) {
        // SAFETY: the caller's clauses are the ones that the collector and `relocate` need. The state of a stack of ours is in V8's list.
        unsafe {
            // A copy has fewer words, so the stack has another shape there.
            if (*vm.as_ptr()).place != 0 {
                self.gc.mark_active(&self.layout, vm);
            }
            state::relocate(&self.layout, vm, moved);
        }
    }

    /// Reads the suspended stack of `vm`, or calls a function above it. `None` where no capture realm was set, V8 made no error, or a
    /// stack is borrowed already: code that such a call runs.
    ///
    /// # Safety
    /// The clause **captured** of `stack/capture.rs`.
    pub(crate) unsafe fn capture(&self, vm: NonNull<StackState>) -> Option<Captured> {
        let v8 = &self.layout;
        // SAFETY: the clause **captured** of `stack/capture.rs` is the caller's, and **marked** holds because of the two calls around
        // `borrow`. In the locker lane no stack is quiet, so there is nothing to mark.
        unsafe {
            let handles = self.capture.handles(v8)?;
            if self.gc.quiet.borrowed.replace(true) {
                return None;
            }
            let captured = if let Some(locker) = &self.locker {
                locker.capture(v8, &self.stacks, vm, &self.capture, &handles)
            } else {
                self.gc.mark_active(v8, vm);
                self.capture.borrow(v8, &self.stacks, vm, &handles)
            };
            self.gc.quiet.borrowed.set(false);
            captured
        }
    }

    /// A number that all suspended stacks with the same frames have; `None` where the frames themselves must be compared. `live` are the
    /// bytes of the stack of `vm`, and `collections` is how many collections there were.
    ///
    /// # Safety
    /// The clauses **thread**, **live** and **parked**; `vm` is not main's, and no collection is in progress.
    pub(crate) unsafe fn frames_number(
        &self,
        vm: NonNull<StackState>,
        live: std::ops::Range<usize>,
        collections: i32,
    ) -> Option<u32> {
        let frames = self.layout.frames.as_ref().ok()?;
        // SAFETY: the caller's clauses: state and bytes stay as they are until this returns.
        unsafe {
            // Other stacks have a part of their words elsewhere.
            if (*vm.as_ptr()).unusual & !QUIET != 0 {
                return None;
            }
            self.same_frames.number(frames, state::view_of(vm, live), collections)
        }
    }

    /// Whether the running stack joins an array in any context. Remembers the contexts where the program has only one, so that the
    /// next switch need not ask.
    ///
    /// # Safety
    /// The clauses **thread** and **learnt**, in a native callback.
    #[cold]
    pub(crate) unsafe fn is_joining(&self) -> bool {
        let joins = &self.layout.joins;
        // What is remembered is forgotten in the next full collection, so that needs the collector's callbacks.
        if self.gc.is_hooked() {
            // SAFETY: the caller's clauses are the ones that these need.
            unsafe {
                let realm = self.capture.context(&self.layout);
                self.stacks.known_contexts.set(joins.known(|context| Some(context) == realm));
            }
        }
        joins.are_joining()
    }

    /// Whether C++ lies between the JavaScript of the suspended stack of `vm`. In the locker lane V8 has put away the words that
    /// would tell, so each stack counts as one with C++.
    ///
    /// # Safety
    /// The clauses **live** and **parked**; `vm` is not main's.
    pub(crate) unsafe fn has_nested_entries(&self, vm: NonNull<StackState>) -> bool {
        // SAFETY: the caller's clauses are the ones that `are_nested` needs.
        self.locker.is_some() || unsafe { js_entries::are_nested(&self.layout, vm) }
    }

    /// Takes everything of ours out of V8, at the environment's end.
    ///
    /// # Safety
    /// The clauses **thread** and **learnt**; main runs, and no greenlet has a stack.
    pub(crate) unsafe fn close(&self) {
        // SAFETY: the caller's clauses are the ones that these need.
        unsafe {
            self.gc.unhook(&self.layout);
            if let Some(locker) = &self.locker {
                locker.dispose_all(&self.layout, &self.stacks);
                if self.gc.roots.is_listed() {
                    self.gc.full_gc.want(&self.layout.symbols, false);
                    list::unlink(self.gc.roots.node());
                }
            }
        }
        self.stacks.drop_block_list();
    }

    fn lane(&self) -> &Locker {
        self.locker.as_ref().expect("only states of the locker lane are marked with LOCKED")
    }

    /// A stack was removed. With the last one V8's list is as it was before greenlets; stand-ins stay there until the end.
    fn stack_removed(&self) {
        self.stacks.count.set(self.stacks.count.get() - 1);
        if self.stacks.count.get() == 0 && self.locker.is_none() {
            self.gc.full_gc.want(&self.layout.symbols, false);
            // SAFETY: `enlist` has linked both, on this thread.
            unsafe {
                self.gc.classes.clear(&self.layout, &self.gc.quiet, &self.gc.roots);
                list::unlink(self.stacks.main_node());
                list::unlink(self.gc.roots.node());
            }
        }
    }

    /// Releases the context of a stack that will never run again.
    ///
    /// # Safety
    /// The clauses **thread** and **live**.
    unsafe fn drop_context(&self, vm: NonNull<StackState>) {
        // SAFETY: the clause **live**; the context is one of the root table, and the stack had it.
        unsafe {
            if let Some(context) = (*vm.as_ptr()).context.take() {
                self.gc.roots.release(context);
            }
        }
    }
}
