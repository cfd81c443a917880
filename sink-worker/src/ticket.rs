//! What a request waits for: the outcome of a part, told to everybody who asks, before or after.

use std::sync::Arc;

use tokio::sync::watch;

use crate::gate::Ticket;
use crate::lane::Verdict;

/// Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Slip(Arc<watch::Sender<Option<Verdict>>>);

impl Slip {
    /// Tells the outcome; a later one replaces it for those who ask later.
    pub(crate) fn settle(&self, verdict: Verdict) {
        self.0.send_replace(Some(verdict));
    }

    /// The outcome, once there is one.
    pub(crate) async fn settled(&self) -> Verdict {
        let mut receiver = self.0.subscribe();
        match receiver.wait_for(Option::is_some).await.map(|verdict| verdict.clone()) {
            Ok(Some(verdict)) => verdict,
            _ => Verdict::Unavailable { text: "the worker ends".to_owned() },
        }
    }
}

impl Ticket for Slip {
    fn issue() -> Self {
        Self(Arc::new(watch::channel(None).0))
    }

    fn serves(&self) -> bool {
        matches!(*self.0.borrow(), None | Some(Verdict::Delivered))
    }

    fn open(&self) -> bool {
        self.0.borrow().is_none()
    }

    fn undecided(&self) -> bool {
        matches!(*self.0.borrow(), Some(Verdict::Undecided { .. }))
    }
}
