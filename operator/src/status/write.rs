//! One status patch in five seconds at most, and none that says nothing new.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use serde::Serialize;
use serde_json::Value;

use crate::cluster::{Cluster, Fail};
use crate::kinds::STATUS_MANAGER;

/// Between two patches of an object.
const EVERY: Duration = Duration::from_secs(5);

/// What became of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// It stands, now or before.
    Settled,
    /// It has to wait for so long.
    Later(Duration),
}

/// When each object's status was written last by this process: finer than the whole seconds that the API server keeps.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<HashMap<String, Instant>>);

impl Throttle {
    fn last(&self, uid: &str) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(uid).copied()
    }

    fn wrote(&self, uid: &str) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        last.retain(|_, at| now.duration_since(*at) < EVERY);
        last.insert(uid.to_owned(), now);
    }

    /// Writes the status if it differs from what `live` has and its turn has come.
    pub(crate) async fn write<T: Serialize>(
        &self,
        cluster: &Cluster,
        resource: &ApiResource,
        live: &DynamicObject,
        status: &T,
    ) -> Result<Wrote, Fail> {
        let wanted = serde_json::to_value(status).map_err(|error| Fail::Invalid(error.to_string()))?;
        if same(live.data.get("status"), &wanted) {
            return Ok(Wrote::Settled);
        }
        let uid = live.uid().unwrap_or_default();
        if let Some(wait) = due(stamped(live), self.last(&uid).map(|at| at.elapsed()), Timestamp::now()) {
            return Ok(Wrote::Later(wait));
        }
        let (namespace, name) = (live.namespace().unwrap_or_default(), live.name_any());
        cluster.patch_status(resource, &namespace, &name, &wanted).await?;
        self.wrote(&uid);
        Ok(Wrote::Settled)
    }
}

/// Equal but for members that are null or not there.
fn same(live: Option<&Value>, wanted: &Value) -> bool {
    live.map_or_else(|| wanted.as_object().is_some_and(serde_json::Map::is_empty), |live| live == wanted)
}

/// When the operator, this process or one before it, changed the status last.
fn stamped(live: &DynamicObject) -> Option<Timestamp> {
    let fields = live.metadata.managed_fields.as_ref()?;
    fields.iter().find(|entry| entry.manager.as_deref() == Some(STATUS_MANAGER))?.time.as_ref().map(|time| time.0)
}

/// How long to wait yet; none: not at all. `stamped` is in whole seconds, rounded down, and so may be up to one second too early.
fn due(stamped: Option<Timestamp>, since: Option<Duration>, now: Timestamp) -> Option<Duration> {
    if let Some(since) = since {
        return EVERY.checked_sub(since).filter(|wait| !wait.is_zero());
    }
    let next = stamped?.checked_add(EVERY + Duration::from_secs(1)).ok()?;
    let wait = Duration::try_from(next.duration_since(now)).ok()?;
    // A clock that is far off may not hold a status back.
    (!wait.is_zero()).then(|| wait.min(EVERY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_patch_in_five_seconds_whoever_wrote_the_last() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let second = Duration::from_secs(1);
        assert_eq!(due(None, None, at(100)), None);
        assert_eq!(due(Some(at(100)), None, at(102)), Some(4 * second));
        assert_eq!(due(Some(at(100)), None, at(106)), None);
        assert_eq!(due(Some(at(900)), None, at(106)), Some(5 * second));
        assert_eq!(due(Some(at(100)), Some(2 * second), at(100)), Some(3 * second));
        assert_eq!(due(Some(at(100)), Some(5 * second), at(100)), None);
    }
}
