//! The conductor: one t0 for all parts, the chaos timeline, the accounts, the read-back, the verdict, the results.
//!
//! Knows: the phases of a run, what each part says about itself over HTTP, and how all that becomes one verdict.
//! Refuses to know: how processes are started, broken or ended, locally or in a cluster. An engine tells it where the
//! parts are, carries out the timeline that it publishes, and answers a few questions (`Engine`). In a process of its own (`role`)
//! the answers are pulled too: from the supervisors of the parts, and from a file.

mod apart;
mod artifacts;
mod cluster_engine;
mod drive;
mod engine;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gather;
mod judge;
mod profile;
mod progress;
mod rates;
mod readback;
mod reasons;
mod rejected;
mod reshards;
mod role;
mod run;
mod saturation;
mod serve;
mod settled;
mod state;
mod summary;

pub use engine::{Departed, Engine, ExecutedChaos, SharedEngine, UnaskedEnd};
pub use role::{Options, run_role};
pub use run::{Conductor, Outcome};
