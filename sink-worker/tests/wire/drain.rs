//! From one map to the next.

use std::time::Duration;

use ownership::Phase;
use protocol::OwnershipDoc;

use crate::harness::*;

const OK: Script = Script::Status(204);

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_map_takes_nothing_and_the_next_one_holds() {
    let backend = Backend::start(OK);
    let worker = Worker::lanes(&plan(&backend.url()), 2);
    let addresses = vec![worker.address.to_string()];
    assert_eq!(worker.write(&[("a", 1)]).await, 204);
    worker.obey(&control(1, Phase::Draining, 2, addresses.clone()));
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while worker.write(&[("a", 1)]).await != 503 {
        assert!(std::time::Instant::now() < end);
    }
    worker.obey(&control(2, Phase::Stable, 3, addresses));
    worker.until(|report| report.epoch == 2).await;
    assert_eq!(worker.write(&[("a", 2)]).await, 204);
    let map: OwnershipDoc = serde_json::from_slice(&worker.get("/ownership").await.body).unwrap();
    assert_eq!((map.epoch, map.lanes, map.replicas), (2, 3, 1));
    assert_eq!(map.by, Some(ownership::By::Series));
    assert_eq!(map.addresses, [format!("http://{}", worker.address)]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drained_is_who_has_nothing_left_to_send() {
    let backend = Backend::start(Script::Status(503));
    let mut plan = plan(&backend.url());
    plan.ack_policy = api::AckPolicy::Buffered;
    let worker = Worker::alone(&plan);
    let addresses = vec![worker.address.to_string()];
    assert_eq!(worker.write(&[("a", 1)]).await, 204);
    worker.obey(&control(7, Phase::Draining, 1, addresses.clone()));
    let held = worker.until(|report| report.epoch == 7).await;
    assert_eq!((held.drained, held.account.buffered), (None, 1), "the backend does not take it");
    let refused = worker.generate(1, body(&[("a", 2)])).await;
    assert_eq!((refused.status, refused.header("floodmark-epoch")), (503, Some("1")), "nothing of it was taken");
    backend.usually(OK);
    let empty = worker.until(|report| report.drained.is_some()).await;
    assert_eq!((empty.drained, empty.account.buffered), (Some(7), 0));
    assert_eq!(backend.stored().len(), 1);
    worker.obey(&control(8, Phase::Stable, 1, addresses));
    assert_eq!(worker.until(|report| report.epoch == 8).await.drained, None);
    worker.stop().await;
}
