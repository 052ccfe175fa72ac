//! The history's one clock: nanoseconds since the exam began, of this host's monotonic clock.

use std::time::Instant;

/// When the exam began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    /// A clock that stands at 0 now.
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the exam began.
    pub(super) fn now_ns(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
