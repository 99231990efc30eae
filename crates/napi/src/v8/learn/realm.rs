//! A realm of our own for learning: nothing that the program has changed, such as `Error.stackTraceLimit`, reaches it. It is garbage
//! afterwards.

use napi::sys;

use super::session::Session;
use super::symbols::{Local, new_context};
use crate::unsupported::Unsupported;

/// See the module. Both are handles of the native callback.
pub(super) struct Realm {
    pub(super) context: Local,
    /// Its global object, which the program's own realm may access.
    pub(super) global: sys::napi_value,
}

impl Realm {
    /// # Safety
    /// The session's clause **callback** holds.
    pub(super) unsafe fn new(session: &Session<'_>) -> Result<Realm, Unsupported> {
        let (symbols, isolate) = (session.symbols, session.isolate);
        // SAFETY: the session's clause **callback**: public API, a HandleScope is open. Contexts with the same token may access each
        // other's globals.
        unsafe {
            let context = new_context(isolate)?;
            let token = (symbols.security_token)((symbols.current_context)(isolate));
            (symbols.set_security_token)(context, token);
            Ok(Realm { context, global: (symbols.context_global)(context).cast() })
        }
    }
}
