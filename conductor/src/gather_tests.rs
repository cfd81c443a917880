use std::sync::Arc;

use ledger::WorkerAccount;

use super::*;

const SECOND: u64 = 1_000_000_000;

/// Worker 0's life of this name, known from its first to its last account: seconds.
pub(crate) fn live(gatherer: &mut Gatherer, name: &str, (first, last): (u64, u64), account: WorkerAccount) {
    let cpu = CpuUse::default();
    let report = WorkerReport {
        ordinal: 0,
        epoch: 1,
        drained: None,
        run: None,
        account,
        closed: false,
        fatal: None,
        last_error: None,
        stalls: Vec::new(),
        cpu,
    };
    let life = WorkerLife { report, histograms: None, first_seen: first * SECOND, last_asked: last * SECOND };
    gatherer.worker_lives.insert((0, name.to_owned()), life);
}

#[test]
fn an_end_is_held_against_the_last_account_of_the_life_that_ended() {
    let mut gatherer = Gatherer::new(Arc::default(), &[], &[], &[]).unwrap();
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
