//! What foreign bytes may cost.

use bytes::Bytes;
use remote_write::{Sample, Snappy, canonical, v1};

use crate::harness::*;

const OK: Script = Script::Status(204);

/// The most memory this process ever had.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_would_be_copied_before_every_sample_are_refused_before_they_are() {
    let backend = Backend::start(OK);
    let mut plan = plan(&backend.url());
    plan.buffer.max_bytes = api::Bytes(8 << 20);
    let worker = Worker::alone(&plan);
    let mut block = Vec::new();
    canonical::push_label(&mut block, b"__name__", b"up");
    canonical::push_label(&mut block, b"text", &[b'x'; 4000]);
    let request = |samples| {
        let samples: Vec<_> = (0..samples).map(|timestamp| Sample { timestamp, value: 0.5 }).collect();
        let mut encoder = v1::Encoder::new();
        encoder.series(&block, &samples);
        Bytes::copy_from_slice(Snappy::new().compress(encoder.body()))
    };
    let before = peak();
    // 800 MB of labels.
    let answer = worker.post(request(200_000), &[]).await;
    assert_eq!(answer.status, 413, "{}", answer.text(300));
    assert!(answer.text(300).contains("8388608 bytes"), "{}", answer.text(300));
    assert!(peak() - before < 400 << 20, "{} MB", (peak() - before) >> 20);
    assert_eq!(worker.post(request(100), &[]).await.status, 204);
    assert_eq!(worker.stop().await.account.accepted, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_native_histogram_is_refused_and_not_lost_in_silence() {
    let backend = Backend::start(OK);
    let worker = Worker::alone(&plan(&backend.url()));
    let with = |histogram: &[u8]| {
        let mut literal = v1::Literal::new();
        literal.label(b"__name__", b"up");
        literal.sample(Sample { timestamp: 1, value: 1.0 });
        literal.field(4, histogram);
        let mut encoder = v1::Encoder::new();
        encoder.fields(literal.fields());
        Bytes::copy_from_slice(Snappy::new().compress(encoder.body()))
    };
    let answer = worker.post(with(b"\xff"), &[]).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text(200).contains("series 0"), "{}", answer.text(200));
    assert_eq!(worker.generate(1, with(b"\xff")).await.status, 400);
    assert!(backend.seen().is_empty());
    assert_eq!(worker.post(with(&[0x78, 33]), &[]).await.status, 204);
    assert_eq!(worker.stop().await.account.accepted, 2);
}
