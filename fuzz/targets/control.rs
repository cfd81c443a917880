//! Control documents and what an engine sees, one a line: a worker obeys what is consistent and newer, and every step of a reshard
//! writes a document that all workers obey.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ownership::drive::{Failed, Notes, View, step};
use ownership::{ControlDocument, MAX_EPOCH, owner};
use sink_worker::fuzzing::Documents;

/// Wanted, generation and ready; drained; now and timeout; draining since; failed: to, generation and ordinal.
type Look = ((u32, u64, u32), Vec<(u32, u64)>, (u64, u64), Option<u64>, Option<(u32, u64, u32)>);

fuzz_target!(|text: &[u8]| {
    let mut documents = Documents::new();
    for line in text.split(|byte| *byte == b'\n') {
        let before = documents.known().cloned();
        if let Ok(look) = serde_json::from_slice::<Look>(line) {
            if let Some(next) = before.as_ref().and_then(|known| stepped(known, look)) {
                let text = serde_json::to_vec(&next).unwrap();
                assert_eq!(documents.take(&text), Ok(true), "{next:?} after {before:?}");
            }
        } else if documents.take(line) == Ok(true) {
            obeyed(before.as_ref(), documents.known().unwrap());
            let again = serde_json::to_vec(documents.known().unwrap()).unwrap();
            assert_eq!(documents.take(&again), Ok(false), "the same document is no news");
        } else {
            assert_eq!(documents.known(), before.as_ref());
        }
    }
});

fn obeyed(before: Option<&ControlDocument>, now: &ControlDocument) {
    assert_eq!(now.validate(), Ok(()));
    if let Some(before) = before.filter(|before| before.sink_uid == now.sink_uid) {
        assert!(before.rank() <= now.rank());
        assert!(before.epoch < now.epoch || before.map() == now.map());
    }
    assert!((0..64).all(|slot| owner(slot, now.from) < now.from && now.map().lane(slot) < now.lanes));
}

/// The document that the next step asks for.
fn stepped(known: &ControlDocument, look: Look) -> Option<ControlDocument> {
    let ((wanted, generation, ready), drained, (now, timeout), draining_since, failed) = look;
    let failed = failed.map(|(to, generation, waiting_for)| Failed { to, generation, waiting_for });
    let notes = Notes { draining_since, failed, last_pause: None };
    // An engine takes no more from the sink's document.
    let wanted = wanted.min(ownership::MAX_REPLICAS);
    let view = View { wanted, generation, ready, known: ready, drained: drained.into_iter().collect() };
    let next = step(known, &notes, &view, now, timeout, &|ordinal| format!("worker-{ordinal}:1"));
    assert!(next.workers >= known.from, "a worker of the map that holds is taken away");
    let (document, _) = next.publish.filter(|_| known.epoch < MAX_EPOCH)?;
    assert_eq!(document.supersedes(known), Ok(()), "{document:?} after {known:?}");
    Some(document)
}
