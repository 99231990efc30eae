//! Redirects functions that loaded shared objects import.
//!
//! A shared object calls an imported function by a slot, which holds the function's address:
//!
//! ```text
//!   add-on:  call *slot ──► | slot |  the loader writes the function's address; `redirect` writes another one
//! ```
//!
//! The loader's tables say where the slots are: in the relocations of an object (`DT_RELA`, `DT_JMPREL`), each names a symbol and a
//! slot. Slots may be read-only after loading (`PT_GNU_RELRO`).
//!
//! # Contract
//! - **object**: the call is made while `each_object` shows the object, which is loaded then, and its headers and tables are as
//!   the ELF specification says.

use std::ffi::{CStr, c_void};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Release};

use crate::objects::{Object, each_object, object_of};

/// A function, and what is to be called in its place.
pub(crate) struct Redirection {
    pub(crate) name: &'static CStr,
    pub(crate) to: usize,
}

/// Bases of the objects that were searched, with the number of objects that were unloaded by then.
static SEARCHED: Mutex<(u64, Vec<usize>)> = Mutex::new((0, Vec::new()));

/// Redirects the functions in all shared objects that are loaded now. Returns whether any was redirected.
///
/// # Safety
/// Each `to` is the address of a function of the same type, which stays loaded as long as the process.
pub(crate) unsafe fn redirect(redirections: &[Redirection]) -> bool {
    let mut searched = SEARCHED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut found = false;
    each_object(|object| {
        if searched.0 != object.unloaded() {
            // Another object may be at the address of one that was unloaded.
            *searched = (object.unloaded(), Vec::new());
        }
        if !object.is_program() && !searched.1.contains(&object.base()) {
            searched.1.push(object.base());
            // SAFETY: the contract's clause **object**, and the caller's promise.
            found |= unsafe { redirect_in(object, redirections) };
        }
        false
    });
    found
}

/// An entry of `PT_DYNAMIC`.
#[repr(C)]
struct Dynamic {
    tag: i64,
    value: usize,
}

/// A relocation.
#[repr(C)]
struct Relocation {
    offset: usize,
    info: u64,
    addend: i64,
}

const DT_NULL: i64 = 0;
const DT_PLTRELSZ: i64 = 2;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_RELA: i64 = 7;
const DT_RELASZ: i64 = 8;
const DT_JMPREL: i64 = 23;
/// Relocations of slots: `R_*_GLOB_DAT` and `R_*_JUMP_SLOT`.
const SLOTS: [u32; 2] = if cfg!(target_arch = "aarch64") { [1025, 1026] } else { [6, 7] };

/// # Safety
/// The contract's clause **object**, and what [`redirect`] asks for.
unsafe fn redirect_in(object: &Object<'_>, redirections: &[Redirection]) -> bool {
    let (base, headers) = (object.base(), object.headers());
    let Some(dynamic) = headers.iter().find(|header| header.p_type == libc::PT_DYNAMIC) else { return false };
    let value = |tag: i64| {
        let mut entry = object.range(dynamic).start as *const Dynamic;
        // SAFETY: the contract's clause **object**: the table ends with DT_NULL.
        unsafe {
            while (*entry).tag != DT_NULL && (*entry).tag != tag {
                entry = entry.add(1);
            }
            ((*entry).tag == tag).then_some((*entry).value)
        }
    };
    // The GNU C library writes addresses into the table, musl leaves distances from the base.
    let table = |tag: i64| value(tag).map(|value| if value < base { base + value } else { value });
    let (Some(symbols), Some(names)) = (table(DT_SYMTAB), table(DT_STRTAB)) else { return false };
    let relro = headers.iter().find(|header| header.p_type == libc::PT_GNU_RELRO);
    let relro = relro.map_or(0..0, |header| object.range(header));
    let mut found = false;
    for (first, bytes) in [(table(DT_RELA), value(DT_RELASZ)), (table(DT_JMPREL), value(DT_PLTRELSZ))] {
        let (Some(first), Some(bytes)) = (first, bytes) else { continue };
        for i in 0..bytes / size_of::<Relocation>() {
            // SAFETY: the contract's clause **object**: the table has this many bytes, each symbol has a name.
            unsafe {
                let relocation = &*(first as *const Relocation).add(i);
                if !SLOTS.contains(&(relocation.info as u32)) {
                    continue;
                }
                let symbol = &*(symbols as *const libc::Elf64_Sym).add((relocation.info >> 32) as usize);
                let name = CStr::from_ptr((names as *const std::ffi::c_char).add(symbol.st_name as usize));
                if let Some(redirection) = redirections.iter().find(|each| each.name == name) {
                    let slot = base + relocation.offset;
                    found |= write(slot, redirection.to, relro.contains(&slot));
                }
            }
        }
    }
    found
}

/// Writes an address into a slot. Other threads may be calling by it. Returns whether that was possible.
///
/// # Safety
/// `slot` is a slot of a loaded object, and what [`redirect`] asks for.
unsafe fn write(slot: usize, address: usize, is_read_only: bool) -> bool {
    // SAFETY: the system's own constant; the page of the slot is mapped. A slot is aligned, and only the loader writes to it, where
    // it resolves the function at the first call: with the function's own address, so nothing breaks.
    unsafe {
        let size = libc::sysconf(libc::_SC_PAGESIZE) as usize;
        let page = (slot & !(size - 1)) as *mut c_void;
        if is_read_only && libc::mprotect(page, size, libc::PROT_READ | libc::PROT_WRITE) != 0 {
            return false;
        }
        AtomicUsize::from_ptr(slot as *mut usize).store(address, Release);
        if is_read_only {
            libc::mprotect(page, size, libc::PROT_READ);
        }
    }
    true
}

/// Keeps the object that contains `code` loaded as long as the process.
pub(crate) fn keep_loaded(code: usize) {
    let Some(object) = object_of(code).filter(|object| !object.dli_fname.is_null()) else { return };
    // SAFETY: the name is that of a loaded object, so dlopen(3) runs no initialiser.
    unsafe { libc::dlopen(object.dli_fname, libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE) };
}
