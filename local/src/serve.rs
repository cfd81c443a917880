//! A run without a test: sinks and receivers serve third parties until the user stops them.

use std::time::Duration;

use floodmark_http::client::get_json;
use protocol::Target;
use telemetry::Stop;

use crate::endpoint::Resolver;
use crate::layout::{Builder, Layout};
use crate::parts::{Part, Role};
use crate::ports::Ports;
use crate::process::Spawner;
use crate::run::{Event, JUDGED, Options, RunError, end_all, folders, start_all};

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
    let (folders, _control) = folders(&options.results)?;
    let resolver = Resolver { secrets: options.secrets.clone(), hosts: options.resolve.clone() };
    let mut ports = Ports::new();
    let mut builder =
        Builder { resolver: &resolver, folders: &folders, ports: &mut ports, conductor: None, listen: options.listen };
    let mut layout = Layout::default();
    let mut sinks = Vec::new();
    for receiver in &options.bundle.receivers {
        builder.receiver(&mut layout, receiver)?;
        let name = format!("receiver {}", receiver.name);
        sinks.push((name, layout.write_url(&receiver.name).into_iter().collect::<Vec<_>>()));
    }
    for sink in &options.bundle.sinks {
        if let Target::Sink { workers } = builder.sink(&mut layout, sink)? {
            let urls = workers.iter().map(|base| format!("{base}{}", protocol::path::WRITE)).collect();
            sinks.push((format!("sink {}", sink.name), urls));
        }
    }
    let mut parts = Vec::new();
    let Layout { receivers, workers, .. } = layout;
    for specs in [receivers, workers] {
        if let Err(error) = start_all(spawner, specs, &mut parts).await {
            end_all(parts, JUDGED).await;
            return Err(error);
        }
    }
    for (name, addresses) in &sinks {
        tell(Event::Serving { sink: name, addresses });
    }
    let fatal = watch_serving(&parts, stop, tell).await;
    // What was acknowledged goes out before the workers do.
    end_all(parts, Duration::MAX).await;
    fatal.map_or(Ok(()), |why| Err(RunError::Fatal(why)))
}

/// Until the user stops it. Tells once what a worker cannot get over, and gives it back.
async fn watch_serving(parts: &[Part], stop: &Stop, tell: &(dyn Fn(Event<'_>) + Send + Sync)) -> Option<String> {
    let mut fatal: Option<String> = None;
    loop {
        tokio::select! {
            _ = stop.requested() => return fatal,
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
        if fatal.is_some() {
            continue;
        }
        for part in parts.iter().filter(|part| part.role == Role::SinkWorker) {
            let url = format!("http://{}{}", part.address, protocol::path::ACCOUNT);
            let report = get_json::<protocol::WorkerReport>(&url, 1 << 20, Duration::from_secs(1)).await;
            if let Some(why) = report.ok().and_then(|report| report.fatal) {
                let why = format!("sink-worker {} can never go on: {why}", part.ordinal);
                tell(Event::Trouble(&why));
                fatal = Some(why);
            }
        }
    }
}
