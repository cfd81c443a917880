//! Memory that many requests share: who finds none left waits for it, and not for ever.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// How long a request waits for memory before it is sent away: well below the 30 s after which a Prometheus gives up.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// So many bytes and no more. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Room {
    free: Arc<Semaphore>,
    size: usize,
}

/// Bytes of a [`Room`], given back when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Held(#[expect(dead_code, reason = "held, not read")] Arc<OwnedSemaphorePermit>);

impl Room {
    /// Room for `size` bytes.
    pub fn new(size: usize) -> Self {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(size)), size }
    }

    /// All there is.
    pub fn size(&self) -> usize {
        self.size
    }

    /// What is free now.
    pub fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// Takes so many bytes, in the order of asking; `None` when they did not come free within `patience`. Who asks for more
    /// than there is gets all of it: one that large is alone, which is the best that can be had.
    pub async fn take(&self, bytes: usize, patience: Duration) -> Option<Held> {
        self.permits(bytes, patience).await.map(|permits| Held(Arc::new(permits)))
    }

    /// The same without waiting.
    pub fn try_take(&self, bytes: usize) -> Option<Held> {
        self.try_permits(bytes).map(|permits| Held(Arc::new(permits)))
    }

    fn try_permits(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_many_owned(self.most(bytes)).ok()
    }

    async fn permits(&self, bytes: usize, patience: Duration) -> Option<OwnedSemaphorePermit> {
        if let Some(permits) = self.try_permits(bytes) {
            return Some(permits);
        }
        timeout(patience, Arc::clone(&self.free).acquire_many_owned(self.most(bytes))).await.ok()?.ok()
    }

    fn most(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.size)).unwrap_or(u32::MAX)
    }
}

/// Takes room as bytes come in, so that who only announces a large body occupies little.
pub(crate) struct Growing<'a> {
    room: &'a Room,
    permits: Option<OwnedSemaphorePermit>,
    taken: usize,
    /// What is left of [`PATIENCE`]: bodies that hold a part and wait for the rest hold each other up.
    patience: Duration,
}

/// Bytes taken at a time.
const STEP: usize = 64 << 10;

impl<'a> Growing<'a> {
    pub(crate) fn new(room: &'a Room) -> Self {
        Self { room, permits: None, taken: 0, patience: PATIENCE }
    }

    /// Makes sure that there is room for `bytes` in all, of `expected`; false when none came free in time.
    pub(crate) async fn cover(&mut self, bytes: usize, expected: Option<usize>) -> bool {
        if bytes <= self.taken {
            return true;
        }
        // Ahead of what came, but never more than others could give back.
        let most = expected.unwrap_or(usize::MAX).min(self.room.size());
        let step = most.saturating_sub(self.taken).min(STEP);
        let more = step.max(bytes - self.taken);
        let permits = if let Some(permits) = self.room.try_permits(more) {
            permits
        } else {
            let began = Instant::now();
            let Some(permits) = self.room.permits(more, self.patience).await else { return false };
            self.patience = self.patience.saturating_sub(began.elapsed());
            permits
        };
        self.taken += more;
        match &mut self.permits {
            None => self.permits = Some(permits),
            Some(all) => all.merge(permits),
        }
        true
    }

    pub(crate) fn held(self) -> Option<Held> {
        self.permits.map(|permits| Held(Arc::new(permits)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[tokio::test]
    async fn room_is_given_back_and_never_given_twice() {
        let room = Room::new(100);
        let (first, second) = (room.try_take(60).unwrap(), room.try_take(40).unwrap());
        assert!(room.try_take(1).is_none());
        assert!(room.take(1, NOW).await.is_none());
        let clone = first.clone();
        drop(first);
        assert_eq!(room.free(), 0, "a clone holds it");
        let waiting = room.take(50, Duration::from_secs(20));
        let (got, ()) = tokio::join!(waiting, async { drop(clone) });
        assert!(got.is_some());
        assert_eq!(room.free(), 10);
        drop((got, second));
        let all = room.take(1000, NOW).await;
        assert!(all.is_some() && room.free() == 0, "what is larger than the room has it alone");
    }

    #[tokio::test]
    async fn a_growing_body_takes_what_came_and_not_what_it_announces() {
        let room = Room::new(4 * STEP);
        let mut small = Growing::new(&room);
        assert!(small.cover(10, Some(1000)).await);
        assert_eq!(room.free(), 4 * STEP - 1000);
        let mut large = Growing::new(&room);
        assert!(large.cover(1, Some(4 * STEP)).await);
        assert_eq!(room.free(), 3 * STEP - 1000);
        assert!(large.cover(STEP + 1, Some(4 * STEP)).await);
        assert!(large.cover(2 * STEP, None).await, "covered");
        assert_eq!(room.free(), 2 * STEP - 1000);
        let held = large.held();
        drop(small);
        assert_eq!(room.free(), 2 * STEP);
        drop(held);
        assert_eq!(room.free(), 4 * STEP);
    }
}
