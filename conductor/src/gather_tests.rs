use std::sync::Arc;

use ledger::WorkerAccount;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn told(run: Option<&str>, account: WorkerAccount) -> WorkerReport {
    let cpu = CpuUse::default();
    WorkerReport {
        ordinal: 0,
        epoch: 1,
        drained: None,
        run: run.map(str::to_owned),
        account,
        closed: false,
        fatal: None,
        unreachable: None,
        last_error: None,
        stalls: Vec::new(),
        cpu,
    }
}

/// Worker 0's life of this name, known from its first to its last account: seconds.
pub(crate) fn live(gatherer: &mut Gatherer, name: &str, (first, last): (u64, u64), account: WorkerAccount) {
    let report = told(Some("r"), account);
    let life = WorkerLife { report, histograms: None, first_seen: first * SECOND, last_asked: last * SECOND };
    gatherer.worker_lives.insert((0, name.to_owned()), life);
}

#[test]
fn an_end_is_held_against_the_last_account_of_the_life_that_ended() {
    let mut gatherer = Gatherer::new(Arc::default(), "r", &[], &[], &[]).unwrap();
    let holding = |buffered| WorkerAccount { buffered, ..WorkerAccount::default() };
    // Names say nothing of the order.
    live(&mut gatherer, "b", (10, 20), holding(7));
    live(&mut gatherer, "a", (30, 40), holding(9));
    let words = |gatherer: &Gatherer, ended: u64, gone: u64| {
        gatherer.last_words(0, ended * SECOND, gone * SECOND).map(|seen| (seen.at_unix_ns / SECOND, seen.held))
    };
    assert_eq!(words(&gatherer, 21, 21), Some((20, 7)));
    assert_eq!(words(&gatherer, 41, 41), Some((40, 9)));
    assert_eq!(words(&gatherer, 31, 31), Some((20, 7)), "noticed when the next life answered already");
    assert_eq!(words(&gatherer, 5, 5), None, "nobody knows of a life then");
    assert_eq!(words(&gatherer, 15, 16), None, "that life went on");
    assert_eq!(words(&gatherer, 15, 21), Some((20, 7)), "asked to end, it took its time");
    assert_eq!(gatherer.last_words(1, 41 * SECOND, 41 * SECOND), None);
    // One that was asked to end, and could not pass on all that it held, says so.
    let left = WorkerAccount { dropped: [("shutdown".to_owned(), 4)].into(), ambiguous: 2, ..WorkerAccount::default() };
    live(&mut gatherer, "c", (50, 60), left);
    assert_eq!(words(&gatherer, 55, 60), Some((60, 4)));
    gatherer.worker_lives.get_mut(&(0, "c".to_owned())).unwrap().report.closed = true;
    assert_eq!(words(&gatherer, 55, 60), Some((60, 6)));
}

/// A worker of a shared sink may still tell of the run before, end, and come back.
#[tokio::test]
async fn what_a_worker_tells_of_another_run_is_not_heard() {
    let account = |incarnation: &str| WorkerAccount { incarnation: incarnation.to_owned(), ..WorkerAccount::default() };
    let reports = [told(Some("before"), account("a")), told(None, account("b")), told(Some("r"), account("c"))];
    for (report, heard) in reports.into_iter().zip([0, 0, 1]) {
        let departed = Departed { ordinal: 0, report: report.clone(), histograms: None };
        let base = serve(report).await;
        let mut gatherer = Gatherer::new(Arc::default(), "r", &[], &[base], &[]).unwrap();
        gatherer.poll_workers(false).await;
        assert_eq!((gatherer.worker_lives.len(), gatherer.buffered().is_ok()), (heard, heard == 1));
        gatherer.worker_lives.clear();
        gatherer.take_departed(vec![departed]);
        assert_eq!(gatherer.worker_lives.len(), heard);
    }
}

/// Kills are held against the last account of the worker that they hit: it must not be old because another is paused.
#[tokio::test]
async fn a_paused_worker_keeps_no_other_from_being_heard() {
    // Connections are made, and nobody reads from them.
    let paused = || tokio::net::TcpListener::bind(("127.0.0.1", 0));
    let paused = [paused().await.unwrap(), paused().await.unwrap()];
    let mut workers: Vec<String> = paused.iter().map(|at| format!("http://{}", at.local_addr().unwrap())).collect();
    let account = WorkerAccount { incarnation: "c".to_owned(), ..WorkerAccount::default() };
    workers.push(serve(told(Some("r"), account)).await);
    let mut gatherer = Gatherer::new(Arc::default(), "r", &[], &workers, &[]).unwrap();
    let round = tokio::time::timeout(TIMEOUT * 3 / 4, gatherer.poll_workers(true)).await;
    assert!(round.is_err(), "nobody is paused");
    assert_eq!(gatherer.worker_lives.keys().map(|(ordinal, _)| *ordinal).collect::<Vec<_>>(), [2]);
}

/// A worker that says always the same.
async fn serve(report: WorkerReport) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let body = serde_json::to_string(&report).unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = socket.write_all((head + &body).as_bytes()).await;
        }
    });
    base
}

#[test]
fn what_is_no_number_was_not_used() {
    let metrics = "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 1.5\nprocess_resident_memory_bytes 7\n\
        floodmark_process_run_queue_wait_seconds NaN\n";
    let used = CpuUse { cpu_seconds: 1.5, run_queue_seconds: 0.0, wall_seconds: 2.0, rss_bytes: 7 };
    assert_eq!(poll::cpu_use(metrics, 2.0), used);
}
