//! The children of a test: a frozen plan, one conductor, the generators, and a summary that stays.

use std::collections::BTreeMap;

use api::PodTemplate;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, DownwardAPIVolumeFile, DownwardAPIVolumeSource, ObjectFieldSelector,
    PodTemplateSpec, Volume,
};

use super::meta::{Component, Owner, Texts, meta};
use super::names::{self, ENGINE_ANNOTATION, ENGINE_DIR, ENGINE_KEY, PLAN_DIR, PLAN_KEY, RESULTS_DIR};
use super::plans::{TestPlan, text};
use super::pod::{Pod, empty_dir, supervised, template};
use super::sink::{budget, service};
use crate::apply::Child;
use crate::kinds::Invalid;

/// Room for reports and histograms.
const RESULTS_BYTES: u64 = 2 << 30;
/// A run that lost a part is over: there is no point in waiting for its node for as long as clusters do.
const LOST_SECONDS: i64 = 30;

/// What the children of a test are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TestInput<'a> {
    pub(crate) owner: &'a Owner,
    pub(crate) spec: &'a api::LoadTestSpec,
    pub(crate) plan: &'a TestPlan,
    /// The operator's own image.
    pub(crate) image: &'a str,
}

/// In the order in which they are made: plan, Services, budget, conductor, generators.
pub(crate) fn load_test(input: &TestInput<'_>) -> Result<Vec<Child>, Invalid> {
    let owner = input.owner;
    let generators = i32::try_from(input.spec.generator.parallelism).unwrap_or(i32::MAX);
    // What is wrong with what both have is the generator's.
    let (generator, conductor) = (generator(input)?, conductor(input)?);
    let children = vec![
        plan_map(input),
        conductor_service(owner),
        service(owner, Component::Generator, names::generator(&owner.name), true, true),
        // Jobs cannot be scaled, so nothing but a number of pods is understood here.
        budget(owner, None, names::run(&owner.name), (Some(generators.saturating_add(1)), None)),
        job(owner, Component::Conductor, conductor, None),
        job(owner, Component::Generator, generator, Some(generators)),
    ];
    Ok(children.into_iter().map(Child::stamped).collect())
}

/// What is left of a test when its pods are gone.
pub(crate) fn summary_map(owner: &Owner, json: String) -> Child {
    Child::ConfigMap(ConfigMap {
        metadata: meta(owner, names::summary(&owner.name), None),
        data: Some(BTreeMap::from([(names::SUMMARY_KEY.to_owned(), json)])),
        ..ConfigMap::default()
    })
    .stamped()
}

/// Immutable: whatever is edited later, the run is what it was.
fn plan_map(input: &TestInput<'_>) -> Child {
    let mut metadata = meta(input.owner, names::plan(&input.owner.name), None);
    metadata.annotations = Some(Texts::from([(names::TARGETS_ANNOTATION.to_owned(), compact(&input.plan.targets))]));
    Child::ConfigMap(ConfigMap {
        metadata,
        immutable: Some(true),
        data: Some(BTreeMap::from([(PLAN_KEY.to_owned(), input.plan.json.clone())])),
        ..ConfigMap::default()
    })
}

fn compact<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| text(value))
}

/// With a virtual address, so that its name resolves before there is a pod; and to it before the conductor is ready.
fn conductor_service(owner: &Owner) -> Child {
    let mut child = service(owner, Component::Conductor, names::conductor(&owner.name), false, false);
    if let Child::Service(service) = &mut child
        && let Some(spec) = &mut service.spec
    {
        spec.publish_not_ready_addresses = Some(true);
    }
    child
}

fn generator(input: &TestInput<'_>) -> Result<PodTemplateSpec, Invalid> {
    let owner = input.owner;
    let conductor = names::conductor_url(&owner.name);
    template(&Pod {
        template: &input.spec.generator.pod,
        args: supervised(None, &["generator", "--conductor", &conductor]),
        mounts: &input.plan.generator,
        subdomain: Some(names::generator(&owner.name)),
        requests: ("500m", 256 << 20),
        ..pod(input, Component::Generator)
    })
}

fn conductor(input: &TestInput<'_>) -> Result<PodTemplateSpec, Invalid> {
    let owner = input.owner;
    let (plan, engine) = (format!("{PLAN_DIR}/{PLAN_KEY}"), format!("{ENGINE_DIR}/{ENGINE_KEY}"));
    let role = ["conductor", "--plan", &plan, "--engine", &engine, "--results", RESULTS_DIR];
    let asked = conductor_template(input.spec);
    template(&Pod {
        template: &asked,
        field: "spec.conductor",
        args: supervised(None, &role),
        mounts: &input.plan.conductor,
        volumes: vec![
            (plan_volume(owner), PLAN_DIR, true),
            (engine_volume(), ENGINE_DIR, true),
            (empty_dir("results", false, RESULTS_BYTES), RESULTS_DIR, false),
        ],
        // There from the beginning, so that the file is.
        annotations: Texts::from([(ENGINE_ANNOTATION.to_owned(), compact(&protocol::EngineReport::default()))]),
        requests: ("100m", 256 << 20),
        ..pod(input, Component::Conductor)
    })
}

fn pod<'a>(input: &TestInput<'a>, component: Component) -> Pod<'a> {
    Pod {
        owner: input.owner,
        component,
        template: &input.spec.generator.pod,
        field: "spec.generator.pod",
        image: input.image,
        args: Vec::new(),
        fields: &[],
        mounts: &input.plan.generator,
        volumes: Vec::new(),
        annotations: Texts::new(),
        service_account: None,
        restart_policy: Some("Never"),
        subdomain: None,
        liveness: false,
        https: false,
        requests: ("100m", 256 << 20),
        grace_seconds: 30,
        bound_seconds: Some(LOST_SECONDS),
    }
}

/// Where pods may run is the same for the conductor; how large and how far apart is about generators.
fn conductor_template(spec: &api::LoadTestSpec) -> PodTemplate {
    PodTemplate {
        resources: spec.conductor.resources.clone(),
        affinity: None,
        topology_spread_constraints: Vec::new(),
        termination_grace_period_seconds: None,
        ..spec.generator.pod.clone()
    }
}

fn plan_volume(owner: &Owner) -> Volume {
    Volume {
        name: "plan".to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: names::plan(&owner.name),
            optional: Some(false),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// An annotation of the pod as a file: how the operator reaches the conductor without a network path to it.
fn engine_volume() -> Volume {
    let field_ref = ObjectFieldSelector {
        api_version: Some("v1".to_owned()),
        field_path: format!("metadata.annotations['{ENGINE_ANNOTATION}']"),
    };
    let file = DownwardAPIVolumeFile {
        path: ENGINE_KEY.to_owned(),
        field_ref: Some(field_ref),
        ..DownwardAPIVolumeFile::default()
    };
    Volume {
        name: "engine".to_owned(),
        downward_api: Some(DownwardAPIVolumeSource { items: Some(vec![file]), default_mode: None }),
        ..Volume::default()
    }
}

/// `generators` for an indexed Job: a lost one is not started again, and the others go on until their reports are taken.
fn job(owner: &Owner, component: Component, template: PodTemplateSpec, generators: Option<i32>) -> Child {
    let name = match component {
        Component::Generator => names::generator(&owner.name),
        _ => names::conductor(&owner.name),
    };
    let spec = match generators {
        Some(count) => JobSpec {
            completion_mode: Some("Indexed".to_owned()),
            completions: Some(count),
            parallelism: Some(count),
            // A limit for the whole Job would end all others with the first lost one.
            backoff_limit_per_index: Some(0),
            template,
            ..JobSpec::default()
        },
        None => JobSpec { backoff_limit: Some(0), template, ..JobSpec::default() },
    };
    Child::Job(Job { metadata: meta(owner, name, Some(component)), spec: Some(spec), status: None })
}
