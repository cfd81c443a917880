//! What the parts say to each other: paths, headers and JSON bodies.
//!
//! Knows: every document that crosses a process boundary besides Remote-Write itself.
//! Refuses to know: sockets, processes, Kubernetes, and what anybody does with an answer.
//! Parts pull: a part serves its own state under `GET` and fetches the others'; nothing here changes state.

pub mod conductor;
pub mod conductor_plan;
pub mod engine;
pub mod generator;
pub mod header;
pub mod path;
pub mod progress;
pub mod receiver;
pub mod sink_worker;
pub mod supervisor;

pub use conductor::{ChaosEvent, ChaosTimeline, PhaseDoc, RunPhase, RunPlan, Target};
pub use conductor_plan::{ConductorPlan, ReadBackKind, ReadBackPlan, RolePlan, Supervisors};
pub use engine::{EngineReport, ExecutedChaos, UnaskedEnd};
pub use generator::{FaultCount, GeneratorReport, GeneratorState, SentEpoch, StageProgress};
pub use progress::{Progress, ProgressDoc};
pub use receiver::ReceiverControl;
pub use sink_worker::{OwnershipDoc, SinkWorkerPlan, WorkerReport};
pub use supervisor::{ChildState, End, Executed, SupervisorReport};

use serde::{Deserialize, Serialize};

/// What one process used, measured by itself since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CpuUse {
    /// CPU seconds in user and system mode.
    pub cpu_seconds: f64,
    /// Seconds its threads were runnable but waited for a processor.
    pub run_queue_seconds: f64,
    /// Seconds since the process started.
    pub wall_seconds: f64,
    /// Resident bytes.
    pub rss_bytes: u64,
}
