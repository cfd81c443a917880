//! The messages as a generated decoder has them. Text as bytes: the walk leaves UTF-8 to the rules. What the walk does not
//! look into (metadata, exemplars, histograms) is opaque here too.
#![allow(dead_code, unreachable_pub, reason = "shared by several test binaries and an example")]

#[derive(Clone, PartialEq, prost::Message)]
pub struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub metadata: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub exemplars: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub histograms: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Label {
    #[prost(bytes = "vec", tag = "1")]
    pub name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Sample {
    #[prost(double, tag = "1")]
    pub value: f64,
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// The same with text, as a receiver or sender would really have them: for fair timings.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TextRequest {
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TextSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TextSeries {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<TextLabel>,
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TextLabel {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}
