//! The switch.

#[path = "../../../napi/src/v8/lanes/fast.rs"]
pub(crate) mod fast;
