//! Asks all parts at once: one that does not answer holds up none of the others.

use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use measure::HistogramSet;
use protocol::{CpuUse, GeneratorReport, OwnershipDoc, WorkerReport, path};
use telemetry::Clock;

use super::{Gatherer, Peer, WorkerLife};

/// What a worker of the run told.
struct Told {
    asked_at: u64,
    report: WorkerReport,
    histograms: Option<HistogramSet>,
}

impl Peer {
    /// None: the worker does not answer, or tells of another run.
    async fn worker(&mut self, run: &str, histograms: bool, clock: &Clock) -> Option<Told> {
        let asked_at = clock.unix_ns();
        let report = match self.fetch.json::<WorkerReport>(Some(path::ACCOUNT)).await {
            Ok(report) => report,
            Err(error) => {
                tracing::debug!(%error, "a worker did not answer");
                return None;
            }
        };
        if report.run.as_deref() != Some(run) {
            return None;
        }
        let histograms = if histograms || report.closed { self.histograms().await } else { None };
        Some(Told { asked_at, report, histograms })
    }

    async fn histograms(&mut self) -> Option<HistogramSet> {
        self.fetch.json(Some(path::HISTOGRAMS)).await.ok()
    }
}

impl Gatherer {
    pub(crate) async fn poll_generators(&mut self) {
        let asked = self.generators.iter_mut().zip(&mut self.generator_lives).map(|(peer, life)| async move {
            match peer.fetch.json::<GeneratorReport>(Some(path::ACCOUNT)).await {
                Ok(report) => (life.report, life.heard) = (Some(report), Some(Instant::now())),
                Err(error) => tracing::debug!(%error, "a generator did not answer"),
            }
        });
        join_all(asked).await;
    }

    pub(crate) async fn poll_generator_histograms(&mut self) {
        let asked = self.generators.iter_mut().zip(&mut self.generator_lives).map(|(peer, life)| async move {
            if let Some(set) = peer.histograms().await {
                life.histograms = Some(set);
            }
        });
        join_all(asked).await;
    }

    /// Histograms are larger than accounts: asked for less often, but always after the last account.
    pub(crate) async fn poll_workers(&mut self, histograms: bool) {
        self.ask_workers(|_| true, histograms).await;
        let new = self.learn_workers().await;
        self.ask_workers(|ordinal| new.contains(&ordinal), histograms).await;
    }

    /// Each is put down as it tells.
    async fn ask_workers(&mut self, which: impl Fn(usize) -> bool, histograms: bool) {
        let (run, clock) = (&*self.run, self.published.clock());
        let peers = self.workers.iter_mut().enumerate().filter(|(ordinal, _)| which(*ordinal));
        let mut asked: FuturesUnordered<_> =
            peers.map(|(ordinal, peer)| async move { (ordinal, peer.worker(run, histograms, clock).await) }).collect();
        while let Some((ordinal, told)) = asked.next().await {
            let Some(Told { asked_at, report, histograms }) = told else {
                self.current[ordinal] = None;
                continue;
            };
            let incarnation = report.account.incarnation.clone();
            self.current[ordinal] = Some(incarnation.clone());
            let key = (ordinal as u32, incarnation);
            let new = || WorkerLife::new(report.clone(), clock.unix_ns(), asked_at);
            let life = self.worker_lives.entry(key).or_insert_with(new);
            (life.report, life.last_asked) = (report, asked_at);
            if histograms.is_some() {
                life.histograms = histograms;
                if life.report.closed {
                    self.published.departed(&life.report.account.incarnation);
                }
            }
        }
    }

    /// Learns of workers that came or went since, from the first that tells; the ordinals of those that came.
    async fn learn_workers(&mut self) -> Vec<usize> {
        let mut told = None;
        // Whoever did not answer just now would only be waited for.
        for (peer, _) in self.workers.iter_mut().zip(&self.current).filter(|(_, current)| current.is_some()) {
            if let Ok(document) = peer.fetch.json::<OwnershipDoc>(Some(path::OWNERSHIP)).await {
                told = Some(document);
                break;
            }
        }
        let Some(OwnershipDoc { replicas, addresses, .. }) = told else { return Vec::new() };
        self.active = replicas as usize;
        let mut new = Vec::new();
        for (ordinal, base) in addresses.iter().enumerate().skip(self.first) {
            if self.workers.get(ordinal).is_some_and(|peer| peer.base == *base) {
                continue;
            }
            let Ok(peer) = Peer::new(base) else { continue };
            if let Some(old) = self.workers.get_mut(ordinal) {
                *old = peer;
                new.push(ordinal);
            } else {
                new.push(self.workers.len());
                self.workers.push(peer);
                self.current.push(None);
            }
        }
        new
    }

    /// What the receivers used until now.
    pub(crate) async fn poll_receiver_cpu(&mut self) {
        let wall_seconds = self.started.elapsed().as_secs_f64();
        let asked = self.receivers.iter_mut().zip(&mut self.receiver_cpu).map(|(peer, cpu)| async move {
            if let Ok(text) = peer.fetch.bytes(Some(path::METRICS)).await {
                *cpu = Some(cpu_use(&String::from_utf8_lossy(&text), wall_seconds));
            }
        });
        join_all(asked).await;
    }
}

/// What a process used, by its own metrics.
pub(crate) fn cpu_use(metrics: &str, wall_seconds: f64) -> CpuUse {
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse::<f64>().ok()).filter(|value| value.is_finite()).unwrap_or_default()
    };
    CpuUse {
        cpu_seconds: value("process_cpu_seconds_total"),
        run_queue_seconds: value("floodmark_process_run_queue_wait_seconds"),
        wall_seconds,
        rss_bytes: value("process_resident_memory_bytes") as u64,
    }
}
