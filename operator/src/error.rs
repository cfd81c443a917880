//! Why a reconcile did not come to its end, and when it is tried again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::cluster::Fail;
use crate::hindrance::Hindrance;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// A reconcile that has to be tried again as a whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{what}: {fail}")]
    Call { what: String, fail: Fail },
    #[error("{}", .0.message())]
    Hindered(Hindrance),
}

impl Error {
    /// What the API server, or this operator, finds wrong with an object.
    pub(crate) fn refused(&self) -> Option<&str> {
        match self {
            Self::Call { fail: Fail::Invalid(words), .. } => Some(words),
            Self::Call { .. } | Self::Hindered(_) => None,
        }
    }

    /// What a condition can tell: trying again helps once somebody has done something about it.
    pub(crate) fn hindrance(&self) -> Option<Hindrance> {
        match self {
            Self::Hindered(hindrance) => Some(hindrance.clone()),
            Self::Call { fail: fail @ (Fail::Forbidden(_) | Fail::Invalid(_)), .. } => {
                Some(Hindrance::Refused { forbidden: matches!(fail, Fail::Forbidden(_)), words: self.to_string() })
            }
            Self::Call { .. } => None,
        }
    }

    /// Of a condition.
    pub(crate) fn reason(&self) -> &'static str {
        self.hindrance().map_or("ApiError", |hindrance| hindrance.reason())
    }

    /// Whether it is the ordinary consequence of somebody else's write, not worth a warning.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Call { fail: Fail::Conflict(_) | Fail::Exists(_), .. })
    }
}

/// Says what was tried when a call failed.
pub(crate) trait What<T> {
    fn what(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> What<T> for Result<T, Fail> {
    fn what(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|fail| Error::Call { what: what(), fail })
    }
}

/// Failures in a row, by object: 1 s, 2 s, 4 s … 30 s, a little later each so that objects that failed together part.
#[derive(Debug, Default)]
pub(crate) struct Backoff(Mutex<HashMap<String, u32>>);

impl Backoff {
    /// How long to wait after one more failure.
    pub(crate) fn failed(&self, key: &str) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key.to_owned()).or_default();
        let wait = FIRST.saturating_mul(1 << (*count).min(5)).min(LONGEST);
        *count += 1;
        let spread = xxhash_rust::xxh3::xxh3_64(format!("{key} {count}").as_bytes()) % 1000;
        wait.mul_f64(1.0 + spread as f64 / 5000.0)
    }

    /// The object is well again, or gone.
    pub(crate) fn succeeded(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_somebody_can_do_something_about_is_a_hindrance() {
        let told = |fail: Fail| Err::<(), _>(fail).what(|| "ConfigMap a".to_owned()).unwrap_err();
        let quota = |words: &str| told(Fail::Forbidden(format!("configmaps \"a\" is forbidden: {words}")));
        for (error, reason) in [
            (quota("exceeded quota: few, requested: count/configmaps=1"), "QuotaExceeded"),
            (quota("failed quota: few: must specify limits.cpu"), "QuotaExceeded"),
            (quota("no ConfigMaps here"), "PodForbidden"),
            (told(Fail::Invalid("immutable".to_owned())), "Refused"),
            (told(Fail::Unreachable("connection refused".to_owned())), "ApiError"),
        ] {
            assert_eq!(error.reason(), reason, "{error}");
            let words = error.hindrance().map(|hindrance| hindrance.message().to_owned());
            assert_eq!(words, (reason != "ApiError").then(|| error.to_string()));
        }
    }

    #[test]
    fn waits_double_up_to_a_bound_and_start_anew_after_a_success() {
        let backoff = Backoff::default();
        let waits: Vec<u64> = (0..8).map(|_| backoff.failed("a").as_secs_f64() as u64).collect();
        assert!(waits.windows(2).all(|pair| pair[0] <= pair[1] || pair[0] >= 30), "{waits:?}");
        assert!((16..=19).contains(&waits[4]) && (30..=36).contains(&waits[7]), "{waits:?}");
        assert_eq!(backoff.failed("b").as_secs(), 1);
        backoff.succeeded("a");
        assert_eq!(backoff.failed("a").as_secs(), 1);
    }
}
