//! A model of V8's scavenger, which runs in the middle of what the addon does and visits what V8 would visit.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::ptr::{NonNull, null};
use std::rc::Rc;

use greenlets_core::raw::StackBounds;

use crate::fixed::Fixed;
use crate::layout::{IsolateWords, Layout, Words};
use crate::v8::gc;
use crate::v8::gc::quiet::Quiet;
use crate::v8::gc::roots::Roots;
use crate::v8::lanes;
use crate::v8::learn::facts::{BLOCKS, BLOCKS_SIZE, HANDLE_BLOCK_WORDS};
use crate::v8::stack::capture::{Capture, Captured};
use crate::v8::stack::list;
use crate::v8::stack::stacks::Stacks;
use crate::v8::stack::state::{QUIET, StackState, image, live_end, node_of};

/// A pointer to a young object has this bit, and the scavenger takes it away.
pub(crate) const YOUNG: u64 = 1 << 40;
/// Words of a stack below its base.
const STACK_WORDS: usize = 64;

/// As in the addon's `gc/hooks.rs`.
pub(crate) trait Greenlets {
    /// # Safety
    /// `vm` is the state of a stack of this thread.
    unsafe fn live_bytes(&self, vm: NonNull<StackState>) -> Option<Range<usize>>;
}

/// A stack with its state, where the core would have both.
pub(crate) struct Stack {
    state: Fixed<StackState>,
    memory: Words<{ STACK_WORDS + HANDLE_BLOCK_WORDS }>,
}

impl Stack {
    pub(crate) fn vm(&self) -> NonNull<StackState> {
        self.state.get()
    }

    /// The word that lies `below` words below the base.
    pub(crate) fn word(&self, below: usize) -> *mut u64 {
        self.memory.at(STACK_WORDS - below)
    }
}

/// One isolate with the addon's part.
pub(crate) struct World {
    pub(crate) v8: Layout,
    pub(crate) stacks: Stacks,
    pub(crate) roots: Roots,
    pub(crate) quiet: Quiet,
    pub(crate) capture: Capture,
    main: Stack,
    /// Where the live bytes of suspended stacks begin.
    low: RefCell<BTreeMap<usize, usize>>,
    realm: Words<1>,
    /// How many stacks the last scavenge visited.
    pub(crate) visited: Cell<usize>,
    _words: IsolateWords,
}

thread_local! {
    static WORLD: Cell<*const World> = const { Cell::new(null()) };
}

impl World {
    /// One with main and the root table in V8's list. In an `Rc`, because the model of Node-API finds it by its address.
    pub(crate) fn new() -> Rc<World> {
        let words = IsolateWords::new();
        let v8 = words.layout();
        let world = Rc::new(World {
            stacks: Stacks::new(&v8),
            roots: Roots::new(&v8),
            quiet: Quiet::new(),
            capture: Capture::new(),
            main: stack(&v8, true),
            low: RefCell::default(),
            realm: Words::new(),
            visited: Cell::new(0),
            v8,
            _words: words,
        });
        let main = world.main.vm();
        world.stacks.set_main(main);
        world.capture.realm.set(world.realm.at(0).cast());
        // SAFETY: the states stay where they are as long as the world.
        unsafe {
            *world.realm.at(0) = 0x51;
            (*main.as_ptr()).embedder_data = world.roots.of_main();
            (*main.as_ptr()).node.data = world.stacks.blank_image();
            list::link(world.v8.in_use, node_of(main));
            list::link(world.v8.in_use, world.roots.node());
        }
        WORLD.set(Rc::as_ptr(&world));
        world
    }

    pub(crate) fn main(&self) -> NonNull<StackState> {
        self.main.vm()
    }

    /// A suspended stack with `words` on it.
    pub(crate) fn add(&self, words: &[u64]) -> Stack {
        let stack = stack(&self.v8, false);
        let vm = stack.vm();
        let context = self.roots.take();
        // SAFETY: the stack's memory and state are boxed.
        unsafe {
            lanes::enlist(self, vm);
            (*vm.as_ptr()).context = Some(context);
            (*vm.as_ptr()).embedder_data = &raw mut (*context.as_ptr()).frame;
            for (i, word) in words.iter().enumerate() {
                *stack.word(i + 1) = *word;
            }
        }
        self.low.borrow_mut().insert(vm.as_ptr().addr(), stack.word(words.len()) as usize);
        stack
    }

    /// What the addon does in a switch from the running stack to `to`.
    pub(crate) fn switch(&self, to: NonNull<StackState>) {
        // SAFETY: one of the two is the running stack, the other one is suspended.
        unsafe {
            lanes::park(self, self.stacks.running.get());
            self.stacks.running.set(to);
            if (*to.as_ptr()).unusual & QUIET != 0 {
                self.quiet.mark_active(&self.v8, &self.roots, to);
            }
            lanes::unpark(self, to);
        }
    }

    /// What the addon does to read a suspended stack.
    pub(crate) fn read(&self, vm: NonNull<StackState>) -> Option<Captured> {
        // SAFETY: `vm` is suspended.
        unsafe {
            let handles = self.capture.handles(&self.v8)?;
            self.quiet.mark_active(&self.v8, &self.roots, vm);
            self.quiet.borrowed.set(true);
            let captured = self.capture.borrow(&self.v8, &self.stacks, vm, &handles);
            self.quiet.borrowed.set(false);
            captured
        }
    }

    /// A scavenge, with the addon's callbacks around it.
    pub(crate) fn scavenge(&self) {
        // SAFETY: this is the only thread; the collector uses what V8 would use.
        unsafe {
            gc::prologue(self);
            self.visit_all();
            gc::epilogue(self);
        }
    }

    /// A full collection, with the addon's callback after it. It leaves no young object either.
    pub(crate) fn full_collection(&self) {
        // SAFETY: this is the only thread; the collector uses what V8 would use.
        unsafe {
            self.visit_all();
            gc::after_full(self);
        }
    }

    /// Visits the isolate's roots and what is in V8's list.
    ///
    /// # Safety
    /// A collection is in progress.
    unsafe fn visit_all(&self) {
        let v8 = &self.v8;
        // SAFETY: the words are V8's, which nothing else uses during a collection.
        unsafe {
            let facts = v8.facts;
            (0..facts.thread_local_top_words).for_each(|i| visit(v8.thread_local_top.add(i)));
            let mut visited = 0;
            let mut node = (*v8.in_use).next;
            while node != v8.in_use {
                let archive = (*node).data;
                let top = facts.implementer_words + facts.scope_data_words;
                (top..top + facts.thread_local_top_words).for_each(|i| visit(archive.add(i)));
                let (blocks, count) =
                    (*archive.add(BLOCKS) as *const *mut u64, *archive.add(BLOCKS_SIZE) as usize);
                let next = *archive.add(facts.implementer_words) as usize;
                for i in 0..count {
                    let block = *blocks.add(i);
                    let words = if i + 1 == count { (next - block as usize) / 8 } else { HANDLE_BLOCK_WORDS };
                    (0..words).for_each(|i| visit(block.add(i)));
                }
                if archive != self.stacks.blank_image() && node != self.roots.node().as_ptr() {
                    visited += 1;
                    if let Some(live) = self.live_bytes(NonNull::new_unchecked(node.cast())) {
                        live.step_by(8).for_each(|at| visit(at as *mut u64));
                    }
                }
                node = (*node).next;
            }
            self.visited.set(visited);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stacks.drop_block_list();
    }
}

impl Greenlets for World {
    unsafe fn live_bytes(&self, vm: NonNull<StackState>) -> Option<Range<usize>> {
        let low = *self.low.borrow().get(&vm.as_ptr().addr())?;
        // SAFETY: it is a suspended greenlet's, because only these are in the map.
        Some(low..unsafe { live_end(&self.v8, vm) })
    }
}

/// Visits a root: what is young moves.
///
/// # Safety
/// `word` is a word of V8's.
unsafe fn visit(word: *mut u64) {
    // SAFETY: the caller's promise.
    unsafe {
        if *word & 3 == 1 && *word & YOUNG != 0 {
            *word &= !YOUNG;
        }
    }
}

fn stack(v8: &Layout, is_main: bool) -> Stack {
    let memory = Words::new();
    let base = memory.at(STACK_WORDS) as usize;
    let bounds = StackBounds { base, limit: memory.at(0) as usize };
    Stack { state: Fixed::new(StackState::new(v8, bounds, is_main)), memory }
}

/// The functions of Node-API that a capture of frames calls.
#[allow(non_camel_case_types, non_upper_case_globals, reason = "the names of Node-API")]
pub(crate) mod node_api {
    use std::ffi::{c_char, c_void};
    use std::ptr::null_mut;

    use super::WORLD;

    pub(crate) type napi_env = *mut c_void;
    pub(crate) type napi_value = *mut c_void;
    pub(crate) type napi_ref = *mut c_void;
    pub(crate) type napi_handle_scope = *mut c_void;

    #[allow(non_snake_case, reason = "napi-rs has a type of this name")]
    pub(crate) mod Status {
        pub(crate) const napi_ok: i32 = 0;
    }

    pub(crate) unsafe fn napi_get_reference_value(
        _: napi_env,
        reference: napi_ref,
        value: *mut napi_value,
    ) -> i32 {
        // SAFETY: the caller gives a place for the value.
        unsafe { *value = reference };
        Status::napi_ok
    }

    pub(crate) unsafe fn napi_create_string_utf8(
        _: napi_env,
        _: *const c_char,
        _: isize,
        value: *mut napi_value,
    ) -> i32 {
        // SAFETY: the caller gives a place for the value.
        unsafe { *value = null_mut() };
        Status::napi_ok
    }

    /// A handle, which lies on main's stack.
    pub(crate) unsafe fn napi_create_int32(_: napi_env, _: i32, value: *mut napi_value) -> i32 {
        // SAFETY: the caller gives a place for the value; the world outlives its use.
        unsafe { *value = (*WORLD.get()).main.word(1).cast() };
        Status::napi_ok
    }

    /// Captures a stack. Allocates, so that a scavenge runs.
    pub(crate) unsafe fn napi_create_error(
        _: napi_env,
        _: napi_value,
        _: napi_value,
        value: *mut napi_value,
    ) -> i32 {
        // SAFETY: the test that reads a stack has made the world.
        let world = unsafe { &*WORLD.get() };
        world.scavenge();
        // SAFETY: the caller gives a place for the value. The handle of the target's context is visited, as a handle of main's.
        unsafe {
            super::visit(world.main.word(1));
            *value = world.main.word(1).cast();
        }
        Status::napi_ok
    }

    pub(crate) unsafe fn napi_open_handle_scope(_: napi_env, _: *mut napi_handle_scope) -> i32 {
        Status::napi_ok
    }

    pub(crate) unsafe fn napi_close_handle_scope(_: napi_env, _: napi_handle_scope) -> i32 {
        Status::napi_ok
    }
}

/// ThreadLocalTop in the image of a suspended stack.
pub(crate) fn top(world: &World, vm: NonNull<StackState>, word: usize) -> *mut u64 {
    let facts = world.v8.facts;
    // SAFETY: an image is longer than these words.
    unsafe { image(vm).add(facts.implementer_words + facts.scope_data_words + word) }
}
