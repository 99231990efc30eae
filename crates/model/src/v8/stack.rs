//! The state of one stack.

#[path = "../../../napi/src/v8/stack/capture.rs"]
pub(crate) mod capture;
#[path = "../../../napi/src/v8/stack/context_words.rs"]
pub(crate) mod context_words;
#[path = "../../../napi/src/v8/stack/list.rs"]
pub(crate) mod list;
#[path = "../../../napi/src/v8/stack/shape.rs"]
pub(crate) mod shape;
#[path = "../../../napi/src/v8/stack/stacks.rs"]
pub(crate) mod stacks;
#[path = "../../../napi/src/v8/stack/state.rs"]
pub(crate) mod state;

pub(crate) mod microtasks {
    /// No stack of the model has one.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum OpenScopes {}
}
