//! Finding V8's two thread-local words: the thread's id and the start of its stack.
//!
//! Both are hidden variables of the module that contains V8 (`thread_id` in execution/thread-id.cc, `thread_stack_start` in
//! base/platform/platform.cc). An experiment finds them: on a new thread that has never called V8, `Locker::IsLocked` gives the
//! thread an id, and `Stack::GetStackStart` computes its stack start. Each changes exactly one word of that thread's TLS block. The
//! offsets are the same for all threads of the process.

use std::sync::OnceLock;

use super::module::module_of;
use super::symbols::{Isolate, Symbols};
use crate::unsupported::Unsupported;

/// The two words of the running thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadWords {
    pub(crate) thread_id: *mut i32,
    pub(crate) stack_start: *mut usize,
}

/// Bytes from the start of the TLS block to the two words.
#[derive(Clone, Copy)]
struct Offsets {
    thread_id: usize,
    stack_start: usize,
}

/// Found once for the process.
static OFFSETS: OnceLock<Result<Offsets, Unsupported>> = OnceLock::new();

/// Finds the two words of the running thread.
pub(crate) fn learn(symbols: &Symbols, isolate: Isolate) -> Result<ThreadWords, Unsupported> {
    let offsets = OFFSETS.get_or_init(|| find_offsets(symbols, isolate)).clone()?;
    let (block, size) = tls_block(symbols.is_locked as usize).ok_or_else(no_block)?;
    if offsets.thread_id + 4 > size || offsets.stack_start + 8 > size {
        return Err(Unsupported::Because("the thread-local block of V8's module is too small".into()));
    }
    let words = ThreadWords {
        thread_id: (block + offsets.thread_id) as *mut i32,
        stack_start: (block + offsets.stack_start) as *mut usize,
    };
    // SAFETY: both are in this thread's live TLS block, by the check of its size. They are aligned: `find_offsets` has found them
    // as elements of arrays of their types, and the block is aligned to 8 bytes.
    let (id, start) = unsafe { (*words.thread_id, *words.stack_start) };
    // SAFETY: public API without arguments, which any thread may call.
    if id <= 0 || start != unsafe { (symbols.stack_start)() } {
        return Err(Unsupported::Because(format!(
            "V8's thread-local words are not where they were learnt ({id}, {start:#x})"
        )));
    }
    Ok(words)
}

/// Where this thread's block begins, in which both words are.
pub(super) fn block_start() -> Option<usize> {
    let symbols = Symbols::resolve().ok()?;
    Some(tls_block(symbols.is_locked as usize)?.0)
}

/// Finds both words on a new thread.
fn find_offsets(symbols: &Symbols, isolate: Isolate) -> Result<Offsets, Unsupported> {
    let symbols = *symbols;
    let isolate = isolate as usize;
    let helper = std::thread::Builder::new().name("greenlets: learn".into()).spawn(move || {
        let (block, size) = tls_block(symbols.is_locked as usize).ok_or_else(no_block)?;
        let before = ints(block, size);
        // SAFETY: V8 allows any thread to call this: it reads the isolate's lock owner, an atomic, and compares it with this
        // thread's id. The isolate is alive, because its own thread waits for this one.
        unsafe { (symbols.is_locked)(isolate as Isolate) };
        let after = ints(block, size);
        let changed: Vec<usize> = (0..before.len()).filter(|&i| before[i] != after[i]).collect();
        let &[thread_id] = changed.as_slice() else {
            return Err(Unsupported::Because(format!(
                "{} words changed where V8's thread id should",
                changed.len()
            )));
        };
        let before = longs(block, size);
        // SAFETY: public API without arguments, which any thread may call.
        let start = unsafe { (symbols.stack_start)() };
        let after = longs(block, size);
        let changed: Vec<usize> =
            (0..before.len()).filter(|&i| before[i] != after[i] && after[i] == start).collect();
        let &[stack_start] = changed.as_slice() else {
            return Err(Unsupported::Because(format!(
                "{} words changed where V8's stack start should",
                changed.len()
            )));
        };
        Ok(Offsets { thread_id: thread_id * 4, stack_start: stack_start * 8 })
    });
    let helper = helper.map_err(|error| Unsupported::Because(format!("no helper thread: {error}")))?;
    helper.join().unwrap_or_else(|_| Err(Unsupported::Because("the helper thread failed".into())))
}

fn no_block() -> Unsupported {
    Unsupported::Because("the module that holds V8 has no thread-local block".into())
}

/// The words of this thread's TLS block, as 4-byte integers.
fn ints(block: usize, size: usize) -> Vec<i32> {
    // SAFETY: the block belongs to this thread, is `size` bytes long and aligned to 8 bytes. The reads are volatile, because V8
    // writes there without the compiler's knowledge.
    (0..size / 4).map(|i| unsafe { (block as *const i32).add(i).read_volatile() }).collect()
}

/// The words of this thread's TLS block, as 8-byte integers.
fn longs(block: usize, size: usize) -> Vec<usize> {
    // SAFETY: the block belongs to this thread, is `size` bytes long and aligned to 8 bytes. The reads are volatile, because V8
    // writes there without the compiler's knowledge.
    (0..size / 8).map(|i| unsafe { (block as *const usize).add(i).read_volatile() }).collect()
}

/// Address and size of this thread's TLS block for the module that contains `code`.
fn tls_block(code: usize) -> Option<(usize, usize)> {
    module_of(code)?.tls_block
}
