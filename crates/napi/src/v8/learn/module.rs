//! Finding the module (executable or shared library) that contains V8, and its data, by the dynamic loader.

use std::ops::Range;

use crate::objects::each_object;

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
    let mut found = None;
    each_object(|object| {
        let (mut holds_code, mut tls_size, mut module) = (false, 0, Module::default());
        for header in object.headers() {
            let range = object.range(header);
            match header.p_type {
                libc::PT_LOAD => {
                    holds_code |= range.contains(&code);
                    if header.p_flags & libc::PF_W != 0 {
                        module.data.push(range);
                    }
                }
                libc::PT_TLS => tls_size = header.p_memsz as usize,
                _ => {}
            }
        }
        let block = object.tls_block();
        if block != 0 && block.is_multiple_of(8) && tls_size != 0 {
            module.tls_block = Some((block, tls_size));
        }
        if holds_code {
            found = Some(module);
        }
        holds_code
    });
    found
}
