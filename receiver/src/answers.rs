//! Bad answers on schedule: which request gets which, by time, count and a seeded draw.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::{Answer, AnswerType};
use bytes::Bytes;

/// Silence of Hang and `CommitThenHang`.
const SILENCE: Duration = Duration::from_mins(1);
/// Turn of Flapping.
const TURN: Duration = Duration::from_secs(1);
/// Body of `LargeErrorBody`, and the most it may be.
const LARGE: usize = 10 << 20;
const LARGEST: usize = 64 << 20;

/// Why a schedule of answers cannot be followed.
#[derive(Debug, thiserror::Error)]
#[error("answers[{index}]: {problem}")]
pub struct AnswersError {
    index: usize,
    problem: String,
}

/// What is done with a request before or instead of its honest answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Nothing is stored, this is answered.
    Reply(Reply),
    /// The request is stored, this is answered whatever the verdict was.
    CommitThen(Reply),
    /// The request is stored, this is answered where the honest answer is a success, too.
    Succeed(Reply),
    /// Half of the request is stored, this is answered.
    HalfThen(Reply),
    /// Silence, then the connection is closed.
    Hang { commit: bool, silence: Duration },
    /// The connection is closed without an answer.
    Close,
    /// The request is stored, the connection closed inside the answer.
    CloseMid,
    /// Stored and answered honestly, but for one series, which is refused.
    RefuseOne(RefuseOne),
}

/// How the one series is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefuseOne {
    pub(crate) status: u16,
    /// None: the honest text, which names the series.
    pub(crate) body: Option<Bytes>,
}

/// An answer as it goes out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) location: Option<String>,
    /// Made once, shared by all requests.
    pub(crate) body: Bytes,
}

#[derive(Debug)]
struct Rule {
    from: Duration,
    until: Duration,
    every: u64,
    /// In 2⁻⁶⁴; None: all.
    share: Option<u64>,
    times: u64,
    /// Flapping: bad in even turns.
    turn: Option<Duration>,
    delay: Option<Duration>,
    act: Act,
    /// Requests of its time so far, and how many it took.
    offered: AtomicU64,
    taken: AtomicU64,
}

/// The schedule. Counts requests by itself; one call a request.
#[derive(Debug, Default)]
pub(crate) struct Answers(Vec<Rule>);

impl Answers {
    pub(crate) fn new(answers: &[Answer]) -> Result<Self, AnswersError> {
        let rule = |(index, answer)| rule(answer).map_err(|problem| AnswersError { index, problem });
        answers.iter().enumerate().map(rule).collect::<Result<_, _>>().map(Self)
    }

    /// Whether anything is ever done: requests need no clock otherwise.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What to do with a request that comes at `at` after the zero of the schedule, and a delay before its answer.
    /// The first rule that takes it wins.
    pub(crate) fn draw(&self, at: Duration, seed: u64) -> Option<(Act, Option<Duration>)> {
        self.0.iter().enumerate().find_map(|(index, rule)| {
            if at < rule.from || at >= rule.until {
                return None;
            }
            if let Some(turn) = rule.turn
                && (at.saturating_sub(rule.from).as_nanos() / turn.as_nanos().max(1)) % 2 == 1
            {
                return None;
            }
            let ordinal = rule.offered.fetch_add(1, Ordering::Relaxed);
            let due = match rule.share {
                Some(share) => drawn(seed, index as u64, ordinal) < share,
                None => (ordinal + 1) % rule.every == 0,
            };
            let take = |taken: u64| (taken < rule.times).then_some(taken + 1);
            let taken = due && rule.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
            taken.then(|| (rule.act.clone(), rule.delay))
        })
    }
}

/// A number that seed, rule and request decide.
fn drawn(seed: u64, rule: u64, ordinal: u64) -> u64 {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&rule.to_le_bytes());
    key[8..].copy_from_slice(&ordinal.to_le_bytes());
    xxhash_rust::xxh3::xxh3_64_with_seed(&key, seed)
}

fn rule(answer: &Answer) -> Result<Rule, String> {
    let status = |default: u16| answer.status.unwrap_or(default);
    let reply = |default: u16| Reply {
        status: status(default),
        retry_after: answer.retry_after.clone(),
        location: answer.location.clone(),
        body: Bytes::from(answer.body.clone().unwrap_or_default()),
    };
    let silence = answer.delay.map_or(SILENCE, |delay| delay.0);
    let act = match answer.r#type {
        // A success that stores nothing is DiscardSilently.
        AnswerType::StatusCode if (200..300).contains(&status(503)) => Act::Succeed(reply(503)),
        AnswerType::StatusCode | AnswerType::Flapping => Act::Reply(reply(503)),
        AnswerType::RetryAfter => {
            let retry_after = Some(answer.retry_after.clone().unwrap_or_else(|| "1".to_owned()));
            Act::Reply(Reply { retry_after, ..reply(503) })
        }
        AnswerType::Hang => Act::Hang { commit: false, silence },
        AnswerType::CommitThenError => Act::CommitThen(reply(503)),
        AnswerType::CommitThenHang => Act::Hang { commit: true, silence },
        AnswerType::DiscardSilently => Act::Reply(reply(204)),
        AnswerType::CloseBeforeAnswer => Act::Close,
        AnswerType::CloseMidAnswer => Act::CloseMid,
        AnswerType::Redirect => Act::Reply(reply(307)),
        AnswerType::SuccessWithBody => {
            let body = answer.body.clone().unwrap_or_else(|| "stored\n".to_owned());
            Act::Succeed(Reply { body: Bytes::from(body), ..reply(200) })
        }
        AnswerType::LargeErrorBody => {
            let size = answer.body_size.as_ref().map_or(LARGE, |bytes| usize::try_from(bytes.0).unwrap_or(usize::MAX));
            if size > LARGEST {
                return Err(format!("`bodySize` of {size} bytes is above {LARGEST}; ask for less"));
            }
            let mut body = answer.body.clone().unwrap_or_default().into_bytes();
            body.resize(size.max(body.len()), b' ');
            Act::Reply(Reply { body: Bytes::from(body), ..reply(503) })
        }
        AnswerType::RejectOneSeries => {
            Act::RefuseOne(RefuseOne { status: status(400), body: answer.body.clone().map(Bytes::from) })
        }
        AnswerType::PartialWrite => Act::HalfThen(reply(503)),
        AnswerType::WrittenMissing | AnswerType::WrittenTooLow | AnswerType::WrittenTooHigh => {
            return Err(format!("{:?} needs protocol 2.0, which is not available yet; leave it out", answer.r#type));
        }
    };
    let hangs = matches!(act, Act::Hang { .. });
    let from = answer.from.0;
    Ok(Rule {
        from,
        until: answer.r#for.map_or(Duration::MAX, |length| from.saturating_add(length.0)),
        every: u64::from(answer.every.unwrap_or(1).max(1)),
        share: answer.share.map(|share| (share.0.clamp(0.0, 1.0) * 18_446_744_073_709_551_616.0) as u64),
        times: answer.times.map_or(u64::MAX, u64::from),
        turn: (answer.r#type == AnswerType::Flapping).then(|| answer.period.map_or(TURN, |period| period.0)),
        delay: answer.delay.filter(|_| !hangs).map(|delay| delay.0),
        act,
        offered: AtomicU64::new(0),
        taken: AtomicU64::new(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(json: &str) -> Answers {
        Answers::new(&serde_json::from_str::<Vec<Answer>>(json).unwrap()).unwrap()
    }

    fn statuses(answers: &Answers, at_ms: &[u64], seed: u64) -> Vec<u16> {
        let status = |at: &u64| match answers.draw(Duration::from_millis(*at), seed) {
            Some((Act::Reply(reply), _)) => reply.status,
            Some(_) => 1,
            None => 0,
        };
        at_ms.iter().map(status).collect()
    }

    #[test]
    fn windows_are_half_open_and_the_first_rule_wins() {
        let schedule = answers(
            r#"[{"type":"StatusCode","status":500,"from":"1s","for":"1s"},{"type":"StatusCode","status":429,"from":"1500ms"}]"#,
        );
        assert_eq!(statuses(&schedule, &[0, 999, 1000, 1600, 1999, 2000, 99_000], 0), [0, 0, 500, 500, 500, 429, 429]);
    }

    #[test]
    fn every_counts_and_times_ends() {
        let schedule = answers(r#"[{"type":"StatusCode","every":3,"times":2}]"#);
        assert_eq!(statuses(&schedule, &[0; 10], 0), [0, 0, 503, 0, 0, 503, 0, 0, 0, 0]);
    }

    #[test]
    fn flapping_takes_turns() {
        let schedule = answers(r#"[{"type":"Flapping","from":"1s","period":"500ms"}]"#);
        assert_eq!(statuses(&schedule, &[0, 1000, 1499, 1500, 1999, 2000], 0), [0, 503, 503, 0, 0, 503]);
    }

    #[test]
    fn shares_are_drawn_by_the_seed() {
        let schedule = || answers(r#"[{"type":"StatusCode","share":"25%"}]"#);
        let draws = |seed| statuses(&schedule(), &vec![0; 4000], seed);
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        let hits = draws(1).iter().filter(|status| **status == 503).count();
        assert!((900..1100).contains(&hits), "{hits}");
    }

    #[test]
    fn what_needs_protocol_2_is_refused_by_name() {
        let answers: Vec<Answer> = serde_json::from_str(r#"[{"type":"Hang"},{"type":"WrittenMissing"}]"#).unwrap();
        let error = Answers::new(&answers).unwrap_err().to_string();
        assert!(error.contains("answers[1]") && error.contains("WrittenMissing"), "{error}");
    }
}
