//! How a test begins: its targets are taken, then its spec is frozen, then its parts are made.

use std::time::Duration;

use api::LoadTestStatus;
use jiff::Timestamp;

use super::children::apply;
use super::claims::{self, Claim};
use super::load_test::{HELD, InTheWay, LIVE, Pass, unless_hindered};
use super::references::{Resolved, named};
use crate::apply::Child;
use crate::build::load_test::{TestInput, load_test};
use crate::build::plans::test_plan;
use crate::error::Error;
use crate::kinds::{Invalid, Kind, Test};
use crate::status::conditions::{Say, find};
use crate::test::phase::Phase;

impl Pass<'_> {
    /// Takes the targets, then freezes the plan and makes the parts.
    pub(super) async fn begin(
        &self,
        mut status: LoadTestStatus,
        resolved: &Resolved,
    ) -> Result<Option<Duration>, Error> {
        let deadline = self.test.spec.effective_deadline();
        let claim = match Box::pin(claims::claim(self.context, self.test, self.owner, resolved)).await {
            Err(error) if !error.is_conflict() => {
                let (reason, words) = (error.reason(), error.to_string());
                // A clock that runs goes on: an error in between starts no new one.
                let held = find(&status.conditions, "TargetBusy").is_some_and(|told| told.reason == "Held");
                if !held {
                    self.set(&mut status, Say::unknown("TargetBusy", "NotReady", words.clone()));
                }
                if since(&status, if held { "Held" } else { "NotReady" }, self.now) >= deadline {
                    self.too_late(&mut status, &words);
                } else {
                    self.say(&mut status, Phase::Pending, reason, words);
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
        // From this phase on the API server takes no other spec: only one that was read with it is the one that is frozen.
        let before = self.test.status.as_ref().and_then(|status| status.phase.as_deref());
        if before != Some(Phase::Preparing.as_str()) {
            self.say(&mut status, Phase::Preparing, "Preparing", "");
            return self.write(&status, Some(LIVE)).await;
        }
        match self.parts(resolved, false).await? {
            Some((_, words)) if since(&status, "Held", self.now) >= deadline => self.too_late(&mut status, &words),
            Some((reason, message)) => self.say(&mut status, Phase::Preparing, &reason, message),
            None => self.say(&mut status, Phase::Preparing, "Preparing", ""),
        }
        self.write(&status, Some(LIVE)).await
    }

    /// Makes what is missing; what is in the way, if anything is. Once samples flow no Job is made again: another conductor would
    /// begin the run a second time.
    pub(super) async fn parts(&self, resolved: &Resolved, flows: bool) -> Result<Option<InTheWay>, Error> {
        if resolved.unresolved.is_some() {
            // What was begun goes on without what has gone since.
            return Ok(None);
        }
        let mut hindered = None;
        let made = unless_hindered(self.make(resolved, flows).await, &mut hindered)?;
        Ok(made.flatten().or(hindered))
    }

    async fn make(&self, resolved: &Resolved, flows: bool) -> Result<Option<InTheWay>, Error> {
        let workers = claims::workers(self.context, self.test, resolved).await?;
        let children = match self.children(resolved, workers) {
            Ok(children) => children.into_iter().filter(|child| !(flows && matches!(child, Child::Job(_)))).collect(),
            // One that was begun by an operator who took more runs on as it is.
            Err(_) if flows => return Ok(None),
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
    pub(super) fn unbuildable(&self, resolved: &Resolved) -> Option<String> {
        let workers = resolved.sink.as_ref().map_or(0, |sink| sink.spec.replicas);
        let unresolved = resolved.unresolved.is_some();
        self.children(resolved, workers).err().filter(|_| !unresolved).map(|invalid| invalid.to_string())
    }

    fn too_late(&self, status: &mut LoadTestStatus, words: &str) {
        let deadline = self.test.spec.effective_deadline().as_secs();
        self.give_up(status, "DeadlineExceeded", &format!("not begun within {deadline} s: {words}"));
    }
}

/// For how long `TargetBusy` has had this reason, by the test's own status: it survives the operator.
fn since(status: &LoadTestStatus, reason: &str, now: Timestamp) -> Duration {
    let told = find(&status.conditions, "TargetBusy").filter(|told| told.reason == reason);
    let since = told.and_then(|told| told.last_transition_time.parse::<Timestamp>().ok());
    since.and_then(|since| Duration::try_from(now.duration_since(since)).ok()).unwrap_or_default()
}

pub(super) fn invalid(test: &Test) -> Option<String> {
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
