//! Pods from our image on a whole Kubernetes node: `hack/cluster` starts one, or `KUBECONFIG` names a cluster that
//! has the image of `manifests/kind` already.
//!
//! A harness of its own, for one cluster serves all scenarios: `cargo test … --test cluster -- [WORD…]` runs those whose names hold a word.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, reason = "tests end by panics")]

mod clean_up;
mod documents;
#[path = "../guardian.rs"]
mod guardian;
mod leader;
mod load;
mod namespaced;
mod node;
#[path = "../shared.rs"]
mod shared;
mod troubles;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use node::Cluster;

type Scenario = (&'static str, fn(&Cluster));

const SCENARIOS: &[Scenario] = &[
    ("quickstart_passes_as_it_does_on_one_machine", load::quickstart),
    ("nothing_is_lost_when_a_worker_is_killed_and_another_one_deleted", load::killed_and_deleted),
    ("nothing_is_lost_when_the_sink_is_scaled_under_load", load::scaled),
    ("histograms_are_the_sum_of_those_of_the_pods", load::merged),
    ("what_keeps_a_test_from_running_is_told_in_the_pods_words", troubles::each_is_told),
    ("what_happens_to_a_running_test_ends_it", troubles::while_running),
    ("an_operator_that_leads_and_goes_is_replaced_while_a_test_runs", leader::replaced),
    ("nothing_is_left_of_what_was_deleted", clean_up::nothing_is_left),
    ("an_operator_for_one_namespace_needs_no_right_elsewhere", namespaced::operator),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let chosen: Vec<&Scenario> = SCENARIOS
        .iter()
        .filter(|(name, _)| words.is_empty() || words.iter().any(|w| name.contains(w.as_str())))
        .collect();
    if std::env::args().any(|word| word == "--list") {
        for (name, _) in SCENARIOS {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() {
        return ExitCode::SUCCESS;
    }
    let cluster = match Cluster::start() {
        Ok(cluster) => cluster,
        Err(why) => {
            shared::skip("the tests with pods", &why);
            return ExitCode::SUCCESS;
        }
    };
    println!("\nrunning {} scenarios in {}", chosen.len(), cluster.name());
    let mut failed = Vec::new();
    for (name, scenario) in chosen {
        let begun = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(|| scenario(&cluster)));
        let word = if ended.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.0} s)", begun.elapsed().as_secs_f64());
        if ended.is_err() {
            failed.push(*name);
            cluster.logs(name);
        }
        cluster.clear();
    }
    drop(cluster);
    println!("\ntest result: {}. {} failed\n", if failed.is_empty() { "ok" } else { "FAILED" }, failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
