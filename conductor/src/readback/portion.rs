//! A run is read back in portions, by the label `floodmark_bucket`, so that no answer is too large.

use workload::{BUCKET_LABEL, RUN_LABEL};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Portion {
    Bucket(u32),
    /// All series of the run outside its buckets, or without one.
    Other {
        buckets: u32,
    },
}

/// How a label is matched, with the number that remote read has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal = 0,
    NotRegex = 3,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matcher {
    pub(super) name: &'static str,
    pub(super) operator: Operator,
    pub(super) value: String,
}

impl Portion {
    /// The series of `run` that belong to it.
    pub(super) fn matchers(self, run: &str) -> [Matcher; 2] {
        let run = Matcher { name: RUN_LABEL, operator: Operator::Equal, value: run.to_owned() };
        let (operator, value) = match self {
            Self::Bucket(bucket) => (Operator::Equal, bucket.to_string()),
            Self::Other { buckets } => {
                (Operator::NotRegex, (0..buckets).map(|bucket| bucket.to_string()).collect::<Vec<_>>().join("|"))
            }
        };
        [run, Matcher { name: BUCKET_LABEL, operator, value }]
    }
}
