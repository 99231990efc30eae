//! What must happen around a garbage collection.
//!
//! V8 visits the isolate's one slot of continuation-preserved embedder data once for *every* archived stack
//! (Isolate::Iterate, isolate.cc, 12.4 to 14.6), and a scavenge that visits a slot twice copies the object again
//! (RootScavengeVisitor, scavenger.cc). So for the length of a scavenge the value lies in a root of our own, which is
//! visited once, and the slot holds a Smi.
//!
//! The stacks of wasm calls are visited as often; what is done about it is in `wasm.rs`.
//!
//! The root table is a node like a greenlet's, without frames: one handle block of our own.

use std::ffi::{c_int, c_void};
use std::pin::Pin;
use std::ptr::NonNull;

use super::facts::{BLOCKS, BLOCKS_CAPACITY, BLOCKS_SIZE};
use super::host::V8Host;
use super::layout::Layout;
use super::state::VmState;
use super::{Isolate, list};

/// `kGCTypeScavenge` and `kGCTypeAll` (v8-callbacks.h).
const SCAVENGE: c_int = 1;
const ALL: c_int = 0x1f;

/// Words the GC visits as roots while at least one greenlet has a stack.
pub(crate) struct Roots {
    vm: VmState,
    words: [u64; 2],
}

/// Where in the table: the embedder data during a scavenge; main's while main is parked.
const DURING_SCAVENGE: usize = 0;
const OF_MAIN: usize = 1;

impl Roots {
    pub(crate) fn new(layout: &Layout) -> Pin<Box<Roots>> {
        let mut roots = Box::pin(Roots { vm: VmState::new(layout, layout.main, false), words: [0; 2] });
        let words = roots.words.as_mut_ptr() as usize;
        let facts = layout.facts;
        let vm = &mut roots.vm;
        vm.first_block = words;
        vm.image[0] = layout.isolate as u64;
        vm.image[BLOCKS] = &raw mut vm.first_block as u64;
        vm.image[BLOCKS_CAPACITY] = 1;
        vm.image[BLOCKS_SIZE] = 1;
        let end = (words + size_of::<[u64; 2]>()) as u64;
        vm.image[facts.implementer_words] = end; // next: both words are in use
        vm.image[facts.implementer_words + 1] = end; // limit
        let top =
            &mut vm.image[facts.implementer_words + facts.scope_data_words..][..facts.thread_local_top_words];
        top.copy_from_slice(&layout.blank_top[..facts.thread_local_top_words]);
        vm.node.data = vm.image.as_mut_ptr();
        roots
    }

    pub(crate) fn node(self: Pin<&mut Self>) -> NonNull<list::Node> {
        // SAFETY: nothing is moved out of the pinned table.
        NonNull::from(unsafe { &mut self.get_unchecked_mut().vm.node })
    }

    /// Where main's async context rests while main is parked.
    pub(crate) fn of_main(self: Pin<&mut Self>) -> *mut u64 {
        // SAFETY: as above.
        unsafe { &raw mut self.get_unchecked_mut().words[OF_MAIN] }
    }

    fn during_scavenge(self: Pin<&mut Self>) -> *mut u64 {
        // SAFETY: as above.
        unsafe { &raw mut self.get_unchecked_mut().words[DURING_SCAVENGE] }
    }
}

/// Hooks `host` into the collector of its isolate.
///
/// # Safety
/// `host` stays where it is until [`unhook`].
pub(crate) unsafe fn hook(host: &V8Host) {
    let data = std::ptr::from_ref(host) as *mut c_void;
    // SAFETY: public API, on the isolate's thread; the callbacks get the host they expect.
    unsafe {
        (host.symbols.add_gc_prologue)(host.layout.isolate, prologue, data, ALL);
        (host.symbols.add_gc_epilogue)(host.layout.isolate, epilogue, data, ALL);
    }
}

/// Undoes [`hook`]. Must be called once for each `hook`: removing what was never added corrupts V8's list.
///
/// # Safety
/// `host` was hooked.
pub(crate) unsafe fn unhook(host: &V8Host) {
    let data = std::ptr::from_ref(host) as *mut c_void;
    // SAFETY: as in `hook`.
    unsafe {
        (host.symbols.remove_gc_prologue)(host.layout.isolate, prologue, data);
        (host.symbols.remove_gc_epilogue)(host.layout.isolate, epilogue, data);
    }
}

unsafe extern "C" fn prologue(_isolate: Isolate, kind: c_int, _flags: c_int, data: *mut c_void) {
    // SAFETY: `data` is the hooked host (see `hook`), and V8 runs this on the isolate's thread.
    let host = unsafe { &*data.cast::<V8Host>() };
    host.collecting.set(1);
    if kind != SCAVENGE {
        return;
    }
    if host.has_stacks() && host.layout.wasm_stacks.exist() {
        // SAFETY: public API, and V8 allows a collection inside of this callback.
        unsafe { (host.symbols.collect_all)(host.layout.isolate) };
        host.full_gc.want(&host.symbols, true);
    }
    if let Some(word) = host.layout.embedder_data.filter(|_| host.has_stacks()) {
        // SAFETY: both are live words; V8 has not begun to visit roots.
        unsafe {
            *host.roots().during_scavenge() = *word;
            *word = 0;
        }
    }
}

unsafe extern "C" fn epilogue(_isolate: Isolate, kind: c_int, _flags: c_int, data: *mut c_void) {
    // SAFETY: as in `prologue`.
    let host = unsafe { &*data.cast::<V8Host>() };
    host.collecting.set(0);
    host.mail.count_collection();
    if kind != SCAVENGE {
        if host.full_gc.wanted() && !host.layout.wasm_stacks.exist() {
            host.full_gc.want(&host.symbols, false);
        }
        return;
    }
    if let Some(word) = host.layout.embedder_data.filter(|_| host.has_stacks()) {
        // SAFETY: as in `prologue`; the collector has updated the root.
        unsafe {
            let root = host.roots().during_scavenge();
            *word = *root;
            *root = 0;
        }
    }
}
