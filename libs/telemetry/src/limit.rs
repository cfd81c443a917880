//! Warnings that cannot flood.

use std::time::Duration;

/// Lets `burst` events through in each `per`, and says how many it held back before.
pub struct Limiter {}

impl Limiter {
    /// For a `static`: one place in the code, one limiter.
    pub const fn new(_burst: u32, _per: Duration) -> Self {
        Self {}
    }
    /// `Some(suppressed since the last one let through)` or `None` to hold this one back.
    pub fn allow(&self) -> Option<u64> {
        todo!()
    }
}

/// `warn_limited!(LIMITER, field = value, "text")`: a `tracing::warn!` with the field `suppressed`, when the limiter lets it.
#[macro_export]
macro_rules! warn_limited {
    ($limiter:expr, $($arg:tt)+) => {
        if let Some(suppressed) = $limiter.allow() {
            $crate::__tracing::warn!(suppressed, $($arg)+);
        }
    };
}
