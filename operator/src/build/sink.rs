//! The children of a sink: rights to one map, Services, and the workers. The control map is not among them: it is state, not intent
//! (`control`).

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{PodTemplateSpec, Service, ServiceAccount, ServicePort, ServiceSpec};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use xxhash_rust::xxh3::xxh3_64;

use super::meta::{Component, Owner, Texts, label_selector, meta, selector};
use super::names::{self, CONTROL_DIR, CONTROL_KEY, PLAN_KEY};
use super::plans::SinkPlan;
use super::pod::{ORDINAL_LABEL, Pod, supervised, template};
use crate::apply::Child;
use crate::kinds::Invalid;

/// What the children of a sink are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SinkInput<'a> {
    pub(crate) owner: &'a Owner,
    pub(crate) spec: &'a api::RemoteWriteSinkSpec,
    pub(crate) plan: &'a SinkPlan,
    /// As many as the reshard says: never the spec's number directly.
    pub(crate) replicas: u32,
    /// The operator's own image.
    pub(crate) image: &'a str,
    /// The workers' set as it is now.
    pub(crate) live: Option<&'a StatefulSet>,
    /// A run holds the sink: pods are not replaced under it.
    pub(crate) held: bool,
}

/// In the order in which they are applied: rights, Services, budget, workers.
pub(crate) fn sink(input: &SinkInput<'_>) -> Result<Vec<Child>, Invalid> {
    let owner = input.owner;
    let name = names::sink(&owner.name);
    let component = Component::SinkWorker;
    let control = names::sink_control(&owner.name);
    let mut children = rights(owner, component, &name, &control, input.spec.pod.service_account_name.as_deref());
    children.push(service(owner, component, names::sink_workers(&owner.name), true, true));
    children.push(service(owner, component, name.clone(), false, false));
    children.push(budget(owner, Some(component), name, (None, Some(1))));
    let set = Set {
        owner,
        component,
        service: names::sink_workers(&owner.name),
        replicas: input.replicas,
        template: workers(input)?,
    };
    children.push(set.build(input.live, input.held));
    Ok(children.into_iter().map(Child::stamped).collect())
}

/// Hash of the workers' template as the documents want it, whatever is there and whoever holds it.
pub(crate) fn wanted(input: &SinkInput<'_>) -> Result<String, Invalid> {
    Ok(hash(&workers(input)?))
}

/// Whether the workers' pods would have to be replaced, but a run holds the sink.
pub(crate) fn waits(input: &SinkInput<'_>) -> Result<bool, Invalid> {
    let wanted = wanted(input)?;
    Ok(input.held && input.live.is_some_and(|live| template_of(live) != Some(wanted)))
}

fn workers(input: &SinkInput<'_>) -> Result<PodTemplateSpec, Invalid> {
    let owner = input.owner;
    let spec = input.spec;
    let control = names::sink_control(&owner.name);
    let (plan, document) = (format!("{CONTROL_DIR}/{PLAN_KEY}"), format!("{CONTROL_DIR}/{CONTROL_KEY}"));
    let grace = i64::try_from(spec.drain_timeout.0.as_secs()).unwrap_or(i64::MAX).saturating_add(10);
    template(&Pod {
        owner,
        component: Component::SinkWorker,
        template: &spec.pod,
        field: "spec.pod",
        image: input.image,
        args: supervised(Some(&control), &["sink-worker", "--plan", &plan, "--control", &document]),
        fields: &[("FLOODMARK_ORDINAL", ORDINAL_LABEL)],
        mounts: &input.plan.mounts,
        volumes: Vec::new(),
        // The plan is read once: another one takes other pods.
        annotations: Texts::from([(names::PLAN_HASH_ANNOTATION.to_owned(), input.plan.hash())]),
        service_account: Some(names::sink(&owner.name)),
        restart_policy: None,
        subdomain: None,
        liveness: true,
        https: false,
        requests: ("200m", (128 << 20) + spec.buffer.max_bytes.0),
        grace_seconds: grace,
        bound_seconds: None,
    })
}

/// A `StatefulSet` of workers or of a receiver.
pub(super) struct Set<'a> {
    pub(super) owner: &'a Owner,
    pub(super) component: Component,
    pub(super) service: String,
    pub(super) replicas: u32,
    pub(super) template: PodTemplateSpec,
}

impl Set<'_> {
    /// While held, the template stays what it is in the cluster.
    pub(super) fn build(self, live: Option<&StatefulSet>, held: bool) -> Child {
        let name = match self.component {
            Component::SinkWorker => names::sink(&self.owner.name),
            _ => names::receiver(&self.owner.name),
        };
        let mut metadata = meta(self.owner, name, Some(self.component));
        let mut template_hash = hash(&self.template);
        let mut template = self.template;
        if let (true, Some(live)) = (held, live)
            && let Some(spec) = &live.spec
            // The same intent is told in the same words, or every claim and release would be a write.
            && template_of(live).as_ref() != Some(&template_hash)
        {
            template = spec.template.clone();
            template_hash = template_of(live).unwrap_or_default();
        }
        metadata.annotations = Some(Texts::from([(names::TEMPLATE_ANNOTATION.to_owned(), template_hash)]));
        let delete = || Some("Delete".to_owned());
        Child::StatefulSet(StatefulSet {
            metadata,
            spec: Some(StatefulSetSpec {
                replicas: Some(i32::try_from(self.replicas).unwrap_or(i32::MAX)),
                selector: label_selector(self.owner, Some(self.component)),
                service_name: Some(self.service),
                pod_management_policy: Some("Parallel".to_owned()),
                update_strategy: Some(StatefulSetUpdateStrategy {
                    type_: Some("RollingUpdate".to_owned()),
                    ..StatefulSetUpdateStrategy::default()
                }),
                persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                    when_deleted: delete(),
                    when_scaled: delete(),
                }),
                revision_history_limit: Some(2),
                template,
                ..StatefulSetSpec::default()
            }),
            status: None,
        })
    }
}

/// Of the template as it was built: the API server fills in defaults, so the template itself cannot be compared.
pub(super) fn hash(template: &PodTemplateSpec) -> String {
    format!("{:016x}", xxh3_64(serde_json::to_string(template).unwrap_or_default().as_bytes()))
}

pub(crate) fn template_of(live: &StatefulSet) -> Option<String> {
    live.metadata.annotations.as_ref()?.get(names::TEMPLATE_ANNOTATION).cloned()
}

/// To get and watch one map, nothing else. With an account of the user's, only the binding.
pub(super) fn rights(
    owner: &Owner,
    component: Component,
    name: &str,
    control: &str,
    account: Option<&str>,
) -> Vec<Child> {
    let text = str::to_owned;
    let meta = || meta(owner, name.to_owned(), Some(component));
    let mut children = Vec::new();
    if account.is_none() {
        // The pods ask for their token themselves.
        children.push(Child::ServiceAccount(ServiceAccount {
            metadata: meta(),
            automount_service_account_token: Some(false),
            ..ServiceAccount::default()
        }));
    }
    children.push(Child::Role(Role {
        metadata: meta(),
        rules: Some(vec![PolicyRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(vec![text("configmaps")]),
            resource_names: Some(vec![text(control)]),
            verbs: vec![text("get"), text("watch")],
            non_resource_urls: None,
        }]),
    }));
    children.push(Child::RoleBinding(RoleBinding {
        metadata: meta(),
        role_ref: RoleRef { api_group: text("rbac.authorization.k8s.io"), kind: text("Role"), name: text(name) },
        subjects: Some(vec![Subject {
            kind: text("ServiceAccount"),
            name: text(account.unwrap_or(name)),
            namespace: Some(owner.namespace.clone()),
            api_group: None,
        }]),
    }));
    children
}

/// Headless ones give each pod a name, before it is ready too.
pub(super) fn service(owner: &Owner, component: Component, name: String, headless: bool, supervisor: bool) -> Child {
    let port = |name: &str, port: u16| ServicePort {
        name: Some(name.to_owned()),
        port: port.into(),
        target_port: Some(IntOrString::String(name.to_owned())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    };
    let mut ports = vec![port("http", names::PORT)];
    ports.extend(supervisor.then(|| port("supervisor", names::SUPERVISOR_PORT)));
    Child::Service(Service {
        metadata: meta(owner, name, Some(component)),
        spec: Some(ServiceSpec {
            cluster_ip: headless.then(|| "None".to_owned()),
            publish_not_ready_addresses: headless.then_some(true),
            selector: Some(selector(owner, Some(component))),
            ports: Some(ports),
            ..ServiceSpec::default()
        }),
        status: None,
    })
}

/// At least, or at most, so many pods (unavailable).
pub(super) fn budget(
    owner: &Owner,
    component: Option<Component>,
    name: String,
    (min_available, max_unavailable): (Option<i32>, Option<i32>),
) -> Child {
    Child::PodDisruptionBudget(PodDisruptionBudget {
        metadata: meta(owner, name, component),
        spec: Some(PodDisruptionBudgetSpec {
            selector: Some(label_selector(owner, component)),
            min_available: min_available.map(IntOrString::Int),
            max_unavailable: max_unavailable.map(IntOrString::Int),
            // Pods that do not work are in nobody's way, unless a run holds them.
            unhealthy_pod_eviction_policy: max_unavailable.filter(|&count| count > 0).map(|_| "AlwaysAllow".to_owned()),
        }),
        status: None,
    })
}
