//! What became of every sample: accounts by outcome, two checksums a slot, the store's dense tables and the findings.
//! Knows the workload and the fault plan as pure functions and so can recompute what a store should hold.
//! Balances what generators say against what a store holds; a mismatch is named by series, timestamp and value.
//! Refuses to know files, sockets, clocks, HTTP, documents of Kubernetes and who calls it.
//! Refuses to guess: what nobody observed is left unproven, never called lost or kept.

mod account;
mod exception;
mod finding;
mod repeats;
mod report;
mod settle;
mod slots;
mod store;
mod truth;

pub use account::{GeneratorAccount, Imbalance, Reason, WorkerAccount};
pub use exception::{Exception, FaultAccount, Outcome, push_exception};
pub use finding::{Example, Examples, Finding, FindingName, MAX_EXAMPLES};
pub use repeats::{Repeat, Repeats};
pub use report::{FaultRepeat, FaultSeen, SeriesSeen, StoreCounters, StoreReport};
pub use settle::{Context, Disturbance, Gaps, GeneratorSide, Move, Run, Seen, Settled, Settlement, wrong};
pub use slots::{SlotSum, SlotTable, SlotTableError, digest};

pub use remote_write::SLOTS;
pub use store::{Foreign, ForeignTable, Observation, Order, SeriesRef, Store, StoreLimits};
pub use workload::Position;
