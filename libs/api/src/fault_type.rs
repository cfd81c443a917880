//! The names of the faults that a generator can inject: the D, P and T entries of the catalogue.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! fault_types {
    ($($id:literal $name:ident $doc:literal,)*) => {
        /// What a generator breaks: a name of the fault catalogue (D data, P protocol, T transport).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum FaultType {
            $(#[doc = $doc] $name,)*
        }

        impl FaultType {
            /// All of them, in the order of the catalogue.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The entry of the catalogue, such as `D01`.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// The name as it stands in a document, such as `OutOfOrder`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// One line about it.
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$name => $doc,)* }
            }
        }
    };
}

fault_types! {
    "D01" OutOfOrder "A sample older than the series' newest, in a later request.",
    "D02" OutOfOrderInSeries "Samples out of order inside one time series of a request.",
    "D03" OutOfOrderInRequest "Samples out of order over two time series of one request.",
    "D04" ExactDuplicate "The newest sample of the series again, with the same value.",
    "D05" OldDuplicate "An older sample of the series again, with the same value.",
    "D06" ConflictingDuplicate "A sample again with another value, in a later request.",
    "D07" ConflictingDuplicateInRequest "A timestamp with two values in one request.",
    "D08" OldTimestamp "A timestamp 24 h old.",
    "D09" ZeroTimestamp "The timestamp 0.",
    "D10" NegativeTimestamp "A timestamp below 0.",
    "D11" NearFutureTimestamp "A timestamp 5 min ahead.",
    "D12" FutureTimestamp "A timestamp far ahead (1 h unless told otherwise).",
    "D13" FarFutureTimestamp "A timestamp 3 d ahead.",
    "D14" FuturePoison "A timestamp 3 h ahead, then the present again.",
    "D15" SecondsTimestamp "Seconds sent as milliseconds.",
    "D16" MissingMetricName "No label __name__.",
    "D17" EmptyLabelName "A label with an empty name.",
    "D18" EmptyLabelValue "A label with an empty value.",
    "D19" RepeatedLabel "A label twice with the same value.",
    "D20" DuplicateLabel "A label twice with two values.",
    "D21" UnsortedLabels "Labels out of order.",
    "D22" InvalidMetricName "A metric name that breaks the rule, such as 0bad-x.",
    "D23" InvalidLabelName "A label name that breaks the rule, such as a-b.",
    "D24" InvalidUtf8Value "A label value that is not UTF-8.",
    "D25" InvalidUtf8MetricName "A metric name that is not UTF-8.",
    "D26" TooManyLabels "41 labels more.",
    "D27" LongLabelValue "A label value of 100 KB.",
    "D28" LongLabelName "A label name of 300 bytes.",
    "D29" NoLabels "A series without labels.",
    "D30" EmptySamples "A series without samples.",
    "D31" OrdinaryNan "A value that is an ordinary NaN.",
    "D32" StaleNan "A stale marker.",
    "D33" OtherNan "A NaN with other bits.",
    "D34" Infinity "A value of plus or minus infinity.",
    "D35" EdgeValues "-0.0 and denormal values.",
    "D36" GoodAndBad "Good and bad samples in one request.",
    "D37" CounterReset "A counter that starts again at 0.",
    "D38" CardinalityBurst "Many new series at once.",
    "D39" SampleAndHistogram "A sample and a histogram in one series (protocol 2.0).",
    "D40" InvalidHistogram "A histogram whose counts disagree.",
    "D41" ExemplarOnly "A series with exemplars only (protocol 2.0).",
    "D42" OutOfOrderExemplar "An exemplar older than the newest.",
    "D43" StartAfterTimestamp "A start timestamp after the timestamp (protocol 2.0).",
    "P01" FramedSnappy "The framed snappy format instead of the block format.",
    "P02" Uncompressed "A body without compression.",
    "P03" CorruptSnappy "A snappy body that is cut off.",
    "P04" SnappyBomb "A snappy body that declares 4 GiB.",
    "P05" BodyTooLarge "A body above the limit.",
    "P06" DecodedTooLarge "A body that is above the limit once decoded.",
    "P07" TruncatedProtobuf "A message that is cut off, well compressed.",
    "P08" EmptyBody "An empty body.",
    "P09" EmptyMessage "An empty message, well compressed.",
    "P10" UnknownFields "Fields that the message does not have.",
    "P11" JsonContentType "The content type application/json.",
    "P12" UnknownProto "A content type with an unknown proto parameter.",
    "P13" SpacedProto "A content type with a space before the proto parameter.",
    "P14" V2BodyAsV1 "A body of protocol 2.0 declared as 1.0.",
    "P15" V1BodyAsV2 "A body of protocol 1.0 declared as 2.0.",
    "P16" GzipEncoding "A content encoding of gzip.",
    "P17" ZstdEncoding "A content encoding of zstd.",
    "P18" NoVersionHeader "No version header.",
    "P19" NoHeaders "No headers of the protocol at all.",
    "P20" GetMethod "GET instead of POST.",
    "P21" WrongPath "A path that the endpoint does not have.",
    "P22" SymbolOutOfRange "A symbol reference out of range (protocol 2.0).",
    "P23" OddLabelRefs "An odd number of label references (protocol 2.0).",
    "P24" FirstSymbolNotEmpty "A first symbol that is not empty (protocol 2.0).",
    "P25" DuplicateSymbols "A symbol twice (protocol 2.0).",
    "P26" WrongWireType "A field with the wrong wire type.",
    "T01" ConnectionRefused "Connections are refused.",
    "T02" ResetInBody "The connection is reset inside the body.",
    "T03" ResetBeforeAnswer "The connection is reset after the request, before the answer.",
    "T04" SlowLoris "A body that trickles.",
    "T05" ChunkedBody "A chunked body.",
    "T06" ContentLengthTooLarge "A Content-Length that is too large.",
    "T07" ContentLengthTooSmall "A Content-Length that is too small.",
    "T08" Jitter "Delays that vary.",
    "T09" BandwidthCap "A cap on the bandwidth.",
    "T10" BlackHole "No answer past the timeout.",
    "T11" KeepAliveRace "A connection that closes while a request is on its way.",
    "T12" BitFlip "One bit of the body is flipped.",
    "T13" ConcurrentDuplicate "The same request twice at the same time.",
    "T14" DelayedDuplicate "The same request again after newer ones.",
    "T15" ParallelConnections "Two connections that reorder one series.",
    "T16" TlsFailure "TLS or authentication fails.",
}

impl fmt::Display for FaultType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
