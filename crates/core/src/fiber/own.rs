//! Fibers by a switch of our own: the feature `own-switch`.
//!
//! A processor predicts where a RET goes from the CALLs it has seen. corosensei enters a stack with CALL and leaves it with
//! RET, so that after a switch each RET on the way out is predicted wrongly. The switch here stores the address to continue at
//! on the stack and jumps. CALLs and RETs stay paired, and as both sides of a switch were called in the same way, the
//! predictions made on one stack are right for the other.
//!
//! ```text
//!   base ─► +--------------------------+
//!           | Base: exit, result,      |   while the function runs, `exit` holds the stack pointer of the resumer
//!           |       function           |
//!           +--------------------------+ ◄─ 16-byte aligned
//!           | frames ...               |
//!           | address to continue at   |
//!           | rbp (x29)                |
//!           | rbx (x19)                |   the compiler reserves these two, so `asm!` cannot name them as clobbered
//!     sp ─► +--------------------------+
//! ```
//!
//! # Contract
//! * "own slot": from `Fiber::new` until the fiber has finished or was abandoned, its slot belongs to it alone, and the `Base`
//!   that `new` wrote there is valid.
//! * "used once": a stack pointer that `switch` returned, or that `Fiber::new` computed, is passed to `switch` once.

use std::arch::{asm, naked_asm};
use std::cell::Cell;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::abort;

use crate::fiber::bounds::StackBounds;
use crate::fiber::yielded::Yielded;

/// A function on a stack of its own: it sends a `T` with each suspension, and an `R` at the end.
pub(crate) struct Fiber<T, R> {
    /// The suspended stack pointer; 0 once the fiber has finished or was abandoned.
    sp: usize,
    base: *mut Base<T, R, ()>,
}

/// The way out of a running fiber. Lives at the base of the fiber's own stack, for as long as the fiber does. Its first word is where
/// `begin` tells an unwinder to look for it.
#[repr(C)]
pub(crate) struct Exit<T> {
    /// Stack pointer of the stack that resumed this one.
    resumer: Cell<usize>,
    next: Cell<Option<T>>,
}

#[repr(C)]
struct Base<T, R, F> {
    exit: Exit<T>,
    result: MaybeUninit<R>,
    function: ManuallyDrop<F>,
}

/// What `suspend` and `entry` tell the resumer, beside the stack pointer of the stack that was left.
const SUSPENDED: usize = 0;
const FINISHED: usize = 1;

impl<T: 'static, R: 'static> Fiber<T, R> {
    /// Writes the first frame of `function` to the stack at `bounds`; it runs at the first [`Fiber::resume`].
    ///
    /// # Safety
    /// `bounds` is a slot that belongs to this fiber alone until the fiber has finished or was abandoned.
    pub(crate) unsafe fn new<F: FnOnce(&Exit<T>) -> R + 'static>(bounds: StackBounds, function: F) -> Self {
        const { assert!(align_of::<Base<T, R, F>>() <= 16) };
        let base = (bounds.base - size_of::<Base<T, R, F>>()) & !15;
        let first = first_frame(begin as *const () as usize, entry::<T, R, F> as *const () as usize);
        let sp = base - size_of_val(&first);
        // SAFETY: the caller gives a free, writable slot, which is larger than what is written; both addresses are aligned.
        unsafe {
            (base as *mut Base<T, R, F>).write(Base {
                exit: Exit { resumer: Cell::new(0), next: Cell::new(None) },
                result: MaybeUninit::uninit(),
                function: ManuallyDrop::new(function),
            });
            (sp as *mut [usize; 4]).write(first);
        }
        Fiber { sp, base: base as *mut _ }
    }

    /// Runs the fiber until it suspends itself or finishes.
    #[inline(always)]
    pub(crate) fn resume(&mut self) -> Yielded<T, R> {
        debug_assert_ne!(self.sp, 0, "a fiber that has finished cannot be resumed");
        // SAFETY: contract clause "used once": `sp` is replaced below before the next resume.
        let (sp, how) = unsafe { switch(self.sp, self.base as usize) };
        // SAFETY: contract clause "own slot", and nothing runs on that stack now.
        let base = unsafe { &*self.base };
        if how == SUSPENDED {
            self.sp = sp;
            return Yielded::Suspended(
                base.exit.next.take().expect("`suspend` stores a value before it switches"),
            );
        }
        self.sp = 0;
        // SAFETY: the function has finished, and `entry` wrote its result right before it left the stack.
        Yielded::Finished(unsafe { base.result.assume_init_read() })
    }

    /// Forgets what is suspended on the stack, without unwinding it: destructors of its frames never run, as in `longjmp`.
    ///
    /// # Safety
    /// Nothing may still rely on those frames: no pinned object registered elsewhere, no lock held in them.
    pub(crate) unsafe fn abandon(&mut self) {
        self.sp = 0;
    }

    /// The lowest address of the suspended part of the stack. `None` where nothing is suspended.
    pub(crate) fn stack_pointer(&self) -> Option<usize> {
        Some(self.sp).filter(|&low| low != 0)
    }
}

/// Leaves the running fiber; returns when it is resumed.
#[inline(always)]
pub(crate) fn suspend<T>(exit: &Exit<T>, next: T) {
    exit.next.set(Some(next));
    // SAFETY: contract clause "used once": an exit can be reached only on its own stack while that runs, and `resumer` is the
    // stack pointer of the latest resume.
    let (resumer, _) = unsafe { switch(exit.resumer.get(), SUSPENDED) };
    exit.resumer.set(resumer);
}

/// The first function on a stack, called by `begin`.
extern "C" fn entry<T: 'static, R: 'static, F: FnOnce(&Exit<T>) -> R>(
    base: *mut Base<T, R, F>,
    resumer: usize,
) -> ! {
    // SAFETY: contract clause "own slot". The function is taken out once, because `begin` runs once for each stack.
    let exit = unsafe {
        (*base).exit.resumer.set(resumer);
        let function = ManuallyDrop::take(&mut (*base).function);
        // No frame below catches a panic. Without this catch, the destructors that report it would not run either.
        let Ok(result) = catch_unwind(AssertUnwindSafe(|| function(&(*base).exit))) else { abort() };
        (*base).result.write(result);
        (*base).exit.resumer.get()
    };
    // SAFETY: contract clause "used once": `exit` is the stack pointer of the latest resume. Nothing on this stack is used again.
    unsafe { switch(exit, FINISHED) };
    abort()
}

/// The words that `switch` pops from a new stack: `entry` for rbx (x19), 0 for rbp (x29) as in an outermost frame, and the
/// address to continue at. One more word keeps the alignment.
fn first_frame(begin: usize, entry: usize) -> [usize; 4] {
    [entry, 0, begin, 0]
}

/// Leaves the running stack for the one suspended at `to`, and takes `word` there. Returns when another stack switches back
/// here, with the suspended stack pointer of that stack and its word.
///
/// # Safety
/// Contract clause "used once" holds for `to`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn switch(to: usize, word: usize) -> (usize, usize) {
    let (left, brought);
    // SAFETY: every register but rbx, rbp and rsp is declared as changed, and those three are saved and restored.
    unsafe {
        asm!(
            "lea rcx, [rip + 2f]",
            "push rcx",
            "push rbp",
            "push rbx",
            "mov rsi, rsp",
            "mov rsp, rdi",
            "pop rbx",
            "pop rbp",
            "pop rcx",
            "jmp rcx",
            "2:",
            inlateout("rdi") to => _,
            lateout("rsi") left,
            inlateout("rdx") word => brought,
            lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
            clobber_abi("C"),
        );
    }
    (left, brought)
}

/// The first code on a new stack: calls `entry(base, resumer)`.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
extern "C" fn begin() {
    // From `switch`: rdx is the base, rsi the stack pointer of the resumer. An unwinder goes on to the resumer's frame: its stack
    // pointer is the first word at the base, 16 bytes above ours during the call, and leads to rbx, rbp and the address to continue
    // at. So the frame is at *(rsp + 16) + 24, in DWARF's words: breg7 16, deref, plus_uconst 24.
    naked_asm!(
        ".cfi_startproc",
        ".cfi_escape 0x0f, 5, 0x77, 16, 0x06, 0x23, 24",
        ".cfi_offset rip, -8",
        ".cfi_offset rbp, -16",
        ".cfi_offset rbx, -24",
        "mov rdi, rdx",
        "sub rsp, 8",
        "call rbx",
        "ud2",
        ".cfi_endproc"
    )
}

/// The same for AArch64.
///
/// # Safety
/// Contract clause "used once" holds for `to`.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
unsafe fn switch(to: usize, word: usize) -> (usize, usize) {
    let (left, brought);
    // SAFETY: every register but x19, x29 and sp is declared as changed (x18 is the platform's and not ours to touch), and
    // those three are saved and restored. The hint is BTI's landing pad for jumps.
    unsafe {
        asm!(
            "adr x9, 2f",
            "sub sp, sp, #32",
            "stp x19, x29, [sp]",
            "str x9, [sp, #16]",
            "mov x1, sp",
            "mov sp, x0",
            "ldp x19, x29, [sp]",
            "ldr x9, [sp, #16]",
            "add sp, sp, #32",
            "br x9",
            "2:",
            "hint #36",
            inlateout("x0") to => _,
            lateout("x1") left,
            inlateout("x2") word => brought,
            lateout("x20") _, lateout("x21") _, lateout("x22") _, lateout("x23") _, lateout("x24") _,
            lateout("x25") _, lateout("x26") _, lateout("x27") _, lateout("x28") _,
            lateout("v8") _, lateout("v9") _, lateout("v10") _, lateout("v11") _,
            lateout("v12") _, lateout("v13") _, lateout("v14") _, lateout("v15") _,
            clobber_abi("C"),
        );
    }
    (left, brought)
}

/// The first code on a new stack: calls `entry(base, resumer)`. From `switch`: x2 is the base, x1 the stack pointer of the resumer. An
/// unwinder goes on to the resumer's frame, at *sp + 32, in DWARF's words: breg31 0, deref, plus_uconst 32.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
extern "C" fn begin() {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_escape 0x0f, 5, 0x8f, 0, 0x06, 0x23, 32",
        ".cfi_offset x30, -16",
        ".cfi_offset x29, -24",
        ".cfi_offset x19, -32",
        "hint #36",
        "mov x0, x2",
        "blr x19",
        "brk #1",
        ".cfi_endproc"
    )
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::rc::Rc;

    use super::*;

    /// Memory for a stack of 256 KiB, and its bounds.
    fn stack() -> (Vec<u128>, StackBounds) {
        let memory = vec![0_u128; 16 * 1024];
        let limit = memory.as_ptr() as usize;
        let bounds = StackBounds { base: limit + size_of_val(&memory[..]), limit };
        (memory, bounds)
    }

    #[test]
    fn values_of_a_function_survive_its_suspensions() {
        let (_memory, bounds) = stack();
        // SAFETY: the memory belongs to this fiber, which runs to its end.
        let mut fiber = unsafe {
            Fiber::<usize, String>::new(bounds, |exit| {
                // More values than registers, of both kinds, all alive over each suspension.
                let numbers: [usize; 24] = black_box(std::array::from_fn(|i| i * 3));
                let floats: [f64; 24] = black_box(std::array::from_fn(|i| i as f64 / 3.0));
                let mut sum = 0.0;
                for i in 0..24 {
                    suspend(exit, numbers[i]);
                    sum += floats[i];
                }
                format!("{sum:.3}")
            })
        };
        let mine: [f64; 24] = black_box(std::array::from_fn(|i| i as f64));
        let mut total = 0.0;
        for (i, value) in mine.iter().enumerate() {
            let Yielded::Suspended(number) = fiber.resume() else { panic!("it ended early") };
            assert_eq!(number, i * 3);
            total += value;
        }
        let Yielded::Finished(result) = fiber.resume() else { panic!("it did not end") };
        assert_eq!((result.as_str(), total), ("92.000", 276.0));
    }

    #[test]
    fn the_function_and_its_result_are_dropped_once() {
        let (_memory, bounds) = stack();
        let counted = Rc::new(());
        let held = counted.clone();
        // SAFETY: the memory belongs to this fiber, which runs to its end.
        let mut fiber = unsafe {
            Fiber::<usize, Rc<()>>::new(bounds, move |exit| {
                suspend(exit, 1);
                held
            })
        };
        assert!(matches!(fiber.resume(), Yielded::Suspended(1)));
        assert_eq!(Rc::strong_count(&counted), 2);
        let Yielded::Finished(result) = fiber.resume() else { panic!("it did not end") };
        drop(result);
        assert_eq!(Rc::strong_count(&counted), 1);
    }

    #[test]
    fn every_frame_is_aligned() {
        let (_memory, bounds) = stack();
        #[repr(align(16))]
        struct Aligned(u128);
        // SAFETY: the memory belongs to this fiber, which runs to its end.
        let mut fiber = unsafe {
            Fiber::<usize, ()>::new(bounds, |exit| {
                let local = black_box(Aligned(7));
                suspend(exit, (&raw const local) as usize + local.0 as usize - 7);
            })
        };
        let Yielded::Suspended(address) = fiber.resume() else { panic!("it ended early") };
        assert!(address % 16 == 0 && bounds.contains(address));
        assert!((bounds.limit..address).contains(&fiber.stack_pointer().unwrap()));
        assert!(matches!(fiber.resume(), Yielded::Finished(())));
        assert_eq!(fiber.stack_pointer(), None);
    }
}
