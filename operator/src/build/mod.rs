//! From documents to the objects of a cluster. Pure: the same input gives the same bytes.

#[cfg(test)]
mod golden_tests;
pub(crate) mod load_test;
pub(crate) mod meta;
pub(crate) mod names;
pub(crate) mod plans;
pub(crate) mod pod;
mod quantity;
pub(crate) mod receiver;
pub(crate) mod sink;
