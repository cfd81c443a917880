//! HTTP paths, the same for every engine.

/// Remote-Write, at sink-workers and receivers.
pub const WRITE: &str = "/api/v1/write";
/// [`crate::OwnershipDoc`], at sink-workers.
pub const OWNERSHIP: &str = "/ownership";
/// [`crate::GeneratorReport`] at generators, [`crate::WorkerReport`] at sink-workers.
pub const ACCOUNT: &str = "/account";
/// [`measure::HistogramSet`], at every role.
pub const HISTOGRAMS: &str = "/histograms";
/// [`ledger::SlotTable`] of the acknowledged good samples, at generators.
pub const SLOTS: &str = "/slots";
/// [`ledger::StoreReport`], at receivers.
pub const STORE: &str = "/store";
/// Seen ranges of the series of some slots (`?slots=1,2`), at receivers.
pub const STORE_SERIES: &str = "/store/series";
/// [`crate::RunPlan`] (`?generator=I`), at the conductor.
pub const PLAN: &str = "/plan";
/// [`crate::PhaseDoc`], at the conductor.
pub const PHASE: &str = "/phase";
/// [`crate::ChaosTimeline`], at the conductor.
pub const CHAOS: &str = "/chaos";
/// [`crate::ProgressDoc`], at the conductor.
pub const PROGRESS: &str = "/progress";
/// The summary (`?max=BYTES` leaves out what does not fit), at the conductor, once there is a verdict.
pub const SUMMARY: &str = "/summary";
/// Names and sizes of the result files as JSON, and `/results/NAME` each of them, at the conductor.
pub const RESULTS: &str = "/results";
/// [`crate::SupervisorReport`], at the supervisor.
pub const SUPERVISOR: &str = "/supervisor";
/// Prometheus text, at every role.
pub const METRICS: &str = "/metrics";
/// 200 while the process lives.
pub const HEALTHZ: &str = "/healthz";
/// 200 when the role can do its work, 503 with the reason otherwise.
pub const READYZ: &str = "/readyz";
