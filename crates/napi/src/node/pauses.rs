//! Keeps Node from waiting while a pause of the debugger is read.
//!
//! At a pause, V8 tells every session whose debugger is enabled, and then Node runs a loop until a session resumes
//! (NodeInspectorClient::runMessageLoopOnPause, inspector_agent.cc, 20 to 26). It does that also where the only session with an enabled
//! debugger is of the program itself, if another one is connected from outside: DevTools, or a Worker that watches this thread. None
//! of these was told of the pause, so none would end it.
//!
//! The loop is a virtual function of Node's client. While the pause is read, the client's table of virtual functions is a copy in which this function
//! returns at once.

use std::cell::OnceCell;
use std::ffi::{CStr, c_int, c_void};

use crate::v8::learn::layout::Layout;
use crate::v8::learn::peek::{Peek, is_plausible};
use crate::v8::learn::symbols;

const VTABLE: &CStr = c"_ZTVN4node9inspector19NodeInspectorClientE";
const RUN_LOOP: &CStr = c"_ZN4node9inspector19NodeInspectorClient21runMessageLoopOnPauseEi";
/// Words before the first function of a table: the offset to the object's top, and its type.
const BEFORE_FUNCTIONS: usize = 2;
/// More words than the table has: V8InspectorClient has about 40 functions.
const TABLE_WORDS: usize = 96;
/// Words of an environment that are searched.
const ENVIRONMENT_WORDS: usize = 4096;

/// The client of one environment, once it was looked for; `None` where it was not found.
#[derive(Default)]
pub(crate) struct Pauses(OnceCell<Option<Client>>);

struct Client {
    /// The client's first word, which names its table.
    object: *mut usize,
    table: Box<[u64]>,
}

impl Pauses {
    /// Calls `action`; pauses return at once meanwhile. `None`, without calling it, where Node's client is not found.
    ///
    /// # Safety
    /// The clause **thread** of `v8/stack/state.rs`, in a native callback.
    pub(crate) unsafe fn without<T>(&self, v8: &Layout, action: impl FnOnce() -> T) -> Option<T> {
        // SAFETY: the caller's clause is the one that `find` needs.
        let client = self.0.get_or_init(|| unsafe { find(v8) }).as_ref()?;
        // SAFETY: the client lives as long as its environment, and only this thread calls its virtual functions. The copy has the same
        // functions but one, and stays where it is as long as this object.
        unsafe {
            let table = client.object.replace(client.table[BEFORE_FUNCTIONS..].as_ptr() as usize);
            let result = action();
            *client.object = table;
            Some(result)
        }
    }
}

/// In place of the loop.
unsafe extern "C" fn return_at_once(_client: *mut c_void, _group: c_int) {}

/// Finds the client: an environment has an address of its `inspector::Agent`, whose first two words are the environment and the client
/// (inspector_agent.h). The client's table is that of its class.
///
/// # Safety
/// The clause **thread** of `v8/stack/state.rs`, in a native callback.
unsafe fn find(v8: &Layout) -> Option<Client> {
    let peek = Peek::new().ok()?;
    let (table, run_loop) = (symbols::find(VTABLE).ok()? as usize, symbols::find(RUN_LOOP).ok()? as u64);
    // SAFETY: the caller's clause: a context is entered.
    let environment =
        unsafe { (v8.symbols.current_environment)((v8.symbols.current_context)(v8.isolate)) } as u64;
    let functions = (table + BEFORE_FUNCTIONS * 8) as u64;
    let client_of = |agent: u64| {
        let words = peek.words(agent as usize, 2).filter(|words| words[0] == environment)?;
        (peek.word(words[1] as usize)? == functions).then_some(words[1] as *mut usize)
    };
    let words = peek.prefix(environment as usize, ENVIRONMENT_WORDS, 64);
    let object = words.into_iter().filter(|&word| is_plausible(word)).find_map(client_of)?;
    let mut copy = peek.padded(table, TABLE_WORDS)?;
    let place = copy.iter().position(|&word| word == run_loop)?;
    copy[place] = return_at_once as *const () as u64;
    Some(Client { object, table: copy.into_boxed_slice() })
}
