//! Moves V8's stacks of arrays that are being joined along with a switch.
//!
//! An array that contains itself joins as an empty string: V8 keeps a stack of the arrays that are being joined, in each context
//! (`join`, `toString`, `toLocaleString` and template strings; CycleProtectedArrayJoin, array-join.tq, 11.3 to 14.6). Elements are
//! converted by JavaScript, which may switch. Another greenlet that joins the same array must get all of it, and the joins of several
//! greenlets end in any order, which V8's stack does not allow. So a stack takes its arrays along:
//!
//! ```text
//!   context ─► undefined | FixedArray [ array | array | hole | hole ]      no join: undefined, or a hole as the first element
//! ```
//!
//! The slot is read and written by V8's own functions for FixedArrays, which know the collector's write barriers. In the meantime the
//! FixedArray is in a handle of the callback that switches, where the collector finds it.

use std::ptr::null_mut;

use napi::sys;

use crate::v8::learn::joins::{HEADER_WORDS, Joins};
use crate::v8::learn::layout::Layout;
use crate::v8::learn::symbols::Local;

/// One context in which the stack that was left joins arrays. Both are handles of the callback.
pub(crate) struct Joining {
    context: Local,
    arrays: Local,
}

impl Joins {
    /// 0 where the running stack joins no array of the program's own context, and no other contexts exist than those in the list that
    /// begins with `known`. A few loads without branches: most programs have one context.
    #[inline(always)]
    pub(crate) fn unrest(&self, known: u64) -> u64 {
        // SAFETY: the clause **learnt** of `state.rs`: words of the live isolate and of Node's handle, which leads to a context. Its
        // stack is a FixedArray with two elements or more, or undefined, which is an object of at least as many words.
        unsafe {
            let stack = *((*self.own - 1) as *const u64).add(self.stack);
            let first = *((stack - 1) as *const u64).add(HEADER_WORDS);
            (*self.list ^ known) | u64::from((first != self.hole) & (first != self.no_element))
        }
    }

    /// Whether the running stack joins an array of any context.
    pub(crate) fn are_joining(&self) -> bool {
        let mut joining = false;
        self.each(|_, first| joining |= first != self.hole);
        joining
    }

    /// The beginning of the list of contexts, if `is_ours` returns true for each context but the program's own (such a context never
    /// joins arrays); otherwise 0.
    ///
    /// # Safety
    /// The clauses **thread** and **learnt** of `state.rs`.
    pub(crate) unsafe fn known(&self, is_ours: impl Fn(u64) -> bool) -> u64 {
        // SAFETY: the clause **learnt** of `state.rs`: the same words and links that `each` reads.
        unsafe {
            let (first, own) = (*self.list, *self.own);
            let mut context = first;
            while context != self.undefined {
                if context != own && !is_ours(context) {
                    return 0;
                }
                context = *((context - 1) as *const u64).add(self.next);
            }
            first
        }
    }

    /// Calls `see` with each context (tagged) that has a stack, and with its first element.
    fn each(&self, mut see: impl FnMut(u64, u64)) {
        // SAFETY: the clause **learnt** of `state.rs`: a word of the live isolate. The collector changes it and the contexts' links
        // only while this thread waits for it; each context in the list is an object with these words, and its stack a FixedArray
        // with at least two elements.
        unsafe {
            let mut context = *self.list;
            while context != self.undefined {
                let words = (context - 1) as *const u64;
                let stack = *words.add(self.stack);
                if stack != self.undefined {
                    see(context, *((stack - 1) as *const u64).add(HEADER_WORDS));
                }
                context = *words.add(self.next);
            }
        }
    }

    /// Takes the arrays off the running stack.
    ///
    /// # Safety
    /// The clauses **thread** and **learnt** of `state.rs`, in a native callback, whose handles live until [`Joins::put_back`].
    pub(super) unsafe fn put_aside(&self, v8: &Layout) -> Vec<Joining> {
        let mut count = 0;
        self.each(|_, first| count += usize::from(first != self.hole));
        let mut handles: Vec<Local> = Vec::with_capacity(count);
        // SAFETY: the caller's clauses: a HandleScope is open. A handle is one word, which the collector visits; making handles of
        // small integers allocates nothing on V8's heap, so no context moves before all of them are in handles.
        unsafe {
            for _ in 0..count {
                let mut handle = null_mut();
                sys::napi_create_int32(v8.env, 0, &mut handle);
                handles.push(handle.cast());
            }
            let mut free = handles.iter();
            self.each(|context, first| {
                if first != self.hole
                    && let Some(&handle) = free.next()
                {
                    *handle = context as usize;
                }
            });
            let mut undefined = null_mut();
            sys::napi_get_undefined(v8.env, &mut undefined);
            let take = |context: Local| {
                let arrays = (v8.symbols.array_get)(context, v8.isolate, self.index());
                (v8.symbols.array_set)(context, v8.isolate, self.index(), undefined.cast());
                Joining { context, arrays }
            };
            handles.into_iter().map(take).collect()
        }
    }

    /// Gives the stack that runs again its arrays.
    ///
    /// # Safety
    /// The same as for [`Joins::put_aside`], which has returned `joining` on this stack.
    pub(super) unsafe fn put_back(&self, v8: &Layout, joining: &[Joining]) {
        for Joining { context, arrays } in joining {
            // SAFETY: the caller's clauses: both are handles of this stack, of a context and of a FixedArray.
            unsafe { (v8.symbols.array_set)(*context, v8.isolate, self.index(), *arrays) };
        }
    }
}
