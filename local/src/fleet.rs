//! All parts of a run at once: started in the order of dependence, ended in time. Workers come and go while it goes on.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use conductor::{Departed, UnaskedEnd};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::parts::{Begun, Part, PartSpec, Role};
use crate::process::Spawner;
use crate::run::RunError;

/// How long a part may take to leave after the verdict: what it still holds can change nothing any more.
const JUDGED: Duration = Duration::from_secs(3);
/// The same past the test's deadline.
const OVERDUE: Duration = Duration::from_millis(300);

/// The parts that run now, and what is kept of workers that were ended because the sink has fewer.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    parts: Mutex<Vec<Arc<Part>>>,
    gone: Mutex<Gone>,
}

#[derive(Debug, Default)]
struct Gone {
    departed: Vec<Departed>,
    unasked: Vec<UnaskedEnd>,
}

impl Fleet {
    pub(crate) fn new(parts: Vec<Part>) -> Self {
        Self { parts: Mutex::new(parts.into_iter().map(Arc::new).collect()), gone: Mutex::default() }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Part>> {
        lock(&self.parts).clone()
    }

    pub(crate) fn workers(&self) -> Vec<Arc<Part>> {
        self.all().into_iter().filter(|part| part.role == Role::SinkWorker).collect()
    }

    pub(crate) fn add(&self, part: Part) {
        lock(&self.parts).push(Arc::new(part));
    }

    /// Leaves a worker out from now on, with its last words if it gave any. The caller ends it.
    pub(crate) fn dismiss(&self, worker: &Arc<Part>, departed: Option<Departed>) {
        lock(&self.parts).retain(|part| !Arc::ptr_eq(part, worker));
        let mut gone = lock(&self.gone);
        gone.unasked.extend(worker.unasked_ends());
        gone.departed.extend(departed);
    }

    pub(crate) fn departed(&self) -> Vec<Departed> {
        lock(&self.gone).departed.clone()
    }

    pub(crate) fn unasked_ends(&self) -> Vec<UnaskedEnd> {
        let gone = lock(&self.gone).unasked.clone();
        gone.into_iter().chain(self.workers().iter().flat_map(|part| part.unasked_ends())).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) async fn start_all(
    spawner: &Spawner,
    specs: Vec<PartSpec>,
    begun: &Begun,
    parts: &mut Vec<Part>,
) -> Result<(), RunError> {
    for spec in specs {
        parts.push(Part::start(spawner, spec, begun.clone()).await.map_err(RunError::Start)?);
    }
    Ok(())
}

/// Ends all parts together, once nothing that they do counts any more.
pub(crate) async fn end_judged<P: Deref<Target = Part> + Send + 'static>(parts: Vec<P>, deadline: Instant) {
    let grace = deadline.saturating_duration_since(Instant::now()).clamp(OVERDUE, JUDGED);
    end_together(parts, grace).await;
}

/// Senders before what they send to, each with the time that it asks for: what was acknowledged is delivered.
pub(crate) async fn end_in_order(parts: Vec<Part>) {
    let (receivers, senders): (Vec<_>, Vec<_>) =
        parts.into_iter().map(Box::new).partition(|part| part.role == Role::Receiver);
    end_together(senders, Duration::MAX).await;
    end_together(receivers, Duration::MAX).await;
}

/// `grace` bounds what each part may ask for.
async fn end_together<P: Deref<Target = Part> + Send + 'static>(parts: Vec<P>, grace: Duration) {
    let mut ends: JoinSet<()> = parts.into_iter().map(|part| async move { part.end(grace).await }).collect();
    while ends.join_next().await.is_some() {}
}
