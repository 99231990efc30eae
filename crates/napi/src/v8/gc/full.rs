//! Making every collection a full one while wasm calls have stacks of their own (JSPI, V8 13.6 and later).
//!
//! V8 visits the stacks of suspended wasm calls once for every archived thread (Isolate::Iterate, isolate.cc 13.6 and 14.6), and a
//! scavenge that visits a slot twice copies the object again. So while such a stack and a suspended greenlet exist, a scavenge must
//! not happen. A full collection may visit a slot any number of times, and leaves no young object: one that runs in the scavenge's
//! prologue (Heap::CollectGarbage, heap.cc: "these callbacks may trigger another garbage collection") leaves the scavenge nothing
//! to move. From then on `--gc-global` makes every collection a full one, as long as both kinds of stack exist.

use std::cell::Cell;
use std::sync::Mutex;

use crate::v8::learn::flags;
use crate::v8::learn::symbols::Symbols;

/// Whether this isolate wants every collection to be a full one. The flag belongs to the process: it is set while any isolate
/// wants it.
pub(crate) struct FullGc(Cell<bool>);

/// How many isolates want it.
static WANTED: Mutex<usize> = Mutex::new(0);

impl FullGc {
    pub(crate) const fn new() -> FullGc {
        FullGc(Cell::new(false))
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.0.get()
    }

    pub(crate) fn want(&self, symbols: &Symbols, want: bool) {
        if self.0.replace(want) == want {
            return;
        }
        let mut wanted = WANTED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *wanted = if want { *wanted + 1 } else { *wanted - 1 };
        let flag = match (*wanted, want) {
            (1, true) => c"--gc-global",
            (0, false) => c"--no-gc-global",
            _ => return,
        };
        flags::change(symbols, flag);
    }
}
