//! What is written into the status of the three kinds, and how often.

pub(crate) mod conditions;
pub(crate) mod parts;
pub(crate) mod write;
