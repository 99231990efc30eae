//! Fibers by a switch of our own: the feature `own-switch`.
//!
//! A processor predicts where a RET goes from the CALLs it has seen. corosensei enters a stack with CALL and leaves it with
//! RET, so that after a switch each RET on the way out is predicted wrongly. This one leaves the address to go on at on the
//! stack and jumps: CALLs and RETs stay paired, and as both sides of a switch have come the same way, the predictions of one
//! fit the other.
//!
//! ```text
//!   base ─► +--------------------------+
//!           | Base: exit, result,      |   while the function runs, `exit` holds the stack pointer of who resumed
//!           |       function           |
//!           +--------------------------+ ◄─ 16-byte aligned
//!           | frames ...               |
//!           | address to go on at      |
//!           | rbp (x29)                |
//!           | rbx (x19)                |   these two are the compiler's and cannot be named as clobbered
//!     sp ─► +--------------------------+
//! ```

use std::arch::{asm, naked_asm};
use std::cell::Cell;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::abort;

use super::Left;
use crate::slots::StackBounds;

/// A function on a stack of its own: `T` goes out with each suspension, `R` at the end.
pub(crate) struct Fiber<T, R> {
    /// Where it is suspended; 0 once it has finished or was abandoned.
    sp: usize,
    base: *mut Base<T, R, ()>,
}

/// The way out of a running fiber. Lives at the base of the fiber's own stack, for as long as the fiber does.
pub(crate) struct Exit<T> {
    /// Stack pointer of who resumed.
    resumer: Cell<usize>,
    next: Cell<Option<T>>,
}

#[repr(C)]
struct Base<T, R, F> {
    exit: Exit<T>,
    result: MaybeUninit<R>,
    function: ManuallyDrop<F>,
}

/// What a switch carries, beside the stack pointer of who left.
const SUSPENDED: usize = 0;
const FINISHED: usize = 1;

impl<T: 'static, R: 'static> Fiber<T, R> {
    /// Writes the first frame of `function` to the stack at `bounds`; it runs at the first [`Fiber::resume`].
    ///
    /// # Safety
    /// `bounds` is a slot that belongs to this fiber alone until it finished or was abandoned.
    pub(crate) unsafe fn new<F: FnOnce(&Exit<T>) -> R + 'static>(bounds: StackBounds, function: F) -> Self {
        const { assert!(align_of::<Base<T, R, F>>() <= 16) };
        let base = (bounds.base - size_of::<Base<T, R, F>>()) & !15;
        let first = first_frame(begin as *const () as usize, entry::<T, R, F> as *const () as usize);
        let sp = base - size_of_val(&first);
        // SAFETY: the slot is free and writable (the caller's promise), and larger than a page; both addresses are aligned.
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
    pub(crate) fn resume(&mut self) -> Left<T, R> {
        debug_assert_ne!(self.sp, 0, "a fiber that has finished cannot be resumed");
        // SAFETY: `sp` is where `switch` left this stack, or what `new` wrote, and nothing else runs on it.
        let (sp, how) = unsafe { switch(self.sp, self.base as usize) };
        // SAFETY: the base is valid as long as the slot is this fiber's, and nothing runs on it now.
        let base = unsafe { &*self.base };
        if how == SUSPENDED {
            self.sp = sp;
            return Left::Suspended(base.exit.next.take().expect("`suspend` says who is next"));
        }
        self.sp = 0;
        // SAFETY: `entry` wrote it right before it left for good.
        Left::Finished(unsafe { base.result.assume_init_read() })
    }

    /// Forgets what is suspended on the stack, without unwinding it: destructors of its frames never run, as in `longjmp`.
    ///
    /// # Safety
    /// Nothing may still rely on those frames: no pinned object registered elsewhere, no lock held in them.
    pub(crate) unsafe fn abandon(&mut self) {
        self.sp = 0;
    }

    /// Nothing to learn: the stack pointer is a field.
    ///
    /// # Safety
    /// None; as for corosensei's.
    pub(crate) unsafe fn learn(_: StackBounds, _: T, _: R) -> Option<StackPointerWord> {
        Some(StackPointerWord)
    }

    /// The lowest address of what is suspended; 0 where nothing is.
    pub(crate) fn stack_pointer(&self, _: StackPointerWord) -> usize {
        self.sp
    }
}

/// corosensei's stack pointer has to be found; see `corosensei.rs`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StackPointerWord;

/// Leaves the running fiber; returns when it is resumed.
#[inline(always)]
pub(crate) fn suspend<T>(exit: &Exit<T>, next: T) {
    exit.next.set(Some(next));
    // SAFETY: an exit is reachable on its own running stack only, and `resumer` is where `switch` left who resumed it.
    let (resumer, _) = unsafe { switch(exit.resumer.get(), SUSPENDED) };
    exit.resumer.set(resumer);
}

/// The first function on a stack, called by `begin`.
extern "C" fn entry<T: 'static, R: 'static, F: FnOnce(&Exit<T>) -> R>(
    base: *mut Base<T, R, F>,
    resumer: usize,
) -> ! {
    // SAFETY: `new` wrote the base for this stack, and the function is taken out once: `begin` runs once.
    let exit = unsafe {
        (*base).exit.resumer.set(resumer);
        let function = ManuallyDrop::take(&mut (*base).function);
        // Nobody is below to catch a panic; without a catch here, not even destructors would run that say so.
        let Ok(result) = catch_unwind(AssertUnwindSafe(|| function(&(*base).exit))) else { abort() };
        (*base).result.write(result);
        (*base).exit.resumer.get()
    };
    // SAFETY: as in `suspend`. Nothing on this stack is alive any more.
    unsafe { switch(exit, FINISHED) };
    abort()
}

/// What `switch` finds on a new stack: `entry` in rbx (x19), rbp (x29) of an outermost frame, and where to go on. One more
/// word keeps the alignment.
fn first_frame(begin: usize, entry: usize) -> [usize; 4] {
    [entry, 0, begin, 0]
}

/// Leaves the running stack for the one suspended at `to`, and takes `word` there. Returns when somebody switches back here:
/// with the stack pointer that the other left, and its word.
///
/// # Safety
/// `to` was left by `switch`, or written by `Fiber::new`, and is used once.
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

/// Where a new stack goes on: calls `entry(base, resumer)`.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
extern "C" fn begin() {
    // `switch` has brought: rdx the base, rsi who left. Nobody is below: an unwinder stops here.
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip",
        "mov rdi, rdx",
        "sub rsp, 8",
        "call rbx",
        "ud2",
        ".cfi_endproc"
    )
}

/// As for x86-64.
///
/// # Safety
/// As for x86-64.
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

/// As for x86-64; x2 is the base, x1 who left.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
extern "C" fn begin() {
    naked_asm!(
        ".cfi_startproc",
        "hint #36",
        ".cfi_undefined x30",
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
    use crate::slots::{Slots, Vacated};

    fn stack() -> (Slots, StackBounds) {
        let slots = Slots::reserve(1, 0, Vacated::Kept).unwrap();
        let slot = slots.acquire().unwrap().unwrap();
        let bounds = slots.bounds(slot);
        (slots, bounds)
    }

    #[test]
    fn what_a_function_holds_survives_its_suspensions() {
        let (_slots, bounds) = stack();
        // SAFETY: the slot is this fiber's, which runs to its end.
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
            let Left::Suspended(number) = fiber.resume() else { panic!("it ended early") };
            assert_eq!(number, i * 3);
            total += value;
        }
        let Left::Finished(result) = fiber.resume() else { panic!("it did not end") };
        assert_eq!((result.as_str(), total), ("92.000", 276.0));
    }

    #[test]
    fn the_function_and_its_result_are_dropped_once() {
        let (_slots, bounds) = stack();
        let counted = Rc::new(());
        let held = counted.clone();
        // SAFETY: as above.
        let mut fiber = unsafe {
            Fiber::<usize, Rc<()>>::new(bounds, move |exit| {
                suspend(exit, 1);
                held
            })
        };
        assert!(matches!(fiber.resume(), Left::Suspended(1)));
        assert_eq!(Rc::strong_count(&counted), 2);
        let Left::Finished(result) = fiber.resume() else { panic!("it did not end") };
        drop(result);
        assert_eq!(Rc::strong_count(&counted), 1);
    }

    #[test]
    fn every_frame_is_aligned() {
        let (_slots, bounds) = stack();
        #[repr(align(16))]
        struct Aligned(u128);
        // SAFETY: as above.
        let mut fiber = unsafe {
            Fiber::<usize, ()>::new(bounds, |exit| {
                let local = black_box(Aligned(7));
                suspend(exit, (&raw const local) as usize + local.0 as usize - 7);
            })
        };
        let Left::Suspended(address) = fiber.resume() else { panic!("it ended early") };
        assert!(address % 16 == 0 && bounds.contains(address));
        let word = StackPointerWord;
        assert!((bounds.limit..address).contains(&fiber.stack_pointer(word)));
        assert!(matches!(fiber.resume(), Left::Finished(())));
        assert_eq!(fiber.stack_pointer(word), 0);
    }
}
