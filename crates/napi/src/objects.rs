//! The objects that the dynamic loader has loaded, the program and shared objects: dl_iterate_phdr(3), dladdr(3).

use std::ffi::{CStr, c_int, c_void};
use std::ops::Range;
use std::ptr::{null, null_mut};

/// A loaded object, while [`each_object`] shows it: the loader's record is valid, and the headers are as the ELF specification says.
pub(crate) struct Object<'a> {
    record: &'a libc::dl_phdr_info,
    is_first: bool,
}

impl Object<'_> {
    /// Its path. For the program, glibc has an empty one, and musl has the path or what the program was called by.
    pub(crate) fn name(&self) -> &CStr {
        if self.record.dlpi_name.is_null() {
            return c"";
        }
        // SAFETY: the name in a record is a C string.
        unsafe { CStr::from_ptr(self.record.dlpi_name) }
    }

    /// glibc and musl show the program first (dl_iterate_phdr(3)).
    pub(crate) fn is_program(&self) -> bool {
        self.is_first
    }

    /// Where it is loaded: addresses in its tables are distances from here.
    pub(crate) fn base(&self) -> usize {
        self.record.dlpi_addr as usize
    }

    pub(crate) fn headers(&self) -> &[libc::Elf64_Phdr] {
        if self.record.dlpi_phdr.is_null() {
            return &[];
        }
        // SAFETY: a record has an array of this many program headers.
        unsafe { std::slice::from_raw_parts(self.record.dlpi_phdr, usize::from(self.record.dlpi_phnum)) }
    }

    /// The memory that a header describes.
    pub(crate) fn range(&self, header: &libc::Elf64_Phdr) -> Range<usize> {
        let start = self.base() + header.p_vaddr as usize;
        start..start + header.p_memsz as usize
    }

    /// The running thread's block of its thread-local variables; 0 where there is none yet.
    pub(crate) fn tls_block(&self) -> usize {
        self.record.dlpi_tls_data as usize
    }

    /// How many objects were unloaded so far in this process.
    pub(crate) fn unloaded(&self) -> u64 {
        self.record.dlpi_subs
    }
}

/// Calls `see` with each loaded object, until it returns true. The loader holds its lock meanwhile.
pub(crate) fn each_object<F: FnMut(&Object<'_>) -> bool>(see: F) {
    unsafe extern "C" fn visit<F: FnMut(&Object<'_>) -> bool>(
        record: *mut libc::dl_phdr_info,
        _size: usize,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader passes a valid record, and `data` is that of `each_object`, which waits for this call.
        let (record, (see, seen)) = unsafe { (&*record, &mut *data.cast::<(F, usize)>()) };
        *seen += 1;
        c_int::from(see(&Object { record, is_first: *seen == 1 }))
    }
    let mut data = (see, 0_usize);
    // SAFETY: `visit` gets the data that it expects, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(visit::<F>), (&raw mut data).cast()) };
}

/// What the loader knows of the object that contains an address.
pub(crate) fn object_of(address: usize) -> Option<libc::Dl_info> {
    let mut info =
        libc::Dl_info { dli_fname: null(), dli_fbase: null_mut(), dli_sname: null(), dli_saddr: null_mut() };
    // SAFETY: dladdr(3) only compares the address with its list of objects, and fills a record of ours.
    (unsafe { libc::dladdr(address as *const c_void, &mut info) } != 0).then_some(info)
}

/// The addresses of the object whose code contains `address`, from its first to its last loaded segment; empty where there is none.
pub(crate) fn span_of(address: usize) -> Range<usize> {
    let mut found = 0..0;
    each_object(|object| {
        let loaded = object.headers().iter().filter(|header| header.p_type == libc::PT_LOAD);
        let ranges: Vec<Range<usize>> = loaded.map(|header| object.range(header)).collect();
        let is_it = ranges.iter().any(|range| range.contains(&address));
        if is_it {
            let start = ranges.iter().map(|range| range.start).min();
            let end = ranges.iter().map(|range| range.end).max();
            found = start.unwrap_or_default()..end.unwrap_or_default();
        }
        is_it
    });
    found
}

/// The C library of the process, by its name and version. Only glibc has a function that tells its version.
pub(crate) fn c_library() -> String {
    // SAFETY: the name is a C string, and dlsym(3) has no other effect.
    let version = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"gnu_get_libc_version".as_ptr()) };
    if version.is_null() {
        return "musl".into();
    }
    // SAFETY: the function has no parameters and returns a static C string (gnu/libc-version.h).
    let version = unsafe {
        CStr::from_ptr(std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *const std::ffi::c_char>(
            version,
        )())
    };
    format!("glibc {}", version.to_string_lossy())
}
