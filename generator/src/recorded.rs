//! How long requests took, and what was never sent: copied out of the books in no time, encoded beside them.

use measure::{CodecError, DropRecorder, HistogramSet, Recorder, names};

/// Everything recorded so far.
#[derive(Clone, Default)]
pub(crate) struct Recorded {
    pub(crate) response: Recorder,
    pub(crate) service: Recorder,
    pub(crate) queued: Recorder,
    pub(crate) late: Recorder,
    pub(crate) drops: DropRecorder,
}

impl Recorded {
    pub(crate) fn encode(self) -> Result<HistogramSet, CodecError> {
        let mut set = HistogramSet::default();
        set.insert(names::RESPONSE, &self.response.finish()?)?;
        set.insert(names::SERVICE, &self.service.finish()?)?;
        set.insert(names::QUEUED, &self.queued.finish()?)?;
        set.insert(names::LATE, &self.late.finish()?)?;
        set.set_drops(&self.drops)?;
        Ok(set)
    }
}
