//! A summary that fits where space is limited.

use super::{Latencies, Summary, SummaryError};

/// What may be missing, the least missed first.
const STEPS: [fn(&mut Summary); 4] = [
    |summary| summary.document = None,
    |summary| summary.rate_series.clear(),
    |summary| {
        let Latencies { response, service, delivery, queued, late } = &mut summary.latency;
        for latency in [response, service, delivery, queued, late].into_iter().flatten() {
            latency.curve.clear();
        }
    },
    |summary| summary.findings.iter_mut().for_each(|finding| finding.examples.clear()),
];

impl Summary {
    /// Compact JSON of at most `max` bytes: the documents, the rates over time, the latency curves and the examples are left out, in
    /// this order, until it fits. `None` when the figures alone are too large.
    pub fn capped(&self, max: usize) -> Result<Option<String>, SummaryError> {
        let mut rest = self.clone();
        for step in [None].into_iter().chain(STEPS.map(Some)) {
            if let Some(leave_out) = step {
                leave_out(&mut rest);
            }
            let text = serde_json::to_string(&rest)?;
            if text.len() <= max {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Example, Finding, RatePoint};

    #[test]
    fn what_is_least_missed_goes_first() {
        let full = Summary {
            document: Some("x".repeat(1000)),
            rate_series: vec![RatePoint::default(); 100],
            findings: vec![Finding { examples: vec![Example::default(); 10], ..Finding::default() }],
            ..Summary::default()
        };
        let size = |summary: &Summary| serde_json::to_string(summary).unwrap().len();
        let capped = |max| full.capped(max).unwrap().map(|text| Summary::from_json(&text).unwrap());
        assert_eq!(capped(size(&full)), Some(full.clone()));
        let once = capped(size(&full) - 1).unwrap();
        assert!(once.document.is_none() && once.rate_series.len() == 100);
        let twice = capped(size(&once) - 1).unwrap();
        assert!(twice.rate_series.is_empty() && twice.findings[0].examples.len() == 10);
        let least = capped(size(&twice) - 1).unwrap();
        assert!(least.findings[0].examples.is_empty());
        assert_eq!(capped(size(&least) - 1), None);
    }
}
