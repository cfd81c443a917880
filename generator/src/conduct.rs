//! The conductor, asked again and again but never for ever.

use std::time::Duration;

use anyhow::{Context, bail};
use floodmark_http::client::{Endpoint, Fetch};
use protocol::{PhaseDoc, RunPhase, RunPlan, path};
use tokio::time::{Instant, sleep};

/// A plan is small but for large documents.
const MAX_ANSWER: usize = 16 << 20;
const TIMEOUT: Duration = Duration::from_secs(2);
/// Between two questions before t0 and after it.
const EAGER: Duration = Duration::from_millis(100);
const CALM: Duration = Duration::from_millis(200);
/// Whoever made this generator ends it, too, if no conductor comes up; this is for one that is left behind.
const COMING_UP: Duration = Duration::from_hours(1);
/// A conductor that was silent for so long is gone.
const SILENCE: Duration = Duration::from_secs(30);

pub(crate) struct Conductor {
    base: String,
    fetch: Fetch,
    heard: Instant,
}

impl Conductor {
    pub(crate) fn new(base: &str) -> anyhow::Result<Self> {
        let base = base.trim_end_matches('/').to_owned();
        let endpoint = Endpoint::new(&base).with_timeout(TIMEOUT).with_max_answer(MAX_ANSWER);
        let fetch = Fetch::new(&endpoint).with_context(|| format!("the conductor's address {base} cannot be used"))?;
        Ok(Self { base, fetch, heard: Instant::now() })
    }

    /// The plan; waits until the conductor has one.
    pub(crate) async fn plan(&mut self, index: u32) -> anyhow::Result<RunPlan> {
        let path = format!("{}?generator={index}", path::PLAN);
        let limit = Instant::now() + COMING_UP;
        loop {
            match self.fetch.json(Some(&path)).await {
                Ok(plan) => {
                    self.heard = Instant::now();
                    return Ok(plan);
                }
                Err(error) if Instant::now() > limit => {
                    return Err(error)
                        .with_context(|| format!("no plan from {} within {} s", self.base, COMING_UP.as_secs()));
                }
                Err(error) => tracing::debug!(%error, "no plan yet"),
            }
            sleep(EAGER).await;
        }
    }

    /// The phase; waits and asks again, until the conductor has been silent for too long.
    async fn phase(&mut self, pause: Duration) -> anyhow::Result<PhaseDoc> {
        loop {
            sleep(pause).await;
            match self.fetch.json::<PhaseDoc>(Some(path::PHASE)).await {
                Ok(document) => {
                    self.heard = Instant::now();
                    return Ok(document);
                }
                Err(error) if self.heard.elapsed() > SILENCE => {
                    return Err(error).with_context(|| format!("the conductor at {} is gone", self.base));
                }
                Err(error) => tracing::debug!(%error, "no phase"),
            }
        }
    }

    /// Unix nanoseconds of the schedule's zero; `None` if the run ends before it begins.
    pub(crate) async fn wait_for_t0(&mut self) -> anyhow::Result<Option<u64>> {
        loop {
            let document = self.phase(EAGER).await?;
            match (document.phase, document.t0) {
                (RunPhase::Preparing, _) => {}
                (RunPhase::Running | RunPhase::Draining, Some(t0)) => return Ok(Some(t0)),
                (RunPhase::Running | RunPhase::Draining, None) => {
                    bail!("the conductor says {:?} without t0", document.phase)
                }
                _ => return Ok(None),
            }
        }
    }

    /// The phase, a moment later.
    pub(crate) async fn next_phase(&mut self) -> anyhow::Result<PhaseDoc> {
        self.phase(CALM).await
    }

    /// Whether this generator's report was taken. False: the run is over without it, or the conductor is gone.
    pub(crate) async fn wait_until_taken(&mut self, index: u32, patience: Duration) -> bool {
        let mut over: Option<Instant> = None;
        loop {
            match self.phase(CALM).await {
                Ok(document) if document.taken.contains(&index) => return true,
                Ok(document)
                    if matches!(document.phase, RunPhase::Finished | RunPhase::Aborted | RunPhase::Verifying) =>
                {
                    if over.get_or_insert_with(Instant::now).elapsed() > patience {
                        return false;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!("{error:#}");
                    return false;
                }
            }
        }
    }
}
