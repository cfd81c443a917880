//! Protocol 1.0, `prometheus.WriteRequest`: walking foreign requests and writing our own.
//!
//! ```text
//! WriteRequest { repeated TimeSeries timeseries = 1; repeated MetricMetadata metadata = 3 }
//! TimeSeries   { repeated Label labels = 1; repeated Sample samples = 2; repeated Exemplar exemplars = 3;
//!                repeated Histogram histograms = 4 }
//! Label        { string name = 1; string value = 2 }      Sample { double value = 1; int64 timestamp = 2 }
//! ```

mod encode;
mod fast;
mod literal;
mod series;
mod walk;

pub use encode::Encoder;
pub use literal::Literal;
pub use series::{Labels, Samples, Series};
pub use walk::{Walk, WalkError, WalkFault, walk};
