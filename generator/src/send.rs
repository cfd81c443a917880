//! The course of sending: lanes under one map after the other, until they are done or something ends the run.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use protocol::{GeneratorState, RunPhase};
use telemetry::Stop;
use tokio::task::{JoinError, JoinSet};
use workload::LaneChain;

use crate::clock::Clock;
use crate::conduct::Conductor;
use crate::epoch::Epoch;
use crate::follow::{follow, resume};
use crate::handover::{Ended, Inherited};
use crate::lane;
use crate::prepare::Prepared;
use crate::shared::Shared;

/// What is in flight when the run ends may still be answered for so long, unless the conductor says for how long.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The lanes of the map that holds, and what they came from.
struct Course {
    prepared: Arc<Prepared>,
    shared: Arc<Shared>,
    epoch: Arc<Epoch>,
    chain: LaneChain,
    lanes: JoinSet<Ended>,
    ended: Vec<Ended>,
    clock: Clock,
}

/// Sends all there is. Ends with the lanes: done, halted by the conductor, a signal or the end of all patience, or failed.
pub(crate) async fn send(
    conductor: &mut Conductor,
    prepared: &Arc<Prepared>,
    shared: &Arc<Shared>,
    epoch: Arc<Epoch>,
    stop: &Stop,
    clock: Clock,
) {
    let limit = Duration::from_nanos(prepared.workload.duration_ns()) + prepared.max_backlog + Duration::from_mins(1);
    let follower = tokio::spawn(follow(Arc::clone(shared)));
    let mut course = Course {
        prepared: Arc::clone(prepared),
        shared: Arc::clone(shared),
        chain: LaneChain::new(epoch.plan.map().clone()),
        epoch,
        lanes: JoinSet::new(),
        ended: Vec::new(),
        clock,
    };
    let nothing = (0..course.epoch.plan.lanes()).map(|_| Inherited::default());
    course.start(nothing.collect());
    let mut failure: Option<Failure> = None;
    let (mut over, mut stopped) = (false, false);
    let mut last_words = LAST_WORDS;
    loop {
        tokio::select! {
            ended = course.lanes.join_next() => match ended {
                Some(ended) => match course.ended(ended) {
                    None => continue,
                    Some(error) => failure = Some(worse(failure, error)),
                },
                None => match course.next_map().await {
                    Ok(true) => continue,
                    Ok(false) => break,
                    Err(error) => {
                        // What its lanes would have sent is in no account.
                        shared.books().truncated = true;
                        failure = Some(worse(failure, Failure::Own(format!("{error:#}"))));
                        break;
                    }
                },
            },
            phase = conductor.next_phase(), if !over => match phase {
                Ok(told) if goes_on(told.phase) && !shared.past(limit) => continue,
                Ok(told) => last_words = told.last_words_ms.map_or(LAST_WORDS, Duration::from_millis),
                Err(error) => failure = Some(worse(failure, Failure::Own(format!("{error:#}")))),
            },
            _ = stop.requested(), if !over => stopped = true,
        }
        over = true;
        shared.halt(last_words);
    }
    follower.abort();
    shared.set_state(match failure {
        Some(Failure::Targets(why)) => GeneratorState::Failed(why),
        Some(Failure::Own(why)) => GeneratorState::Stopped(why),
        None if stopped => GeneratorState::Stopped("it was told to end (a signal) before its schedule did".to_owned()),
        None => GeneratorState::Done,
    });
}

fn goes_on(phase: RunPhase) -> bool {
    matches!(phase, RunPhase::Preparing | RunPhase::Running | RunPhase::Draining)
}

/// Why sending ended before its time.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// The target takes nothing more.
    Targets(String),
    /// The generator itself cannot go on, or has lost its conductor: says nothing of the target.
    Own(String),
}

/// What is said of several: the first of the target's doing, otherwise the first.
fn worse(known: Option<Failure>, new: Failure) -> Failure {
    match known {
        Some(known @ Failure::Targets(_)) => known,
        Some(known) if matches!(new, Failure::Own(_)) => known,
        _ => new,
    }
}

impl Course {
    fn start(&mut self, inherited: Vec<Inherited>) {
        for (lane, inherited) in (0..).zip(inherited) {
            let (prepared, epoch, shared) =
                (Arc::clone(&self.prepared), Arc::clone(&self.epoch), Arc::clone(&self.shared));
            self.lanes.spawn(lane::run(lane, prepared, epoch, shared, self.clock, inherited));
        }
    }

    /// A lane has ended; why it failed, if it did.
    fn ended(&mut self, ended: Result<Ended, JoinError>) -> Option<Failure> {
        match ended {
            Ok(mut ended) => {
                let failed = ended.failed.take();
                self.ended.push(ended);
                failed.map(|error| Failure::Targets(format!("{error:#}")))
            }
            Err(error) => {
                // What it had not booked yet nobody knows.
                self.shared.books().truncated = true;
                Some(Failure::Own(format!("a lane broke down: {error}")))
            }
        }
    }

    /// Starts the lanes of the map that the last ones stopped for; false if none did. Also after the end, so that what is due
    /// by then is accounted for.
    async fn next_map(&mut self) -> anyhow::Result<bool> {
        let ended = std::mem::take(&mut self.ended);
        if !ended.iter().any(|one| one.stopped) {
            return Ok(false);
        }
        let document = self.shared.following.next().borrow().clone();
        let Some(document) = document else { return Ok(false) };
        let good = self.shared.latest_good.load(Relaxed);
        let known = &self.prepared.workers;
        let (epoch, inherited) =
            resume(Arc::clone(&self.epoch), &mut self.chain, ended, &document, known, good).await?;
        self.epoch = Arc::new(epoch);
        let before = self.chain.steps().saturating_sub(2);
        let lanes = self.chain.map(before).lanes();
        let cuts = (0..lanes).map(|lane| self.chain.cut(before, lane)).collect();
        self.shared.enter(&self.epoch, cuts);
        self.start(inherited);
        Ok(true)
    }
}
