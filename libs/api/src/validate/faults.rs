//! The rules of faults and chaos.

use super::{DAY, MILLISECOND, Rules, YEAR};
use crate::{ChaosAction, DelaySpec, Distribution, Duration, Fault, FaultType, LoadTestSpec};

/// The least `ahead`: what is up to ten minutes ahead is accepted, and a sample may leave late.
pub(crate) const MIN_AHEAD: Duration = Duration::from_secs(900);

pub(crate) fn out_of_ahead() -> String {
    format!("is out of range: write a duration from {MIN_AHEAD} to {YEAR}, since what is up to 10m ahead is accepted")
}

pub(crate) fn check(rules: &mut Rules, spec: &LoadTestSpec) {
    let total = Duration(spec.stages_total());
    for (i, fault) in spec.faults.iter().enumerate() {
        check_fault(rules, fault, total, &format!("spec.faults[{i}]"));
    }
    for (i, step) in spec.chaos.iter().enumerate() {
        let at = format!("spec.chaos[{i}]");
        begins(rules, step.at, total, || format!("{at}.at"));
        let (action, scale) = (step.action, step.action == ChaosAction::Scale);
        rules.agree(
            step.sink_worker.is_some() != scale,
            || format!("{at}.sinkWorker"),
            &["action"],
            || {
                if scale {
                    "is not used with Scale: remove it".into()
                } else {
                    format!("{action:?} needs the ordinal of a worker: write one from 0")
                }
            },
        );
        rules.agree(
            step.replicas.is_some() == scale,
            || format!("{at}.replicas"),
            &["action"],
            || {
                if scale {
                    "Scale needs the new number of workers".into()
                } else {
                    format!("is not used with {action:?}: remove it")
                }
            },
        );
        match (step.r#for, action == ChaosAction::Pause) {
            (Some(time), true) => {
                rules.between(time, MILLISECOND, DAY, || format!("{at}.for"));
                let hint = "or have longer stages";
                ends(rules, step.at, time, total, || format!("{at}.for"), "at", hint);
            }
            (None, true) => rules.add(format!("{at}.for"), "Pause needs a time: write for: 10s"),
            (Some(_), false) => rules.add(format!("{at}.for"), format!("is not used with {action:?}: remove it")),
            (None, false) => {}
        }
    }
    rules.agree(
        spec.chaos.is_empty() || spec.target.sink_ref.is_some(),
        || "spec.chaos".into(),
        &["spec.target"],
        || "acts on the workers of a sink: set target.sinkRef, or remove chaos".into(),
    );
}

/// Demands that something begins while the stages run.
fn begins(rules: &mut Rules, from: Duration, total: Duration, field: impl FnOnce() -> String) {
    rules.agree(from < total, field, &["spec.stages"], || {
        format!("{from} is not before the end of the stages, {total}: write less, or have longer stages")
    });
}

/// Demands that something that begins in time also ends with the stages at the latest.
fn ends(
    rules: &mut Rules,
    from: Duration,
    time: Duration,
    total: Duration,
    field: impl FnOnce() -> String,
    start: &str,
    otherwise: &str,
) {
    let end = Duration(from.0.saturating_add(time.0));
    rules.agree(from >= total || end <= total, field, &[start, "spec.stages"], || {
        let most = Duration(total.0.saturating_sub(from.0));
        format!("{time} from {from} on ends at {end}, after the stages, {total}: write at most {most}, {otherwise}")
    });
}

fn check_fault(rules: &mut Rules, fault: &Fault, total: Duration, path: &str) {
    let needs_predecessor = matches!(fault.r#type, FaultType::OutOfOrder | FaultType::ConflictingDuplicate);
    rules.need(
        fault.share.0 > 0.0,
        || format!("{path}.share"),
        || "0% is never: write a share above 0%, or remove the fault".into(),
    );
    rules.need(
        !needs_predecessor || fault.share.0 <= 0.25,
        || format!("{path}.share"),
        || format!("{} is too much: {} needs a good sample before each, write at most 25%", fault.share, fault.r#type),
    );
    if let Some(from) = fault.from {
        begins(rules, from, total, || format!("{path}.from"));
    }
    if let Some(time) = fault.r#for {
        rules.need(
            !time.is_zero(),
            || format!("{path}.for"),
            || "0s is never: write a time, or remove it to go on to the end".into(),
        );
        let from = fault.from.unwrap_or_default();
        let hint = "or remove it to go on to the end";
        ends(rules, from, time, total, || format!("{path}.for"), "from", hint);
    }
    if let Some(params) = &fault.out_of_order {
        rules.need(
            fault.r#type == FaultType::OutOfOrder,
            || format!("{path}.outOfOrder"),
            || format!("is not used with {}: remove it", fault.r#type),
        );
        delay(rules, &params.delay, &format!("{path}.outOfOrder.delay"));
    }
    if let Some(params) = &fault.future_timestamp {
        rules.need(
            fault.r#type == FaultType::FutureTimestamp,
            || format!("{path}.futureTimestamp"),
            || format!("is not used with {}: remove it", fault.r#type),
        );
        rules.need(
            (MIN_AHEAD..=YEAR).contains(&params.ahead),
            || format!("{path}.futureTimestamp.ahead"),
            || format!("{} {}", params.ahead, out_of_ahead()),
        );
    }
}

fn delay(rules: &mut Rules, spec: &DelaySpec, path: &str) {
    use Distribution as D;
    let kind = spec.distribution;
    let fields = [
        ("mean", spec.mean, matches!(kind, D::Constant | D::Exponential), false),
        ("min", spec.min, matches!(kind, D::Uniform | D::Pareto), false),
        ("max", spec.max, kind == D::Uniform, matches!(kind, D::Exponential | D::Pareto)),
    ];
    // Their tails have no end of their own.
    let most = if matches!(kind, D::Exponential | D::Pareto) { DAY } else { YEAR };
    for (name, value, needed, allowed) in fields {
        match value {
            Some(value) if needed || allowed => {
                let least = if kind == D::Uniform && name == "min" { Duration::default() } else { MILLISECOND };
                rules.between(value, least, most, || format!("{path}.{name}"));
            }
            Some(_) => rules.add(format!("{path}.{name}"), format!("is not used with {kind:?}: remove it")),
            None => rules.need(!needed, || format!("{path}.{name}"), || format!("{kind:?} needs it: write a duration")),
        }
    }
    if let Some(shape) = spec.shape {
        rules.need(kind == D::Pareto, || format!("{path}.shape"), || format!("is not used with {kind:?}: remove it"));
        rules.need(
            shape.is_finite() && shape > 0.0 && shape <= 100.0,
            || format!("{path}.shape"),
            || format!("{shape} is out of range: write a number above 0 up to 100"),
        );
    }
    let least = spec.min.or(spec.mean);
    if let (Some(least), Some(max)) = (least, spec.max) {
        rules.agree(
            max >= least,
            || format!("{path}.max"),
            &["min", "mean"],
            || format!("{max} is less than {least}: write at least that"),
        );
    }
}
