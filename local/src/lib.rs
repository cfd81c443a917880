//! The engine for one machine: the same documents as in a cluster, with real processes on loopback.
//!
//! Knows: how to turn documents into child processes, keep them alive, break them on schedule and end them all.
//! Refuses to know: how a sample is made, sent, stored or judged. That is the conductor's and the roles' business;
//! the engine speaks to them only through their documents and HTTP, as the operator does in a cluster.

mod chaos;
mod endpoint;
mod engine;
mod fleet;
mod folders;
mod hosts;
mod layout;
mod parts;
mod plan;
mod ports;
mod process;
mod run;
mod scale;
mod secrets;
mod serve;

pub use hosts::{HostError, Hosts};
pub use run::{Event, Options, RunError, run};
pub use secrets::{SecretError, Secrets};
