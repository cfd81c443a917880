//! The children of a receiver: rights to one map, a Service, and one pod that keeps what it stores in memory.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PodTemplateSpec;

use super::meta::{Component, Owner, Texts};
use super::names::{self, CONTROL_DIR, CONTROL_KEY};
use super::plans::Mounts;
use super::pod::{ORDINAL_LABEL, Pod, supervised, template};
use super::sink::{Set, budget, hash, rights, service, template_of};
use crate::apply::Child;
use crate::kinds::Invalid;

/// What the children of a receiver are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReceiverInput<'a> {
    pub(crate) owner: &'a Owner,
    pub(crate) spec: &'a api::RemoteWriteReceiverSpec,
    /// Of its certificate and credentials.
    pub(crate) mounts: &'a Mounts,
    /// The operator's own image.
    pub(crate) image: &'a str,
    pub(crate) live: Option<&'a StatefulSet>,
    /// A run holds the receiver: its pod is not replaced, it would lose what it stores.
    pub(crate) held: bool,
}

/// In the order in which they are applied.
pub(crate) fn receiver(input: &ReceiverInput<'_>) -> Result<Vec<Child>, Invalid> {
    let owner = input.owner;
    let name = names::receiver(&owner.name);
    let component = Component::Receiver;
    let control = names::receiver_control(&owner.name);
    let mut children = rights(owner, component, &name, &control, input.spec.pod.service_account_name.as_deref());
    children.push(service(owner, component, name.clone(), false, true));
    // One that nobody runs against is no reason to keep a node from being drained.
    children.push(budget(owner, Some(component), name.clone(), (None, Some(i32::from(!input.held)))));
    let set = Set { owner, component, service: name, replicas: 1, template: pod(input)? };
    children.push(set.build(input.live, input.held));
    Ok(children.into_iter().map(Child::stamped).collect())
}

/// Hash of the pod's template as the document wants it, whatever is there and whoever holds it.
pub(crate) fn wanted(input: &ReceiverInput<'_>) -> Result<String, Invalid> {
    Ok(hash(&pod(input)?))
}

/// Whether the pod would have to be replaced, but a run holds the receiver.
pub(crate) fn waits(input: &ReceiverInput<'_>) -> Result<bool, Invalid> {
    let wanted = wanted(input)?;
    Ok(input.held && input.live.is_some_and(|live| template_of(live) != Some(wanted)))
}

fn pod(input: &ReceiverInput<'_>) -> Result<PodTemplateSpec, Invalid> {
    let owner = input.owner;
    let document = format!("{CONTROL_DIR}/{CONTROL_KEY}");
    template(&Pod {
        owner,
        component: Component::Receiver,
        template: &input.spec.pod,
        field: "spec.pod",
        image: input.image,
        args: supervised(Some(&names::receiver_control(&owner.name)), &["receiver", "--control", &document]),
        fields: &[("FLOODMARK_ORDINAL", ORDINAL_LABEL)],
        mounts: input.mounts,
        volumes: Vec::new(),
        annotations: Texts::new(),
        service_account: Some(names::receiver(&owner.name)),
        restart_policy: None,
        subdomain: None,
        liveness: true,
        https: input.spec.tls_config.is_some(),
        requests: ("200m", 256 << 20),
        grace_seconds: 30,
        bound_seconds: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::meta::tests::owner;
    use crate::kinds::Kind;

    #[test]
    fn only_a_run_keeps_the_pod_from_being_evicted() {
        let (owner, spec, mounts) =
            (owner(Kind::Receiver, "store"), api::RemoteWriteReceiverSpec::default(), Mounts::default());
        for (held, unavailable) in [(true, 0), (false, 1)] {
            let input = ReceiverInput { owner: &owner, spec: &spec, mounts: &mounts, image: "i", live: None, held };
            let budgets = receiver(&input).unwrap().into_iter().filter(|child| child.kind() == "PodDisruptionBudget");
            let told: Vec<_> = budgets.map(|child| child.value()["spec"]["maxUnavailable"].clone()).collect();
            assert_eq!(told, [serde_json::json!(unavailable)]);
        }
    }
}
