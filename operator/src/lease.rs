//! Who of several operators works: a Lease that is held as long as it can be renewed.
//!
//! Written here because a library that only reports a lost lease cannot end the process, and an operator that is no longer
//! the leader must not go on.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::ObjectMeta;
use telemetry::Stop;

use crate::cluster::{Cluster, Fail};

/// How long a lease holds without being renewed, by the clock of whoever looks.
const LASTS: Duration = Duration::from_secs(10);
const RENEW: Duration = Duration::from_secs(2);
/// A leader that could not renew for so long ends itself, before another one may start.
const GIVE_UP: Duration = Duration::from_secs(8);
/// One try, its answer included.
const TRY: Duration = Duration::from_secs(3);

/// The lease of this process.
pub(crate) struct Leadership {
    cluster: Cluster,
    namespace: String,
    name: String,
    identity: String,
    /// The revision seen last and when it was seen first.
    seen: Option<(String, Instant)>,
    /// Before the attempt that renewed it last: the others' time begins with the write, not with its answer.
    renewed: Instant,
}

/// What a look at the lease came to.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Ours,
    Others(String),
}

impl Leadership {
    pub(crate) fn new(cluster: Cluster, namespace: String, name: String, identity: String) -> Self {
        Self { cluster, namespace, name, identity, seen: None, renewed: Instant::now() }
    }

    /// Waits until the lease is ours; false when a stop came first.
    pub(crate) async fn acquire(&mut self, stop: &Stop) -> bool {
        let mut told = None;
        while !stop.is_requested() {
            match self.attempt(TRY).await {
                Ok(Look::Ours) => {
                    tracing::info!(identity = self.identity, "leading");
                    return true;
                }
                Ok(Look::Others(holder)) => {
                    if told.as_ref() != Some(&holder) {
                        tracing::info!(holder, "waiting for the lease");
                        told = Some(holder);
                    }
                }
                Err(fail) => tracing::warn!(%fail, "cannot look at the lease"),
            }
            tokio::select! {
                () = stop.wait() => {}
                () = tokio::time::sleep(RENEW) => {}
            }
        }
        false
    }

    /// Renews until the stop, then gives the lease back. Comes back with an error when the lease is lost: end the process.
    pub(crate) async fn keep(&mut self, work: impl Future<Output = ()>) -> anyhow::Result<()> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                () = &mut work => break,
                () = tokio::time::sleep(RENEW.min(self.left())) => {}
            }
            match self.attempt(TRY.min(self.left())).await {
                Ok(Look::Ours) => {}
                Ok(Look::Others(holder)) => anyhow::bail!("{holder} has taken the lease {}", self.name),
                Err(fail) => {
                    tracing::warn!(%fail, "cannot renew the lease");
                    anyhow::ensure!(
                        !self.left().is_zero(),
                        "the lease {} could not be renewed for {} s: {fail}",
                        self.name,
                        GIVE_UP.as_secs()
                    );
                }
            }
        }
        self.release().await;
        Ok(())
    }

    /// How long it may go on without renewing.
    fn left(&self) -> Duration {
        GIVE_UP.saturating_sub(self.renewed.elapsed())
    }

    async fn attempt(&mut self, limit: Duration) -> Result<Look, Fail> {
        let begun = Instant::now();
        let look = tokio::time::timeout(limit, self.look()).await;
        let look = look.map_err(|_| Fail::Unreachable(format!("no answer within {:.1} s", limit.as_secs_f64())))??;
        if look == Look::Ours {
            self.renewed = begun;
        }
        Ok(look)
    }

    async fn look(&mut self) -> Result<Look, Fail> {
        let live: Option<Lease> = self.cluster.get(&self.namespace, &self.name).await?;
        let Some(live) = live else {
            let lease = self.lease(ObjectMeta::default(), 0, None);
            return match self.cluster.create(&lease).await {
                Ok(_) => Ok(Look::Ours),
                Err(Fail::Exists(_)) => Ok(Look::Others("another operator".to_owned())),
                Err(fail) => Err(fail),
            };
        };
        let revision = live.metadata.resource_version.clone().unwrap_or_default();
        let spec = live.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != revision) {
            self.seen = Some((revision, Instant::now()));
        }
        // Not by the times in it: clocks of machines differ.
        let expired = self.seen.as_ref().is_some_and(|(_, since)| since.elapsed() >= LASTS);
        let ours = holder == self.identity;
        if !ours && !holder.is_empty() && !expired {
            return Ok(Look::Others(holder));
        }
        let transitions = spec.lease_transitions.unwrap_or(0) + i32::from(!ours);
        let acquired = spec.acquire_time.filter(|_| ours);
        match self.cluster.replace(&self.lease(live.metadata, transitions, acquired)).await {
            Ok(_) => Ok(Look::Ours),
            Err(Fail::Conflict(_)) if !ours => Ok(Look::Others("another operator".to_owned())),
            Err(fail) => Err(fail),
        }
    }

    /// So that the next one need not wait for the end of the lease. Best effort.
    async fn release(&mut self) {
        let live = self.cluster.get::<Lease>(&self.namespace, &self.name).await;
        let Ok(Some(mut live)) = live else { return };
        let Some(spec) = live.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity)) else {
            return;
        };
        spec.holder_identity = Some(String::new());
        if let Err(fail) = self.cluster.replace(&live).await {
            tracing::debug!(%fail, "cannot give the lease back");
        }
    }

    fn lease(&self, before: ObjectMeta, transitions: i32, acquired: Option<MicroTime>) -> Lease {
        let now = MicroTime(Timestamp::now());
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                resource_version: before.resource_version,
                labels: before.labels,
                annotations: before.annotations,
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: Some(LASTS.as_secs() as i32),
                acquire_time: acquired.or_else(|| Some(now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(transitions),
                ..LeaseSpec::default()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_leader_gives_up_before_the_lease_is_anothers_whatever_it_waits_for() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let cluster = Cluster::new(kube::Config::new(url.parse().unwrap()), telemetry::Registry::new()).unwrap();
        let mut leadership = Leadership::new(cluster, "n".to_owned(), "lease".to_owned(), "me".to_owned());
        let soon = Duration::from_millis(300);
        leadership.renewed = Instant::now().checked_sub(GIVE_UP.saturating_sub(soon)).unwrap();
        let lost = leadership.keep(std::future::pending()).await.unwrap_err();
        assert!(lost.to_string().contains("could not be renewed for 8 s"), "{lost}");
        let after = leadership.renewed.elapsed();
        assert!((GIVE_UP..LASTS).contains(&after), "{after:?}");
    }
}
