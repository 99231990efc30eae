//! A handle scope of our own.

use crate::v8::learn::facts::{BLOCKS, BLOCKS_SIZE};
use crate::v8::learn::layout::Layout;

/// Calls `body` in a HandleScope, as C++ would open one (api.cc, `HandleScope::Initialize` and its destructor). V8 14.6 exports no
/// function for it, and Node-API counts its scopes, which native callbacks on other stacks would notice.
///
/// # Safety
/// The clauses **thread** and **learnt** of `state.rs`. `body` leaves the running stack as it was.
pub(crate) unsafe fn in_scope(v8: &Layout, body: impl FnOnce()) {
    // SAFETY: the clause **learnt** of `state.rs` for the live HandleScopeData: next, limit, and level in the low half of the third
    // word (v8-handle-scope.h). Blocks that were added meanwhile hold only handles of `body`, and are from operator new, malloc in Node.
    unsafe {
        let (data, implementer) = (v8.handle_scope_data, v8.handle_scope_implementer);
        let level = data.add(2).cast::<i32>();
        let (next, limit, blocks) = (*data, *data.add(1), *implementer.add(BLOCKS_SIZE));
        *level += 1;
        body();
        *level -= 1;
        *data = next;
        *data.add(1) = limit;
        while *implementer.add(BLOCKS_SIZE) > blocks {
            *implementer.add(BLOCKS_SIZE) -= 1;
            let last = *(*implementer.add(BLOCKS) as *const *mut libc::c_void)
                .add(*implementer.add(BLOCKS_SIZE) as usize);
            libc::free(last);
        }
    }
}
