//! The workload: every series, timestamp and value of a run as pure functions of its description and seed.
//!
//! Knows label shapes, values, churn, the schedule of the stages, the inverse (from labels and timestamps back to series and
//! sample), and which request of which lane carries which sample. Refuses to know clocks, sockets, faults, accounts and what
//! became of a sample: a [`LaneWalk`] computes the requests of a lane, it does not send them. Nothing here keeps memory
//! for a series, but for 12 bytes in a [`LanePlan`] (more in churned groups).

mod churn;
mod error;
mod group;
mod labels;
mod lane_chain;
mod lane_map;
mod lane_plan;
mod lane_span;
mod lane_walk;
mod mix;
mod schedule;
mod shape;
mod values;
mod windows;
mod workload;

pub use error::WorkloadError;
pub use labels::{BUCKET_LABEL, BUCKETS, Parts, Pieces, RUN_LABEL, is_own_label};
pub use lane_chain::{LaneChain, Position};
pub use lane_map::LaneMap;
pub use lane_plan::LanePlan;
pub use lane_walk::{LaneWalk, RequestPlan, Scheduled};
pub use schedule::StageWindow;
pub use workload::{Place, SeriesId, Workload, timestamp_ms};
