//! What the parts tell each other, as JSON: read, written and read again it is the same, and what is added up does not break.
//! The first byte says who tells.
#![no_main]

use std::fmt::Debug;
use std::sync::Arc;

use faults::FaultPlan;
use ledger::{Repeats, SeriesSeen, SlotTable, StoreReport};
use libfuzzer_sys::fuzz_target;
use protocol::{
    ChaosTimeline, EngineReport, GeneratorReport, OwnershipDoc, PhaseDoc, ProgressDoc, ReceiverControl, RolePlan,
    RunPlan, SinkWorkerPlan, SupervisorReport, WorkerReport,
};
use report::Summary;
use serde::Serialize;
use serde::de::DeserializeOwned;
use workload::Workload;

fuzz_target!(|input: &[u8]| {
    let Some((who, json)) = input.split_first() else { return };
    match who % 16 {
        0 => _ = same_again(json).map(|report: GeneratorReport| generator(&report)),
        1 => _ = same_again(json).map(|report: WorkerReport| worker(&report)),
        2 => _ = same_again(json).map(|report: StoreReport| store(&report)),
        3 => _ = same_again(json).map(|seen: Vec<SeriesSeen>| series(&seen)),
        4 => _ = same_again::<SlotTable>(json),
        5 => _ = same_again(json).map(|plan: RunPlan| run(&plan)),
        6 => _ = same_again::<PhaseDoc>(json),
        7 => _ = same_again::<ChaosTimeline>(json),
        8 => _ = same_again::<ProgressDoc>(json),
        9 => _ = same_again::<OwnershipDoc>(json),
        10 => _ = same_again::<SupervisorReport>(json),
        11 => _ = same_again::<EngineReport>(json),
        12 => _ = same_again::<RolePlan>(json),
        13 => _ = same_again::<SinkWorkerPlan>(json),
        14 => _ = same_again(json).map(|control: ReceiverControl| receiver::fuzzing::refuses(&control)),
        _ => _ = std::str::from_utf8(json).map(summary),
    }
});

fn same_again<T: DeserializeOwned + Serialize + PartialEq + Debug>(json: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(json).ok()?;
    let written = serde_json::to_string(&value).unwrap();
    let read: Result<T, _> = serde_json::from_str(&written);
    assert_eq!(read.as_ref().ok(), Some(&value), "{written}: {read:?}");
    Some(value)
}

fn generator(report: &GeneratorReport) {
    let mut sum = report.account.clone();
    sum.merge(&report.account);
    let _ = sum.balance();
    for fault in &report.faults {
        let mut sum = fault.account;
        sum.merge(&fault.account);
    }
    repeated(&report.account.repeats);
}

fn worker(report: &WorkerReport) {
    let mut sum = report.account.clone();
    sum.merge(&report.account);
    let _ = sum.balance();
    repeated(&report.account.repeats);
}

fn repeated(repeats: &Repeats) {
    for mut sum in [repeats.clone(), Repeats::default()] {
        sum.merge(repeats);
        let _ = sum.samples();
    }
}

fn store(report: &StoreReport) {
    let mut sum = report.clone();
    sum.merge(report);
    assert_eq!(sum.distinct.diff(&report.distinct).is_empty(), report.distinct == SlotTable::new());
}

fn series(seen: &[SeriesSeen]) {
    for pair in seen.windows(2) {
        let mut both = pair[0].clone();
        both.merge(&pair[1]);
        assert!((0..64).all(|k| both.holds(k) == (pair[0].holds(k) || pair[1].holds(k))));
    }
}

/// A plan that is carried out makes the same samples wherever it is read.
fn run(plan: &RunPlan) {
    let small = plan.workload.iter().all(|group| group.metrics < 1000 && group.labels.value_length < 1000);
    let Some(workload) =
        small.then(|| Workload::new(&plan.workload, &plan.stages, plan.seed, &plan.run).ok()).flatten()
    else {
        return;
    };
    let workload = Arc::new(workload);
    let _ = FaultPlan::new(&plan.faults, plan.seed, &workload);
    let last = workload.series() - 1;
    for base in [0, last / 2, last] {
        for k in [0, 1, 1000] {
            let Some(at) = workload.timestamp_ms(0, base, k) else { continue };
            assert_eq!(workload.k_at(0, base, at), Some(k), "sample {k} of {base}");
            let _ = workload.generation_at(base, k);
        }
    }
}

fn summary(json: &str) {
    let Ok(mut summary) = Summary::from_json(json) else { return };
    summary.tidy();
    let written = summary.to_json().unwrap();
    assert_eq!(Summary::from_json(&written).unwrap(), summary);
    report::render_html(&summary);
    report::render_junit(&summary);
    let _ = summary.capped(1000);
}
