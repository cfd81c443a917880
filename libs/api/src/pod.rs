//! What a user may say about pods. It passes through to Kubernetes as it is, so most of it is free-form.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A free-form piece of a Kubernetes object.
pub type Free = Map<String, Value>;

/// What pods get on top of what Floodmark sets; only meaningful in a cluster.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PodTemplate {
    /// The container image. Default: the image of the operator.
    #[schemars(length(min = 1, max = 512))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Always, IfNotPresent or Never. Default IfNotPresent.
    #[schemars(length(min = 1, max = 32))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<String>,
    /// Secrets for pulling the image, as in a pod. At most 16.
    #[schemars(length(max = 16), schema_with = "free_list")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<Free>,
    /// The service account of the pods. Default: one without rights.
    #[schemars(length(min = 1, max = 253))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// The priority class of the pods. Default: the cluster's.
    #[schemars(length(min = 1, max = 253))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// Requests and limits of the container, as in a pod. Default: requests only, no CPU limit.
    #[schemars(schema_with = "free_option")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Free>,
    /// Node labels that the pods need. At most 64.
    #[schemars(schema_with = "texts")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Tolerations, as in a pod. At most 64.
    #[schemars(length(max = 64), schema_with = "free_list")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Free>,
    /// Affinity, as in a pod.
    #[schemars(schema_with = "free_option")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Free>,
    /// Topology spread constraints, as in a pod. At most 16.
    #[schemars(length(max = 16), schema_with = "free_list")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topology_spread_constraints: Vec<Free>,
    /// The pods' security context, merged over the `restricted` one.
    #[schemars(schema_with = "free_option")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_context: Option<Free>,
    /// More labels for the pods. At most 64.
    #[schemars(schema_with = "texts")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// More annotations for the pods. At most 64.
    #[schemars(schema_with = "texts")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The grace period for ending a pod, in seconds. Default: drainTimeout plus 10 s for sinks, 30 s for the others.
    #[schemars(range(min = 0, max = 86400))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<u32>,
}

impl PodTemplate {
    /// Was nothing at all asked for?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

pub(crate) fn free_option(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": ["object", "null"], "x-kubernetes-preserve-unknown-fields": true})
}

fn free_list(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}})
}

fn texts(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "maxProperties": 64, "additionalProperties": {"type": "string", "maxLength": 4096}})
}
