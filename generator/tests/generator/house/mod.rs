//! A conductor and a target in this process, and generators against them over real sockets.

#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod expected;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use floodmark_generator::{ExitStatus, Options, run};
use floodmark_http::client::{Endpoint, get_json};
use floodmark_http::server::{Limits, bind, serve};
use floodmark_http::{Request, Response, StatusCode};
use protocol::{GeneratorReport, GeneratorState, PhaseDoc, RunPhase, RunPlan, Target, header, path};
use telemetry::Stop;

/// One request as the target saw it.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) id: String,
    pub(crate) fault: Option<String>,
    pub(crate) epoch: Option<u64>,
    pub(crate) intended_us: u64,
    pub(crate) body: Bytes,
    pub(crate) status: u16,
}

/// What the target answers: by the number of times this request came before, and its headers.
pub(crate) type Script = dyn Fn(&Arrival, usize) -> Response<Bytes> + Send + Sync;

pub(crate) struct House {
    pub(crate) target: SocketAddr,
    conductor: SocketAddr,
    phase: Arc<Mutex<PhaseDoc>>,
    pub(crate) arrivals: Arc<Mutex<Vec<Arrival>>>,
    /// The sink's map, if it is one.
    pub(crate) ownership: Arc<Mutex<Option<protocol::OwnershipDoc>>>,
    plan: Arc<Mutex<Option<RunPlan>>>,
    stop: Stop,
}

pub(crate) fn answer(status: u16) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn json<T: serde::Serialize>(value: &T) -> Response<Bytes> {
    Response::new(Bytes::from(serde_json::to_vec(value).unwrap()))
}

impl House {
    pub(crate) fn new(script: Box<Script>) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (target, conductor) = (bind(any).unwrap(), bind(any).unwrap());
        let house = Self {
            target: target.local_addr().unwrap(),
            conductor: conductor.local_addr().unwrap(),
            phase: Arc::new(Mutex::new(PhaseDoc {
                run: "r".into(),
                phase: RunPhase::Preparing,
                t0: None,
                taken: Vec::new(),
                departed: Vec::new(),
                last_words_ms: None,
            })),
            arrivals: Arc::default(),
            ownership: Arc::default(),
            plan: Arc::default(),
            stop: Stop::new(),
        };
        let (arrivals, ownership) = (Arc::clone(&house.arrivals), Arc::clone(&house.ownership));
        let counts: Mutex<BTreeMap<String, usize>> = Mutex::default();
        let handler = Arc::new(move |request: Request<Bytes>, _: SocketAddr| {
            let response = if request.uri().path() == path::OWNERSHIP {
                ownership.lock().unwrap().as_ref().map_or_else(|| answer(503), json)
            } else {
                take(&request, &arrivals, &counts, &*script)
            };
            async move { response }
        });
        tokio::spawn(serve(target, handler, Limits::default(), None, None, house.stop.wait()));
        let (phase, plan) = (Arc::clone(&house.phase), Arc::clone(&house.plan));
        let handler = Arc::new(move |request: Request<Bytes>, _: SocketAddr| {
            let response = match request.uri().path() {
                path::PLAN => plan.lock().unwrap().as_ref().map_or_else(|| answer(503), json),
                path::PHASE => json(&*phase.lock().unwrap()),
                _ => answer(404),
            };
            async move { response }
        });
        tokio::spawn(serve(conductor, handler, Limits::default(), None, None, house.stop.wait()));
        house
    }

    pub(crate) fn endpoint(&self) -> Target {
        let url = format!("http://{}{}", self.target, path::WRITE);
        Target::Endpoint { endpoint: Box::new(Endpoint::new(url).with_timeout(Duration::from_millis(500))) }
    }

    fn set(&self, phase: RunPhase) {
        self.phase.lock().unwrap().phase = phase;
    }

    /// Runs the plan with all its generators to the end; `halt_after` is when the conductor says Stopping, since t0.
    pub(crate) async fn run(
        &self,
        plan: RunPlan,
        halt_after: Option<Duration>,
    ) -> (u64, Vec<GeneratorReport>, ledger::SlotTable) {
        let generators = plan.generators;
        *self.plan.lock().unwrap() = Some(plan);
        let mut tasks = Vec::new();
        let mut addresses = Vec::new();
        for index in 0..generators {
            let listen = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap().local_addr().unwrap();
            addresses.push(listen);
            let options = Options { conductor: format!("http://{}", self.conductor), index, listen };
            tasks.push(tokio::spawn(run(options, Stop::new())));
        }
        self.all(&addresses, |s| *s == GeneratorState::Ready).await;
        let t0 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_millis(200);
        let t0 = t0.as_nanos() as u64;
        {
            let mut phase = self.phase.lock().unwrap();
            phase.t0 = Some(t0);
            phase.phase = RunPhase::Running;
        }
        if let Some(after) = halt_after {
            tokio::time::sleep(Duration::from_millis(200) + after).await;
            self.set(RunPhase::Stopping);
        }
        let reports = self
            .all(&addresses, |s| {
                matches!(s, GeneratorState::Done | GeneratorState::Stopped(_) | GeneratorState::Failed(_))
            })
            .await;
        let mut slots = ledger::SlotTable::new();
        for address in &addresses {
            let table: ledger::SlotTable = self.get(*address, path::SLOTS).await.unwrap();
            slots.merge(&table);
            let _: measure::HistogramSet = self.get(*address, path::HISTOGRAMS).await.unwrap();
        }
        self.phase.lock().unwrap().taken = (0..generators).collect();
        for task in tasks {
            assert_eq!(task.await.unwrap().unwrap(), ExitStatus::Taken);
        }
        self.stop.request();
        (t0, reports, slots)
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, address: SocketAddr, path: &str) -> Option<T> {
        get_json(&format!("http://{address}{path}"), 16 << 20, Duration::from_secs(2)).await.ok()
    }

    /// The reports once every generator is in the state; a minute at most.
    async fn all(&self, addresses: &[SocketAddr], wanted: impl Fn(&GeneratorState) -> bool) -> Vec<GeneratorReport> {
        let poll = async {
            loop {
                let mut reports = Vec::new();
                for address in addresses {
                    reports.extend(
                        self.get::<GeneratorReport>(*address, path::ACCOUNT).await.filter(|r| wanted(&r.state)),
                    );
                }
                if reports.len() == addresses.len() {
                    return reports;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), poll).await.unwrap()
    }
}

fn take(
    request: &Request<Bytes>,
    arrivals: &Mutex<Vec<Arrival>>,
    counts: &Mutex<BTreeMap<String, usize>>,
    script: &Script,
) -> Response<Bytes> {
    let text = |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
    assert_eq!(text("content-encoding").as_deref(), Some("snappy"));
    assert_eq!(text("content-type").as_deref(), Some("application/x-protobuf"));
    assert_eq!(text("x-prometheus-remote-write-version").as_deref(), Some("0.1.0"));
    // The probe has no name.
    let Some(id) = text(header::REQUEST) else { return answer(204) };
    let mut arrival = Arrival {
        fault: text(header::FAULT),
        epoch: text(header::EPOCH).map(|e| e.parse().unwrap()),
        // None in a warm-up.
        intended_us: text(header::INTENDED).map_or(0, |us| us.parse().unwrap()),
        body: request.body().clone(),
        status: 0,
        id,
    };
    let mut counts = counts.lock().unwrap();
    let before = counts.entry(arrival.id.clone()).or_default();
    let response = script(&arrival, *before);
    *before += 1;
    arrival.status = response.status().as_u16();
    arrivals.lock().unwrap().push(arrival);
    response
}
