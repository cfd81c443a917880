//! The life of a `LoadTest`: computed each time from what is there, never remembered.

pub(crate) mod api_chaos;
pub(crate) mod conductor;
pub(crate) mod engine;
pub(crate) mod finish;
pub(crate) mod phase;
pub(crate) mod tell;
