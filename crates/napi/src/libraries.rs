//! Finds out whether a stack is inside of a loaded library, by its return addresses. For debugging only: it reads the whole stack, and a
//! return address that an earlier call has left in a C++ frame can look like one of an open call.

use std::ops::Range;

use crate::objects::each_object;

/// The code of a loaded file, such as `koffi.node`, in each copy that is loaded.
pub(crate) fn code_of(file_name: &str) -> Vec<Range<usize>> {
    let mut code = Vec::new();
    each_object(|object| {
        if object.name().to_bytes().rsplit(|&byte| byte == b'/').next() == Some(file_name.as_bytes()) {
            let is_code = |header: &&libc::Elf64_Phdr| {
                header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0
            };
            code.extend(object.headers().iter().filter(is_code).map(|header| object.range(header)));
        }
        false
    });
    code
}

/// Whether a word of the stack is the address behind a call instruction of `code`.
///
/// # Safety
/// `stack` is the memory of a suspended stack, and `code` that of loaded files.
pub(crate) unsafe fn returns_into(stack: Range<usize>, code: &[Range<usize>]) -> bool {
    (stack.start..stack.end & !7).step_by(8).any(|place| {
        // SAFETY: the caller's promise; the word lies within the stack.
        let word = unsafe { *(place as *const usize) };
        // SAFETY: the caller's promise; the eight bytes before the address are code, too.
        code.iter()
            .any(|code| code.contains(&word) && word - code.start >= 8 && unsafe { follows_call(word) })
    })
}

/// Whether a call instruction ends at `address`: `call rel32`, or `call r/m64`, which has 2 to 7 bytes (Intel SDM, volume 2, CALL).
///
/// # Safety
/// The eight bytes before `address` can be read.
unsafe fn follows_call(address: usize) -> bool {
    if cfg!(not(target_arch = "x86_64")) {
        return true;
    }
    // SAFETY: the caller's promise.
    let byte = |back: usize| unsafe { *((address - back) as *const u8) };
    byte(5) == 0xe8 || (2..=7).any(|length| byte(length) == 0xff && byte(length - 1) >> 3 & 7 == 2)
}
