//! Header names that Floodmark adds to Remote-Write requests and answers. All are optional for others.

/// The epoch of the ownership map a request was routed by; on a 421, the worker's own. A 503 names it when the worker took
/// nothing of the request, so that sending it again doubles nothing.
pub const EPOCH: &str = "floodmark-epoch";
/// `generator/incarnation/lane/sequence`: makes a repeated request idempotent at the worker.
pub const REQUEST: &str = "floodmark-request";
/// The instant the request should have left, in microseconds since the Unix epoch.
pub const INTENDED: &str = "floodmark-intended";
/// The fault type whose samples the request holds; such a request is never merged with others.
pub const FAULT: &str = "floodmark-fault";
/// Value of [`FAULT`] for faults among good samples: the lane is the one that [`REQUEST`] names, all else is as usual.
pub const MIXED: &str = "Mixed";
/// The epoch of the worker that forwarded a third party's part; such a request is never forwarded again.
pub const FORWARDED: &str = "floodmark-forwarded";
/// All of them, lower case: users may not set these.
pub const ALL: [&str; 5] = [EPOCH, REQUEST, INTENDED, FAULT, FORWARDED];
