//! Says which greenlet has overflowed its stack, and ends the process.
//!
//! A stack overflow runs into the guard of the stack's slot, which is a SIGSEGV. Rust's standard library knows the guards of threads
//! only. So a handler of ours, which is installed with the first stacks of the process, looks at the address first. Any other fault
//! goes on to the handler that was installed before, such as the standard library's. A handler needs a stack of its own, because the
//! one that has overflowed has no room: the standard library gives such a stack to its threads, and [`AlternateStack`] to others.
//!
//! # Contract
//! * "signal": the handler calls only functions that are async-signal-safe, and takes no lock. It reads what the thread that it
//!   interrupts may be changing, but does not go on after that: the process ends.

use std::fmt::{self, Write};
use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

use crate::greenlet::thread_greenlets::ThreadGreenlets;

/// Bytes of a signal stack, beside what the processor's registers take.
const SIGNAL_STACK: usize = 32 << 10;

/// The action that was there before ours.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// Makes overflows of this thread's greenlets say so. Returns what the thread has to keep meanwhile.
///
/// # Errors
/// The error of the system.
pub(crate) fn watch() -> io::Result<Option<AlternateStack>> {
    if BEFORE.get().is_none() {
        install()?;
    }
    AlternateStack::if_missing()
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn install() -> io::Result<()> {
    let mut before = MaybeUninit::uninit();
    // SAFETY: the call writes the present action.
    let before = unsafe {
        check(libc::sigaction(libc::SIGSEGV, null(), before.as_mut_ptr()))?;
        before.assume_init()
    };
    // Known before the handler can run. Another thread may be here too: one of them installs.
    if BEFORE.set(before).is_ok() {
        // SAFETY: the handler has the signature that SA_SIGINFO asks for, and keeps contract clause "signal".
        unsafe {
            let mut action: libc::sigaction = zeroed();
            action.sa_sigaction = on_fault as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            check(libc::sigaction(libc::SIGSEGV, &action, null_mut()))?;
        }
    }
    Ok(())
}

unsafe extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid description of the fault.
    let address = unsafe { (*info).si_addr() } as usize;
    if let Some(greenlets) = ThreadGreenlets::existing()
        && let Some(stacks) = greenlets.stacks()
        && stacks.is_guarded(address)
    {
        tell(greenlets, stacks.slot_size());
    }
    // SAFETY: the arguments are those of this handler.
    unsafe { pass_on(signal, info, context) };
}

/// Writes the sentence to standard error and ends the process.
fn tell(greenlets: &ThreadGreenlets, slot_size: usize) -> ! {
    let mut text = Text { bytes: [0; 512], len: 0 };
    let _ = text.write_str("\ngreenlets: greenlet '");
    // SAFETY: the cell holds a handle at any time, and this thread, which may be replacing it, does not go on.
    let _ = unsafe { (*greenlets.current.as_ptr()).record().write_name(&mut text) };
    let size = slot_size >> 10;
    let _ = writeln!(
        text,
        "' has overflowed its stack of {size} KiB; recurse less deeply, or ask for larger stacks with Options::stack_size"
    );
    // SAFETY: the bytes are initialised, and both calls are async-signal-safe.
    unsafe {
        libc::write(libc::STDERR_FILENO, text.bytes.as_ptr().cast(), text.len);
        libc::abort()
    }
}

/// Does what would have been done without this handler.
///
/// # Safety
/// The arguments are those of a handler of this signal.
unsafe fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(before) = BEFORE.get() else { return };
    // SAFETY: the action was installed with these flags, so its handler takes these arguments.
    unsafe {
        match before.sa_sigaction {
            // The instruction runs again when this returns, and faults again.
            libc::SIG_DFL | libc::SIG_IGN => drop(libc::sigaction(signal, before, null_mut())),
            handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
                type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
                std::mem::transmute::<usize, Handler>(handler)(signal, info, context);
            }
            handler => std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(handler)(signal),
        }
    }
}

/// Text in a buffer of its own: a handler cannot allocate. What does not fit is left out.
struct Text {
    bytes: [u8; 512],
    len: usize,
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Space for the sentence stays, however long the name is.
        let most = if text.len() < 200 { self.bytes.len() } else { 256 };
        let text = &text.as_bytes()[..text.len().min(most.saturating_sub(self.len))];
        self.bytes[self.len..][..text.len()].copy_from_slice(text);
        self.len += text.len();
        Ok(())
    }
}

/// A stack for the handlers of a thread that has none. The thread has it until this is dropped.
pub(crate) struct AlternateStack {
    memory: Box<[MaybeUninit<u8>]>,
}

impl AlternateStack {
    fn if_missing() -> io::Result<Option<AlternateStack>> {
        let mut present = MaybeUninit::uninit();
        // SAFETY: the call writes the present setting.
        let present: libc::stack_t = unsafe {
            check(libc::sigaltstack(null(), present.as_mut_ptr()))?;
            present.assume_init()
        };
        if present.ss_flags & libc::SS_DISABLE == 0 {
            return Ok(None);
        }
        // SAFETY: the call reads a number that the kernel told the process.
        let registers = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
        let mut stack = AlternateStack { memory: Box::new_uninit_slice(SIGNAL_STACK + registers) };
        let (start, size) = (stack.memory.as_mut_ptr().cast(), stack.memory.len());
        let setting = libc::stack_t { ss_sp: start, ss_flags: 0, ss_size: size };
        // SAFETY: the memory stays until `drop`, which takes it away from the kernel first.
        check(unsafe { libc::sigaltstack(&setting, null_mut()) })?;
        Ok(Some(stack))
    }
}

impl Drop for AlternateStack {
    fn drop(&mut self) {
        let mut present = MaybeUninit::<libc::stack_t>::uninit();
        // SAFETY: the call writes the present setting, which is changed only where it names our memory.
        unsafe {
            let ours = libc::sigaltstack(null(), present.as_mut_ptr()) == 0
                && present.assume_init_ref().ss_sp == self.memory.as_mut_ptr().cast();
            if ours {
                let mut none: libc::stack_t = zeroed();
                none.ss_flags = libc::SS_DISABLE;
                libc::sigaltstack(&none, null_mut());
            }
        }
    }
}
