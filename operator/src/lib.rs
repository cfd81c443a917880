//! The engine for Kubernetes: makes objects of documents, watches them, and says how they are.
//!
//! Knows: the objects of a cluster.
//! Refuses to know: what is sent, owned, accounted or judged; that is the same code as on one machine.

mod apply;
mod build;
mod cluster;
mod control;
mod error;
mod events;
mod health;
mod hindrance;
mod kinds;
mod lease;
mod observe;
mod reconcile;
mod reshard;
mod run;
mod status;
mod test;
pub mod tools;

pub use run::{Options, run};
