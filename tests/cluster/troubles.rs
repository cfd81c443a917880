//! What goes wrong in clusters: each becomes a condition with a reason and the pod's own words, the test ends, and others go on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::documents::{all, load_test, sink, store};
use crate::load::flows;
use crate::node::{Cluster, condition, until};

/// How soon a trouble has to be told.
const TOLD: Duration = Duration::from_secs(30);
const ENDED: Duration = Duration::from_secs(150);
/// So many cases go beside each other: the clock is for the operator, not for a node that starts fifty pods.
const AT_ONCE: usize = 6;

/// A file that is there and holds no certificate.
const BAD_CA: &str = "  backend:\n    url: https://store-receiver:9400/api/v1/write\n    tlsConfig: {ca: {configMap: {name: garbage, key: ca.crt}}}";
/// More series than the receiver's memory holds.
const MILLION: &str = "  workload: [{name: app, targets: 1000, seriesPerTarget: 1000, scrapeInterval: 60s}]\n  stages: [{for: 5s, rate: 1k}]\n  deadline: 60s";
const SHORT: &str = "  stages: [{for: 5s, rate: 1k}]\n  deadline: 30s";

struct Case {
    namespace: &'static str,
    documents: String,
    /// The object and its condition that tell it.
    on: (&'static str, &'static str, &'static str),
    reason: &'static str,
    words: &'static str,
}

fn cases() -> Vec<Case> {
    let with = |resources: &str| all(1, &format!("  pod: {{resources: {resources}}}"), SHORT);
    let lt = ("lt", "test", "Finished");
    let ca = "  backend:\n    url: https://store-receiver:9400/api/v1/write\n    tlsConfig: {ca: {secret: {name: absent, key: ca.crt}}}";
    let direct = "endpoint: {url: https://store-receiver:9400/api/v1/write, basicAuth: {username: {name: absent, key: u}, password: {name: absent, key: p}}}";
    vec![
        Case {
            namespace: "unschedulable",
            documents: with("{requests: {cpu: 100}}"),
            on: lt,
            reason: "Unschedulable",
            words: "Insufficient cpu",
        },
        Case {
            namespace: "image",
            documents: all(1, "  pod: {image: 'docker.io/library/floodmark:absent', imagePullPolicy: Never}", SHORT),
            on: lt,
            reason: "ImagePullFailed",
            words: "floodmark:absent",
        },
        Case {
            namespace: "registry",
            documents: all(1, "  pod: {image: 'nowhere.invalid/floodmark:1'}", SHORT),
            on: lt,
            reason: "ImagePullFailed",
            words: "nowhere.invalid",
        },
        Case {
            namespace: "secret",
            documents: all(1, ca, SHORT),
            on: lt,
            reason: "SecretNotFound",
            words: "\"absent\"",
        },
        Case {
            namespace: "generator-secret",
            documents: format!("{}---\n{}", store(""), load_test("test", direct, SHORT)),
            on: lt,
            reason: "SecretNotFound",
            words: "\"absent\"",
        },
        Case {
            namespace: "quota",
            documents: all(1, "", SHORT),
            on: lt,
            reason: "QuotaExceeded",
            words: "exceeded quota",
        },
        // A node for the conductor may come at any time: that it is waited for is told as soon as with all others.
        Case {
            namespace: "late",
            documents: all(
                1,
                "",
                "  conductor: {resources: {requests: {cpu: 100}}}\n  stages: [{for: 1s, rate: 1k}]\n  deadline: 10s",
            ),
            on: lt,
            reason: "DeadlineExceeded",
            words: "Insufficient cpu",
        },
        Case {
            namespace: "oom",
            documents: [
                store("  pod: {resources: {requests: {memory: 16Mi}, limits: {memory: 16Mi}}}"),
                sink("sink", 1, ""),
                load_test("test", "sinkRef: {name: sink}", MILLION),
            ]
            .join("---\n"),
            on: ("rwr", "store", "Degraded"),
            reason: "OOMKilled",
            words: "137",
        },
        Case {
            namespace: "generator-oom",
            documents: all(
                1,
                "",
                &format!(
                    "  generator: {{pod: {{resources: {{requests: {{memory: 16Mi}}, limits: {{memory: 16Mi}}}}}}}}\n{MILLION}"
                ),
            ),
            on: lt,
            reason: "Completed",
            words: "OOMKilled",
        },
        // What is acknowledged and goes nowhere stays in its memory.
        Case {
            namespace: "worker-oom",
            documents: [
                store("  answers: [{type: Hang}]"),
                sink(
                    "sink",
                    1,
                    "  ackPolicy: Buffered\n  pod: {resources: {requests: {memory: 12Mi}, limits: {memory: 12Mi}}}",
                ),
                load_test("test", "sinkRef: {name: sink}", "  stages: [{for: 20s, rate: 200k}]\n  deadline: 60s"),
            ]
            .join("---\n"),
            on: ("rws", "sink", "Degraded"),
            reason: "OOMKilled",
            words: "137",
        },
        Case {
            namespace: "crash-loop",
            documents: all(1, BAD_CA, SHORT),
            on: ("rws", "sink", "Degraded"),
            reason: "Restarted",
            words: "ca.crt",
        },
        Case {
            namespace: "nobody",
            documents: all(1, "  backend: {url: 'http://nobody:9400/api/v1/write'}", SHORT),
            on: ("rws", "sink", "Degraded"),
            reason: "BackendUnreachable",
            words: "nobody",
        },
        Case {
            namespace: "refuses",
            documents: all(1, "  backend:\n    url: http://store-receiver:9400/absent", SHORT),
            on: lt,
            reason: "Completed",
            words: "404",
        },
    ]
}

/// Before anything runs.
pub fn each_is_told(cluster: &Cluster) {
    let cases = cases();
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, SeqCst)) {
                    if catch_unwind(AssertUnwindSafe(|| told(cluster, case))).is_err() {
                        failed.lock().unwrap().push(case.namespace);
                    }
                }
            });
        }
        let neighbour = scope.spawn(|| {
            cluster.namespace("neighbour");
            cluster.apply("neighbour", &all(1, "", "  stages: [{for: 20s, rate: 1k}]\n  deadline: 3m"));
            cluster.passed("neighbour", "lt/test")
        });
        neighbour.join().unwrap();
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{failed:?}");
}

fn told(cluster: &Cluster, case: &Case) {
    let namespace = case.namespace;
    cluster.namespace(namespace);
    if namespace == "quota" {
        cluster.kubectl(&["-n", namespace, "create", "quota", "few", "--hard=pods=0"]);
    }
    cluster.kubectl(&["-n", namespace, "create", "configmap", "garbage", "--from-literal=ca.crt=garbage"]);
    cluster.apply(namespace, &case.documents);
    let begun = Instant::now();
    let (kind, name, which) = case.on;
    let seen = || condition(&cluster.get(namespace, kind, name)?, which);
    // What ends a test only later is named as soon as all else.
    let (_, first, _) = until(&format!("{namespace}: {}", case.words), TOLD, || {
        seen().filter(|(_, _, message)| message.contains(case.words))
    });
    println!("{namespace}: named by {first} after {:.0} s", begun.elapsed().as_secs_f64());
    let limit = if matches!(case.reason, "Completed" | "DeadlineExceeded") { ENDED } else { TOLD };
    let left = limit.saturating_sub(begun.elapsed());
    let message = until(&format!("{namespace}: {}", case.reason), left, || {
        seen().filter(|(_, reason, _)| reason == case.reason).map(|(_, _, message)| message)
    });
    println!("{namespace}: {} after {:.0} s: {message}", case.reason, begun.elapsed().as_secs_f64());
    assert!(message.contains(case.words), "{namespace}: {message}");
    if case.reason == "Restarted" {
        until("it is said to loop", ENDED, || (seen()?.1 == "CrashLoop").then_some(()));
    }
    // Its test ends without a verdict that it could not have, and says why.
    let (code, text) = cluster.wait(namespace, "lt/test");
    println!("{namespace}: {text}");
    assert_eq!(code, 3, "{namespace}: inconclusive: {text}");
    assert!(text.contains(case.words), "{namespace}: {text}");
}

/// While samples flow: what is done to them, the reason of `Finished`, what the first reasons say, and how soon.
struct Incident {
    namespace: &'static str,
    breaks: fn(&Cluster, &str),
    reason: &'static str,
    words: &'static str,
    within: Duration,
}

pub fn while_running(cluster: &Cluster) {
    let soon = |namespace, breaks, reason, words| Incident { namespace, breaks, reason, words, within: TOLD };
    let cases = [
        soon(
            "generator-lost",
            |cluster, namespace| delete(cluster, namespace, "test-generator"),
            "Completed",
            "lost for good: generator 0",
        ),
        soon(
            "conductor-lost",
            |cluster, namespace| delete(cluster, namespace, "test-conductor"),
            "ConductorLost",
            "its pod is gone",
        ),
        soon("aborted", abort, "Completed", "spec.abort is set"),
        // Its end comes with that of the schedule: what came after the loss may still be wanted.
        Incident {
            namespace: "store-lost",
            breaks: store_lost,
            reason: "Completed",
            words: "what was stored is gone",
            within: ENDED,
        },
    ];
    std::thread::scope(|scope| {
        let each: Vec<_> = cases.iter().map(|case| (case.namespace, scope.spawn(|| incident(cluster, case)))).collect();
        let failed: Vec<_> = each.into_iter().filter_map(|(name, case)| case.join().is_err().then_some(name)).collect();
        assert!(failed.is_empty(), "{failed:?}");
    });
}

fn incident(cluster: &Cluster, case: &Incident) {
    let namespace = case.namespace;
    cluster.namespace(namespace);
    cluster.apply(namespace, &all(1, "", "  stages: [{for: 40s, rate: 1k}]\n  deadline: 2m"));
    flows(cluster, namespace, 1);
    let begun = Instant::now();
    (case.breaks)(cluster, namespace);
    let test = until(&format!("{namespace}: it ends"), case.within, || {
        let test = cluster.get(namespace, "lt", "test")?;
        (condition(&test, "Finished")?.0 == "True").then_some(test)
    });
    let (_, reason, message) = condition(&test, "Finished").unwrap();
    println!("{namespace}: {reason} after {:.0} s: {}", begun.elapsed().as_secs_f64(), test["status"]["reasons"]);
    assert_eq!(reason, case.reason, "{namespace}: {message}");
    assert_eq!(test["status"]["verdict"], "Inconclusive");
    let said = format!("{message} {}", test["status"]["reasons"]);
    assert!(said.contains(case.words), "{namespace}: {said}");
    assert_eq!(condition(&test, "Passed").unwrap().0, "Unknown");
    assert_eq!(cluster.wait(namespace, "lt/test").0, 3);
}

fn delete(cluster: &Cluster, namespace: &str, job: &str) {
    let selector = format!("batch.kubernetes.io/job-name={job}");
    cluster.kubectl(&["-n", namespace, "delete", "pod", "-l", &selector, "--grace-period=0", "--force"]);
}

fn abort(cluster: &Cluster, namespace: &str) {
    cluster.kubectl(&["-n", namespace, "patch", "lt", "test", "--type=merge", "-p", "{\"spec\":{\"abort\":true}}"]);
}

fn store_lost(cluster: &Cluster, namespace: &str) {
    cluster.kubectl(&["-n", namespace, "delete", "pod", "store-receiver-0", "--grace-period=0", "--force"]);
}
