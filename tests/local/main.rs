//! Whole runs on loopback: the real command, its real child processes, real servers, real kills.
//!
//! What a test needs and does not find, it skips with a line that `hack/test` collects.

mod backends;
mod embedded;
mod lifecycle;
mod support;
mod third_party;
