//! The answers of backends, parsed as a read-back does.

use protocol::ReadBackKind;
use remote_write::Snappy;

use super::{prometheus, victoria};

/// Labels, and samples as (timestamp, bits).
pub type Series = (Vec<(Vec<u8>, Vec<u8>)>, Vec<(i64, u64)>);

/// Every series of an answer, or why it is none.
pub fn read_back(kind: ReadBackKind, answer: &[u8]) -> Result<Vec<Series>, String> {
    let mut all = Vec::new();
    match kind {
        ReadBackKind::Prometheus => prometheus::parse(answer, &mut Snappy::new(), |series| {
            let labels = series.labels().map(|label| (label.name.to_vec(), label.value.to_vec()));
            let samples = series.samples().map(|sample| (sample.timestamp, sample.value.to_bits()));
            all.push((labels.collect(), samples.collect()));
        }),
        ReadBackKind::VictoriaMetrics => victoria::parse(answer, |series| {
            let labels = series.labels.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes()));
            let samples = series.samples.into_iter().map(|(timestamp, value)| (timestamp, value.to_bits()));
            all.push((labels.collect(), samples.collect()));
        }),
    }
    .map_err(|error| error.to_string())?;
    Ok(all)
}

/// Whose rules the server plays, or why it does not tell.
pub fn profile(answer: &[u8]) -> Result<Option<api::Profile>, String> {
    super::profile(answer).map_err(|error| error.to_string())
}
