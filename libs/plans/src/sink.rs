//! A sink: the fixed plan of its workers, and the first control document.

use api::{Endpoint, OwnershipBy, PartialWrites, RemoteWriteSinkSpec};
use ownership::{Address, By, ControlDocument, Phase};
use protocol::SinkWorkerPlan;

use crate::{Files, Named, ReceiverAt, endpoint};

/// `receiver` is the one of ours that the backend names, if it names one.
///
/// # Errors
/// A reference without a file.
pub fn sink_plan<F: Files>(
    sink: Named<'_, RemoteWriteSinkSpec>,
    receiver: Option<ReceiverAt<'_>>,
    files: &F,
) -> Result<SinkWorkerPlan, F::Error> {
    let spec = sink.spec;
    Ok(SinkWorkerPlan {
        name: sink.name.to_owned(),
        backend: endpoint(&spec.backend, receiver, "spec.backend", files)?,
        protocol: spec.backend.protocol,
        partial_writes: partial_writes(&spec.backend, receiver.is_some()),
        batching: spec.batching.clone(),
        buffer: spec.buffer.clone(),
        ack_policy: spec.ack_policy,
        retry: spec.retry.clone(),
        on_rejected: spec.on_rejected.clone(),
        drain_timeout: spec.drain_timeout,
    })
}

/// Our own receivers are known to keep the good samples of a request that they refuse, unless the document says otherwise.
fn partial_writes(backend: &Endpoint, ours: bool) -> PartialWrites {
    match backend.partial_writes {
        PartialWrites::Unknown if ours => PartialWrites::KeepsGood,
        said => said,
    }
}

/// What decides the owner, as the ownership map has it.
pub fn ownership_by(spec: &RemoteWriteSinkSpec) -> By {
    match spec.ownership.by {
        OwnershipBy::Series => By::Series,
        OwnershipBy::Labels => By::Labels(spec.ownership.labels.clone()),
    }
}

/// The control document of a sink that has just come to be: epoch 1, stable. One address a worker, by ordinal.
pub fn first_control(sink_uid: &str, spec: &RemoteWriteSinkSpec, addresses: Vec<Address>) -> ControlDocument {
    ControlDocument {
        sink_uid: sink_uid.to_owned(),
        epoch: 1,
        phase: Phase::Stable,
        from: spec.replicas,
        to: spec.replicas,
        by: ownership_by(spec),
        lanes: spec.lanes,
        addresses,
        chaos: Vec::new(),
        run: None,
    }
}
