//! The addon's files in their rooms, so that their imports find each other.

pub(crate) mod gc;
pub(crate) mod lanes;
pub(crate) mod learn;
pub(crate) mod stack;
