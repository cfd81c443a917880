//! What keeps pods from doing their work, in the cluster's own words.

pub(crate) mod events;
mod node;
pub(crate) mod pods;

pub(crate) use pods::{Reason, Trouble};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::cluster::{Cluster, Fail};

/// An owner of pods, whose failure to make them is told as an event of its own.
pub(crate) struct Owner<'a> {
    pub(crate) part: &'a str,
    pub(crate) uid: &'a str,
    /// Whether all its pods exist.
    pub(crate) complete: bool,
}

/// Everything that is wrong with these pods and their owners, the pods' own state first.
pub(crate) async fn troubles(
    cluster: &Cluster,
    namespace: &str,
    pods: &[Pod],
    owners: &[Owner<'_>],
    now: Timestamp,
) -> Result<Vec<Trouble>, Fail> {
    let mut found = Vec::new();
    for pod in pods {
        if let Some(trouble) = pods::trouble(pod, now) {
            found.push(trouble);
        } else if pods::waits_for_volumes(pod, now) {
            let uid = pod.metadata.uid.as_deref().unwrap_or_default();
            found.extend(events::of_pod(&events::about(cluster, namespace, uid).await?, pod));
        }
    }
    found.extend(of_owners(cluster, namespace, pods, owners, now).await?);
    Ok(found)
}

/// What keeps these owners from making their pods.
pub(crate) async fn of_owners(
    cluster: &Cluster,
    namespace: &str,
    pods: &[Pod],
    owners: &[Owner<'_>],
    now: Timestamp,
) -> Result<Vec<Trouble>, Fail> {
    let mut found = Vec::new();
    for owner in owners.iter().filter(|owner| !owner.complete) {
        let theirs = |pod: &&Pod| pod.metadata.owner_references.iter().flatten().any(|of| of.uid == owner.uid);
        let made = pods.iter().filter(theirs).filter_map(|pod| pod.metadata.creation_timestamp.as_ref()).map(|t| t.0);
        let events = events::about(cluster, namespace, owner.uid).await?;
        found.extend(events::of_owner(&events, owner.part, made.max(), now));
    }
    Ok(found)
}
