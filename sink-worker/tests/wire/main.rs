//! The worker over real sockets. Rows are those of the scenario matrix in the reference of the sink to match.

mod answers;
mod harness;
mod prometheus;
mod requests;
