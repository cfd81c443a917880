//! What comes next for a test, as a pure function of what is there. `Finished` alone is sticky: it is read from the status.

use std::time::Duration;

use protocol::{ProgressDoc, RunPhase};

use crate::observe::{Reason, Trouble};

/// The operator ends a test that its conductor did not end so long after the deadline …
const OVERTIME: Duration = Duration::from_secs(30);
/// … and gives up on the conductor so long after that.
const LAST_WORD: Duration = Duration::from_secs(60);
/// A conductor that runs and says nothing for so long is lost.
const SILENCE: Duration = Duration::from_secs(60);

/// How far a test is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Pending,
    Preparing,
    Running,
    Verifying,
    Finished,
}

impl Phase {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Preparing => "Preparing",
            Self::Running => "Running",
            Self::Verifying => "Verifying",
            Self::Finished => "Finished",
        }
    }
}

/// What is known of the conductor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Conductor {
    /// No pod, or one that does not run yet.
    Absent,
    /// It runs, and has said nothing that is understood; nothing at all for so long. With what became of asking.
    Silent(Duration, String),
    Says(Box<ProgressDoc>),
    /// It ended, or its pod is gone after it had been there; with the pod's words.
    Lost(String),
}

/// Everything that the decision rests on.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) suspend: bool,
    pub(crate) abort: bool,
    /// Why the document cannot be carried out, with field and fix.
    pub(crate) invalid: Option<String>,
    /// What it refers to and is not there.
    pub(crate) unresolved: Option<String>,
    /// How long ago the plan was made; none: nothing was started.
    pub(crate) started: Option<Duration>,
    pub(crate) conductor: Conductor,
    pub(crate) troubles: Vec<Trouble>,
    /// Generators that ended before their reports were taken, with the pods' words.
    pub(crate) lost_generators: Vec<String>,
    pub(crate) deadline: Duration,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Nothing was started, and nothing is now.
    Hold { reason: &'static str, message: String },
    /// Take the targets and make the plan.
    Begin,
    /// All parts are to be there; tell the conductor what it cannot see.
    Go { phase: Phase, reason: &'static str, message: String, lost: Vec<String>, stop: Option<String> },
    /// The conductor has the verdict: take the summary.
    Conclude,
    /// It ends without a verdict of the conductor.
    Break { reason: &'static str, message: String },
}

pub(crate) fn next(facts: &Facts) -> Step {
    match facts.started {
        None => before(facts),
        Some(started) => after(facts, started),
    }
}

fn before(facts: &Facts) -> Step {
    if facts.abort {
        return Step::Break { reason: "Aborted", message: "spec.abort is set; nothing was started".to_owned() };
    }
    if let Some(invalid) = &facts.invalid {
        return Step::Break { reason: "InvalidSpec", message: invalid.clone() };
    }
    if facts.suspend {
        return Step::Hold { reason: "Suspended", message: "spec.suspend holds it; set it to false".to_owned() };
    }
    if let Some(unresolved) = &facts.unresolved {
        return Step::Hold { reason: "ReferencesUnresolved", message: unresolved.clone() };
    }
    Step::Begin
}

fn after(facts: &Facts, started: Duration) -> Step {
    let progress = match &facts.conductor {
        Conductor::Says(progress) if progress.verdict.is_some() => return Step::Conclude,
        Conductor::Lost(words) => return Step::Break { reason: "ConductorLost", message: words.clone() },
        Conductor::Silent(since, words) if *since >= SILENCE => {
            let message = format!("the conductor runs and has not answered for {} s: {words}", since.as_secs());
            return Step::Break { reason: "ConductorSilent", message };
        }
        Conductor::Says(progress) => Some(progress.as_ref()),
        Conductor::Absent | Conductor::Silent(..) => None,
    };
    let limit = facts.deadline.saturating_add(OVERTIME);
    let late = || format!("not finished within {} s", facts.deadline.as_secs());
    let hopeless = facts.troubles.iter().find(|trouble| trouble.terminal);
    // Without a conductor there is nobody to wait for. One that is silent may be writing its reports.
    if matches!(facts.conductor, Conductor::Absent) {
        let with_trouble = |words: String| match facts.troubles.first() {
            Some(trouble) => format!("{words}: {}", trouble.text()),
            None => words,
        };
        if facts.abort && started >= limit.min(LAST_WORD) {
            let message = with_trouble("spec.abort is set; there is no conductor to tell".to_owned());
            return Step::Break { reason: "Aborted", message };
        }
        if started >= limit {
            return Step::Break { reason: "DeadlineExceeded", message: with_trouble(late()) };
        }
        if let Some(trouble) = hopeless {
            return Step::Break { reason: trouble.reason.as_str(), message: trouble.text() };
        }
    }
    if started >= limit.saturating_add(LAST_WORD) {
        let message = match &facts.conductor {
            Conductor::Silent(_, words) => format!("{}: conductor: {words}", late()),
            _ => late(),
        };
        return Step::Break { reason: "DeadlineExceeded", message };
    }
    let mut stop = facts.abort.then(|| "spec.abort is set".to_owned());
    if stop.is_none() && started >= limit {
        stop = Some(late());
    }
    if stop.is_none() {
        stop = hopeless.map(|trouble| format!("{}: {}", trouble.reason.as_str(), trouble.text()));
    }
    let phase = progress.map_or(Phase::Preparing, |progress| phase(progress.now.phase));
    let (reason, message) = if let Some(words) = facts.lost_generators.first() {
        ("GeneratorLost", words.clone())
    } else {
        present(phase, progress, &facts.troubles)
    };
    Step::Go { phase, reason, message, lost: facts.lost_generators.clone(), stop }
}

/// What it does now, or what keeps it from doing it.
fn present(phase: Phase, progress: Option<&ProgressDoc>, troubles: &[Trouble]) -> (&'static str, String) {
    let says = progress.and_then(|says| says.now.waiting_for.clone().or_else(|| says.now.trouble.clone()));
    let worst = troubles.iter().find(|trouble| trouble.terminal || trouble.reason != Reason::Restarted);
    match worst.or(troubles.first()) {
        Some(trouble) => (trouble.reason.as_str(), trouble.text()),
        None => (phase.as_str(), says.unwrap_or_default()),
    }
}

fn phase(run: RunPhase) -> Phase {
    match run {
        RunPhase::Preparing => Phase::Preparing,
        RunPhase::Running | RunPhase::Draining | RunPhase::Stopping => Phase::Running,
        RunPhase::Verifying | RunPhase::Finished | RunPhase::Aborted => Phase::Verifying,
    }
}

#[cfg(test)]
mod tests {
    use protocol::Progress;

    use super::*;

    fn facts() -> Facts {
        Facts {
            suspend: false,
            abort: false,
            invalid: None,
            unresolved: None,
            started: Some(Duration::from_secs(10)),
            conductor: Conductor::Absent,
            troubles: Vec::new(),
            lost_generators: Vec::new(),
            deadline: Duration::from_secs(120),
        }
    }

    fn says(phase: RunPhase) -> Conductor {
        let now = Progress::new(phase);
        let doc = ProgressDoc { run: "r".into(), t0: None, now, engine_seq: 0, verdict: None, reasons: Vec::new() };
        Conductor::Says(Box::new(doc))
    }

    fn trouble(reason: Reason, terminal: bool) -> Trouble {
        Trouble { part: "generator 0".to_owned(), reason, words: "words".to_owned(), terminal }
    }

    /// Kind, phase or reason, and whether the conductor is told to stop.
    fn short(step: &Step) -> (&'static str, String, bool) {
        match step {
            Step::Hold { reason, .. } => ("hold", (*reason).to_owned(), false),
            Step::Begin => ("begin", String::new(), false),
            Step::Go { phase, reason, stop, .. } => ("go", format!("{} {reason}", phase.as_str()), stop.is_some()),
            Step::Conclude => ("conclude", String::new(), false),
            Step::Break { reason, .. } => ("break", (*reason).to_owned(), false),
        }
    }

    #[test]
    fn the_definition_names_the_phases() {
        let crds = api::crds();
        let (_, text) = crds.iter().find(|(name, _)| name.contains("loadtests")).unwrap();
        let phases = [Phase::Pending, Phase::Preparing, Phase::Running, Phase::Verifying].map(Phase::as_str);
        let words = format!("{} or {}.", phases.join(", "), Phase::Finished.as_str());
        assert!(text.contains(&words), "{words}");
    }

    #[test]
    fn every_row_of_the_table() {
        type Edit = fn(&mut Facts);
        let seconds = Duration::from_secs;
        assert_eq!(seconds(1), Duration::from_secs(1));
        let rows: Vec<(&str, Edit, (&str, &str, bool))> = vec![
            ("nothing started", |f| f.started = None, ("begin", "", false)),
            ("suspended", |f| (f.started, f.suspend) = (None, true), ("hold", "Suspended", false)),
            ("suspended too late", |f| f.suspend = true, ("go", "Preparing Preparing", false)),
            (
                "unresolved",
                |f| (f.started, f.unresolved) = (None, Some("x".into())),
                ("hold", "ReferencesUnresolved", false),
            ),
            ("invalid", |f| (f.started, f.invalid) = (None, Some("x".into())), ("break", "InvalidSpec", false)),
            (
                "invalid after the start is frozen",
                |f| f.invalid = Some("x".into()),
                ("go", "Preparing Preparing", false),
            ),
            ("aborted before", |f| (f.started, f.abort) = (None, true), ("break", "Aborted", false)),
            (
                "aborted while it runs",
                |f| (f.conductor, f.abort) = (says(RunPhase::Running), true),
                ("go", "Running Running", true),
            ),
            ("draining is running", |f| f.conductor = says(RunPhase::Draining), ("go", "Running Running", false)),
            ("verifying", |f| f.conductor = says(RunPhase::Verifying), ("go", "Verifying Verifying", false)),
            ("no verdict yet", |f| f.conductor = says(RunPhase::Finished), ("go", "Verifying Verifying", false)),
            (
                "a verdict",
                |f| {
                    f.conductor = says(RunPhase::Finished);
                    if let Conductor::Says(doc) = &mut f.conductor {
                        doc.verdict = Some("Passed".into());
                    }
                },
                ("conclude", "", false),
            ),
            (
                "conductor lost",
                |f| f.conductor = Conductor::Lost("OOMKilled".into()),
                ("break", "ConductorLost", false),
            ),
            (
                "silent a while",
                |f| f.conductor = Conductor::Silent(Duration::from_secs(59), "x".into()),
                ("go", "Preparing Preparing", false),
            ),
            (
                "silent",
                |f| f.conductor = Conductor::Silent(Duration::from_secs(60), "x".into()),
                ("break", "ConductorSilent", false),
            ),
            (
                "silent once and aborted",
                |f| {
                    (f.conductor, f.abort) = (Conductor::Silent(Duration::ZERO, "x".into()), true);
                    f.started = Some(Duration::from_secs(100));
                },
                ("go", "Preparing Preparing", true),
            ),
            (
                "silent past the deadline",
                |f| {
                    f.conductor = Conductor::Silent(Duration::ZERO, "x".into());
                    f.started = Some(Duration::from_secs(150));
                },
                ("go", "Preparing Preparing", true),
            ),
            (
                "aborted without a conductor",
                |f| (f.started, f.abort) = (Some(Duration::from_secs(60)), true),
                ("break", "Aborted", false),
            ),
            (
                "unschedulable",
                |f| f.troubles = vec![trouble(Reason::Unschedulable, false)],
                ("go", "Preparing Unschedulable", false),
            ),
            (
                "bad image, no conductor",
                |f| f.troubles = vec![trouble(Reason::ImagePullFailed, true)],
                ("break", "ImagePullFailed", false),
            ),
            (
                "bad image, conductor there",
                |f| {
                    f.conductor = says(RunPhase::Preparing);
                    f.troubles = vec![trouble(Reason::ImagePullFailed, true)];
                },
                ("go", "Preparing ImagePullFailed", true),
            ),
            (
                "generator lost",
                |f| {
                    f.conductor = says(RunPhase::Running);
                    f.lost_generators = vec!["generator 0: x".into()];
                },
                ("go", "Running GeneratorLost", false),
            ),
            (
                "past the deadline",
                |f| {
                    f.conductor = says(RunPhase::Running);
                    f.started = Some(Duration::from_secs(150));
                },
                ("go", "Running Running", true),
            ),
            (
                "past the deadline without a conductor",
                |f| f.started = Some(Duration::from_secs(150)),
                ("break", "DeadlineExceeded", false),
            ),
            (
                "far past the deadline",
                |f| {
                    f.conductor = says(RunPhase::Running);
                    f.started = Some(Duration::from_secs(210));
                },
                ("break", "DeadlineExceeded", false),
            ),
        ];
        for (name, edit, (kind, what, stop)) in rows {
            let mut facts = facts();
            edit(&mut facts);
            assert_eq!(short(&next(&facts)), (kind, what.to_owned(), stop), "{name}");
        }
    }

    #[test]
    fn what_a_conductor_said_that_nobody_understood_is_told_in_the_end() {
        let mut facts = facts();
        facts.conductor = Conductor::Silent(Duration::ZERO, "not the JSON expected here: missing field `phase`".into());
        facts.started = Some(Duration::from_secs(210));
        let Step::Break { reason, message } = next(&facts) else { panic!("it ends") };
        assert_eq!(reason, "DeadlineExceeded");
        assert!(message.contains("missing field `phase`"), "{message}");
    }

    #[test]
    fn a_trouble_that_does_not_pass_is_told_before_a_restart() {
        let mut facts = facts();
        facts.troubles = vec![trouble(Reason::Restarted, false), trouble(Reason::SecretNotFound, false)];
        assert_eq!(short(&next(&facts)).1, "Preparing SecretNotFound");
    }
}
