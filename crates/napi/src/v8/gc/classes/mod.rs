//! Classes of stacks: a full collection visits one stack of each shape, and a table in place of the others.
//!
//! Visiting a suspended stack costs V8 microseconds, three times in each natural full collection. Most of that is finding the way:
//! which frame is next, of what code, which of its words are pointers. Programs suspend many stacks in few places, so the answers repeat.
//!
//! ```text
//!   in-use list, normally      anchor ── main ── roots ── table ── R ── D ─┬─ settled: A ── B ── C ─┐
//!                                ▲                                        │                        │
//!                                └────────────────────────────────────────┴────────────────────────┘
//!   during a full collection   anchor ── main ── roots ── table ── R ── D ── (anchor)   A ── B ── C   set aside
//!                                                           │      │    └ of no class: visited as ever
//!                                                           │      └ representative of the class of A, B and C
//!                                                           └ the words of A, B and C that are objects
//! ```
//!
//! | file | what it does |
//! |---|---|
//! | `stack/shape` | what V8 goes by on a stack; stacks with equal shapes are one class |
//! | `probe` | learns which words V8 visits in a shape, from a scavenge |
//! | `class`, `table` | the words of a class and of its members, and where V8 sees them |
//! | `members` | which stack is where |
//! | `full` | the two ends of a full collection |
//!
//! The representative is walked as ever. So its code stays alive and in place, or its return addresses change, and the members get the
//! same ones. Outside of full collections every stack is in the list and right: for the deoptimizer, the debugger, captures, heap
//! snapshots. docs/internals/gc.md has the proof and the exceptions.
//!
//! `GREENLETS_VERIFY_GC=1` leaves all stacks in the list, predicts each of their words, and ends the process where a prediction is
//! wrong. Without it, one member of each class is left in the list in turn, and a wrong prediction ends the use of classes.
//!
//! # Contract
//! - **ends**: `before` and `after` of a kind of collection run on the isolate's thread at its two ends; between them no callback runs, no
//!   node is added or removed, and only the collector writes to stacks, images and the table.
//! - **member**, **words**: those of `quiet.rs`.

mod class;
mod full;
mod members;
mod probe;

mod table;

use std::cell::{Cell, OnceCell, RefCell};
use std::ops::Range;
use std::ptr::NonNull;

use super::greenlets::Greenlets;
use super::order;
use super::quiet::{Quiet, has_contexts, report_and_abort, suspended};
use super::roots::Roots;
use crate::objects::span_of;
use crate::settings::ClassUse;
use crate::v8::learn::debugger::MARKED;
use crate::v8::learn::facts::BLOCKS_SIZE;
use crate::v8::learn::frame_words::Frames;
use crate::v8::learn::layout::Layout;
use crate::v8::stack::shape::{Shape, View};
use crate::v8::stack::stacks::Stacks;
use crate::v8::stack::state::{QUIET, StackState, image, view_of};
use full::Window;
use members::Members;
use probe::{Answer, Probe};

/// What the two ends of a collection work with.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) v8: &'a Layout,
    pub(super) quiet: &'a Quiet,
    pub(super) roots: &'a Roots,
    pub(super) greenlets: &'a dyn Greenlets,
}

/// With fewer greenlets there is nothing to gain.
const FEWEST_STACKS: usize = 64;
/// Which stacks are looked at in one scavenge: the first ones of V8's list, and then each 64th.
const SAMPLES_AT_THE_HEAD: usize = 32;
const SAMPLES_BEHIND: usize = 32;
const SAMPLE_EACH: usize = 64;
/// How many are probed.
const PROBES: usize = 64;

/// The classes of one isolate.
pub(crate) struct Classes {
    mode: RefCell<ClassUse>,
    is_on: Cell<bool>,
    members: RefCell<Members>,
    /// Whether a young object is wanted for the next scavenge.
    pub(crate) wants_young: Cell<bool>,
    probes: RefCell<Vec<Probe>>,
    window: RefCell<Window>,
    /// Breakpoints that V8 has counted, as it was at the last look.
    breakpoints: Cell<u64>,
    /// Where the code of Node and of this library is. Both stay loaded as long as the isolate is there.
    known_code: OnceCell<[Range<usize>; 2]>,
}

impl Classes {
    pub(crate) fn new(v8: &Layout) -> Classes {
        Classes {
            mode: RefCell::new(ClassUse::Unused),
            is_on: Cell::new(false),
            members: RefCell::new(Members::new(v8)),
            wants_young: Cell::new(false),
            probes: RefCell::default(),
            window: RefCell::default(),
            breakpoints: Cell::new(0),
            known_code: OnceCell::new(),
        }
    }

    /// Chooses the mode, once, before there are stacks.
    pub(crate) fn set_mode(&self, v8: &Layout, mode: ClassUse) {
        let mode = match (&v8.frames, mode) {
            (Err(reason), ClassUse::On | ClassUse::Verify) => ClassUse::Off((*reason).into()),
            (_, mode) => mode,
        };
        self.is_on.set(matches!(mode, ClassUse::On | ClassUse::Verify));
        self.mode.replace(mode);
    }

    /// How classes are used at present.
    pub(crate) fn mode(&self, v8: &Layout) -> ClassUse {
        match (self.mode.borrow().clone(), obstacle(v8)) {
            (ClassUse::On | ClassUse::Verify, Some(reason)) => ClassUse::Off(reason.into()),
            (mode, _) => mode,
        }
    }

    /// How V8 follows frames; `None` where no classes are used now.
    fn frames<'a>(&self, v8: &'a Layout) -> Option<&'a Frames> {
        if self.is_on.get() { v8.frames.as_ref().ok() } else { None }
    }

    /// There is one more stack, and now there are so many.
    #[inline(always)]
    pub(crate) fn count_stack(&self, count: usize) {
        if count == FEWEST_STACKS {
            self.wants_young.set(self.is_on.get());
        }
    }

    /// How many stacks the next full collection leaves out.
    pub(crate) fn settled(&self, v8: &Layout) -> usize {
        if obstacle(v8).is_some() { 0 } else { self.members.borrow().count() }
    }

    /// Uses no classes from now on.
    ///
    /// # Safety
    /// V8 does not go through its list now.
    unsafe fn turn_off(&self, v8: &Layout, quiet: &Quiet, members: &mut Members, reason: &str) {
        if *self.mode.borrow() == ClassUse::Verify {
            report_and_abort(reason);
        }
        // SAFETY: the caller's promise.
        unsafe { members.dissolve_all(quiet, v8) };
        self.is_on.set(false);
        self.wants_young.set(false);
        self.mode.replace(ClassUse::Off(reason.into()));
    }

    /// The stack of `vm` is about to run, to be borrowed, or to be abandoned. The caller moves its node.
    ///
    /// # Safety
    /// The contract's clause **member**, outside of collections.
    #[cold]
    pub(crate) unsafe fn leave(&self, v8: &Layout, quiet: &Quiet, vm: NonNull<StackState>) {
        // SAFETY: the caller's clause.
        unsafe { self.members.borrow_mut().leave(quiet, v8, vm) };
    }

    /// No stack is left. From now on V8 does not visit the root table, so the young object's address would not be kept up to date.
    ///
    /// # Safety
    /// V8 does not go through its list now.
    pub(crate) unsafe fn clear(&self, v8: &Layout, quiet: &Quiet, roots: &Roots) {
        self.wants_young.set(false);
        // SAFETY: the caller's promise; a word of the root table.
        unsafe {
            *roots.of_probe() = 0;
            self.members.borrow_mut().dissolve_all(quiet, v8);
        }
    }

    /// Gives the next scavenge a young object to learn from.
    ///
    /// # Safety
    /// In a native callback, or at the end of a full collection: an object can be allocated.
    #[cold]
    pub(crate) unsafe fn make_young(&self, v8: &Layout, roots: &Roots) {
        use napi::sys;
        let (mut scope, mut object) = (std::ptr::null_mut(), std::ptr::null_mut());
        // V8 makes an object in the current context, and a collection may begin where there is none.
        // SAFETY: the clause **learnt** of `stack/state.rs`: a word of the live ThreadLocalTop.
        let has_context = unsafe { *v8.thread_local_top.add(v8.context_word) } != 0;
        self.wants_young.set(!has_context);
        if !has_context {
            return;
        }
        // SAFETY: the caller's promise; a handle is the address of one word. The root table's word is visited from now on.
        unsafe {
            if sys::napi_open_handle_scope(v8.env, &mut scope) != sys::Status::napi_ok {
                return;
            }
            if sys::napi_create_object(v8.env, &mut object) == sys::Status::napi_ok {
                *roots.of_probe() = *object.cast::<u64>();
            }
            sys::napi_close_handle_scope(v8.env, scope);
        }
    }

    /// A scavenge begins; the quiet stacks will be cut off.
    ///
    /// # Safety
    /// The contract's clauses **ends** and **member**.
    pub(super) unsafe fn before_cut(&self, v8: &Layout, quiet: &Quiet) {
        if self.is_on.get() {
            let members = &mut *self.members.borrow_mut();
            // SAFETY: the caller's clauses.
            unsafe {
                self.may_use(v8, quiet, members);
                members.table.hide();
            }
        }
    }

    /// The quiet stacks are cut off. The others may show which words V8 visits on them.
    ///
    /// # Safety
    /// The contract's clauses **ends** and **member**.
    pub(super) unsafe fn before_scavenge(&self, around: Around<'_>) {
        let Some(frames) = self.frames(around.v8) else { return };
        let Around { v8, quiet, roots, greenlets } = around;
        let members = &mut *self.members.borrow_mut();
        // SAFETY: the caller's clauses. The root table's word is one that only the collector changes now.
        unsafe {
            let young = *roots.of_probe();
            if young == 0 || v8.wasm_stacks.exist() || quiet.borrowed.get() {
                return;
            }
            self.probe_classes(v8, members, greenlets, young);
            let probes = &mut *self.probes.borrow_mut();
            // The stacks that are still in the list: new ones. The newest are in slots, those behind them may be spilled.
            let (mut node, mut shape) = ((*v8.in_use).next, Shape::default());
            for place in 0..SAMPLES_AT_THE_HEAD + SAMPLES_BEHIND * SAMPLE_EACH {
                if node == v8.in_use || probes.len() >= PROBES {
                    break;
                }
                if (place < SAMPLES_AT_THE_HEAD || place.is_multiple_of(SAMPLE_EACH))
                    && let Some(vm) = suspended(roots, node)
                    && (*vm.as_ptr()).unusual & QUIET == 0
                    && let Some(view) = plain_view(v8, greenlets, vm)
                    && shape.read(frames, view)
                    && members.find(&shape).is_none()
                    && let Some(class) = members.create(&shape)
                {
                    probes.push(Probe::begin(v8, class, &shape, view, young));
                }
                node = (*node).next;
            }
        }
    }

    /// A scavenge ends.
    ///
    /// # Safety
    /// The contract's clauses **ends** and **member**.
    pub(super) unsafe fn after_scavenge(&self, v8: &Layout, stacks: &Stacks, quiet: &Quiet, roots: &Roots) {
        if !self.is_on.get() {
            return;
        }
        let members = &mut *self.members.borrow_mut();
        // SAFETY: the contract's clause **ends**: V8 is done with its list, and with the root table.
        unsafe {
            members.table.show();
            if let Err(reason) = self.learn(roots, members) {
                self.turn_off(v8, quiet, members, reason);
            }
        }
        self.wants_young.set(self.is_on.get() && stacks.count.get() >= FEWEST_STACKS);
    }

    /// Puts copies of representatives into V8's list, where their classes are not learnt yet.
    ///
    /// # Safety
    /// The contract's clauses **ends** and **member**.
    unsafe fn probe_classes(&self, v8: &Layout, members: &Members, greenlets: &dyn Greenlets, young: u64) {
        let probes = &mut *self.probes.borrow_mut();
        for class in members.numbers() {
            let here = &members.classes[class];
            // SAFETY: the caller's clauses.
            unsafe {
                if let (true, Some(vm)) = (here.is_unlearnt(), here.representative)
                    && probes.len() < PROBES
                    && let Some(view) = view(greenlets, vm)
                {
                    probes.push(Probe::begin(v8, class, &here.shape, view, young));
                }
            }
        }
    }

    /// Takes the copies out again, and learns from them. Returns whether anything was learnt.
    ///
    /// # Safety
    /// The contract's clause **ends**: V8 is done with its list, and with the root table.
    unsafe fn learn(&self, roots: &Roots, members: &mut Members) -> Result<bool, &'static str> {
        let mut result = Ok(false);
        for probe in self.probes.borrow_mut().drain(..) {
            let Some(class) = members.classes.get_mut(probe.class) else {
                // The classes were dissolved meanwhile.
                // SAFETY: the caller's clause.
                unsafe { probe.end(&Shape::default()) };
                continue;
            };
            // SAFETY: the caller's clause.
            match unsafe { probe.end(&class.shape) } {
                Answer::Visited(visited) => {
                    class.visited = Some(visited);
                    result = result.map(|_| true);
                }
                Answer::Nothing => {}
                Answer::Contradiction(reason) => result = Err(reason),
            }
        }
        // SAFETY: the caller's clause.
        unsafe { *roots.of_probe() = 0 };
        result
    }

    /// Asked for at the first collection with classes, so that programs without them do not search the loaded objects.
    fn known_code(&self, v8: &Layout) -> &[Range<usize>; 2] {
        let own = Classes::new as *const () as usize;
        self.known_code.get_or_init(|| [v8.symbols.version as usize, own].map(span_of))
    }

    /// Whether classes may be used in the collection that begins. Forgets what may not hold any more.
    ///
    /// Where a debugger is or was at work, all stacks leave their classes: V8 may have changed words of suspended stacks, when it
    /// replaced the code of functions with code that has breakpoints (Debug::PrepareFunctionForDebugExecution, debug.cc).
    ///
    /// V8 may have collected in a callback of an add-on, without callbacks. Then code without a representative may be gone.
    ///
    /// # Safety
    /// V8 does not go through its list now, and nothing is cut off.
    unsafe fn may_use(&self, v8: &Layout, quiet: &Quiet, members: &mut Members) -> bool {
        // SAFETY: the clause **learnt** of `stack/state.rs`: a word of the live Debug object, and two lists.
        let (breakpoints, is_alone) = unsafe {
            let (lists, known) = (v8.collection_callbacks, self.known_code(v8));
            let is_alone =
                !order::has_foreign(lists.prologue, known) && !order::has_foreign(lists.epilogue, known);
            (*v8.debugger.0.add(MARKED) & 0xffff_ffff, is_alone)
        };
        let has_obstacle = obstacle(v8).is_some();
        // SAFETY: the caller's promise.
        unsafe {
            // Where no class may be used, the table must not keep anything alive either.
            if self.breakpoints.replace(breakpoints) != breakpoints || has_obstacle {
                members.dissolve_all(quiet, v8);
            }
        }
        if !is_alone {
            members.forget_unrepresented();
        }
        !has_obstacle && !quiet.borrowed.get()
    }
}

/// Why no classes are used at present, also where they are on.
fn obstacle(v8: &Layout) -> Option<&'static str> {
    if v8.debugger.is_active(v8.facts) {
        return Some("a debugger is attached");
    }
    v8.wasm_stacks.exist().then_some("a wasm call has a stack of its own")
}

/// The words of a suspended stack. `None` where it has no stack.
///
/// # Safety
/// The contract's clauses **member** and **words**, as long as the view exists.
unsafe fn view<'a>(greenlets: &dyn Greenlets, vm: NonNull<StackState>) -> Option<View<'a>> {
    // SAFETY: the caller's clauses.
    unsafe { Some(view_of(vm, greenlets.live_bytes(vm)?)) }
}

/// The same, for a stack that may be in a class: nothing of it lies elsewhere.
///
/// # Safety
/// The same as for [`view`].
unsafe fn plain_view<'a>(
    v8: &Layout,
    greenlets: &dyn Greenlets,
    vm: NonNull<StackState>,
) -> Option<View<'a>> {
    // SAFETY: the caller's clauses.
    unsafe {
        let state = vm.as_ptr();
        let is_plain = !(*state).is_main
            && (*state).unusual & !QUIET == 0
            && *image(vm).add(BLOCKS_SIZE) == 1
            && !has_contexts(v8, vm);
        if is_plain { view(greenlets, vm) } else { None }
    }
}
