//! A test: what is there, what comes next (`test::phase`), and doing it.

use std::time::Duration;

use api::{ConditionStatus, LoadTestStatus};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::DynamicObject;

use super::children::apply;
use super::claims::{self, Claim};
use super::references::{Resolved, named, of_test};
use super::run_state::{RunState, observe};
use super::{Context, after, sooner};
use crate::apply::Child;
use crate::build::load_test::{TestInput, load_test, summary_map};
use crate::build::meta::Owner;
use crate::build::names;
use crate::build::plans::{Targets, test_plan};
use crate::error::{Error, What};
use crate::kinds::{Invalid, Kind, Test, parse, resource};
use crate::status::conditions::{Say, find, holds, set, time};
use crate::status::write::Wrote;
use crate::test::conductor;
use crate::test::engine::News;
use crate::test::phase::{Conductor, Facts, Phase, Step, next};
use crate::test::{finish, tell};

/// While nothing can be done but wait.
const HELD: Duration = Duration::from_secs(5);
/// A summary that cannot be read is given up after it.
const SUMMARY_PATIENCE: Duration = Duration::from_secs(30);
/// While it runs.
const LIVE: Duration = Duration::from_secs(1);

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
        invalid: begun.is_none().then(|| invalid(&test).or_else(|| pass.unbuildable(&resolved))).flatten(),
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
            claims::release(context, &test).await?;
            status.conditions.retain(|condition| condition.r#type != "TargetBusy");
            pass.say(&mut status, Phase::Pending, reason, message);
            pass.write(&status, Some(HELD)).await
        }
        Step::Begin => pass.begin(status, &resolved).await,
        Step::Go { phase, reason, message, lost, stop } => {
            let mut executed = Vec::new();
            if let Conductor::Says(progress) = &state.conductor {
                finish::follow(&mut status, progress);
                executed = tell::chaos(context, &test, &targets, &state, progress).await?;
            }
            let whole = lost.is_empty();
            let news = News { executed, lost, stop };
            tell::engine(context, &test, &state, &news).await?;
            // What keeps a part from being made again keeps nobody from being told. One that is lost is not made again.
            let hindered = if whole { pass.parts(&resolved).await? } else { None };
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

/// What was in the way when it was last told, in words.
fn hindered(status: &LoadTestStatus) -> Option<&str> {
    let told = find(&status.conditions, "Finished")?;
    let going = [Phase::Preparing, Phase::Running, Phase::Verifying].map(Phase::as_str);
    Some(told.message.as_str()).filter(|words| !words.is_empty() && !going.contains(&told.reason.as_str()))
}

/// For how long `TargetBusy` has had this reason, by the test's own status: it survives the operator.
fn since(status: &LoadTestStatus, reason: &str, now: Timestamp) -> Duration {
    let told = find(&status.conditions, "TargetBusy").filter(|told| told.reason == reason);
    let since = told.and_then(|told| told.last_transition_time.parse::<Timestamp>().ok());
    since.and_then(|since| Duration::try_from(now.duration_since(since)).ok()).unwrap_or_default()
}

/// One pass over one test.
struct Pass<'a> {
    live: &'a DynamicObject,
    context: &'a Context,
    test: &'a Test,
    owner: &'a Owner,
    now: Timestamp,
}

impl Pass<'_> {
    fn set(&self, status: &mut LoadTestStatus, say: Say) {
        set(&mut status.conditions, say, Some(self.test.generation), self.now);
    }

    fn say(&self, status: &mut LoadTestStatus, phase: Phase, reason: &str, message: impl Into<String>) {
        status.phase = Some(phase.as_str().to_owned());
        self.set(status, Say::no("Finished", reason, message));
    }

    fn end(&self, status: &mut LoadTestStatus, reason: &str, message: impl Into<String>) {
        status.phase = Some(Phase::Finished.as_str().to_owned());
        status.completion_time = Some(time(self.now));
        self.set(status, Say::yes("Finished", reason, message));
        if find(&status.conditions, "TargetBusy").is_some_and(|told| told.status != ConditionStatus::False) {
            self.set(status, Say::no("TargetBusy", "Ended", "the test has ended"));
        }
    }

    /// It ends without a verdict.
    fn give_up(&self, status: &mut LoadTestStatus, reason: &str, message: &str) {
        status.reasons = vec![format!("{reason}: {message}").chars().take(1024).collect()];
        status.verdict = Some("Inconclusive".to_owned());
        self.end(status, reason, message);
        self.set(status, Say::unknown("Passed", reason, message));
    }

    fn too_late(&self, status: &mut LoadTestStatus, words: &str) {
        let deadline = self.test.spec.effective_deadline().as_secs();
        self.give_up(status, "DeadlineExceeded", &format!("not begun within {deadline} s: {words}"));
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

    /// Takes the targets, then freezes the plan and makes the parts.
    async fn begin(&self, mut status: LoadTestStatus, resolved: &Resolved) -> Result<Option<Duration>, Error> {
        let deadline = self.test.spec.effective_deadline();
        let claim = match claims::claim(self.context, self.test, self.owner, resolved).await {
            Err(error) if !error.is_conflict() => {
                let words = error.to_string();
                // A clock that runs goes on: an error in between starts no new one.
                let held = find(&status.conditions, "TargetBusy").is_some_and(|told| told.reason == "Held");
                if !held {
                    self.set(&mut status, Say::unknown("TargetBusy", "NotReady", words.clone()));
                }
                if since(&status, if held { "Held" } else { "NotReady" }, self.now) >= deadline {
                    self.too_late(&mut status, &words);
                } else {
                    self.say(&mut status, Phase::Pending, "ApiError", words);
                }
                return self.write(&status, Some(HELD)).await;
            }
            claim => claim?,
        };
        match claim {
            Claim::Busy(holder) => {
                self.set(&mut status, Say::yes("TargetBusy", "TargetBusy", holder.clone()));
                self.say(&mut status, Phase::Pending, "TargetBusy", holder);
                return self.write(&status, Some(HELD)).await;
            }
            Claim::NotYet(what) => {
                let waited = since(&status, "NotReady", self.now);
                self.set(&mut status, Say::unknown("TargetBusy", "NotReady", what.clone()));
                if waited >= deadline {
                    self.too_late(&mut status, &what);
                } else {
                    self.say(&mut status, Phase::Pending, "TargetNotReady", what);
                }
                return self.write(&status, Some(LIVE)).await;
            }
            Claim::Held => {}
        }
        self.set(&mut status, Say::no("TargetBusy", "Held", ""));
        match self.parts(resolved).await? {
            Some((_, words)) if since(&status, "Held", self.now) >= deadline => self.too_late(&mut status, &words),
            Some((reason, message)) => self.say(&mut status, Phase::Preparing, &reason, message),
            None => self.say(&mut status, Phase::Preparing, "Preparing", ""),
        }
        self.write(&status, Some(LIVE)).await
    }

    /// Makes what is missing; what is in the way, if anything is.
    async fn parts(&self, resolved: &Resolved) -> Result<Option<(String, String)>, Error> {
        if resolved.unresolved.is_some() {
            // What was begun goes on without what has gone since.
            return Ok(None);
        }
        match self.make(resolved).await {
            // It may be over the next time; until then it is what is in the way.
            Err(error) if !error.is_conflict() => Ok(Some(("ApiError".to_owned(), error.to_string()))),
            made => made,
        }
    }

    async fn make(&self, resolved: &Resolved) -> Result<Option<(String, String)>, Error> {
        let workers = claims::workers(self.context, self.test, resolved).await?;
        let children = match self.children(resolved, workers) {
            Ok(children) => children,
            Err(invalid) => return Ok(Some(("InvalidSpec".to_owned(), invalid.to_string()))),
        };
        let applied = apply(&self.context.cluster, self.owner, children).await?;
        Ok(applied.hindrance.map(|hindrance| (hindrance.reason().to_owned(), hindrance.message().to_owned())))
    }

    fn children(&self, resolved: &Resolved, workers: u32) -> Result<Vec<Child>, Invalid> {
        let test = named(self.test);
        let document = document(self.test, resolved);
        let plan = test_plan(&self.test.uid, test, resolved.sink(), workers, resolved.receiver(), document);
        load_test(&TestInput { owner: self.owner, spec: &self.test.spec, plan: &plan, image: &self.context.image })
    }

    /// What the API server takes and no pod can be made of; asked before anything is taken.
    fn unbuildable(&self, resolved: &Resolved) -> Option<String> {
        let workers = resolved.sink.as_ref().map_or(0, |sink| sink.spec.replicas);
        let unresolved = resolved.unresolved.is_some();
        self.children(resolved, workers).err().filter(|_| !unresolved).map(|invalid| invalid.to_string())
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
    async fn write(&self, status: &LoadTestStatus, again: Option<Duration>) -> Result<Option<Duration>, Error> {
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

fn invalid(test: &Test) -> Option<String> {
    let problems = api::check_load_test(&test.spec);
    let texts: Vec<String> = problems.iter().take(5).map(|p| format!("{}: {}", p.field, p.message)).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// The documents as reports quote them. JSON is YAML, too.
fn document(test: &Test, resolved: &Resolved) -> String {
    fn one<S: serde::Serialize>(kind: Kind, name: &str, spec: &S) -> String {
        let object = serde_json::json!({
            "apiVersion": api::API_VERSION, "kind": kind.as_str(), "metadata": {"name": name}, "spec": spec,
        });
        serde_json::to_string_pretty(&object).unwrap_or_default()
    }
    let receiver = resolved.receiver.as_ref().map(|object| one(Kind::Receiver, &object.name, &object.spec));
    let sink = resolved.sink.as_ref().map(|object| one(Kind::Sink, &object.name, &object.spec));
    let test = one(Kind::LoadTest, &test.name, &test.spec);
    let all: Vec<String> = receiver.into_iter().chain(sink).chain([test]).collect();
    all.join("\n---\n")
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
