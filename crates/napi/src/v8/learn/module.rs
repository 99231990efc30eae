//! Finding the module (executable or shared library) that contains V8, and its data, by the dynamic loader: dl_iterate_phdr(3).

use std::ffi::{c_int, c_void};
use std::ops::Range;

/// The parts of a module that learning needs.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// Address and size of the running thread's block of thread-local variables.
    pub(crate) tls_block: Option<(usize, usize)>,
    /// The writable segments: the module's variables.
    pub(crate) data: Vec<Range<usize>>,
}

/// The module that contains `code`.
pub(crate) fn module_of(code: usize) -> Option<Module> {
    struct Search {
        code: usize,
        found: Option<Module>,
    }
    unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _size: usize, data: *mut c_void) -> c_int {
        // SAFETY: the loader passes a valid record, and `data` is the `Search` of `module_of`, which waits for this call.
        let (info, search) = unsafe { (&*info, &mut *data.cast::<Search>()) };
        let (mut holds_code, mut tls_size, mut module) = (false, 0, Module::default());
        for i in 0..info.dlpi_phnum as usize {
            // SAFETY: the module has dlpi_phnum program headers.
            let header = unsafe { &*info.dlpi_phdr.add(i) };
            let start = (info.dlpi_addr + header.p_vaddr) as usize;
            let range = start..start + header.p_memsz as usize;
            match header.p_type {
                libc::PT_LOAD => {
                    holds_code |= range.contains(&search.code);
                    if header.p_flags & libc::PF_W != 0 {
                        module.data.push(range);
                    }
                }
                libc::PT_TLS => tls_size = header.p_memsz as usize,
                _ => {}
            }
        }
        let block = info.dlpi_tls_data as usize;
        if block != 0 && block.is_multiple_of(8) && tls_size != 0 {
            module.tls_block = Some((block, tls_size));
        }
        if holds_code {
            search.found = Some(module);
        }
        c_int::from(holds_code)
    }
    let mut search = Search { code, found: None };
    // SAFETY: `visit` gets the `Search` that it expects, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast()) };
    search.found
}
