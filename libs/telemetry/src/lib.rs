//! What every process tells about itself: metrics text, health, logs, CPU; the time, and when it has to end.
//! Knows the Prometheus text format, tracing set-up, SIGTERM and SIGINT, the pipe from the parent, /proc of this process.
//! Refuses to know what a role does: names, labels and the moment of readiness come from the caller.
//! Metrics are registered once and updated once a request by plain atomics; nothing here is meant for once a sample.
//! No exporter, no push, no global registry.

pub mod clock;
pub mod cpu;
pub mod limit;
pub mod log;
pub mod metrics;
pub mod ops;
pub mod parent;
pub mod stop;

pub use clock::{Anchor, Clock};
pub use limit::Limiter;
pub use metrics::{Counter, Gauge, Histogram, Registry};
pub use ops::Ops;
pub use stop::{Stop, ignores_hangup};

/// A role at work. Boxed, so that its code is made once, in the role's own crate, and not again in every binary that awaits it.
pub type Running<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;

#[doc(hidden)]
pub use tracing as __tracing;
