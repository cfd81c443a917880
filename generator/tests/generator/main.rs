//! A generator against a house of real servers on loopback.

#![allow(clippy::unwrap_used, reason = "helpers of tests, too")]

mod house;
mod load;
mod reshard;
