//! What this process has cost so far, from /proc.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Sums since the start of the process. Subtract two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// CPU time in all, to the nanosecond.
    pub total: Duration,
    /// Of it in user mode, to 10 ms.
    pub user: Duration,
    /// Of it in the kernel, to 10 ms.
    pub system: Duration,
    /// Time that living threads were runnable but had no CPU.
    pub run_queue_wait: Duration,
    /// Resident memory now, in bytes.
    pub rss_bytes: u64,
    /// CPUs this process may use.
    pub cores: u32,
    /// Time that a hypervisor took from this machine, all CPUs; `None` where the kernel does not say.
    pub steal: Option<Duration>,
}

/// Asks now. Costs about 50 µs: once a second, not once a request. What /proc does not say is zero.
pub fn usage() -> Usage {
    todo!()
}

/// 16 hexadecimal digits, drawn once a process: tells one incarnation from the next.
pub fn incarnation() -> &'static str {
    todo!()
}
