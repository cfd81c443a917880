//! What the conductor cannot see by itself, as an annotation of its pod that the kubelet hands it as a file.

use std::time::Duration;

use protocol::{EngineReport, ExecutedChaos};

/// The kubelet may miss an update of the annotation: one that is not echoed is made again after it.
const AGAIN: Duration = Duration::from_secs(5);

/// What is to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) executed: Vec<ExecutedChaos>,
    pub(crate) lost: Vec<String>,
    pub(crate) stop: Option<String>,
}

/// The report that replaces `before`; none when that stands. Nothing that was told is ever taken back. `echoed` is the number
/// that the conductor has read, `since` how long ago `before` was written, where that is known.
pub(crate) fn report(
    before: &EngineReport,
    news: &News,
    echoed: Option<u64>,
    since: Option<Duration>,
) -> Option<EngineReport> {
    let mut report = before.clone();
    for lost in &news.lost {
        if !report.lost.contains(lost) {
            report.lost.push(lost.clone());
        }
    }
    for executed in &news.executed {
        match report.executed.iter_mut().find(|known| known.index == executed.index) {
            Some(known) => known.back_at = known.back_at.or(executed.back_at),
            None => report.executed.push(executed.clone()),
        }
    }
    report.stop = report.stop.or_else(|| news.stop.clone());
    let unheard = before.seq > 0 && echoed.is_some_and(|echoed| echoed < before.seq);
    let again = unheard && since.is_none_or(|since| since >= AGAIN);
    if report == *before && !again {
        return None;
    }
    report.seq = before.seq + 1;
    Some(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_news_is_told_and_what_was_told_stands() {
        let nothing = EngineReport::default();
        assert_eq!(report(&nothing, &News::default(), Some(0), None), None);
        let lost = News { lost: vec!["generator 1: Evicted".to_owned()], ..News::default() };
        let first = report(&nothing, &lost, Some(0), None).unwrap();
        assert_eq!((first.seq, first.lost.len()), (1, 1));
        assert_eq!(report(&first, &lost, Some(1), None), None);
        let stop = News { stop: Some("spec.abort is set".to_owned()), ..News::default() };
        let second = report(&first, &stop, Some(1), None).unwrap();
        assert_eq!((second.seq, second.lost.len()), (2, 1));
        let other = News { stop: Some("late".to_owned()), ..News::default() };
        assert_eq!(report(&second, &other, Some(2), None), None);
    }

    #[test]
    fn what_was_not_heard_is_told_again_but_not_at_once() {
        let told = EngineReport { seq: 3, stop: Some("x".to_owned()), ..EngineReport::default() };
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(report(&told, &News::default(), Some(2), seconds(4)), None);
        assert_eq!(report(&told, &News::default(), Some(2), seconds(5)).unwrap().seq, 4);
        assert_eq!(report(&told, &News::default(), Some(3), seconds(50)), None);
        assert_eq!(report(&told, &News::default(), None, seconds(50)), None);
    }

    #[test]
    fn a_step_is_told_once_and_its_end_later() {
        let step = |back_at| ExecutedChaos { index: 2, executed_at: 5, back_at };
        let news = |back_at| News { executed: vec![step(back_at)], ..News::default() };
        let first = report(&EngineReport::default(), &news(None), Some(0), None).unwrap();
        let second = report(&first, &news(Some(9)), Some(1), None).unwrap();
        assert_eq!(second.executed, vec![step(Some(9))]);
        assert_eq!(report(&second, &news(None), Some(2), None), None);
    }
}
