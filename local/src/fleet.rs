//! All parts of a run at once: started in the order of dependence, ended in time.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::parts::{Begun, Part, PartSpec, Role};
use crate::process::Spawner;
use crate::run::RunError;

/// How long a part may take to leave after the verdict: what it still holds can change nothing any more.
const JUDGED: Duration = Duration::from_secs(3);
/// The same past the test's deadline.
const OVERDUE: Duration = Duration::from_millis(300);

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
pub(crate) async fn end_judged(parts: Vec<Part>, deadline: Instant) {
    let grace = deadline.saturating_duration_since(Instant::now()).clamp(OVERDUE, JUDGED);
    end_together(parts, grace).await;
}

/// Senders before what they send to, each with the time that it asks for: what was acknowledged is delivered.
pub(crate) async fn end_in_order(parts: Vec<Part>) {
    let (receivers, senders) = parts.into_iter().partition(|part| part.role == Role::Receiver);
    end_together(senders, Duration::MAX).await;
    end_together(receivers, Duration::MAX).await;
}

/// `grace` bounds what each part may ask for.
async fn end_together(parts: Vec<Part>, grace: Duration) {
    let mut ends: JoinSet<()> = parts.into_iter().map(|part| part.end(grace)).collect();
    while ends.join_next().await.is_some() {}
}
