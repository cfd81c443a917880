//! Follows a sink's ownership map. While some lane cannot get on, workers are asked for it; a map of another shape makes all
//! lanes of the generator stop, and they start again under it behind what they have settled.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use floodmark_http::client::get_json;
use protocol::{OwnershipDoc, path};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use workload::{LaneChain, LanePlan, Position};

use crate::doubts::Doubts;
use crate::epoch::{Epoch, Route};
use crate::handover::{Ended, Inherited};
use crate::shared::Shared;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Workers asked in one look: any of them knows a map that holds, unless it is late or gone.
const ASKED: usize = 3;
const TIMEOUT: Duration = Duration::from_secs(2);

/// What lanes and the one who follows the map tell each other.
pub(crate) struct Following {
    /// Number of the map that requests name.
    epoch: AtomicU64,
    /// Lanes that wait to send a request again.
    waiting: AtomicUsize,
    trouble: Notify,
    /// Workers and lanes of each in the map that holds; locked only while `next` is.
    shape: Mutex<(u32, u16)>,
    /// A map that the lanes have to stop for.
    next: watch::Sender<Option<Arc<OwnershipDoc>>>,
}

impl Following {
    pub(crate) fn new() -> Self {
        let (epoch, waiting) = (AtomicU64::new(0), AtomicUsize::new(0));
        Self { epoch, waiting, trouble: Notify::new(), shape: Mutex::new((0, 0)), next: watch::channel(None).0 }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Relaxed)
    }

    /// Some as soon as the lanes have to stop.
    pub(crate) fn next(&self) -> watch::Receiver<Option<Arc<OwnershipDoc>>> {
        self.next.subscribe()
    }

    /// While this lives, a lane cannot get on.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Relaxed);
        self.trouble.notify_one();
        Waiting(self)
    }

    /// A map of this shape holds from now on.
    pub(crate) fn enter(&self, epoch: u64, shape: (u32, u16)) {
        self.next.send_if_modified(|next| {
            self.epoch.store(epoch, Relaxed);
            *self.shape() = shape;
            let known = next.as_ref().is_some_and(|document| document.epoch <= epoch);
            if known {
                *next = None;
            }
            known
        });
    }

    /// A map was heard of. One of the shape that holds only has a new number, unless the lanes stop already. Who asked may have
    /// asked under an earlier map.
    fn heard(&self, document: OwnershipDoc) {
        self.next.send_if_modified(|next| {
            let known = next.as_ref().map_or_else(|| self.epoch(), |known| known.epoch);
            let news = document.epoch > known;
            if news && next.is_none() && (document.replicas, document.lanes) == *self.shape() {
                self.epoch.store(document.epoch, Relaxed);
            } else if news {
                tracing::info!(epoch = document.epoch, workers = document.replicas, "the sink was resharded");
                *next = Some(Arc::new(document));
                return true;
            }
            false
        });
    }

    fn shape(&self) -> MutexGuard<'_, (u32, u16)> {
        self.shape.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Waiting<'a>(&'a Following);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// Runs until dropped; ends at once without a sink.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let following = &shared.following;
    let mut round = 0usize;
    loop {
        if following.waiting.load(Relaxed) == 0 {
            following.trouble.notified().await;
        }
        let Some(current) = shared.current() else { return };
        let Route::Sink { workers, replicas, .. } = &current.route else { return };
        let workers = &workers[..workers.len().min(*replicas as usize)];
        round += 1;
        // Every map has the first worker.
        let rest = workers.get(1..).unwrap_or_default();
        let others = rest.iter().cycle().skip(round % rest.len().max(1)).take((ASKED - 1).min(rest.len()));
        let asked = workers.first().into_iter().chain(others);
        if let Some(document) = newest(asked).await {
            following.heard(document);
        }
        sleep(LOOK).await;
    }
}

/// The newest map that these workers tell.
async fn newest(workers: impl Iterator<Item = &String>) -> Option<OwnershipDoc> {
    let mut asked = JoinSet::new();
    for base in workers {
        let url = format!("{}{}", base.trim_end_matches('/'), path::OWNERSHIP);
        asked.spawn(async move { get_json::<OwnershipDoc>(&url, 1 << 20, TIMEOUT).await });
    }
    let mut newest: Option<OwnershipDoc> = None;
    while let Some(told) = asked.join_next().await {
        if let Ok(Ok(document)) = told
            && newest.as_ref().is_none_or(|known| known.epoch < document.epoch)
        {
            newest = Some(document);
        }
    }
    newest
}

/// The lanes of the map that the old ones stopped for, and what each inherits. `known`: addresses from the plan.
pub(crate) async fn resume(
    old: Arc<Epoch>,
    chain: &mut LaneChain,
    ended: Vec<Ended>,
    document: &OwnershipDoc,
    known: &[String],
    good: u64,
) -> anyhow::Result<(Epoch, Vec<Inherited>)> {
    // The sink knows best where its workers are.
    let (first, second) = (&document.addresses, known);
    let route = Route::of(document, if first.len() >= document.replicas as usize { first } else { second })?;
    let mut cuts = vec![Position::START; old.plan.lanes() as usize];
    for one in &ended {
        if let Some(cut) = cuts.get_mut(one.lane as usize) {
            *cut = one.cut;
        }
    }
    chain.push(route.map(), cuts);
    let step = chain.steps() - 1;
    let plan = {
        let chain = chain.clone();
        tokio::task::spawn_blocking(move || LanePlan::resume(&old.plan, &chain, step)).await.context("new lanes")?
    };
    let sent_until = ended.iter().filter_map(|one| one.sent_until).max();
    let mut doubts = Doubts::default();
    for one in &ended {
        doubts.join(&one.doubts);
    }
    let mut lanes: Vec<Inherited> = (0..plan.lanes())
        .map(|_| Inherited { leftovers: Vec::new(), doubts: doubts.clone(), sent_until, good })
        .collect();
    for leftover in ended.into_iter().flat_map(|one| one.leftovers) {
        for (lane, part) in leftover.split(plan.map()) {
            if let Some(lane) = lanes.get_mut(usize::from(lane)) {
                lane.leftovers.push(part);
            }
        }
    }
    Ok((Epoch::new(step as u32, document.epoch, plan, route), lanes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(epoch: u64, replicas: u32) -> OwnershipDoc {
        OwnershipDoc { sink_uid: "u".into(), epoch, replicas, lanes: 2, by: None, addresses: Vec::new() }
    }

    #[test]
    fn a_map_is_compared_with_the_one_that_holds_when_it_is_heard_of() {
        let following = Following::new();
        let stops_for = || following.next().borrow().as_ref().map(|document| document.epoch);
        following.enter(7, (3, 2));
        following.heard(document(8, 3));
        assert_eq!((following.epoch(), stops_for()), (8, None), "only a new number");
        following.heard(document(9, 5));
        assert_eq!((following.epoch(), stops_for()), (8, Some(9)));
        // The lanes turn to it while somebody asks, and the answer is the shape that they have just left.
        following.enter(9, (5, 2));
        following.heard(document(10, 3));
        assert_eq!((following.epoch(), stops_for()), (9, Some(10)));
        // What was heard of meanwhile holds after what they turned to.
        following.heard(document(11, 5));
        following.enter(10, (3, 2));
        assert_eq!((following.epoch(), stops_for()), (10, Some(11)));
    }
}
