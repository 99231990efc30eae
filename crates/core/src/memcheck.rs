//! A word to valgrind's memcheck, if we run under it, and to AddressSanitizer, if we are built for it.

/// These bytes may be used, and are what they are. memcheck takes a stack that does not run for memory that was given up, and the
/// holes between its locals for garbage that must not be looked at, as AddressSanitizer does; and a stack that is copied is both.
/// Without valgrind these instructions do nothing (valgrind.h, `VALGRIND_DO_CLIENT_REQUEST`; memcheck.h,
/// `VALGRIND_MAKE_MEM_DEFINED`).
#[inline(always)]
pub(crate) fn make_defined(from: usize, bytes: usize) {
    #[cfg(feature = "sanitizer")]
    {
        unsafe extern "C" {
            /// asan_interface.h
            fn __asan_unpoison_memory_region(from: *const u8, bytes: usize);
        }
        // SAFETY: it changes nothing but what AddressSanitizer says about these bytes.
        unsafe { __asan_unpoison_memory_region(from as *const u8, bytes) };
    }
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        const MAKE_MEM_DEFINED: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16 | 2;
        let request = [MAKE_MEM_DEFINED, from, bytes, 0, 0, 0];
        // SAFETY: the rotations add up to whole turns and the exchange is with itself: nothing but flags and RDX changes.
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
    // Nobody to talk to.
    #[cfg(any(not(target_arch = "x86_64"), miri))]
    let _ = (from, bytes);
}
