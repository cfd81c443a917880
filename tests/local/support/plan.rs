//! What a sink-worker of a test is started with.

use floodmark_http::client::Endpoint;
use protocol::SinkWorkerPlan;

/// The plan of this sink's workers before a receiver of ours at `backend` (host:port).
pub fn plan(sink: api::RemoteWriteSinkSpec, backend: &str) -> SinkWorkerPlan {
    SinkWorkerPlan {
        name: "sink".to_owned(),
        backend: Endpoint::new(format!("http://{backend}/api/v1/write")),
        protocol: sink.backend.protocol,
        partial_writes: api::PartialWrites::KeepsGood,
        batching: sink.batching,
        buffer: sink.buffer,
        ack_policy: sink.ack_policy,
        retry: sink.retry,
        on_rejected: sink.on_rejected,
        drain_timeout: sink.drain_timeout,
    }
}
