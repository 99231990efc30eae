//! V8's callbacks before and after each garbage collection.
//!
//! V8 visits the isolate's one slot of continuation-preserved embedder data once for *every* archived stack (Isolate::Iterate,
//! isolate.cc, 12.4 to 14.6), and a scavenge that visits a slot twice copies the object again (RootScavengeVisitor, scavenger.cc).
//! So for the length of a collection the value is in a root of our own, which is visited once (`roots.rs`), and the slot holds a Smi.
//! The stacks of wasm calls are visited as often; `full.rs` handles them.
//!
//! Add-ons have such callbacks too, and V8 may collect inside of them, without callbacks. So ours are the outermost and the innermost
//! ones (`order.rs`):
//!
//! ```text
//!   before_all ─ others ─ prologue ──► V8 collects ──► epilogue ─ others ─ after_all
//!       embedder data aside    cut                         splice              embedder data back
//! ```
//!
//! # Contract
//! - **hooked**: what is given to [`Collector::hook`] stays at its address until [`Collector::unhook`], and so does the collector.
//! - **callback**: V8 calls all four callbacks on the isolate's thread, with the collector as their data. No JavaScript runs in them.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::{NonNull, from_ref};

use super::classes::{Around, Classes};
use super::full::FullGc;
use super::greenlets::Greenlets;
use super::order;
use super::quiet::Quiet;
use super::roots::Roots;
use crate::v8::learn::layout::Layout;
use crate::v8::learn::symbols::Isolate;
use crate::v8::stack::stacks::Stacks;
use crate::v8::stack::state::StackState;

/// `kGCTypeScavenge`, `kGCTypeMarkSweepCompact` and `kGCTypeAll` (v8-callbacks.h, the same since 10.2).
const SCAVENGE: c_int = 1;
const MARK_SWEEP_COMPACT: c_int = 4;
/// `kGCTypeIncrementalMarking`: marking begins. V8 visits all stacks, and moves nothing.
const INCREMENTAL_MARKING: c_int = 8;
const ALL: c_int = 0x1f;
/// `kGCTypeProcessWeakCallbacks`: no collection, but callbacks of programs, after one.
const WEAK_CALLBACKS: c_int = 16;

/// What must happen around the collections of one isolate.
pub(crate) struct Collector {
    /// The stacks that a scavenge need not visit.
    pub(crate) quiet: Quiet,
    /// The stacks that a full collection need not visit.
    pub(crate) classes: Classes,
    pub(crate) roots: Roots,
    /// Whether scavenges are to be full collections.
    pub(crate) full_gc: FullGc,
    /// How many collections are between their first and their last callback. Where another one begins inside of callbacks, also of weak
    /// ones, V8 calls none for it (`GCCallbacksScope`, heap.cc). Between the callbacks V8 may ask what to do near the heap's limit, and Node
    /// then writes a heap snapshot (`Environment::NearHeapLimitCallback`, env.cc), for which V8 collects with callbacks. Such an inner
    /// collection visits what the outer one has left in the list, and that is enough: a settled stack has no young object, and the table
    /// and the representatives are in the list. So our callbacks do nothing for it.
    pub(crate) collecting: Cell<u64>,
    /// Whether the embedder data is in the root table.
    is_aside: Cell<bool>,
    hooked: Cell<Option<Hooked>>,
}

/// What the callbacks work with.
#[derive(Clone, Copy)]
struct Hooked {
    v8: NonNull<Layout>,
    stacks: NonNull<Stacks>,
    greenlets: NonNull<dyn Greenlets>,
}

impl Collector {
    pub(crate) fn new(v8: &Layout) -> Collector {
        Collector {
            quiet: Quiet::new(),
            classes: Classes::new(v8),
            roots: Roots::new(v8),
            full_gc: FullGc::new(),
            collecting: Cell::new(0),
            is_aside: Cell::new(false),
            hooked: Cell::new(None),
        }
    }

    /// The suspended stack of `vm` is about to run, to be borrowed, or to be abandoned: the next collection must visit it.
    ///
    /// # Safety
    /// The clauses **thread** and **live** of `stack/state.rs`, outside of collections; `vm` is in V8's list.
    #[cold]
    pub(crate) unsafe fn mark_active(&self, v8: &Layout, vm: NonNull<StackState>) {
        // SAFETY: the caller's clauses are the ones that both need.
        unsafe {
            if (*vm.as_ptr()).place != 0 {
                self.classes.leave(v8, &self.quiet, vm);
            }
            self.quiet.mark_active(v8, &self.roots, vm);
        }
    }

    /// Whether the collection of which V8 calls our callbacks has begun inside of another one.
    fn is_inner(&self) -> bool {
        self.collecting.get() > 1
    }

    /// Registers the callbacks with V8, once.
    ///
    /// # Safety
    /// The contract's clause **hooked**, on the isolate's thread.
    pub(crate) unsafe fn hook(&self, v8: &Layout, stacks: &Stacks, greenlets: NonNull<dyn Greenlets>) {
        if self.hooked.get().is_some() {
            return;
        }
        self.hooked.set(Some(Hooked { v8: NonNull::from(v8), stacks: NonNull::from(stacks), greenlets }));
        let data = from_ref(self) as *mut c_void;
        // SAFETY: public API on the isolate's thread; by the clause **hooked** the callbacks find the collector that they expect.
        unsafe {
            (v8.symbols.add_gc_prologue)(v8.isolate, before_all, data, ALL);
            // V8 is not going through a list now. Callbacks that are added later come after this one, so it stays the first.
            order::put_first(v8.collection_callbacks.prologue, before_all, data as usize);
            (v8.symbols.add_gc_prologue)(v8.isolate, prologue, data, ALL);
            (v8.symbols.add_gc_epilogue)(v8.isolate, epilogue, data, ALL);
            (v8.symbols.add_gc_epilogue)(v8.isolate, after_all, data, ALL);
        }
    }

    /// Whether the callbacks are registered.
    pub(crate) fn is_hooked(&self) -> bool {
        self.hooked.get().is_some()
    }

    /// Removes the callbacks where they are registered: removing what was never added would corrupt V8's list.
    ///
    /// # Safety
    /// On the isolate's thread.
    pub(crate) unsafe fn unhook(&self, v8: &Layout) {
        if self.hooked.take().is_none() {
            return;
        }
        let data = from_ref(self) as *mut c_void;
        // SAFETY: public API on the isolate's thread, with what `hook` has added.
        unsafe {
            (v8.symbols.remove_gc_prologue)(v8.isolate, before_all, data);
            (v8.symbols.remove_gc_prologue)(v8.isolate, prologue, data);
            (v8.symbols.remove_gc_epilogue)(v8.isolate, epilogue, data);
            (v8.symbols.remove_gc_epilogue)(v8.isolate, after_all, data);
        }
    }
}

/// The first callback before a collection. From now on switches are refused, and the embedder data is in the root table. Both must
/// also hold if V8 collects inside an add-on's callback, so this one comes first.
unsafe extern "C" fn before_all(_isolate: Isolate, kind: c_int, _flags: c_int, data: *mut c_void) {
    // SAFETY: the contract's clauses **callback** and **hooked**: all three are alive, and are only read through shared references.
    let collector = unsafe { &*data.cast::<Collector>() };
    let Some(hooked) = collector.hooked.get() else { return };
    // SAFETY: the contract's clause **hooked**.
    let v8 = unsafe { hooked.v8.as_ref() };
    collector.collecting.set(collector.collecting.get() + 1);
    // SAFETY: the contract's clause **callback**; V8 goes through the list of the callbacks before a collection.
    unsafe {
        order::put_first(v8.collection_callbacks.epilogue, epilogue, data as usize);
        order::put_last(v8.collection_callbacks.epilogue, after_all, data as usize);
    }
    if kind & WEAK_CALLBACKS != 0 || !collector.roots.is_listed() || collector.is_inner() {
        return;
    }
    if v8.wasm_stacks.exist() {
        if kind == SCAVENGE {
            // SAFETY: public API; V8 allows a collection inside of this callback.
            unsafe { (v8.symbols.collect_all)(v8.isolate) };
            if !collector.roots.is_listed() {
                // The only stacks were some that rested, and that collection has ended them.
                return;
            }
        }
        collector.full_gc.want(&v8.symbols, true);
    }
    if let Some(word) = v8.embedder_data {
        // SAFETY: the clause **learnt** of `stack/state.rs`, and a word of the root table; V8 has not begun to visit roots.
        unsafe {
            *collector.roots.during_scavenge() = *word;
            *word = 0;
        }
        collector.is_aside.set(true);
    }
}

/// The last callback before a collection.
unsafe extern "C" fn prologue(_isolate: Isolate, kind: c_int, _flags: c_int, data: *mut c_void) {
    // SAFETY: the contract's clauses **callback** and **hooked**.
    let collector = unsafe { &*data.cast::<Collector>() };
    let Some(hooked) = collector.hooked.get() else { return };
    // SAFETY: the contract's clause **hooked**.
    let (v8, stacks, greenlets) =
        unsafe { (hooked.v8.as_ref(), hooked.stacks.as_ref(), hooked.greenlets.as_ref()) };
    let is_known = matches!(kind, SCAVENGE | MARK_SWEEP_COMPACT | INCREMENTAL_MARKING);
    if !is_known || !collector.roots.is_listed() || collector.is_inner() {
        return;
    }
    let callbacks = v8.collection_callbacks;
    // SAFETY: on the isolate's thread, in which V8 calls this.
    let is_alone = unsafe {
        order::is_last(callbacks.prologue, prologue, data as usize)
            && order::is_first(callbacks.epilogue, epilogue, data as usize)
    };
    if !is_alone {
        return;
    }
    let Collector { quiet, classes, roots, .. } = collector;
    let around = Around { v8, quiet, roots, greenlets };
    // SAFETY: the contract's clause **callback**. No other callback runs before this one's counterpart.
    unsafe {
        if kind == SCAVENGE {
            classes.before_cut(v8, quiet);
            quiet.prologue(v8, stacks, roots, greenlets);
            classes.before_scavenge(around);
        } else {
            classes.before_full(around, kind == MARK_SWEEP_COMPACT);
        }
    }
}

/// The first callback after a collection.
unsafe extern "C" fn epilogue(_isolate: Isolate, kind: c_int, _flags: c_int, data: *mut c_void) {
    // SAFETY: the contract's clauses **callback** and **hooked**.
    let collector = unsafe { &*data.cast::<Collector>() };
    let Some(hooked) = collector.hooked.get() else { return };
    // SAFETY: the contract's clause **hooked**.
    let (v8, stacks, greenlets) =
        unsafe { (hooked.v8.as_ref(), hooked.stacks.as_ref(), hooked.greenlets.as_ref()) };
    greenlets.collected();
    // SAFETY: on the isolate's thread; V8 goes through the list of the callbacks after a collection.
    unsafe { order::put_last(v8.collection_callbacks.prologue, prologue, data as usize) };
    if collector.is_inner() {
        return;
    }
    if kind != SCAVENGE {
        // Contexts may have moved, and a new one may be made where a known one was.
        stacks.known_contexts.set(0);
        if collector.full_gc.is_wanted() && !v8.wasm_stacks.exist() {
            collector.full_gc.want(&v8.symbols, false);
        }
        let Collector { quiet, classes, roots, .. } = collector;
        let moves = kind == MARK_SWEEP_COMPACT;
        if roots.is_listed() && (moves || kind == INCREMENTAL_MARKING) {
            // SAFETY: the contract's clause **callback**: the collection is over, and no other callback has run.
            unsafe {
                classes.after_full(Around { v8, quiet, roots, greenlets }, moves);
                if moves {
                    quiet.after_full(v8, roots);
                }
            }
        }
        if moves {
            greenlets.trim();
        }
        return;
    }
    if collector.roots.is_listed() {
        let Collector { quiet, classes, roots, .. } = collector;
        // SAFETY: the contract's clause **callback**.
        unsafe {
            quiet.epilogue(v8, roots, greenlets);
            classes.after_scavenge(v8, stacks, quiet, roots);
        }
    }
}

/// The last callback after a collection.
unsafe extern "C" fn after_all(_isolate: Isolate, _kind: c_int, _flags: c_int, data: *mut c_void) {
    // SAFETY: the contract's clauses **callback** and **hooked**.
    let collector = unsafe { &*data.cast::<Collector>() };
    let Some(hooked) = collector.hooked.get() else { return };
    // Not less than 0: the callbacks may have been registered inside of a collection's.
    let outer = collector.collecting.get().saturating_sub(1);
    collector.collecting.set(outer);
    if outer > 0 {
        return;
    }
    // SAFETY: the contract's clause **hooked**.
    if let Some(word) = unsafe { hooked.v8.as_ref() }.embedder_data
        && collector.is_aside.replace(false)
    {
        // SAFETY: the clause **learnt** of `stack/state.rs`, and a word of the root table, which the collector has updated.
        unsafe {
            let root = collector.roots.during_scavenge();
            *word = *root;
            *root = 0;
        }
    }
}
