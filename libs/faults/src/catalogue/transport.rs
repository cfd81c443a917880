//! What has to hold when the connection breaks.

use api::FaultType as F;

/// Empty for faults that are no fault of the connection.
pub(super) fn rule(fault: F) -> &'static str {
    match fault {
        F::ConnectionRefused => "waits and connects again; nothing acknowledged is lost",
        F::ResetInBody => "the receiver stores nothing of a half body; the request comes again",
        F::ResetBeforeAnswer => "the request comes again; duplicates are counted, not lost",
        F::SlowLoris => "the receiver gives the slow client up and serves the others",
        F::ChunkedBody => "taken like any other body",
        F::ContentLengthTooLarge => "the receiver waits no longer than its body timeout, stores nothing",
        F::ContentLengthTooSmall => "the cut body is refused; the rest is no request of its own",
        F::Jitter => "no loss; latency shows it",
        F::BandwidthCap => "no loss; the backlog is bounded and counted",
        F::BlackHole => "the timeout ends the attempt; the request comes again in order",
        F::KeepAliveRace => "the request comes again over a new connection",
        F::BitFlip => "refused, or stored and found as Altered",
        F::ConcurrentDuplicate => "stored once or counted as duplicate",
        F::DelayedDuplicate => "refused or counted as duplicate; order holds",
        F::ParallelConnections => "out of order is refused or found as Reordered",
        F::TlsFailure => "nothing is sent; the reason is named",
        _ => "",
    }
}
