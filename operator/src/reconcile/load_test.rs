//! A test: what is there, what comes next (`test::phase`), and doing it.

use std::time::Duration;

use api::{ConditionStatus, LoadTestStatus};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::DynamicObject;

use super::children::apply;
use super::references::of_test;
use super::run_state::{RunState, observe};
use super::{Context, after, begin, claims, sooner};
use crate::build::load_test::summary_map;
use crate::build::meta::Owner;
use crate::build::names;
use crate::build::plans::Targets;
use crate::error::{Error, What};
use crate::kinds::{Kind, Test, parse, resource};
use crate::status::conditions::{Say, find, holds, set, time};
use crate::status::write::Wrote;
use crate::test::conductor;
use crate::test::engine::News;
use crate::test::phase::{Conductor, Facts, Phase, Step, next};
use crate::test::{finish, tell};

/// While nothing can be done but wait.
pub(super) const HELD: Duration = Duration::from_secs(5);
/// A summary that cannot be read is given up after it.
const SUMMARY_PATIENCE: Duration = Duration::from_secs(30);
/// While it runs.
pub(super) const LIVE: Duration = Duration::from_secs(1);

pub(super) async fn reconcile(live: &DynamicObject, context: &Context) -> Result<Option<Duration>, Error> {
    let test: Test = match parse(live) {
        Ok(test) => test,
        Err(invalid) => return reject(live, context, &invalid.to_string()).await,
    };
    let owner = Owner::of(Kind::LoadTest, &test);
    let mut status = test.status.clone().unwrap_or_default();
    if holds(&status.conditions, "Finished") {
        return after::finished(context, &test, &owner, &status).await;
    }
    let now = Timestamp::now();
    let plan: Option<ConfigMap> =
        context.cluster.get(&test.namespace, &names::plan(&test.name)).await.what(|| "plan".to_owned())?;
    let plan = plan.filter(|plan| owns(&owner, &plan.metadata));
    let begun = plan.as_ref().and_then(|plan| plan.metadata.creation_timestamp.as_ref()).map(|time| time.0);
    let resolved = of_test(context, &test).await?;
    let targets = plan.as_ref().map(Targets::of_plan).unwrap_or_default();
    let state = match begun {
        Some(_) => observe(context, &test, &owner, &targets, now).await?,
        None => RunState::default(),
    };
    let pass = Pass { live, context, test: &test, owner: &owner, now };
    let facts = Facts {
        suspend: test.spec.suspend,
        abort: test.spec.abort,
        invalid: begun.is_none().then(|| begin::invalid(&test).or_else(|| pass.unbuildable(&resolved))).flatten(),
        unresolved: resolved.unresolved.clone(),
        started: begun.map(|begun| Duration::try_from(now.duration_since(begun)).unwrap_or_default()),
        conductor: state.conductor.clone(),
        troubles: state.troubles.clone(),
        lost_generators: state.lost_generators.clone(),
        deadline: test.spec.effective_deadline(),
    };
    status.observed_generation = Some(test.generation);
    pass.references(&mut status, &facts);
    if begun.is_some() {
        // Whoever made the plan may have been killed before it said so.
        pass.set(&mut status, Say::no("TargetBusy", "Held", ""));
    }
    match next(&facts) {
        Step::Hold { reason, message } => {
            // It may have been about to begin.
            let released = claims::release(context, &test).await;
            status.conditions.retain(|condition| condition.r#type != "TargetBusy");
            pass.say(&mut status, Phase::Pending, reason, message);
            let again = pass.write(&status, Some(HELD)).await?;
            released.map(|()| again)
        }
        Step::Begin => pass.begin(status, &resolved).await,
        Step::Go { phase, reason, message, lost, stop } => {
            // What is in the way of one thing keeps none of the others from being done, and nobody from being told.
            let mut hindered =
                state.unseen.as_ref().map(|unseen| (unseen.reason().to_owned(), unseen.message().to_owned()));
            let (mut executed, mut wrong) = (Vec::new(), None);
            if let Conductor::Says(progress) = &state.conductor {
                finish::follow(&mut status, progress);
                executed = tell::chaos(context, &test, &targets, &state, progress, &mut wrong).await;
            }
            let whole = lost.is_empty();
            let news = News { executed, lost, stop };
            let told = tell::engine(context, &test, &state, &news).await;
            // Also of a pass that is made anew the conductor knows what was carried out.
            unless_hindered(wrong.map_or(Ok(()), Err), &mut hindered)?;
            unless_hindered(told, &mut hindered)?;
            // A part that is lost is not made again.
            if whole {
                hindered = pass.parts(&resolved, status.start_time.is_some()).await?.or(hindered);
            }
            match hindered {
                Some((reason, message)) => pass.say(&mut status, phase, &reason, message),
                None => pass.say(&mut status, phase, reason, message),
            }
            pass.write(&status, Some(LIVE)).await
        }
        Step::Conclude => pass.conclude(status, &state).await,
        Step::Break { reason, message } => {
            let message = match hindered(&status).filter(|_| reason == "DeadlineExceeded") {
                Some(words) if !message.contains(words) => format!("{message}: {words}"),
                _ => message,
            };
            pass.give_up(&mut status, reason, &message);
            pass.write(&status, Some(LIVE)).await
        }
    }
}

/// Reason and words.
pub(super) type InTheWay = (String, String);

/// What may be over the next time is noted; what somebody else wrote in between is looked at anew as a whole.
pub(super) fn unless_hindered<T>(done: Result<T, Error>, by: &mut Option<InTheWay>) -> Result<Option<T>, Error> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.is_conflict() => Err(error),
        Err(error) => {
            by.get_or_insert_with(|| (error.reason().to_owned(), error.to_string()));
            Ok(None)
        }
    }
}

/// What was in the way when it was last told, in words.
fn hindered(status: &LoadTestStatus) -> Option<&str> {
    let told = find(&status.conditions, "Finished")?;
    let going = [Phase::Preparing, Phase::Running, Phase::Verifying].map(Phase::as_str);
    Some(told.message.as_str()).filter(|words| !words.is_empty() && !going.contains(&told.reason.as_str()))
}

/// One pass over one test.
pub(super) struct Pass<'a> {
    live: &'a DynamicObject,
    pub(super) context: &'a Context,
    pub(super) test: &'a Test,
    pub(super) owner: &'a Owner,
    pub(super) now: Timestamp,
}

impl Pass<'_> {
    pub(super) fn set(&self, status: &mut LoadTestStatus, say: Say) {
        set(&mut status.conditions, say, Some(self.test.generation), self.now);
    }

    pub(super) fn say(&self, status: &mut LoadTestStatus, phase: Phase, reason: &str, message: impl Into<String>) {
        status.phase = Some(phase.as_str().to_owned());
        self.set(status, Say::no("Finished", reason, message));
    }

    pub(super) fn end(&self, status: &mut LoadTestStatus, reason: &str, message: impl Into<String>) {
        status.phase = Some(Phase::Finished.as_str().to_owned());
        status.completion_time = Some(time(self.now));
        self.set(status, Say::yes("Finished", reason, message));
        if find(&status.conditions, "TargetBusy").is_some_and(|told| told.status != ConditionStatus::False) {
            self.set(status, Say::no("TargetBusy", "Ended", "the test has ended"));
        }
    }

    /// It ends without a verdict.
    pub(super) fn give_up(&self, status: &mut LoadTestStatus, reason: &str, message: &str) {
        status.reasons = vec![format!("{reason}: {message}").chars().take(1024).collect()];
        status.verdict = Some("Inconclusive".to_owned());
        self.end(status, reason, message);
        self.set(status, Say::unknown("Passed", reason, message));
    }

    fn references(&self, status: &mut LoadTestStatus, facts: &Facts) {
        let secret = facts.troubles.iter().find(|trouble| trouble.reason == crate::observe::Reason::SecretNotFound);
        let say = match (&facts.unresolved, secret) {
            (Some(wrong), _) if facts.started.is_none() => Say::no("ReferencesResolved", "NotFound", wrong.clone()),
            (_, Some(trouble)) => Say::no("ReferencesResolved", trouble.reason.as_str(), trouble.text()),
            _ => Say::yes("ReferencesResolved", "Resolved", ""),
        };
        self.set(status, say);
    }

    /// Keeps the summary, then says the verdict.
    async fn conclude(&self, mut status: LoadTestStatus, state: &RunState) -> Result<Option<Duration>, Error> {
        let Some(base) = state.base.as_deref() else { return Ok(Some(LIVE)) };
        if let Conductor::Says(progress) = &state.conductor {
            // A short test may be over before its status had a turn.
            finish::follow(&mut status, progress);
        }
        let unread = format!("{}/summary", self.test.uid);
        let (summary, text) = match conductor::summary(base).await {
            Ok(both) => both,
            Err(error) if self.context.silence.another(&unread) < SUMMARY_PATIENCE => {
                self.say(&mut status, Phase::Verifying, "SummaryUnread", format!("{error:#}"));
                return self.write(&status, Some(LIVE * 2)).await;
            }
            // The verdict is known all the same.
            Err(error) => return self.without_summary(status, state, &format!("{error:#}")).await,
        };
        self.context.silence.broken(&unread);
        finish::conclude(&mut status, &summary, &state.troubles);
        for say in finish::conditions(&summary) {
            self.set(&mut status, say);
        }
        let kept = apply(&self.context.cluster, self.owner, vec![summary_map(self.owner, text)]).await?;
        if let Some(hindrance) = kept.hindrance {
            self.context
                .events
                .warning(&resource(Kind::LoadTest), self.live, hindrance.reason(), hindrance.message())
                .await;
        }
        let name = names::conductor(&self.test.name);
        status.artifacts = Some(format!("http://{name}.{}:{}/results", self.test.namespace, names::PORT));
        let why = status.reasons.first().cloned().unwrap_or_default();
        self.end(&mut status, "Completed", why);
        self.write(&status, Some(LIVE)).await
    }

    async fn without_summary(
        &self,
        mut status: LoadTestStatus,
        state: &RunState,
        why: &str,
    ) -> Result<Option<Duration>, Error> {
        let Conductor::Says(progress) = &state.conductor else { return Ok(Some(LIVE)) };
        let reasons = progress.reasons.iter().map(|text| text.chars().take(1024).collect());
        status.reasons = reasons.take(31).chain([format!("the summary was not read: {why}")]).collect();
        status.verdict.clone_from(&progress.verdict);
        let first = status.reasons.first().cloned().unwrap_or_default();
        let passed = match progress.verdict.as_deref() {
            Some("Passed") => Say::yes("Passed", "Passed", first),
            Some("Failed") => Say::no("Passed", "Failed", first),
            _ => Say::unknown("Passed", "Inconclusive", first),
        };
        self.set(&mut status, passed);
        self.end(&mut status, "Completed", format!("the summary was not read: {why}"));
        self.write(&status, Some(LIVE)).await
    }

    /// Writes the status if its turn has come, and tells what changed.
    pub(super) async fn write(
        &self,
        status: &LoadTestStatus,
        again: Option<Duration>,
    ) -> Result<Option<Duration>, Error> {
        let kind = resource(Kind::LoadTest);
        let wrote = self.context.throttle.write(&self.context.cluster, &kind, self.live, status).await;
        let wrote = wrote.what(|| format!("status of LoadTest {}", self.test.name))?;
        if wrote == Wrote::Settled {
            self.events(status).await;
        }
        Ok(sooner(again, wrote))
    }

    async fn events(&self, status: &LoadTestStatus) {
        let kind = resource(Kind::LoadTest);
        let before = self.test.status.clone().unwrap_or_default();
        let (Some(now), was) = (find(&status.conditions, "Finished"), find(&before.conditions, "Finished")) else {
            return;
        };
        if was.is_some_and(|was| was.reason == now.reason && was.status == now.status) {
            return;
        }
        let ended = now.status == ConditionStatus::True;
        let good = status.verdict.as_deref() == Some("Passed")
            || matches!(
                now.reason.as_str(),
                "Preparing" | "Running" | "Verifying" | "Suspended" | "TargetBusy" | "TargetNotReady"
            );
        let reason = match status.verdict.as_deref().filter(|_| ended) {
            Some(verdict) if now.reason == "Completed" => verdict,
            _ => now.reason.as_str(),
        };
        let note = if now.message.is_empty() { status.phase.as_deref().unwrap_or_default() } else { &now.message };
        if good {
            self.context.events.normal(&kind, self.live, reason, note).await;
        } else {
            self.context.events.warning(&kind, self.live, reason, note).await;
        }
    }
}

/// A test that does not parse ends, whatever there is of it.
async fn reject(live: &DynamicObject, context: &Context, why: &str) -> Result<Option<Duration>, Error> {
    let before: Option<LoadTestStatus> =
        live.data.get("status").and_then(|status| serde_json::from_value(status.clone()).ok());
    let mut status = before.unwrap_or_default();
    if holds(&status.conditions, "Finished") {
        return after::unread(context, &Owner::of_unread(Kind::LoadTest, live), &status).await;
    }
    let now = Timestamp::now();
    let generation = live.metadata.generation;
    status.phase = Some(Phase::Finished.as_str().to_owned());
    status.verdict = Some("Inconclusive".to_owned());
    status.completion_time = Some(time(now));
    status.observed_generation = generation;
    set(&mut status.conditions, Say::yes("Finished", "InvalidSpec", why), generation, now);
    set(&mut status.conditions, Say::unknown("Passed", "InvalidSpec", why), generation, now);
    let kind = resource(Kind::LoadTest);
    let wrote = context.throttle.write(&context.cluster, &kind, live, &status).await.what(|| "status".to_owned())?;
    if wrote == Wrote::Settled {
        context.events.warning(&kind, live, "InvalidSpec", why).await;
    }
    Ok(sooner(Some(LIVE), wrote))
}

/// Whether an object is of this one's making, not of an earlier one of the same name.
pub(super) fn owns(owner: &Owner, meta: &kube::api::ObjectMeta) -> bool {
    meta.owner_references.iter().flatten().any(|reference| reference.uid == owner.uid)
}

/// Whether a Job has failed for good, with its words.
pub(super) fn job_failed(job: &Job) -> Option<String> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let failed = conditions.iter().find(|condition| condition.type_ == "Failed" && condition.status == "True")?;
    let words = [failed.reason.as_deref(), failed.message.as_deref()];
    Some(words.into_iter().flatten().collect::<Vec<_>>().join(": "))
}
