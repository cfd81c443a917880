//! Verdicts on faulty data and requests. Prometheus 2.42, Prometheus 3, `VictoriaMetrics` and Thanos as measured on real
//! servers, Mimir read from source; the limits are those of the default settings.

use api::FaultType;
use api::FaultType as F;

use super::Verdict::{self, Any, Dropped, Refused, Stored};

const S: Verdict = Stored;
const D: Verdict = Dropped;
const A: Verdict = Any;
const B: Verdict = Refused(400);
const T: Verdict = Refused(409);
const U: Verdict = Refused(415);
const L: Verdict = Refused(413);

/// What the specification asks for, and Strict, Prometheus2, Prometheus3, Mimir, `VictoriaMetrics`, Thanos. `None` for faults of
/// the connection.
#[allow(clippy::match_same_arms, reason = "grouped as the catalogue is")]
pub(super) fn verdicts(fault: FaultType) -> Option<(Verdict, [Verdict; 6])> {
    Some(match fault {
        F::OutOfOrder | F::OldDuplicate | F::ConflictingDuplicate => (B, [B, B, B, B, S, T]),
        // Prometheus checks order against what is committed: inside one request the loser vanishes.
        F::OutOfOrderInSeries | F::OutOfOrderInRequest | F::ConflictingDuplicateInRequest => (B, [B, D, D, B, S, D]),
        F::ExactDuplicate | F::NearFutureTimestamp | F::StaleNan | F::Infinity | F::CounterReset => (S, [S; 6]),
        F::OldTimestamp => (B, [B, B, B, B, S, T]),
        F::ZeroTimestamp | F::NegativeTimestamp | F::SecondsTimestamp => (B, [B, B, B, B, D, T]),
        F::FutureTimestamp | F::FuturePoison => (A, [B, S, B, B, S, S]),
        F::FarFutureTimestamp => (A, [B, S, B, B, D, S]),
        F::MissingMetricName => (B, [B, S, D, B, S, S]),
        F::EmptyLabelName => (B, [B, S, D, B, S, T]),
        F::EmptyLabelValue => (B, [B, S, S, S, S, T]),
        F::RepeatedLabel | F::DuplicateLabel => (B, [B, Refused(500), D, B, S, T]),
        F::UnsortedLabels => (B, [B, S, S, S, S, T]),
        F::InvalidMetricName | F::InvalidLabelName => (B, [B, S, S, B, S, S]),
        F::InvalidUtf8Value | F::InvalidUtf8MetricName => (B, [B, S, D, B, S, S]),
        // `VictoriaMetrics` drops such series, or cuts them, by version.
        F::TooManyLabels | F::LongLabelValue => (S, [S, S, S, B, A, S]),
        F::LongLabelName => (S, [S, S, S, S, A, S]),
        F::NoLabels => (B, [B, Refused(500), D, D, D, T]),
        F::EmptySamples => (A, [S; 6]),
        F::OrdinaryNan => (S, [S, S, S, S, D, S]),
        // `VictoriaMetrics` makes 0 of -0.0 and of denormals.
        F::OtherNan | F::EdgeValues => (S, [S, S, S, S, A, S]),
        F::GoodAndBad => (B, [B, B, B, B, S, T]),
        F::CardinalityBurst => (A, [S, S, S, Refused(429), S, S]),
        F::SampleAndHistogram => (B, [B, A, D, A, A, A]),
        F::InvalidHistogram => (B, [B, Refused(500), B, A, D, D]),
        F::ExemplarOnly => (B, [B, A, B, A, A, A]),
        F::OutOfOrderExemplar => (A, [A; 6]),
        F::StartAfterTimestamp => (A, [A, A, S, A, A, A]),
        F::FramedSnappy | F::Uncompressed | F::CorruptSnappy | F::SnappyBomb | F::TruncatedProtobuf | F::EmptyBody => {
            (B, [B; 6])
        }
        F::WrongWireType => (B, [B; 6]),
        F::BodyTooLarge => (L, [L, S, B, L, B, L]),
        F::DecodedTooLarge => (B, [B, S, B, B, B, A]),
        F::EmptyMessage | F::UnknownFields => (S, [S; 6]),
        F::JsonContentType => (U, [U, S, U, U, S, S]),
        F::UnknownProto => (U, [U, S, U, U, S, A]),
        // A space before `proto`: read as protocol 1.0, whose decoder finds nothing in a body of 2.0.
        F::SpacedProto | F::V2BodyAsV1 => (A, [A, D, D, A, D, D]),
        F::V1BodyAsV2 => (A, [A, S, D, A, S, A]),
        F::GzipEncoding => (U, [U, S, U, U, S, B]),
        F::ZstdEncoding => (U, [U, S, U, U, S, S]),
        F::NoVersionHeader => (A, [B, S, S, S, S, S]),
        F::NoHeaders => (A, [A, S, S, S, S, S]),
        F::GetMethod => (Refused(405), [Refused(405), Refused(405), Refused(405), Refused(405), A, Refused(405)]),
        F::WrongPath => (A, [Refused(404), Refused(404), Refused(404), Refused(404), B, Refused(404)]),
        F::SymbolOutOfRange | F::OddLabelRefs => (B, [B, A, B, B, A, A]),
        F::FirstSymbolNotEmpty | F::DuplicateSymbols => (A, [B, A, S, A, A, A]),
        _ => return None,
    })
}
