//! Sinks, and receivers with their bad answers.

use serde_json::Value;

use super::{Rules, among, positive};
use crate::scalar::Duration;
use crate::validate::{DAY, HOUR, MAX_BATCH_DELAY, MAX_CONNECTIONS, MAX_TOTAL, MILLISECOND, YEAR, too_connected};

pub(crate) fn sink() -> Value {
    Rules::default()
        .rule(
            "self.ackPolicy == 'Durable' || !has(self.storage)",
            "storage is only used with ackPolicy Durable: remove it",
        )
        .demanded("storage", "ackPolicy", &["Durable"], "ackPolicy Durable needs storage: write {size: 10Gi}")
        .rule(
            format!("!has(self.backend.receiverRef) || self.replicas * self.lanes <= {MAX_CONNECTIONS}"),
            too_connected("replicas * lanes"),
        )
        .between("drainTimeout", MILLISECOND, DAY)
        .end()
}

pub(crate) fn ownership() -> Value {
    Rules::default()
        .rule(
            "self.by == 'Labels' || !has(self.labels) || size(self.labels) == 0",
            "labels is only used with by: Labels: remove it, or write by: Labels",
        )
        .rule(
            "self.by != 'Labels' || (has(self.labels) && size(self.labels) > 0)",
            "by: Labels needs label names: write labels: [job, instance]",
        )
        .given(
            "labels",
            "self.labels.all(l, self.labels.exists_one(other, other == l))",
            "has a label that is given twice: remove one",
        )
        .end()
}

pub(crate) fn batching() -> Value {
    Rules::default()
        .rule(positive("maxSamples"), "maxSamples is out of range: write a count from 1 to 1M")
        .between("maxDelay", Duration::default(), MAX_BATCH_DELAY)
        .end()
}

pub(crate) fn retry() -> Value {
    Rules::default()
        .between("initialDelay", MILLISECOND, HOUR)
        .between("maxDelay", MILLISECOND, HOUR)
        .between("maxRetryAfter", MILLISECOND, DAY)
        .rule(
            "duration(self.maxDelay) >= duration(self.initialDelay)",
            "maxDelay is less than initialDelay: write at least that",
        )
        .end()
}

pub(crate) fn on_rejected(default_extra_requests: u32) -> Value {
    Rules::default()
        .rule(
            format!("self.action == 'Isolate' || self.maxExtraRequests == {default_extra_requests}"),
            "maxExtraRequests is only used with action Isolate: remove it",
        )
        .rule("self.action != 'Fail' || !has(self.deadLetter)", "deadLetter is not used with action Fail: remove it")
        .end()
}

pub(crate) fn receiver() -> Value {
    Rules::default().between("outOfOrderWindow", Duration::default(), YEAR).end()
}

pub(crate) fn answer() -> Value {
    let errors = ["StatusCode", "RetryAfter", "CommitThenError", "Flapping", "LargeErrorBody", "PartialWrite"];
    let bodies = [&errors[..4], &["PartialWrite", "SuccessWithBody", "RejectOneSeries"]].concat();
    let statuses = [&errors[..], &["Redirect", "SuccessWithBody", "RejectOneSeries"]].concat();
    let mut rules = Rules::default()
        .rule("!(has(self.every) && has(self.share))", "every and share exclude each other: remove one")
        .given("share", &positive("share"), "of 0% is never: write a share above 0%, or remove the answer")
        .between("from", Duration::default(), MAX_TOTAL)
        .between("__for__", MILLISECOND, DAY)
        .between("delay", Duration::default(), DAY)
        .between("period", MILLISECOND, DAY)
        .only("status", "type", &statuses)
        .only("retryAfter", "type", &errors)
        .only("body", "type", &bodies)
        .only("bodySize", "type", &["LargeErrorBody"])
        .only("location", "type", &["Redirect", "StatusCode"])
        .only("period", "type", &["Flapping"])
        .demanded(
            "retryAfter",
            "type",
            &["RetryAfter"],
            "retryAfter is missing: write seconds, an HTTP date, or garbage",
        );
    for (types, from, to) in [
        (&errors[1..], 400, 599),
        (&["Redirect"], 300, 399),
        (&["SuccessWithBody"], 200, 299),
        (&["RejectOneSeries"], 400, 499),
    ] {
        rules = rules.rule(
            format!(
                "!has(self.status) || !({}) || (self.status >= {from} && self.status <= {to})",
                among("type", types)
            ),
            format!("status does not go with {}: write a status from {from} to {to}", types.join(", ")),
        );
    }
    rules.end()
}
