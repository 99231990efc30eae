//! What must happen around a garbage collection.
//!
//! V8 visits the isolate's one slot of continuation-preserved embedder data once for *every* archived stack
//! (Isolate::Iterate, isolate.cc, 12.4 to 14.6), and a scavenge that visits a slot twice copies the object again
//! (RootScavengeVisitor, scavenger.cc). So for the length of a scavenge the value lies in a root of our own, which is
//! visited once (`roots.rs`), and the slot holds a Smi.
//!
//! The stacks of wasm calls are visited as often; what is done about it is in `wasm.rs`.

use std::ffi::{c_int, c_void};

use super::Isolate;
use super::host::V8Host;

/// `kGCTypeScavenge`, `kGCTypeMarkSweepCompact` and `kGCTypeAll` (v8-callbacks.h, the same since 10.2).
const SCAVENGE: c_int = 1;
const MARK_SWEEP_COMPACT: c_int = 4;
const ALL: c_int = 0x1f;

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
    if host.is_listed() && host.layout.wasm_stacks.exist() {
        // SAFETY: public API, and V8 allows a collection inside of this callback.
        unsafe { (host.symbols.collect_all)(host.layout.isolate) };
        host.full_gc.want(&host.symbols, true);
    }
    if let Some(word) = host.layout.embedder_data.filter(|_| host.is_listed()) {
        // SAFETY: both are live words; V8 has not begun to visit roots.
        unsafe {
            *host.roots().during_scavenge() = *word;
            *word = 0;
        }
    }
    if let Some(thread) = host.thread.get().filter(|_| host.is_listed()) {
        // SAFETY: the thread lives as long as its host is hooked.
        unsafe { host.quiet.prologue(host, thread.as_ref()) };
    }
}

unsafe extern "C" fn epilogue(_isolate: Isolate, kind: c_int, _flags: c_int, data: *mut c_void) {
    // SAFETY: as in `prologue`.
    let host = unsafe { &*data.cast::<V8Host>() };
    host.collecting.set(0);
    host.mail.count_collection();
    // SAFETY: as in `prologue`.
    let thread = host.thread.get().map(|thread| unsafe { thread.as_ref() });
    if kind != SCAVENGE {
        if host.full_gc.wanted() && !host.layout.wasm_stacks.exist() {
            host.full_gc.want(&host.symbols, false);
        }
        if kind == MARK_SWEEP_COMPACT
            && let Some(thread) = thread
        {
            // V8 has just given back what it could; the time is right for us, too.
            thread.trim();
        }
        return;
    }
    if let Some(thread) = thread.filter(|_| host.is_listed()) {
        // SAFETY: as in `prologue`.
        unsafe { host.quiet.epilogue(host, thread) };
    }
    if let Some(word) = host.layout.embedder_data.filter(|_| host.is_listed()) {
        // SAFETY: as in `prologue`; the collector has updated the root.
        unsafe {
            let root = host.roots().during_scavenge();
            *word = *root;
            *root = 0;
        }
    }
}
