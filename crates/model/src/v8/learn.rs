//! What is known and learnt about V8.

#[path = "../../../napi/src/v8/learn/block.rs"]
pub(crate) mod block;
#[path = "../../../napi/src/v8/learn/facts.rs"]
pub(crate) mod facts;
#[path = "../../../napi/src/v8/learn/frame_words.rs"]
pub(crate) mod frame_words;
#[path = "../../../napi/src/v8/learn/list_node.rs"]
pub(crate) mod list_node;

pub(crate) use crate::layout;

pub(crate) mod symbols {
    pub(crate) use crate::layout::Local;
}
