//! The system calls about the pages of the slots.
//!
//! Miri, an interpreter, supports allocations but not these system calls. Under Miri the slots are one allocation in which every
//! byte can be touched at any time; no stack lies there (`fiber/threads.rs`), only the bytes that a host keeps above the bases.
//!
//! # Contract
//! * "unused": the caller promises that the ranges are mapped and that no code uses the bytes in them.

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

    /// Bytes of a page.
    pub(crate) fn size() -> usize {
        // SAFETY: the call reads a number that the kernel told the process.
        usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("every system has pages")
    }

    /// Reserves a mapping of `size` bytes: address space, which takes memory where it is touched.
    pub(crate) fn reserve(size: usize) -> io::Result<*mut u8> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice changes no existing memory.
        let mapping = unsafe {
            rustix::mm::mmap_anonymous(null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, flags)?
        };
        Ok(mapping.cast())
    }

    /// Unmaps the parts `ranges` of the mapping `whole`. False where the kernel refuses one, which then stays mapped.
    ///
    /// # Safety
    /// `whole` came from `reserve`, and the clause "unused" holds for the ranges.
    pub(crate) unsafe fn unmap(_whole: Range<usize>, ranges: &[Range<usize>]) -> bool {
        // SAFETY: contract clause "unused".
        let unmap = |range: &Range<usize>| unsafe { rustix::mm::munmap(range.start as *mut _, range.len()) };
        ranges.iter().map(unmap).fold(true, |all, unmapped| all & unmapped.is_ok())
    }

    /// Asks for no huge pages in this range: they would back 2 MiB for a stack that uses 4 KiB.
    ///
    /// # Safety
    /// The range is mapped.
    pub(crate) unsafe fn keep_small(range: Range<usize>) {
        // SAFETY: the range is mapped, and the advice changes how pages are backed, not what they hold. An error (EINVAL) means a
        // kernel without transparent huge pages, so there is nothing to switch off.
        let _ = unsafe { rustix::mm::madvise(range.start as *mut _, range.len(), Advice::LinuxNoHugepage) };
    }

    /// Makes the range fault when it is touched, without a mapping of its own. False where the kernel cannot.
    ///
    /// # Safety
    /// The clause "unused" holds for the range.
    pub(crate) unsafe fn guard(range: Range<usize>) -> bool {
        let (start, size) = (range.start as *mut libc::c_void, range.len());
        // qemu's user-mode emulation ignores the advice and reports success. The second call finds that out: where a guard is, no
        // page can be populated.
        // SAFETY: contract clause "unused".
        unsafe {
            libc::madvise(start, size, MADV_GUARD_INSTALL) == 0
                && libc::madvise(start, size, libc::MADV_POPULATE_READ) != 0
        }
    }

    /// Makes the range fault when it is touched, or makes it usable again.
    ///
    /// # Errors
    /// The error of mprotect(2).
    ///
    /// # Safety
    /// The clause "unused" holds for the range.
    pub(crate) unsafe fn protect(range: Range<usize>, protected: bool) -> io::Result<()> {
        let open = MprotectFlags::READ | MprotectFlags::WRITE;
        let flags = if protected { MprotectFlags::empty() } else { open };
        // SAFETY: contract clause "unused".
        Ok(unsafe { rustix::mm::mprotect(range.start as *mut _, range.len(), flags) }?)
    }

    /// Gives the pages in these ranges back to the system.
    ///
    /// # Safety
    /// The clause "unused" holds for the ranges.
    pub(crate) unsafe fn discard(ranges: &[Range<usize>]) {
        for batch in ranges.chunks(IOV_MAX) {
            // SAFETY: contract clause "unused".
            if unsafe { discard_at_once(batch) }.is_some() {
                continue;
            }
            for range in batch {
                let (start, size) = (range.start as *mut _, range.len());
                // SAFETY: contract clause "unused". The call cannot fail for private anonymous memory; if it did, the pages would
                // stay.
                let _ = unsafe { rustix::mm::madvise(start, size, Advice::LinuxDontNeed) };
            }
        }
    }

    /// madvise(2) for many ranges in one call. `None` where the kernel refuses: it accepts this advice for the calling process
    /// since 6.13.
    ///
    /// # Safety
    /// The clause "unused" holds for the ranges.
    unsafe fn discard_at_once(ranges: &[Range<usize>]) -> Option<()> {
        let vectors: Vec<_> = ranges
            .iter()
            .map(|range| libc::iovec { iov_base: range.start as *mut _, iov_len: range.len() })
            .collect();
        // SAFETY: contract clause "unused"; the descriptor is new and of this process, and the kernel checks the arguments.
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

    /// A larger size is refused, as by a system without memory; Miri itself would end the program.
    const MOST: usize = 1 << 30;

    fn layout(size: usize) -> Option<Layout> {
        Layout::from_size_align(size, self::size()).ok().filter(|_| size <= MOST)
    }

    pub(crate) fn size() -> usize {
        4096
    }

    pub(crate) fn reserve(size: usize) -> io::Result<*mut u8> {
        let layout = layout(size).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: the size is not 0, because a slot has at least its guard page.
        Ok(unsafe { alloc_zeroed(layout) })
    }

    /// Frees the whole allocation, or nothing: an allocation has no parts.
    pub(crate) unsafe fn unmap(whole: Range<usize>, ranges: &[Range<usize>]) -> bool {
        if let ([all], Some(layout)) = (ranges, layout(whole.len()))
            && *all == whole
        {
            // SAFETY: `reserve` allocated it with this layout; contract clause "unused".
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

    /// Does nothing: Miri does not run under valgrind.
    #[derive(Debug)]
    pub(crate) struct ValgrindStackRegistration;

    impl ValgrindStackRegistration {
        pub(crate) fn new(_: *mut u8, _: usize) -> Self {
            ValgrindStackRegistration
        }
    }
}
