//! What `fuzz/` calls of this crate's parsers.

use protocol::CpuUse;

pub use crate::readback::fuzzing::{Series, profile, read_back};

/// What a process used, by its own metrics.
pub fn cpu_use(metrics: &str) -> CpuUse {
    crate::gather::cpu_use(metrics, 1.0)
}
