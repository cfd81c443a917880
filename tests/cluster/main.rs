//! Pods from our image on a whole Kubernetes node: `hack/cluster` starts one, or `KUBECONFIG` names a cluster that
//! has the image of `manifests/kind` already.
//!
//! A harness of its own, for one cluster serves all scenarios: `cargo test … --test cluster -- [WORD…]` runs those whose names hold a word.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, reason = "tests end by panics")]

mod api;
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

/// These go beside each other, each column one after the other: they wait more than they work, and touch their own namespaces only.
const BESIDE: [&[Scenario]; 2] = [
    &[
        ("quickstart_passes_as_it_does_on_one_machine", load::quickstart),
        ("nothing_is_lost_when_the_sink_is_scaled_under_load", load::scaled),
        ("histograms_are_the_sum_of_those_of_the_pods", load::merged),
    ],
    &[
        ("nothing_is_left_of_what_was_deleted", clean_up::nothing_is_left),
        ("nothing_is_lost_when_a_worker_is_killed_and_another_one_deleted", load::killed_and_deleted),
    ],
];

/// Then these: with many pods at once, or with an operator that is not there for all.
const ALONE: &[Scenario] = &[
    ("what_keeps_a_test_from_running_is_told_in_the_pods_words", troubles::each_is_told),
    ("what_happens_to_a_running_test_ends_it", troubles::while_running),
    ("an_operator_that_leads_and_goes_is_replaced_while_a_test_runs", leader::replaced),
    ("an_operator_for_one_namespace_needs_no_right_elsewhere", namespaced::operator),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let chosen = |(name, _): &&Scenario| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let count = BESIDE.into_iter().chain([ALONE]).flatten().filter(chosen).count();
    if std::env::args().any(|word| word == "--list") {
        BESIDE.into_iter().chain([ALONE]).flatten().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if count == 0 {
        return ExitCode::SUCCESS;
    }
    let cluster = match Cluster::start() {
        Ok(cluster) => cluster,
        Err(why) => {
            shared::skip("the tests with pods", &why);
            return ExitCode::SUCCESS;
        }
    };
    println!("\nrunning {count} scenarios in {}", cluster.name());
    let mut ok = std::thread::scope(|scope| {
        let cluster = &cluster;
        let column =
            |column: &'static [Scenario]| column.iter().filter(chosen).filter(|one| !well(cluster, one)).count();
        let columns = BESIDE.map(|scenarios| scope.spawn(move || column(scenarios)));
        columns.map(|failed| failed.join().unwrap_or(1)) == [0, 0]
    });
    cluster.clear();
    for one in ALONE.iter().filter(chosen) {
        ok &= well(&cluster, one);
        cluster.clear();
    }
    drop(cluster);
    println!("\ntest result: {}\n", if ok { "ok" } else { "FAILED" });
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one, and says how it ended.
fn well(cluster: &Cluster, (name, scenario): &Scenario) -> bool {
    let begun = Instant::now();
    let well = catch_unwind(AssertUnwindSafe(|| scenario(cluster))).is_ok();
    println!("test {name} ... {} ({:.0} s)", if well { "ok" } else { "FAILED" }, begun.elapsed().as_secs_f64());
    if !well {
        cluster.logs(name);
    }
    well
}
