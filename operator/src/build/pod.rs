//! One pod template for all roles: `restricted`, one container, the supervisor as process 1, and what the user asks for on top.

use std::collections::BTreeMap;

use api::{Free, PodTemplate};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
    LocalObjectReference, ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
    ResourceRequirements, SecurityContext, Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::meta::{self, Component, Owner, Texts};
use super::names::{CONTROL_DIR, PORT, SUPERVISOR_PORT};
use super::plans::Mounts;
use super::quantity;
use crate::apply::uncovered;
use crate::kinds::Invalid;

/// User and group of the image; there is no passwd file in it.
const USER: i64 = 65532;
/// Label that a `StatefulSet` gives its pods.
pub(crate) const ORDINAL_LABEL: &str = "metadata.labels['apps.kubernetes.io/pod-index']";

/// What makes the roles' pods different.
#[derive(Debug)]
pub(crate) struct Pod<'a> {
    pub(crate) owner: &'a Owner,
    pub(crate) component: Component,
    /// What the user asks for, and the field that asks, for messages.
    pub(crate) template: &'a PodTemplate,
    pub(crate) field: &'a str,
    /// Image where the user names none.
    pub(crate) image: &'a str,
    pub(crate) args: Vec<String>,
    /// Fields of the pod as more environment variables.
    pub(crate) fields: &'a [(&'a str, &'a str)],
    /// Secrets and maps that the role's plan names.
    pub(crate) mounts: &'a Mounts,
    /// More volumes, read-only or not, and where they are mounted.
    pub(crate) volumes: Vec<(Volume, &'a str, bool)>,
    pub(crate) annotations: Texts,
    /// Account where the user names none; with it the pod gets its token.
    pub(crate) service_account: Option<String>,
    pub(crate) restart_policy: Option<&'a str>,
    pub(crate) subdomain: Option<String>,
    pub(crate) liveness: bool,
    pub(crate) https: bool,
    /// CPU and bytes of memory.
    pub(crate) requests: (&'a str, u64),
    pub(crate) grace_seconds: i64,
    /// How long it stays bound to a node that is lost; none: as long as the cluster says.
    pub(crate) bound_seconds: Option<i64>,
}

/// `supervise … -- ROLE ARGUMENTS`; with a control map it is relayed into [`CONTROL_DIR`] before the role starts.
pub(crate) fn supervised(control_map: Option<&str>, role: &[&str]) -> Vec<String> {
    let mut args: Vec<String> = vec!["supervise".into()];
    if let Some(map) = control_map {
        args.extend(["--configmap".into(), map.to_owned()]);
    }
    args.extend(["--into".into(), CONTROL_DIR.into()]);
    args.extend(["--listen".into(), format!("0.0.0.0:{SUPERVISOR_PORT}"), "--port".into(), PORT.to_string()]);
    args.push("--".into());
    args.extend(role.iter().map(|&arg| arg.to_owned()));
    args.extend(["--listen".into(), format!("0.0.0.0:{PORT}")]);
    args
}

pub(crate) fn template(pod: &Pod<'_>) -> Result<PodTemplateSpec, Invalid> {
    let asked = pod.template;
    let field = |name: &str| format!("{}.{name}", pod.field);
    let mut labels: Texts = asked.labels.clone();
    labels.extend(meta::labels(pod.owner, Some(pod.component)));
    let mut annotations: Texts = asked.annotations.clone();
    annotations.extend(pod.annotations.clone());
    let token = pod.service_account.is_some();
    let account = asked.service_account_name.clone().or_else(|| pod.service_account.clone());
    let spec = PodSpec {
        service_account_name: account,
        automount_service_account_token: Some(token),
        enable_service_links: Some(false),
        restart_policy: pod.restart_policy.map(str::to_owned),
        subdomain: pod.subdomain.clone(),
        termination_grace_period_seconds: Some(
            asked.termination_grace_period_seconds.map_or(pod.grace_seconds, i64::from),
        ),
        priority_class_name: asked.priority_class_name.clone(),
        node_selector: some(asked.node_selector.clone()),
        tolerations: tolerations(pod, list(&asked.tolerations, &field("tolerations"))?),
        affinity: asked.affinity.as_ref().map(|free| typed(free, &field("affinity"))).transpose()?,
        topology_spread_constraints: list(&asked.topology_spread_constraints, &field("topologySpreadConstraints"))?,
        image_pull_secrets: list::<LocalObjectReference>(&asked.image_pull_secrets, &field("imagePullSecrets"))?,
        security_context: Some(security_context(asked.security_context.as_ref(), &field("securityContext"))?),
        volumes: Some(volumes(pod)),
        containers: vec![container(pod, resources(asked, pod.requests, &field("resources"))?)],
        ..PodSpec::default()
    };
    let metadata = ObjectMeta { labels: Some(labels), annotations: some(annotations), ..ObjectMeta::default() };
    Ok(PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) })
}

/// What the user says of a taint stands.
fn tolerations(pod: &Pod<'_>, asked: Option<Vec<Toleration>>) -> Option<Vec<Toleration>> {
    let Some(seconds) = pod.bound_seconds else { return asked };
    let mut all = asked.unwrap_or_default();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let is = |told: Option<&str>, what: &str| told.is_none_or(|told| told.is_empty() || told == what);
        if !all.iter().any(|told| is(told.key.as_deref(), key) && is(told.effect.as_deref(), "NoExecute")) {
            all.push(Toleration {
                key: Some(key.to_owned()),
                operator: Some("Exists".to_owned()),
                effect: Some("NoExecute".to_owned()),
                toleration_seconds: Some(seconds),
                ..Toleration::default()
            });
        }
    }
    Some(all)
}

fn container(pod: &Pod<'_>, resources: ResourceRequirements) -> Container {
    let port = |name: &str, port: u16| ContainerPort {
        name: Some(name.to_owned()),
        container_port: port.into(),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let field = |(name, path): (&str, &str)| EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: path.to_owned() }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    let mut env =
        vec![EnvVar { name: "FLOODMARK_LOG_FORMAT".to_owned(), value: Some("json".to_owned()), ..EnvVar::default() }];
    let everywhere = [
        ("POD_NAME", "metadata.name"),
        ("POD_NAMESPACE", "metadata.namespace"),
        ("POD_UID", "metadata.uid"),
        ("POD_IP", "status.podIP"),
    ];
    env.extend(everywhere.into_iter().chain(pod.fields.iter().copied()).map(field));
    let mut volume_mounts = vec![mount("control", CONTROL_DIR, false)];
    volume_mounts.extend(pod.volumes.iter().map(|(volume, path, read_only)| mount(&volume.name, path, *read_only)));
    volume_mounts.extend(pod.mounts.mounts().map(|(name, path)| mount(&name, &path, true)));
    Container {
        name: pod.component.as_str().to_owned(),
        image: Some(pod.template.image.clone().unwrap_or_else(|| pod.image.to_owned())),
        image_pull_policy: Some(pod.template.image_pull_policy.clone().unwrap_or_else(|| "IfNotPresent".to_owned())),
        command: Some(vec!["/floodmark".to_owned()]),
        args: Some(pod.args.clone()),
        env: Some(env),
        ports: Some(vec![port("http", PORT), port("supervisor", SUPERVISOR_PORT)]),
        resources: Some(resources),
        volume_mounts: Some(volume_mounts),
        // The supervisor's own port: a Pause or Kill of the role on purpose is no reason to restart the pod.
        liveness_probe: pod.liveness.then(|| probe("/healthz", "supervisor", false, (10, 5, 3))),
        readiness_probe: Some(probe("/readyz", "http", pod.https, (1, 2, 1))),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

fn probe(path: &str, port: &str, https: bool, (period, timeout, failures): (i32, i32, i32)) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(port.to_owned()),
            scheme: Some(if https { "HTTPS" } else { "HTTP" }.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(timeout),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

/// A volume that lives as long as the pod.
pub(crate) fn empty_dir(name: &str, in_memory: bool, bytes: u64) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: in_memory.then(|| "Memory".to_owned()),
            size_limit: Some(Quantity(quantity::bytes(bytes))),
        }),
        ..Volume::default()
    }
}

fn volumes(pod: &Pod<'_>) -> Vec<Volume> {
    let mut volumes = vec![empty_dir("control", true, 16 << 20)];
    volumes.extend(pod.volumes.iter().map(|(volume, ..)| volume.clone()));
    volumes.extend(pod.mounts.volumes());
    volumes
}

fn security_context(asked: Option<&Free>, field: &str) -> Result<PodSecurityContext, Invalid> {
    let mut context = json!({
        "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    if let (Some(asked), Some(context)) = (asked, context.as_object_mut()) {
        merge(context, asked);
    }
    from(&context, field)
}

/// Members of `over` replace those of `base`, objects member by member; a null removes one.
fn merge(base: &mut Map<String, Value>, over: &Free) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Object(inner)), Value::Object(over)) => merge(inner, over),
            (_, Value::Null) => drop(base.remove(key)),
            _ => drop(base.insert(key.clone(), value.clone())),
        }
    }
}

/// Requests only where nothing is said: a CPU limit would make the measuring process wait, and be blamed on the target.
fn resources(asked: &PodTemplate, (cpu, memory): (&str, u64), field: &str) -> Result<ResourceRequirements, Invalid> {
    let Some(free) = &asked.resources else {
        let requests = BTreeMap::from([
            ("cpu".to_owned(), Quantity(cpu.to_owned())),
            ("memory".to_owned(), Quantity(quantity::bytes(memory))),
        ]);
        return Ok(ResourceRequirements { requests: Some(requests), ..ResourceRequirements::default() });
    };
    let mut free = free.clone();
    for part in ["requests", "limits"] {
        let Some(Value::Object(quantities)) = free.get_mut(part) else { continue };
        for value in quantities.values_mut() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            *value = Value::String(quantity::canonical(&text));
        }
    }
    from(&Value::Object(free), field)
}

fn some<C: IntoIterator + Default + PartialEq>(collection: C) -> Option<C> {
    (collection != C::default()).then_some(collection)
}

fn list<T: DeserializeOwned + Serialize>(free: &[Free], field: &str) -> Result<Option<Vec<T>>, Invalid> {
    let all = free.iter().enumerate().map(|(index, one)| typed(one, &format!("{field}[{index}]")));
    let all = all.collect::<Result<Vec<T>, Invalid>>()?;
    Ok((!all.is_empty()).then_some(all))
}

fn typed<T: DeserializeOwned + Serialize>(free: &Free, field: &str) -> Result<T, Invalid> {
    from(&Value::Object(free.clone()), field)
}

fn from<T: DeserializeOwned + Serialize>(value: &Value, field: &str) -> Result<T, Invalid> {
    let typed: T = serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { field.to_owned() } else { format!("{field}.{path}") };
        Invalid::new(field, format!("{}; write it as in a pod", error.into_inner()))
    })?;
    // What has no place in the type is left out of it without a word.
    match uncovered(&serde_json::to_value(&typed).unwrap_or_default(), value) {
        Some(path) => Err(Invalid::new(format!("{field}{path}"), "there is no such field; write it as in a pod")),
        None => Ok(typed),
    }
}
