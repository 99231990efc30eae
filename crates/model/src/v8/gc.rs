//! What happens around a collection.

#[path = "../../../napi/src/v8/gc/quiet.rs"]
pub(crate) mod quiet;
#[path = "../../../napi/src/v8/gc/roots.rs"]
pub(crate) mod roots;

pub(crate) mod hooks {
    pub(crate) use crate::collector::Greenlets;
}
