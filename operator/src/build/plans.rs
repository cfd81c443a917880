//! Plans whose files are mounted paths, and which Secrets and maps have to be mounted for them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use api::{LoadTestSpec, RemoteWriteReceiverSpec, RemoteWriteSinkSpec};
use k8s_openapi::api::core::v1::{ConfigMap, ConfigMapVolumeSource, KeyToPath, SecretVolumeSource, Volume};
use ownership::ControlDocument;
use plans::{Files, Kept, ReceiverAt, Test};
pub(crate) use plans::{Named, chaos_entries};
use protocol::{ReceiverControl, RolePlan, Supervisors};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::names;

/// Autoscalers need minutes for a node; what it waits for stands in the conditions within seconds all the same.
const READY: Duration = Duration::from_mins(5);
/// Readable for the group that all pods run as.
const MODE: i32 = 0o440;

type Keys = BTreeMap<(Kept, String), BTreeSet<String>>;

/// The keys of Secrets and maps that a role needs as files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mounts(Keys);

impl Mounts {
    /// Nothing of it is read here: kubelet mounts it, or says why not.
    fn collect<T>(make: impl FnOnce(&Collector) -> Result<T, Infallible>) -> (T, Self) {
        let collector = Collector::default();
        let Ok(made) = make(&collector);
        (made, Self(collector.0.into_inner()))
    }

    pub(crate) fn volumes(&self) -> impl Iterator<Item = Volume> {
        self.0.iter().map(|((kept, name), keys)| {
            let items = keys.iter().map(|key| KeyToPath { key: key.clone(), path: key.clone(), mode: None });
            let items = Some(items.collect());
            let mut volume = Volume { name: volume(*kept, name), ..Volume::default() };
            match kept {
                Kept::Secret => {
                    volume.secret = Some(SecretVolumeSource {
                        secret_name: Some(name.clone()),
                        items,
                        default_mode: Some(MODE),
                        optional: Some(false),
                    });
                }
                Kept::ConfigMap => {
                    volume.config_map = Some(ConfigMapVolumeSource {
                        name: name.clone(),
                        items,
                        default_mode: Some(MODE),
                        optional: Some(false),
                    });
                }
            }
            volume
        })
    }

    /// Volume and folder.
    pub(crate) fn mounts(&self) -> impl Iterator<Item = (String, String)> {
        self.0.keys().map(|(kept, name)| (volume(*kept, name), folder(*kept, name)))
    }
}

/// Volumes have names of 63 characters without dots, Secrets of 253 with them.
fn volume(kept: Kept, name: &str) -> String {
    let prefix = match kept {
        Kept::Secret => "secret",
        Kept::ConfigMap => "config",
    };
    let fits =
        name.len() <= 48 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if fits { format!("{prefix}-{name}") } else { format!("{prefix}-{:016x}", xxh3_64(name.as_bytes())) }
}

fn folder(kept: Kept, name: &str) -> String {
    match kept {
        Kept::Secret => format!("/etc/floodmark/secrets/{name}"),
        Kept::ConfigMap => format!("/etc/floodmark/configs/{name}"),
    }
}

#[derive(Default)]
struct Collector(RefCell<Keys>);

impl Files for Collector {
    type Error = Infallible;

    fn file(&self, _field: &str, kept: Kept, name: &str, key: &str) -> Result<PathBuf, Infallible> {
        self.0.borrow_mut().entry((kept, name.to_owned())).or_default().insert(key.to_owned());
        Ok(PathBuf::from(folder(kept, name)).join(key))
    }
}

/// What a sink's workers read once, and what has to be mounted for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SinkPlan {
    pub(crate) json: String,
    pub(crate) mounts: Mounts,
}

impl SinkPlan {
    pub(crate) fn hash(&self) -> String {
        format!("{:016x}", xxh3_64(self.json.as_bytes()))
    }
}

/// `receiver` is the one that the backend names.
pub(crate) fn sink_plan(
    sink: Named<'_, RemoteWriteSinkSpec>,
    receiver: Option<Named<'_, RemoteWriteReceiverSpec>>,
) -> SinkPlan {
    let base = receiver.map(receiver_base);
    let receiver = receiver.zip(base.as_deref()).map(|(receiver, base)| ReceiverAt { spec: receiver.spec, base });
    let (plan, mounts) = Mounts::collect(|files| plans::sink_plan(sink, receiver, files));
    SinkPlan { json: text(&plan), mounts }
}

/// The control document of a sink that has none yet.
pub(crate) fn first_control(uid: &str, sink: Named<'_, RemoteWriteSinkSpec>) -> ControlDocument {
    let addresses = (0..sink.spec.replicas).map(|ordinal| names::worker_address(sink.name, ordinal)).collect();
    plans::first_control(uid, sink.spec, addresses)
}

/// `conductor` is the base address of the run's.
pub(crate) fn receiver_control(spec: &RemoteWriteReceiverSpec, conductor: Option<String>) -> (ReceiverControl, Mounts) {
    Mounts::collect(|files| plans::receiver_control(spec, conductor, files))
}

fn receiver_base(receiver: Named<'_, RemoteWriteReceiverSpec>) -> String {
    names::receiver_url(receiver.name, receiver.spec.tls_config.is_some())
}

/// What a test holds while it runs, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Targets {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sink: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) receiver: Option<String>,
}

impl Targets {
    /// What the plan that was frozen says, whatever the documents say by now.
    pub(crate) fn of_plan(map: &ConfigMap) -> Self {
        let annotation = map.metadata.annotations.as_ref().and_then(|all| all.get(names::TARGETS_ANNOTATION));
        annotation.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }
}

/// A test's plan as it is frozen when it begins.
#[derive(Debug, Clone)]
pub(crate) struct TestPlan {
    /// `protocol::RolePlan`.
    pub(crate) json: String,
    pub(crate) targets: Targets,
    pub(crate) conductor: Mounts,
    pub(crate) generator: Mounts,
}

/// The plan of a test whose references are resolved. `workers` are as many as the sink's control document says; `document` is what
/// reports quote.
pub(crate) fn test_plan(
    uid: &str,
    test: Named<'_, LoadTestSpec>,
    sink: Option<Named<'_, RemoteWriteSinkSpec>>,
    workers: u32,
    receiver: Option<Named<'_, RemoteWriteReceiverSpec>>,
    document: String,
) -> TestPlan {
    let of = |count: u32, url: &dyn Fn(u32) -> String| (0..count).map(url).collect::<Vec<_>>();
    let laid_out = Test {
        name: test.name,
        spec: test.spec,
        run: names::run_id(uid),
        document,
        command: "kubectl apply -f test.yaml".to_owned(),
        sink,
        receiver,
        receiver_base: receiver.map(receiver_base),
        workers: sink.map_or_else(Vec::new, |sink| of(workers, &|ordinal| names::worker_url(sink.name, ordinal))),
        generators: of(test.spec.generator.parallelism, &|index| names::generator_url(test.name, index)),
        ready_timeout: test.spec.effective_deadline().min(READY),
    };
    let (target, generator) = Mounts::collect(|files| plans::target(&laid_out, files));
    let (plan, conductor) = Mounts::collect(|files| plans::conductor_plan(&laid_out, target, files));
    let targets = Targets {
        sink: sink.map(|sink| sink.name.to_owned()),
        receiver: receiver.map(|receiver| receiver.name.to_owned()),
    };
    let supervisors = Supervisors {
        workers: sink
            .map_or_else(Vec::new, |sink| of(workers, &|ordinal| names::worker_supervisor_url(sink.name, ordinal))),
        receivers: receiver.iter().map(|receiver| names::receiver_supervisor_url(receiver.name)).collect(),
    };
    let role = RolePlan { plan, supervisors };
    TestPlan { json: text(&role), targets, conductor, generator }
}

/// For reading by people, too: `kubectl get configmap -o yaml`.
pub(crate) fn text<T: Serialize>(document: &T) -> String {
    // Plans are maps with text keys: there is nothing that could fail.
    serde_json::to_string_pretty(document).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(yaml: serde_json::Value) -> RemoteWriteSinkSpec {
        serde_json::from_value(yaml).unwrap()
    }

    #[test]
    fn every_reference_becomes_a_file_that_is_mounted() {
        let spec = sink(serde_json::json!({"backend": {
            "url": "https://mimir/api/v1/push",
            "basicAuth": {"username": {"name": "mimir", "key": "user"}, "password": {"name": "mimir", "key": "password"}},
            "headers": [{"name": "X-Team", "valueFrom": {"secret": {"name": "team.of.ours", "key": "id"}}}],
            "tlsConfig": {"ca": {"configMap": {"name": "roots", "key": "ca.pem"}}},
        }}));
        let plan = sink_plan(Named { name: "s", spec: &spec }, None);
        let told: protocol::SinkWorkerPlan = serde_json::from_str(&plan.json).unwrap();
        let basic = told.backend.basic_auth.unwrap();
        let file = |path: &str| floodmark_http::client::Secret::File(path.into());
        assert_eq!(basic.username, file("/etc/floodmark/secrets/mimir/user"));
        assert_eq!(told.backend.headers[0].value, file("/etc/floodmark/secrets/team.of.ours/id"));
        assert_eq!(told.backend.tls.ca_file, Some("/etc/floodmark/configs/roots/ca.pem".into()));
        let volumes: Vec<Volume> = plan.mounts.volumes().collect();
        let mounts: Vec<(String, String)> = plan.mounts.mounts().collect();
        assert_eq!(volumes.len(), 3);
        for (volume, (name, folder)) in volumes.iter().zip(&mounts) {
            assert_eq!(&volume.name, name);
            assert!(name.len() <= 63 && !name.contains('.'), "{name}");
            assert!(folder.starts_with("/etc/floodmark/"), "{folder}");
        }
        let mimir = volumes.iter().find(|volume| volume.name == "secret-mimir").unwrap().secret.clone().unwrap();
        let keys: Vec<String> = mimir.items.unwrap().into_iter().map(|item| item.key).collect();
        assert_eq!(
            (keys, mimir.optional, mimir.default_mode),
            (vec!["password".into(), "user".into()], Some(false), Some(0o440))
        );
    }

    #[test]
    fn a_receiver_of_ours_is_found_and_known_to_keep_the_good_samples() {
        let spec = sink(serde_json::json!({"backend": {"receiverRef": {"name": "store"}}}));
        let store = RemoteWriteReceiverSpec::default();
        let plan = sink_plan(Named { name: "s", spec: &spec }, Some(Named { name: "store", spec: &store }));
        let told: protocol::SinkWorkerPlan = serde_json::from_str(&plan.json).unwrap();
        assert_eq!(told.backend.url, "http://store-receiver:9400/api/v1/write");
        assert_eq!(told.partial_writes, api::PartialWrites::KeepsGood);
        assert_eq!(plan.mounts, Mounts::default());
    }

    #[test]
    fn a_receiver_with_credentials_is_mounted_where_it_is_asked() {
        let key = |key: &str| serde_json::json!({"name": "door", "key": key});
        let store: RemoteWriteReceiverSpec = serde_json::from_value(serde_json::json!({
            "basicAuth": {"username": key("user"), "password": key("password")},
            "tlsConfig": {"cert": {"secret": key("crt")}, "keySecret": key("key")},
        }))
        .unwrap();
        let test: LoadTestSpec = serde_json::from_value(serde_json::json!({
            "target": {"receiverRef": {"name": "store"}}, "stages": [{"for": "1s"}],
            "workload": [{"name": "a", "targets": 1, "seriesPerTarget": 10}],
        }))
        .unwrap();
        let (test, store) = (Named { name: "t", spec: &test }, Named { name: "store", spec: &store });
        let plan = test_plan("uid", test, None, 0, Some(store), String::new());
        let told = serde_json::from_str::<RolePlan>(&plan.json).unwrap().plan;
        assert_eq!(told.receivers[0].url, "https://store-receiver:9400");
        assert!(told.receivers[0].basic_auth.is_some());
        let protocol::Target::Endpoint { endpoint } = &told.target else { panic!("{:?}", told.target) };
        assert_eq!(endpoint.url, "https://store-receiver:9400/api/v1/write");
        assert!(endpoint.basic_auth.is_some() && endpoint.tls.insecure_skip_verify);
        assert_eq!(plan.conductor.volumes().count(), 1);
        assert_eq!(plan.generator.volumes().count(), 1);
        let spec = sink(serde_json::json!({"backend": {"receiverRef": {"name": "store"}}}));
        let plan = sink_plan(Named { name: "s", spec: &spec }, Some(store));
        let told: protocol::SinkWorkerPlan = serde_json::from_str(&plan.json).unwrap();
        assert_eq!(told.backend.url, "https://store-receiver:9400/api/v1/write");
        assert!(told.backend.basic_auth.is_some() && told.backend.tls.insecure_skip_verify);
        assert_eq!(plan.mounts.volumes().next().unwrap().secret.unwrap().items.unwrap().len(), 2);
        let (control, mounts) = receiver_control(store.spec, None);
        assert_eq!(control.tls.unwrap().key_file, "/etc/floodmark/secrets/door/key");
        assert_eq!(mounts.volumes().next().unwrap().secret.unwrap().items.unwrap().len(), 4);
    }
}
