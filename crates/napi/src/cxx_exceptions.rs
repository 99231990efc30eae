//! Moves the C++ exceptions that are being handled on a stack along with a switch.
//!
//! A C++ runtime keeps two words for each thread: the chain of exceptions that a `catch` block is handling, and how many exceptions
//! are on their way to one (`__cxa_get_globals`, Itanium C++ ABI, 2.2.2). They belong to a stack: where an add-on calls JavaScript in
//! a `catch` block, or in a destructor that an exception has called, and that JavaScript switches away, the next stack begins with
//! none. Otherwise the end of one `catch` block would free the exception of another one.
//!
//! ```text
//!   __cxa_get_globals() ─► | exception* caught | unsigned uncaught |      always at the same address for a thread
//! ```
//!
//! Nearly every process has one runtime, libstdc++.so.6, with which Node itself is linked. An add-on can bring its own (libc++abi, or
//! a static libstdc++). A runtime that exports the function is found; one that hides it cannot be found.
//!
//! # Contract
//! - **thread**: a [`CxxExceptions`] is used only on the thread that made it (its type is not `Sync`). Only that thread changes the
//!   words.
//! - **runtimes**: the words of a runtime stay at their address while the runtime is loaded, and it is loaded as long as its
//!   [`Runtime`] exists.

use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_void};
use std::ptr::{NonNull, null, null_mut};

use crate::objects::{each_object, object_of};

/// `__cxa_eh_globals`.
#[repr(C)]
struct Globals {
    /// The newest of the exceptions that are being handled; null where there is none.
    caught: *mut c_void,
    /// How many exceptions were thrown and not caught yet.
    uncaught: u32,
}

impl Globals {
    const NONE: Globals = Globals { caught: null_mut(), uncaught: 0 };
}

/// The exceptions of one thread, in every C++ runtime that was found.
pub(crate) struct CxxExceptions {
    runtimes: RefCell<Vec<Runtime>>,
    /// Address and length of `runtimes`, for `held`: a switch does not pay for the `RefCell`.
    slice: Cell<(*const Runtime, usize)>,
}

/// A C++ runtime, as one thread sees it.
struct Runtime {
    globals: NonNull<Globals>,
    get_globals: usize,
    /// The handle from dlopen(3) that keeps it loaded.
    library: NonNull<c_void>,
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // SAFETY: the handle is from dlopen(3), and is closed once.
        unsafe { libc::dlclose(self.library.as_ptr()) };
    }
}

/// The exceptions of a stack that was left, in one runtime.
pub(crate) struct Held {
    globals: NonNull<Globals>,
    exceptions: Globals,
}

impl CxxExceptions {
    /// The exceptions of the calling thread.
    pub(crate) fn of_this_thread() -> CxxExceptions {
        let exceptions = CxxExceptions { runtimes: RefCell::default(), slice: Cell::new((null(), 0)) };
        exceptions.find_runtimes();
        exceptions
    }

    /// Finds the runtimes that are loaded now, beside those that are known.
    pub(crate) fn find_runtimes(&self) {
        let mut runtimes = self.runtimes.borrow_mut();
        for object in loaded_objects() {
            // SAFETY: dlopen(3) does not load anything with RTLD_NOLOAD, so no initialiser runs.
            let library = unsafe { libc::dlopen(object.name_or_null(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
            let Some(library) = NonNull::new(library) else { continue };
            // SAFETY: the handle was opened just now.
            let get_globals = unsafe { libc::dlsym(library.as_ptr(), c"__cxa_get_globals".as_ptr()) };
            let is_new = !get_globals.is_null()
                && object.defines(get_globals)
                && !runtimes.iter().any(|runtime| runtime.get_globals == get_globals as usize);
            // SAFETY: the function has this type in every C++ runtime (Itanium C++ ABI). It returns the words of the calling thread.
            let globals = is_new.then(|| unsafe {
                std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *mut Globals>(get_globals)()
            });
            match globals.and_then(NonNull::new) {
                Some(globals) => {
                    runtimes.push(Runtime { globals, get_globals: get_globals as usize, library });
                }
                // SAFETY: the handle was opened just now, and is not used again.
                None => unsafe {
                    libc::dlclose(library.as_ptr());
                },
            }
        }
        self.slice.set((runtimes.as_ptr(), runtimes.len()));
    }

    /// The words of all runtimes, combined by OR: 0 where no exception is being handled or on its way.
    #[inline(always)]
    pub(crate) fn held(&self) -> u64 {
        let (first, count) = self.slice.get();
        let mut held = 0;
        for i in 0..count {
            // SAFETY: `slice` is all of `runtimes`, which only `find_runtimes` changes, together with `slice`. The contract's clauses
            // **thread** and **runtimes**.
            let globals = unsafe { (*first.add(i)).globals.as_ref() };
            held |= globals.caught as u64 | u64::from(globals.uncaught);
        }
        held
    }

    /// Leaves the thread without exceptions, and returns those of the running stack.
    pub(crate) fn take(&self) -> Vec<Held> {
        let take = |runtime: &Runtime| {
            let globals = runtime.globals;
            // SAFETY: the contract's clauses **thread** and **runtimes**.
            let exceptions = unsafe { globals.replace(Globals::NONE) };
            let is_held = !exceptions.caught.is_null() || exceptions.uncaught != 0;
            is_held.then_some(Held { globals, exceptions })
        };
        self.runtimes.borrow().iter().filter_map(take).collect()
    }

    /// Puts the exceptions of the running stack back, which `take` has returned.
    pub(crate) fn give_back(&self, held: Vec<Held>) {
        for Held { globals, exceptions } in held {
            // SAFETY: the contract's clauses **thread** and **runtimes**.
            unsafe { globals.write(exceptions) };
        }
    }
}

/// A file that is loaded: a shared object, or the program.
struct LoadedObject {
    name: CString,
    address: usize,
    is_program: bool,
}

impl LoadedObject {
    /// The name in the form that dlopen(3) expects.
    fn name_or_null(&self) -> *const std::ffi::c_char {
        if self.is_program { null() } else { self.name.as_ptr() }
    }

    /// Whether the function is this object's own: dlsym(3) looks in its dependencies too. The dependencies of the program are loaded
    /// as long as the process.
    fn defines(&self, function: *mut c_void) -> bool {
        if self.is_program {
            return true;
        }
        object_of(function as usize).is_some_and(|object| object.dli_fbase as usize == self.address)
    }
}

/// Every file that is loaded, the program last: a runtime that is a shared object is kept loaded under its own name.
fn loaded_objects() -> Vec<LoadedObject> {
    let mut objects: Vec<LoadedObject> = Vec::new();
    each_object(|object| {
        objects.push(LoadedObject {
            name: object.name().to_owned(),
            address: object.base(),
            is_program: object.is_program(),
        });
        false
    });
    objects.sort_by_key(|object| object.is_program);
    objects
}
