//! Why a workload cannot be scheduled.

/// A document that passes syntax checks may still describe an impossible schedule; the text says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    #[error("the workload is empty: give at least one group")]
    NoGroups,
    #[error("there are no stages: give at least one with `for`")]
    NoStages,
    #[error("group {group}: {problem}")]
    Group { group: String, problem: String },
    #[error("groups {first} and {second} have the same name: series would be equal; rename one")]
    SameName { first: usize, second: usize },
    #[error("the workload has {series} series; the limit is {limit}: use fewer targets or series per target")]
    TooManySeries { series: u128, limit: u32 },
    #[error("stage {stage}: {problem}")]
    Stage { stage: usize, problem: String },
    #[error(
        "stage {stage} asks for {rate} samples a second, which is more than 1000 a second for each series of group {group}: lower the rate or add series"
    )]
    TooFast { stage: usize, rate: u64, group: String },
    #[error("the run label {run:?} must have 1 to 128 printable ASCII characters")]
    Run { run: String },
    #[error("the run lasts {seconds} s; the limit is 30 days: shorten the stages")]
    TooLong { seconds: u64 },
}
