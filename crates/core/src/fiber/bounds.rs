//! Where a native stack lies, and the fixed sizes of the slots that stacks lie in.

use std::io;
use std::mem::MaybeUninit;
use std::ptr::null_mut;

/// Bytes of one slot, guard included, where no other size is asked for. About as deep as Node's main stack (984 KiB by default).
/// Smaller under Miri, where no stack lies in it and all of it takes memory.
pub const SLOT_SIZE: usize = if cfg!(miri) { MIN_SLOT_SIZE } else { 1 << 20 };
/// Bytes of the smallest slot.
pub(crate) const MIN_SLOT_SIZE: usize = 1 << 16;
/// Bytes below a stack's limit that fault when touched, at least. A guard is wider, see [`guard_size`].
#[cfg(not(any(feature = "own-switch", miri)))]
pub(crate) const GUARD_SIZE: usize = 4096;
/// Bytes of the widest guard. A frame that is larger than the guard can step over it, where C was compiled without
/// `-fstack-clash-protection`. With it, GCC and clang touch each 4 KiB of a frame on x86-64, but each 64 KiB on AArch64.
pub const LARGEST_GUARD: usize = if cfg!(target_arch = "aarch64") { 64 << 10 } else { 16 << 10 };

// Every guard is at least that wide: an eighth of the smallest slot.
#[cfg(not(any(feature = "own-switch", miri)))]
const _: () = assert!(GUARD_SIZE <= MIN_SLOT_SIZE / 8 && GUARD_SIZE <= LARGEST_GUARD);

/// Bytes at the low end of a slot of `slot_size` that fault when touched: an eighth of a small slot, and whole pages.
pub(crate) fn guard_size(slot_size: usize, page: usize) -> usize {
    (slot_size / 8).min(LARGEST_GUARD).max(page)
}

/// Where a stack lies: it grows from `base` (highest address, exclusive) down to `limit` (lowest usable address).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackBounds {
    /// Highest address; the first word pushed lies below it.
    pub base: usize,
    /// Lowest address that may be touched.
    pub limit: usize,
}

impl StackBounds {
    /// Every address counts as part of it: for Miri, where each local variable is an allocation of its own.
    const EVERYWHERE: StackBounds = StackBounds { base: usize::MAX, limit: 0 };
    /// Bytes below the top of the address space of a process that belong to its main thread's stack at least: the kernel maps nothing
    /// else there (arch/x86/mm/mmap.c and mm/util.c, `mmap_base`).
    const RESERVED_FOR_MAIN: usize = 128 << 20;

    /// The bounds of the stack that the system gave to the running thread, as pthread_getattr_np(3) reports them. For the
    /// process's main thread, `limit` is the address that the stack may grow to. glibc reads `/proc/self/maps` for that thread; where
    /// that is missing, only the part that the kernel always reserves is reported. musl reports the part that is mapped now, so the
    /// limit of the process (setrlimit(2)) is asked for, within what the kernel always reserves.
    ///
    /// # Errors
    /// The error of the system.
    pub fn of_this_thread() -> io::Result<StackBounds> {
        if cfg!(miri) {
            return Ok(StackBounds::EVERYWHERE);
        }
        let main = StackBounds::reserved_for_main();
        match StackBounds::as_reported() {
            Ok(bounds) if cfg!(target_env = "musl") && main.contains(bounds.limit) => {
                let may_grow_to = bounds.base - stack_size_limit().min(StackBounds::RESERVED_FOR_MAIN);
                Ok(StackBounds { base: bounds.base, limit: bounds.limit.min(may_grow_to) })
            }
            Err(_) if runs_on(main) => Ok(main),
            result => result,
        }
    }

    /// The part of the main thread's stack that the kernel always reserves. The name of the program's file lies at its upper end.
    fn reserved_for_main() -> StackBounds {
        // SAFETY: the call reads a table that the kernel made for the process.
        let base = unsafe { libc::getauxval(libc::AT_EXECFN) } as usize;
        StackBounds { base, limit: base.saturating_sub(StackBounds::RESERVED_FOR_MAIN) }
    }

    fn as_reported() -> io::Result<StackBounds> {
        let check = |status: libc::c_int| match status {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        };
        let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
        // SAFETY: the call initialises `attributes` where it returns 0.
        check(unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) })?;
        let (mut limit, mut size) = (null_mut(), 0);
        // SAFETY: `attributes` was initialised above and is destroyed once, here; the results are plain numbers.
        let status = unsafe {
            let status = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut limit, &raw mut size);
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            status
        };
        check(status)?;
        Ok(StackBounds { base: limit as usize + size, limit: limit as usize })
    }

    /// Bytes between the two ends.
    pub fn size(&self) -> usize {
        self.base - self.limit
    }

    /// Whether `address` lies on this stack.
    pub fn contains(&self, address: usize) -> bool {
        (self.limit..self.base).contains(&address)
    }
}

/// To how many bytes the stack of the process's main thread may grow.
fn stack_size_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call fills the record.
    match unsafe { libc::getrlimit(libc::RLIMIT_STACK, &mut limit) } {
        0 => usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX),
        _ => 0,
    }
}

/// Whether the running code is on the stack with these bounds.
pub(crate) fn runs_on(bounds: StackBounds) -> bool {
    Extent::of(bounds).is_here()
}

/// The bounds of a stack in the form in which the fewest instructions compare the stack pointer with them.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    limit: usize,
    size: usize,
}

impl Extent {
    pub(crate) fn of(bounds: StackBounds) -> Extent {
        Extent { limit: bounds.limit, size: bounds.base - bounds.limit }
    }

    pub(crate) fn bounds(self) -> StackBounds {
        StackBounds { base: self.limit + self.size, limit: self.limit }
    }

    /// Whether the running code is on this stack. Under Miri it always is: there each local variable is an allocation of its own.
    #[inline(always)]
    pub(crate) fn is_here(self) -> bool {
        // One comparison: an address below the limit becomes a large number.
        cfg!(miri) || stack_pointer().wrapping_sub(self.limit) < self.size
    }
}

/// The stack pointer.
#[inline(always)]
fn stack_pointer() -> usize {
    let here: usize;
    // SAFETY: the instruction copies one register to another.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    unsafe {
        std::arch::asm!("mov {}, rsp", out(reg) here, options(nomem, nostack, preserves_flags));
    }
    // SAFETY: the instruction copies one register to another.
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    unsafe {
        std::arch::asm!("mov {}, sp", out(reg) here, options(nomem, nostack, preserves_flags));
    }
    #[cfg(miri)]
    {
        here = 0;
    }
    here
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "stacks have no addresses under Miri")]
    fn a_thread_knows_its_own_stack() {
        let here = 0_u8;
        let bounds = StackBounds::of_this_thread().unwrap();
        assert!(runs_on(bounds));
        assert!(!runs_on(StackBounds { base: bounds.limit, limit: bounds.limit - 4096 }));
        assert!(bounds.contains(&raw const here as usize));
        assert!(bounds.size() >= 64 * 1024);
        let other = std::thread::spawn(StackBounds::of_this_thread).join().unwrap().unwrap();
        assert!(!other.contains(&raw const here as usize));
        assert!(!runs_on(other));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no main stack")]
    fn the_main_threads_stack_is_known_without_a_list_of_mappings() {
        let reserved = StackBounds::reserved_for_main();
        assert!(!runs_on(reserved), "this test runs on another thread");
        // SAFETY: the call reads a table that the kernel made for the process: 16 bytes on its first stack.
        let on_main = unsafe { libc::getauxval(libc::AT_RANDOM) } as usize;
        assert!(reserved.contains(on_main));
    }

    #[test]
    fn the_limit_is_on_the_stack_and_the_base_is_not() {
        let bounds = StackBounds { base: 0x2000, limit: 0x1000 };
        let inside = [0, 0xfff, 0x1000, 0x1fff, 0x2000, usize::MAX].map(|address| bounds.contains(address));
        assert_eq!(inside, [false, false, true, true, false, false]);
    }
}
