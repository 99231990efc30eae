//! Where a native stack lies, and the fixed sizes of the slots that stacks lie in.

use std::io;
use std::mem::MaybeUninit;
use std::ptr::null_mut;

/// Bytes of one slot, guard included, where no other size is asked for. About as deep as Node's main stack (984 KiB by default).
/// Smaller under Miri, where no stack lies in it and all of it takes memory.
pub const SLOT_SIZE: usize = if cfg!(miri) { MIN_SLOT_SIZE } else { 1 << 20 };
/// Bytes of the smallest slot.
pub(crate) const MIN_SLOT_SIZE: usize = 1 << 16;
/// Bytes at a slot's low end that fault when touched.
pub const GUARD_SIZE: usize = 4096;

/// Where a stack lies: it grows from `base` (highest address, exclusive) down to `limit` (lowest usable address).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackBounds {
    /// Highest address; the first word pushed lies below it.
    pub base: usize,
    /// Lowest address that may be touched.
    pub limit: usize,
}

impl StackBounds {
    /// For a stack that the system does not describe: every address counts as part of it.
    pub(crate) const UNKNOWN: StackBounds = StackBounds { base: usize::MAX, limit: 0 };

    /// The bounds of the stack that the system gave to the running thread, as pthread_getattr_np(3) reports them. For the
    /// process's main thread, `limit` is the address that the stack may grow to.
    ///
    /// # Errors
    /// The error of the system. For the process's main thread glibc reads `/proc/self/maps`, which may be missing.
    pub fn of_this_thread() -> io::Result<StackBounds> {
        if cfg!(miri) {
            // Under Miri each local variable is an allocation of its own and can be at any address.
            return Ok(StackBounds::UNKNOWN);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "stacks have no addresses under Miri")]
    fn a_thread_knows_its_own_stack() {
        let here = 0_u8;
        let bounds = StackBounds::of_this_thread().unwrap();
        assert!(bounds.contains(&raw const here as usize));
        assert!(bounds.size() >= 64 * 1024);
        let other = std::thread::spawn(StackBounds::of_this_thread).join().unwrap().unwrap();
        assert!(!other.contains(&raw const here as usize));
    }
}
