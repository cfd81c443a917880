//! All names and addresses of children, as functions of the object's name. An object's name has at most 40 characters, so every one
//! of these stays a DNS label; a sink, a receiver and a test of one name have no child in common.

/// Where a role listens in its pod.
pub(crate) const PORT: u16 = 9400;
/// Where its supervisor listens.
pub(crate) const SUPERVISOR_PORT: u16 = 9401;
/// Where the supervisor keeps the control documents and its own record.
pub(crate) const CONTROL_DIR: &str = "/run/floodmark";
/// Where the conductor's plan and the engine's report are mounted.
pub(crate) const PLAN_DIR: &str = "/etc/floodmark/plan";
pub(crate) const ENGINE_DIR: &str = "/etc/floodmark/engine";
/// Where the conductor writes its results.
pub(crate) const RESULTS_DIR: &str = "/results";

/// Keys of control and plan maps, and the names of the files made of them.
pub(crate) const CONTROL_KEY: &str = "control.json";
pub(crate) const PLAN_KEY: &str = "plan.json";
pub(crate) const ENGINE_KEY: &str = "engine.json";
pub(crate) const SUMMARY_KEY: &str = "summary.json";

/// Annotation of the conductor's pod: `protocol::EngineReport` as JSON.
pub(crate) const ENGINE_ANNOTATION: &str = "floodmark.dev/engine";
/// Annotation of every child: hash of what was applied.
pub(crate) const APPLIED_ANNOTATION: &str = "floodmark.dev/applied";
/// Annotation of a `StatefulSet`: hash of its pod template as it was built.
pub(crate) const TEMPLATE_ANNOTATION: &str = "floodmark.dev/template";
/// Annotation of a pod: hash of the plan that its role reads once.
pub(crate) const PLAN_HASH_ANNOTATION: &str = "floodmark.dev/plan-hash";
/// Before the hash in the name of a map that stands for an endpoint.
const TARGET: &str = "floodmark-target-";
/// Annotation of a test's plan: the targets it holds, as JSON.
pub(crate) const TARGETS_ANNOTATION: &str = "floodmark.dev/targets";

/// `StatefulSet`, Service, `ServiceAccount`, Role, `RoleBinding` and PDB of a sink.
pub(crate) fn sink(name: &str) -> String {
    format!("{name}-sink")
}

/// Headless Service of a sink's workers.
pub(crate) fn sink_workers(name: &str) -> String {
    format!("{name}-sink-workers")
}

pub(crate) fn sink_control(name: &str) -> String {
    format!("{name}-sink-control")
}

/// `StatefulSet`, Service, `ServiceAccount`, Role, `RoleBinding` and PDB of a receiver.
pub(crate) fn receiver(name: &str) -> String {
    format!("{name}-receiver")
}

pub(crate) fn receiver_control(name: &str) -> String {
    format!("{name}-receiver-control")
}

/// Job and Service of a test's conductor.
pub(crate) fn conductor(name: &str) -> String {
    format!("{name}-conductor")
}

/// Job and headless Service of a test's generators.
pub(crate) fn generator(name: &str) -> String {
    format!("{name}-generator")
}

pub(crate) fn plan(name: &str) -> String {
    format!("{name}-plan")
}

pub(crate) fn summary(name: &str) -> String {
    format!("{name}-summary")
}

/// PDB over all pods of a run.
pub(crate) fn run(name: &str) -> String {
    format!("{name}-run")
}

/// The map that stands for an endpoint which is no object of ours: who makes it has the target for itself.
pub(crate) fn target(url: &str) -> String {
    format!("{TARGET}{:016x}", xxhash_rust::xxh3::xxh3_64(url.as_bytes()))
}

/// Whether `target` may have made that name. A test may be named almost like it, and no child of one is named by a hash alone.
pub(crate) fn is_target(name: &str) -> bool {
    let hash = name.strip_prefix(TARGET);
    hash.is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

/// Pod of a `StatefulSet`.
pub(crate) fn worker_pod(sink_name: &str, ordinal: u32) -> String {
    format!("{}-{ordinal}", sink(sink_name))
}

/// `host:port` of a worker, for control documents.
pub(crate) fn worker_address(sink_name: &str, ordinal: u32) -> String {
    format!("{}.{}:{PORT}", worker_pod(sink_name, ordinal), sink_workers(sink_name))
}

/// Base addresses for plans.
pub(crate) fn worker_url(sink_name: &str, ordinal: u32) -> String {
    format!("http://{}", worker_address(sink_name, ordinal))
}

pub(crate) fn worker_supervisor_url(sink_name: &str, ordinal: u32) -> String {
    format!("http://{}.{}:{SUPERVISOR_PORT}", worker_pod(sink_name, ordinal), sink_workers(sink_name))
}

pub(crate) fn receiver_url(name: &str, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    format!("{scheme}://{}:{PORT}", receiver(name))
}

pub(crate) fn receiver_supervisor_url(name: &str) -> String {
    format!("http://{}:{SUPERVISOR_PORT}", receiver(name))
}

pub(crate) fn conductor_url(name: &str) -> String {
    format!("http://{}:{PORT}", conductor(name))
}

pub(crate) fn generator_url(name: &str, index: u32) -> String {
    format!("http://{0}-{index}.{0}:{PORT}", generator(name))
}

/// Value of the label `floodmark_run`: the same after any crash, another one for every object.
pub(crate) fn run_id(test_uid: &str) -> String {
    format!("{:08x}", xxhash_rust::xxh3::xxh3_64(test_uid.as_bytes()) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_stays_a_label_everywhere() {
        let name = "n".repeat(40);
        let all = [
            sink_workers(&name),
            sink_control(&name),
            receiver_control(&name),
            summary(&name),
            target("http://x"),
            worker_pod(&name, 255),
            format!("{}-255", generator(&name)),
            // Pods of a Job without an index: a dash and five characters.
            format!("{}-abcde", conductor(&name)),
        ];
        for child in all {
            assert!(child.len() <= 63, "{child}");
        }
        // The controller's revision label appends a dash and ten characters to the name of a StatefulSet.
        assert!(receiver(&name).len() <= 52 && sink(&name).len() <= 52);
    }

    #[test]
    fn a_run_is_named_by_the_identity_of_its_test() {
        assert_eq!(run_id("a"), run_id("a"));
        assert_ne!(run_id("a"), run_id("b"));
        assert_eq!(run_id("a").len(), 8);
    }

    #[test]
    fn an_endpoint_is_told_from_a_test_that_is_named_like_one() {
        assert!(is_target(&target("http://x")));
        for test in ["floodmark-target-eu", "floodmark-target-0123456789abcdef"] {
            for child in [summary(test), plan(test), conductor(test), run(test)] {
                assert!(!is_target(&child), "{child}");
            }
        }
        assert!(!is_target("floodmark-target-"));
    }

    #[test]
    fn parts_find_each_other_by_short_names() {
        assert_eq!(worker_url("s", 2), "http://s-sink-2.s-sink-workers:9400");
        assert_eq!(worker_supervisor_url("s", 2), "http://s-sink-2.s-sink-workers:9401");
        assert_eq!(receiver_url("r", true), "https://r-receiver:9400");
        assert_eq!(generator_url("t", 1), "http://t-generator-1.t-generator:9400");
    }
}
