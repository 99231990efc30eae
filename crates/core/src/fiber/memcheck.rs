//! Tells valgrind's memcheck and AddressSanitizer which bytes are in use, where one of them is at work.

/// Declares these bytes usable and defined. memcheck takes a stack that does not run for memory that was freed, and the holes
/// between its locals for undefined bytes; AddressSanitizer does the same. Copying a stack touches both. Without valgrind these
/// instructions do nothing (valgrind.h, `VALGRIND_DO_CLIENT_REQUEST`; memcheck.h, `VALGRIND_MAKE_MEM_DEFINED`).
#[inline(always)]
pub(crate) fn make_defined(from: usize, bytes: usize) {
    #[cfg(feature = "sanitizer")]
    {
        unsafe extern "C" {
            /// asan_interface.h
            fn __asan_unpoison_memory_region(from: *const u8, bytes: usize);
        }
        // SAFETY: it only changes what AddressSanitizer reports about these bytes.
        unsafe { __asan_unpoison_memory_region(from as *const u8, bytes) };
    }
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        const MAKE_MEM_DEFINED: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16 | 2;
        let request = [MAKE_MEM_DEFINED, from, bytes, 0, 0, 0];
        // SAFETY: the rotations add up to whole turns and the exchange is of a register with itself: only flags and RDX change.
        unsafe {
            std::arch::asm!(
                "rol rdi, 3",
                "rol rdi, 13",
                "rol rdi, 61",
                "rol rdi, 51",
                "xchg rbx, rbx",
                in("rax") &raw const request,
                inout("rdx") 0_usize => _,
                inout("rdi") 0_usize => _,
            );
        }
    }
    // No valgrind request exists here.
    #[cfg(any(not(target_arch = "x86_64"), miri))]
    let _ = (from, bytes);
}
