//! Fetches the chaos timeline from the conductor and carries it out on local processes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::ChaosAction;
use conductor::ExecutedChaos;
use floodmark_http::client::{Endpoint, Fetch};
use protocol::{ChaosEvent, ChaosTimeline, path};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::fleet::Fleet;
use crate::parts::{Begun, Blow};
use crate::scale::Wanted;

/// What was carried out so far, shared with the conductor.
pub(crate) type ChaosLog = Arc<Mutex<Vec<ExecutedChaos>>>;

/// Runs until dropped. The fleet outlives it: a blow falls on whatever process has the ordinal at that moment. `begun` is set with t0.
pub(crate) async fn carry_out(
    conductor: String,
    fleet: Arc<Fleet>,
    scale: mpsc::UnboundedSender<Wanted>,
    log: ChaosLog,
    begun: Begun,
) {
    let endpoint = Endpoint::new(&conductor).with_timeout(Duration::from_secs(2)).with_max_answer(1 << 20);
    let mut fetch = match Fetch::new(&endpoint) {
        Ok(fetch) => fetch,
        Err(error) => {
            warn!(%error, "the chaos timeline cannot be fetched");
            return;
        }
    };
    let mut done: Vec<u32> = Vec::new();
    loop {
        match fetch.json::<ChaosTimeline>(Some(path::CHAOS)).await {
            Ok(timeline) => {
                if let Some(t0) = timeline.t0 {
                    begun.set();
                    for event in &timeline.events {
                        let due_ms = t0 / 1_000_000 + event.at_ms;
                        if !done.contains(&event.index) && due_ms <= begun.unix_ms() {
                            done.push(event.index);
                            if let (ChaosAction::Scale, Some(count)) = (event.step.action, event.step.replicas) {
                                // Whoever scales is there as long as this is.
                                let _ = scale.send((event.index, count));
                            } else {
                                strike(event, &fleet, &log).await;
                            }
                        }
                    }
                }
            }
            Err(error) => debug!(%error, "the conductor did not answer"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn strike(event: &ChaosEvent, fleet: &Fleet, log: &ChaosLog) {
    let blow = match (event.step.action, event.step.r#for) {
        (ChaosAction::Kill, _) => Blow::Kill,
        (ChaosAction::Pause, Some(length)) => Blow::Pause(length.0),
        (ChaosAction::Terminate | ChaosAction::Restart, _) => Blow::Terminate,
        // Validation refuses the rest.
        (ChaosAction::Pause | ChaosAction::Scale, _) => return,
    };
    let workers = fleet.workers();
    let Some(part) = workers.iter().find(|part| Some(part.ordinal) == event.step.sink_worker) else {
        warn!(index = event.index, "chaos names a worker that does not run");
        return;
    };
    let Some(mut times) = part.strike(blow).await else {
        warn!(
            index = event.index,
            ordinal = part.ordinal,
            "the worker is gone for good, the step cannot be carried out"
        );
        return;
    };
    let index = event.index;
    let log = Arc::clone(log);
    tokio::spawn(async move {
        while let Some(times) = times.recv().await {
            record(&log, ExecutedChaos { index, executed_at: times.struck, back_at: times.back });
        }
    });
}

/// One entry a step: the later word replaces the earlier.
pub(crate) fn record(log: &ChaosLog, entry: ExecutedChaos) {
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    log.retain(|old| old.index != entry.index);
    log.push(entry);
}

#[cfg(test)]
mod tests {
    use telemetry::{Anchor, Clock};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::{Instant, timeout};

    use super::*;

    /// Somebody has set the wall clock back by an hour since the schedule began.
    #[tokio::test]
    async fn a_step_is_due_by_the_clock_of_the_run() {
        const HOUR: u64 = 3_600_000_000_000;
        let wall = Clock::default().unix_ns();
        let clock = Clock::from(Anchor::new(Instant::now(), wall + HOUR));
        let step = serde_json::from_str(r#"{"at": "1s", "action": "Scale", "replicas": 5}"#).unwrap();
        let events = vec![ChaosEvent { index: 3, at_ms: 1000, step }];
        let body = serde_json::to_string(&ChaosTimeline { t0: Some(wall + HOUR / 2), events }).unwrap();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (orders, mut inbox) = mpsc::unbounded_channel();
        let task = tokio::spawn(carry_out(base, Arc::default(), orders, ChaosLog::default(), Begun::new(&clock)));
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 4096]).await;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        socket.write_all((head + &body).as_bytes()).await.unwrap();
        assert_eq!(timeout(Duration::from_secs(10), inbox.recv()).await, Ok(Some((3, 5))));
        task.abort();
    }
}
