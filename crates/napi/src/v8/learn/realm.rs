//! A realm of our own for learning, where the program has changed its own in such a way that nothing can be learnt there: nothing that
//! the program has changed reaches this one. It is garbage afterwards.
//!
//! It is made only where it is needed. With `--expose-gc` each new realm runs a script of V8's, and where the thread is terminated
//! during that script, V8 prints errors and the sources of scripts.

use napi::sys;

use super::probe::in_callback;
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
    /// # Errors
    /// Also where JavaScript cannot run any more: that may be why nothing could be learnt.
    ///
    /// # Safety
    /// The session's clause **callback** holds.
    pub(super) unsafe fn new(session: &Session<'_>) -> Result<Realm, Unsupported> {
        let (symbols, isolate) = (session.symbols, session.isolate);
        // SAFETY: the session's clause **callback**: public API, a HandleScope is open. Contexts with the same token may access each
        // other's globals.
        unsafe {
            in_callback(session.env, || ()).ok_or(Unsupported::Interrupted)?;
            let context = new_context(isolate)?;
            let token = (symbols.security_token)((symbols.current_context)(isolate));
            (symbols.set_security_token)(context, token);
            Ok(Realm { context, global: (symbols.context_global)(context).cast() })
        }
    }
}
