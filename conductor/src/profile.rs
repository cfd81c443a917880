//! Whether a test's faults can be judged on the server that was found.

use api::{LoadTestSpec, Profile};

/// The profile, for the plan, of a server that was asked for it.
///
/// # Errors
/// A fault after which the server refuses good samples, so that no verdict would be right.
pub(crate) fn judged(test: &LoadTestSpec, profile: Profile) -> Result<Option<Profile>, String> {
    let found = test.faults.iter().enumerate().find(|(_, fault)| faults::breaks_its_series(fault.r#type, profile));
    match found {
        None => Ok(Some(profile)),
        Some((index, fault)) => Err(format!(
            "spec.faults[{index}]: {profile:?} stores {} and then refuses the good samples of its series, so nothing could be \
             judged and nothing was sent: remove this fault, or test a server that refuses it",
            fault.r#type
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_breaks_its_series_is_refused_by_name() {
        let mut test: LoadTestSpec = serde_json::from_value(serde_json::json!({
            "target": {"endpoint": {"url": "http://h/"}}, "stages": [{"for": "1s"}],
            "workload": [{"name": "a", "targets": 1, "seriesPerTarget": 10}],
            "faults": [{"type": "OutOfOrder", "share": "1%"}, {"type": "FutureTimestamp", "share": "1%"}],
        }))
        .unwrap();
        assert_eq!(judged(&test, Profile::Prometheus3), Ok(Some(Profile::Prometheus3)));
        assert_eq!(judged(&test, Profile::VictoriaMetrics), Ok(Some(Profile::VictoriaMetrics)));
        let why = judged(&test, Profile::Prometheus2).unwrap_err();
        assert!(why.starts_with("spec.faults[1]: Prometheus2 stores FutureTimestamp"), "{why}");
        test.faults.pop();
        assert_eq!(judged(&test, Profile::Prometheus2), Ok(Some(Profile::Prometheus2)));
    }
}
