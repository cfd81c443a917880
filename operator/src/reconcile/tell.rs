//! Events of sinks and receivers: one for each condition that flips or changes its reason.

use api::{Condition, ConditionStatus};
use kube::api::DynamicObject;
use kube::core::ApiResource;

use super::Context;
use crate::status::write::Wrote;

/// Tells what is new once it is written.
pub(super) async fn changes(
    context: &Context,
    kind: &ApiResource,
    live: &DynamicObject,
    old: &[Condition],
    new: &[Condition],
    wrote: Wrote,
) {
    if wrote != Wrote::Settled {
        return;
    }
    for condition in new {
        let was = old.iter().find(|old| old.r#type == condition.r#type);
        if was.is_some_and(|was| was.status == condition.status && was.reason == condition.reason) {
            continue;
        }
        match (condition.r#type.as_str(), condition.status) {
            ("Degraded", ConditionStatus::True) | ("ReferencesResolved", ConditionStatus::False) => {
                context.events.warning(kind, live, &condition.reason, &condition.message).await;
            }
            ("Ready", ConditionStatus::False) if condition.reason == "InvalidSpec" => {
                context.events.warning(kind, live, &condition.reason, &condition.message).await;
            }
            ("Ready", ConditionStatus::True) => context.events.normal(kind, live, "Ready", &condition.message).await,
            _ => {}
        }
    }
}
