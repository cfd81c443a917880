//! Changes the number of a sink's workers while it is under load: looks, takes the one step that is due, looks again.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use conductor::{Departed, ExecutedChaos};
use floodmark_http::client::get_json;
use ownership::drive::{Notes, View, step};
use ownership::{ControlDocument, Phase};
use protocol::{WorkerReport, path};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::chaos::{ChaosLog, record};
use crate::fleet::Fleet;
use crate::layout::write_json;
use crate::parts::{Begun, Part, PartSpec};
use crate::process::Spawner;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
const TIMEOUT: Duration = Duration::from_millis(500);
const MAX_REPORT: usize = 1 << 20;
const MAX_HISTOGRAMS: usize = 64 << 20;
/// A worker that has drained holds nothing that it could need longer for.
const LEAVE: Duration = Duration::from_secs(5);

/// What a timeline asks for: the position of the step in the document, and workers.
pub(crate) type Wanted = (u32, u32);

/// The sink of a run, as far as its size goes.
#[derive(Debug)]
pub(crate) struct Sink {
    /// The control document and where it is.
    pub(crate) document: ControlDocument,
    pub(crate) path: PathBuf,
    /// By ordinal, all that the timeline may ask for.
    pub(crate) workers: Vec<PartSpec>,
    pub(crate) drain_timeout: Duration,
}

pub(crate) struct Scaler {
    pub(crate) sink: Sink,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) spawner: Spawner,
    pub(crate) begun: Begun,
    pub(crate) log: ChaosLog,
}

impl Scaler {
    /// Runs until dropped.
    pub(crate) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Wanted>) {
        let mut notes = Notes::default();
        let Some(mut wanted) = orders.recv().await else { return };
        let mut executed = self.begun.unix_ms();
        let mut generation = 0;
        record(&self.log, ExecutedChaos { index: wanted.0, executed_at: executed, back_at: None });
        loop {
            while let Ok(newer) = orders.try_recv() {
                (wanted, executed, generation) = (newer, self.begun.unix_ms(), generation + 1);
                record(&self.log, ExecutedChaos { index: wanted.0, executed_at: executed, back_at: None });
            }
            let again = self.look(&mut notes, wanted.1, generation).await;
            let document = &self.sink.document;
            let settled = document.phase == Phase::Stable && document.to == wanted.1;
            if settled && self.fleet.workers().len() == wanted.1 as usize {
                record(
                    &self.log,
                    ExecutedChaos { index: wanted.0, executed_at: executed, back_at: Some(self.begun.unix_ms()) },
                );
                let Some(next) = orders.recv().await else { return };
                (wanted, executed, generation) = (next, self.begun.unix_ms(), generation + 1);
                record(&self.log, ExecutedChaos { index: wanted.0, executed_at: executed, back_at: None });
            } else if !again {
                sleep(LOOK).await;
            }
        }
    }

    /// One look and one step; whether the next is due at once.
    async fn look(&mut self, notes: &mut Notes, wanted: u32, generation: u64) -> bool {
        let view = self.view(wanted, generation).await;
        let document = &self.sink.document;
        let timeout = u64::try_from(self.sink.drain_timeout.as_millis()).unwrap_or(u64::MAX);
        let specs = &self.sink.workers;
        let address = |ordinal: u32| specs.get(ordinal as usize).map_or_else(String::new, |s| s.address.to_string());
        let next = step(document, notes, &view, self.begun.unix_ms(), timeout, &address);
        self.bring_to(next.workers).await;
        let Some((document, newer)) = next.publish else { return false };
        if let Err(error) = write_json(&self.sink.path, &document) {
            warn!(%error, "the control document cannot be replaced");
            return false;
        }
        info!(epoch = document.epoch, phase = ?document.phase, from = document.from, to = document.to, "resharding");
        (self.sink.document, *notes) = (document, newer);
        true
    }

    async fn view(&self, wanted: u32, generation: u64) -> View {
        let mut view = View { wanted, generation, ready: 0, known: 0, drained: BTreeSet::new() };
        let mut ordinals = BTreeSet::new();
        for worker in self.fleet.workers() {
            let url = format!("http://{}{}", worker.address, path::ACCOUNT);
            let Ok(report) = get_json::<WorkerReport>(&url, MAX_REPORT, TIMEOUT).await else { continue };
            view.drained.extend(report.drained.map(|epoch| (worker.ordinal, epoch)));
            if report.epoch == self.sink.document.epoch {
                ordinals.insert(worker.ordinal);
            }
        }
        view.ready = (0..u32::MAX).take_while(|ordinal| ordinals.contains(ordinal)).count() as u32;
        // A worker that is down comes back.
        view.known = view.ready;
        view
    }

    /// Starts the workers that are missing, ends those that are too many.
    async fn bring_to(&self, count: u32) {
        let there = self.fleet.workers();
        for spec in self.sink.workers.iter().take(count as usize) {
            if there.iter().any(|worker| worker.ordinal == spec.ordinal) {
                continue;
            }
            match Part::start(&self.spawner, spec.clone(), self.begun.clone()).await {
                Ok(part) => self.fleet.add(part),
                Err(error) => warn!(ordinal = spec.ordinal, %error, "a worker cannot be started"),
            }
        }
        for worker in there.iter().filter(|worker| worker.ordinal >= count) {
            // It has drained, so its account is final.
            let departed = last_words(worker).await;
            self.fleet.dismiss(worker, departed);
            worker.end(LEAVE).await;
        }
    }
}

async fn last_words(worker: &Part) -> Option<Departed> {
    let base = format!("http://{}", worker.address);
    let report: WorkerReport = get_json(&format!("{base}{}", path::ACCOUNT), MAX_REPORT, TIMEOUT).await.ok()?;
    let histograms = get_json(&format!("{base}{}", path::HISTOGRAMS), MAX_HISTOGRAMS, TIMEOUT).await.ok();
    Some(Departed { ordinal: worker.ordinal, report, histograms })
}
