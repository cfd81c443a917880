//! A run without a test: sinks and receivers serve third parties until the user stops them.

use std::fmt::Write as _;
use std::time::Duration;

use floodmark_http::client::get_json;
use telemetry::Stop;
use tokio::time::Instant;

use crate::fleet::{end_in_order, end_judged, start_all};
use crate::folders::claim;
use crate::layout::{Builder, Layout};
use crate::parts::{Begun, Part, Role};
use crate::ports::Ports;
use crate::process::Spawner;
use crate::run::{Event, Options, RunError};

/// Sinks and receivers without a test: they serve third parties until the user stops them.
pub(crate) async fn serve(
    options: &Options,
    spawner: &Spawner,
    stop: &Stop,
    tell: &(dyn Fn(Event<'_>) + Send + Sync),
) -> Result<(), RunError> {
    if options.bundle.sinks.is_empty() && options.bundle.receivers.is_empty() {
        return Err(RunError::Usage("the files hold no document to run".into()));
    }
    if options.listen.is_some() && options.bundle.sinks.len() > 1 {
        return Err(RunError::Usage("--listen is for one sink; the files hold several".into()));
    }
    let claim = claim(&options.results)?;
    let resolver = options.resolver();
    let mut ports = Ports::new();
    let (bundle, listen) = (&options.bundle, options.listen);
    let mut builder =
        Builder { bundle, resolver: &resolver, folders: &claim.folders, ports: &mut ports, run: None, listen };
    let mut layout = Layout::default();
    let mut sinks = Vec::new();
    for receiver in &bundle.receivers {
        builder.receiver(&mut layout, receiver)?;
        let urls = layout.stores.last().map(|store| format!("{}{}", store.base, protocol::path::WRITE));
        sinks.push((
            format!("receiver {}", receiver.name_among(&bundle.receivers)),
            urls.into_iter().collect::<Vec<_>>(),
        ));
    }
    for sink in &bundle.sinks {
        let before = layout.workers.len();
        builder.sink(&mut layout, sink, 0)?;
        let workers = Layout::addresses(&layout.workers[before..]);
        let urls = workers.iter().map(|base| format!("{base}{}", protocol::path::WRITE)).collect();
        sinks.push((format!("sink {}", sink.name_among(&bundle.sinks)), urls));
    }
    options.tell_unused(tell);
    // Others count on it from the start: what crashes comes back, and only what cannot use its configuration stays away.
    let begun = Begun::default();
    begun.set();
    let mut parts = Vec::new();
    let Layout { receivers, workers, .. } = layout;
    for specs in [receivers, workers] {
        if let Err(error) = start_all(spawner, specs, &begun, &mut parts).await {
            end_judged(parts.into_iter().map(Box::new).collect(), Instant::now()).await;
            return Err(error);
        }
    }
    for (name, addresses) in &sinks {
        tell(Event::Serving { sink: name, addresses });
    }
    let end = watch_serving(&parts, stop, tell).await;
    let served = served(&parts).await;
    tell(Event::Trouble("stopping: what was acknowledged is delivered first"));
    end_in_order(parts).await;
    tell(Event::Trouble(&format!("stopped{served}")));
    end
}

/// Until the user stops it, or a part cannot go on with what it was told. Tells once what a worker cannot get over.
async fn watch_serving(parts: &[Part], stop: &Stop, tell: &(dyn Fn(Event<'_>) + Send + Sync)) -> Result<(), RunError> {
    let mut fatal: Option<String> = None;
    let mut rounds = 0u32;
    loop {
        tokio::select! {
            _ = stop.requested() => return fatal.map_or(Ok(()), |why| Err(RunError::Fatal(why))),
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
        if let Some(why) = parts.iter().find_map(Part::refusal) {
            return Err(RunError::Usage(why));
        }
        if let Some(why) = parts.iter().find_map(Part::loss) {
            return Err(RunError::Fatal(why));
        }
        rounds += 1;
        if fatal.is_some() || !rounds.is_multiple_of(4) {
            continue;
        }
        for part in parts.iter().filter(|part| part.role == Role::SinkWorker) {
            if let Some(why) = report(part).await.and_then(|report| report.fatal) {
                let why = format!("sink-worker {} can never go on: {why}", part.ordinal);
                tell(Event::Trouble(&why));
                fatal = Some(why);
            }
        }
    }
}

async fn report(part: &Part) -> Option<protocol::WorkerReport> {
    let url = format!("http://{}{}", part.address, protocol::path::ACCOUNT);
    get_json(&url, 1 << 20, Duration::from_secs(1)).await.ok()
}

/// `: sink-worker 0 accepted 1200 samples, …`, of the workers' present lives.
async fn served(parts: &[Part]) -> String {
    let mut told = String::new();
    for part in parts.iter().filter(|part| part.role == Role::SinkWorker) {
        if let Some(report) = report(part).await {
            let start = if told.is_empty() { ":" } else { "," };
            let _ = write!(told, "{start} sink-worker {} accepted {} samples", part.ordinal, report.account.accepted);
        }
    }
    told
}
