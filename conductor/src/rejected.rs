//! What a backend refused although it was not sent to be refused.

use api::Fault;
use ledger::WorkerAccount;
use protocol::FaultCount;

/// Samples that workers had to give up because the backend refused them, without those of faults. `None` while faults travel among
/// good samples and `complete` is false: a worker counts a refusal before the generator hears of it, so until the last reports are
/// in nobody can tell which refusals were asked for.
pub(crate) fn rejected<'a>(
    faults: &[Fault],
    workers: impl Iterator<Item = &'a WorkerAccount>,
    heard: impl Iterator<Item = &'a Vec<FaultCount>>,
    complete: bool,
) -> Option<u64> {
    // Workers count requests of faults alone by themselves, and not at all those that they cannot read.
    let among_good: Vec<bool> = faults.iter().map(|fault| !faults::travels_alone(fault)).collect();
    if !complete && among_good.contains(&true) {
        return None;
    }
    let all: u64 = workers.map(|account| account.rejected.values().sum::<u64>().saturating_sub(account.faults)).sum();
    let counts = heard.flat_map(|counts| counts.iter().zip(&among_good)).filter(|(_, among)| **among);
    let on_purpose: u64 = counts.map(|(count, _)| count.account.refused + count.account.refused_in_doubt).sum();
    Some(all.saturating_sub(on_purpose))
}

#[cfg(test)]
mod tests {
    use ledger::FaultAccount;

    use super::*;

    fn faults(placement: &str) -> Vec<Fault> {
        let fault = serde_json::json!({"type": "OutOfOrder", "share": "1%", "placement": placement});
        vec![serde_json::from_value(fault).unwrap()]
    }

    fn sides(heard: FaultAccount) -> (WorkerAccount, Vec<FaultCount>) {
        let rejected = [("status_400".to_owned(), 70), ("collateral".to_owned(), 30)].into();
        let worker = WorkerAccount { rejected, faults: 10, ..WorkerAccount::default() };
        let count = FaultCount { account: heard, ..FaultCount::default() };
        (worker, vec![count])
    }

    #[test]
    fn faults_among_good_samples_are_no_drops_even_where_they_prove_nothing() {
        let heard =
            FaultAccount { sent: 100, refused: 5, refused_in_doubt: 75, indeterminate: 80, ..FaultAccount::default() };
        let (worker, heard) = sides(heard);
        let of =
            |placement, complete| rejected(&faults(placement), [&worker].into_iter(), [&heard].into_iter(), complete);
        assert_eq!(of("Mixed", true), Some(10));
        assert_eq!(of("Mixed", false), None, "the worker knows before the generator");
        assert_eq!(of("Own", true), Some(90));
        assert_eq!(of("Own", false), Some(90));
    }

    #[test]
    fn what_was_never_answered_is_not_taken_for_refused() {
        let (worker, heard) = sides(FaultAccount { sent: 80, indeterminate: 80, ..FaultAccount::default() });
        let of = rejected(&faults("Mixed"), [&worker].into_iter(), [&heard].into_iter(), true);
        assert_eq!(of, Some(90));
    }
}
