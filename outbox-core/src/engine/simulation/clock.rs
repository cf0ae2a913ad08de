use std::time::{Duration, Instant};

/// A node's monotonic clock: it runs a little too fast or too slow, and stands still while its machine is suspended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// It showed `shown` at the true time `since`, and has gained `permille` of what has passed.
    shown: Instant,
    since: Duration,
    permille: u32,
}

impl Clock {
    pub(super) fn new(shown: Instant, permille: u32) -> Self {
        Self { shown, since: Duration::ZERO, permille }
    }

    pub(super) fn at(&self, now: Duration) -> Instant {
        self.shown + now.saturating_sub(self.since) * self.permille / 1_000
    }

    /// The true time at which it will show `instant`, or a little more.
    pub(super) fn when(&self, instant: Instant) -> Duration {
        let shown = instant.saturating_duration_since(self.shown);
        self.since + shown * 1_000 / self.permille + Duration::from_nanos(2)
    }

    /// Stands still until then.
    pub(super) fn suspend(&mut self, now: Duration, until: Duration) {
        (self.shown, self.since) = (self.at(now), until);
    }
}
