//! What the slots ask of the kernel about their pages.
//!
//! Miri, an interpreter, knows allocations and none of this. Under it the slots are one allocation in which every byte can be
//! touched, always; no stack lies there (`fiber/threads.rs`), only what a host keeps above the bases.

#[cfg(not(miri))]
pub(crate) use kernel::*;
#[cfg(miri)]
pub(crate) use miri::*;

#[cfg(not(miri))]
mod kernel {
    use std::io;
    use std::ops::Range;
    use std::ptr::null_mut;

    pub(crate) use corosensei::stack::valgrind::ValgrindStackRegistration;
    use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};

    /// The kernel's number for `MADV_GUARD_INSTALL` (include/uapi/asm-generic/mman-common.h, Linux 6.13); libc has no name
    /// for it yet.
    const MADV_GUARD_INSTALL: libc::c_int = 102;
    /// Most ranges that one process_madvise(2) takes (uio(7)).
    const IOV_MAX: usize = 1024;

    /// Reserves a mapping of `size` bytes: address space, which takes memory where it is touched.
    pub(crate) fn reserve(size: usize) -> io::Result<*mut u8> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice changes no existing memory.
        let mapping = unsafe {
            rustix::mm::mmap_anonymous(null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, flags)?
        };
        Ok(mapping.cast())
    }

    /// Ends the parts `ranges` of the mapping `whole`. False where the kernel refuses one, which stays then.
    ///
    /// # Safety
    /// `whole` is what `reserve` gave, and nobody uses what is in the ranges.
    pub(crate) unsafe fn unmap(_whole: Range<usize>, ranges: &[Range<usize>]) -> bool {
        // SAFETY: passed on from the caller.
        let unmap = |range: &Range<usize>| unsafe { rustix::mm::munmap(range.start as *mut _, range.len()) };
        ranges.iter().map(unmap).fold(true, |all, unmapped| all & unmapped.is_ok())
    }

    /// No huge pages in this range: they would back 2 MiB for a stack that uses 4 KiB.
    ///
    /// # Safety
    /// It is mapped.
    pub(crate) unsafe fn keep_small(range: Range<usize>) {
        // SAFETY: passed on from the caller; the advice changes how pages are backed, not what they hold. An error (EINVAL) means
        // a kernel without transparent huge pages: nothing to switch off.
        let _ = unsafe { rustix::mm::madvise(range.start as *mut _, range.len(), Advice::LinuxNoHugepage) };
    }

    /// Makes the range fault when it is touched, without a mapping of its own. False where the kernel cannot.
    ///
    /// # Safety
    /// Nothing is stored in it.
    pub(crate) unsafe fn guard(range: Range<usize>) -> bool {
        let (start, size) = (range.start as *mut libc::c_void, range.len());
        // To qemu's user-mode emulation, advice is something to ignore with success. Where a guard is, nothing can be populated.
        // SAFETY: passed on from the caller.
        unsafe {
            libc::madvise(start, size, MADV_GUARD_INSTALL) == 0
                && libc::madvise(start, size, libc::MADV_POPULATE_READ) != 0
        }
    }

    /// Makes the range fault when it is touched, or no more.
    ///
    /// # Errors
    /// What mprotect(2) says.
    ///
    /// # Safety
    /// Nobody uses what is in it.
    pub(crate) unsafe fn protect(range: Range<usize>, protected: bool) -> io::Result<()> {
        let open = MprotectFlags::READ | MprotectFlags::WRITE;
        let flags = if protected { MprotectFlags::empty() } else { open };
        // SAFETY: passed on from the caller.
        Ok(unsafe { rustix::mm::mprotect(range.start as *mut _, range.len(), flags) }?)
    }

    /// Gives the pages in these ranges back to the system.
    ///
    /// # Safety
    /// Nothing lies in them.
    pub(crate) unsafe fn discard(ranges: &[Range<usize>]) {
        for batch in ranges.chunks(IOV_MAX) {
            // SAFETY: passed on from the caller.
            if unsafe { discard_at_once(batch) }.is_some() {
                continue;
            }
            for range in batch {
                let (start, size) = (range.start as *mut _, range.len());
                // SAFETY: as above. It cannot fail for memory like this; if it did, the pages would stay.
                let _ = unsafe { rustix::mm::madvise(start, size, Advice::LinuxDontNeed) };
            }
        }
    }

    /// madvise(2) for many ranges in one call, which the kernel takes for one's own process since 6.13. `None` where it does not.
    ///
    /// # Safety
    /// As for `discard`.
    unsafe fn discard_at_once(ranges: &[Range<usize>]) -> Option<()> {
        let vectors: Vec<_> = ranges
            .iter()
            .map(|range| libc::iovec { iov_base: range.start as *mut _, iov_len: range.len() })
            .collect();
        // SAFETY: a new descriptor for this process; the kernel checks its arguments.
        unsafe {
            let own = libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0);
            if own < 0 {
                return None;
            }
            let advice = libc::MADV_DONTNEED;
            let done =
                libc::syscall(libc::SYS_process_madvise, own, vectors.as_ptr(), vectors.len(), advice, 0);
            libc::close(own as libc::c_int);
            let wanted: usize = ranges.iter().map(Range::len).sum();
            (done == wanted as libc::c_long).then_some(())
        }
    }
}

#[cfg(miri)]
mod miri {
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::io;
    use std::ops::Range;

    /// More is refused as by a system that has no more; Miri itself would end the program.
    const MOST: usize = 1 << 30;

    fn layout(size: usize) -> Option<Layout> {
        Layout::from_size_align(size, crate::slots::GUARD_SIZE).ok().filter(|_| size <= MOST)
    }

    pub(crate) fn reserve(size: usize) -> io::Result<*mut u8> {
        let layout = layout(size).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: the size is not 0: a guard alone is a page.
        Ok(unsafe { alloc_zeroed(layout) })
    }

    /// All or nothing: an allocation has no parts.
    pub(crate) unsafe fn unmap(whole: Range<usize>, ranges: &[Range<usize>]) -> bool {
        if let ([all], Some(layout)) = (ranges, layout(whole.len()))
            && *all == whole
        {
            // SAFETY: `reserve` allocated it with this layout, and nobody uses it, which the caller promises.
            unsafe { dealloc(whole.start as *mut u8, layout) };
        }
        true
    }

    pub(crate) unsafe fn keep_small(_: Range<usize>) {}

    pub(crate) unsafe fn guard(_: Range<usize>) -> bool {
        true
    }

    pub(crate) unsafe fn protect(_: Range<usize>, _protected: bool) -> io::Result<()> {
        Ok(())
    }

    pub(crate) unsafe fn discard(_: &[Range<usize>]) {}

    /// There is no valgrind around Miri.
    #[derive(Debug)]
    pub(crate) struct ValgrindStackRegistration;

    impl ValgrindStackRegistration {
        pub(crate) fn new(_: *mut u8, _: usize) -> Self {
            ValgrindStackRegistration
        }
    }
}
