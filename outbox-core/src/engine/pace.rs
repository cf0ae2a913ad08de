use std::time::{Duration, Instant};

/// How long after activity each polling interval holds.
const BUSY_FOR: Duration = Duration::from_secs(2);
const CALM_FOR: Duration = Duration::from_secs(20);
/// How soon to look again after a hint, or after something was found, at the earliest.
const AGAIN: Duration = Duration::from_millis(10);
/// The same, in times of what a look takes: no more than a fifth of the time is spent looking.
const REST: u32 = 4;
/// Waits after failures of the database.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What is asked of the database. Each has failures and waits of its own: one may fail for ever, for want of a right,
/// while the others work.
#[derive(Debug, Clone, Copy)]
pub(super) enum Call {
    Lease,
    Read,
    Settle,
    Promote,
}

#[derive(Debug, Clone, Copy, Default)]
struct Failing {
    failures: u32,
    not_before: Option<Instant>,
}

/// When to look for events again: often after activity, seldom in quiet, and not at once after a failure.
#[derive(Debug)]
pub(super) struct Pace {
    intervals: [Duration; 3],
    active: Instant,
    hinted: Option<Instant>,
    looked: Option<Instant>,
    /// How long the last look took.
    look: Duration,
    failing: [Failing; 4],
}

impl Pace {
    pub(super) fn new(now: Instant, intervals: [Duration; 3]) -> Self {
        Self {
            intervals,
            active: now,
            hinted: None,
            looked: None,
            look: Duration::ZERO,
            failing: [Failing::default(); 4],
        }
    }

    /// Something happened that makes more likely.
    pub(super) fn active(&mut self, now: Instant) {
        self.active = now;
    }

    /// Somebody says that there is more, which may not be visible yet. So looking again is due soon, and from then on
    /// whenever the hint is twice as old: what is late is found when it is twice as late, and a hint costs few looks.
    pub(super) fn hinted(&mut self, now: Instant) {
        self.active(now);
        self.hinted = Some(now);
    }

    /// A look begins.
    pub(super) fn looked(&mut self, now: Instant) {
        self.looked = Some(now);
    }

    /// A look has ended.
    pub(super) fn took(&mut self, look: Duration) {
        self.look = look;
    }

    /// When the next look without a reason is due.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let looked = self.looked?;
        let quiet = looked.saturating_duration_since(self.active);
        let [busy, calm, idle] = self.intervals;
        let interval = if quiet < BUSY_FOR {
            busy
        } else if quiet < CALM_FOR {
            calm
        } else {
            idle
        };
        let least = AGAIN.max(self.look * REST);
        let again = self.hinted.map(|hinted| looked.saturating_duration_since(hinted).max(least));
        Some(looked + again.map_or(interval, |again| again.min(interval)))
    }

    /// The database answered.
    pub(super) fn works(&mut self, call: Call) {
        self.failing[call as usize] = Failing::default();
    }

    /// The database failed.
    pub(super) fn fails(&mut self, now: Instant, call: Call, random: f64) {
        let failing = &mut self.failing[call as usize];
        let range = FIRST_WAIT.saturating_mul(1 << failing.failures.min(10)).min(LONGEST_WAIT);
        failing.failures = failing.failures.saturating_add(1);
        failing.not_before = Some(now + range.mul_f64(0.5 + random / 2.0));
    }

    /// Whether some call failed the last time.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.iter().any(|call| call.failures > 0)
    }

    /// Until when the call is not made.
    pub(super) fn not_before(&self, call: Call) -> Option<Instant> {
        self.failing[call as usize].not_before
    }

    pub(super) fn is_waiting(&self, now: Instant, call: Call) -> bool {
        self.not_before(call).is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_rare_in_quiet_and_frequent_after_activity() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let mut pace = Pace::new(start, [second / 10, second, 5 * second]);
        assert_eq!(pace.next_look(), None);
        for (quiet, interval) in [(0, second / 10), (2, second), (3, second), (20, 5 * second), (30, 5 * second)] {
            let now = start + quiet * second;
            pace.looked(now);
            assert_eq!(pace.next_look(), Some(now + interval));
        }
        pace.active(start + 30 * second);
        assert_eq!(pace.next_look(), Some(start + 30 * second + second / 10));
        pace.hinted(start + 30 * second);
        assert_eq!(pace.next_look(), Some(start + 30 * second + AGAIN));
        pace.looked(start + 30 * second + 3 * AGAIN);
        assert_eq!(pace.next_look(), Some(start + 30 * second + 6 * AGAIN));
        pace.looked(start + 30 * second + 30 * AGAIN);
        assert_eq!(pace.next_look(), Some(start + 30 * second + 30 * AGAIN + second / 10));
    }

    #[test]
    fn waits_after_failures_grow_to_five_seconds_and_end_with_success() {
        let now = Instant::now();
        let mut pace = Pace::new(now, [Duration::ZERO; 3]);
        let mut waits = Vec::new();
        for _ in 0..8 {
            pace.fails(now, Call::Read, 1.0);
            waits.push(pace.not_before(Call::Read).unwrap().duration_since(now).as_millis());
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert!(pace.is_waiting(now, Call::Read) && !pace.is_waiting(now, Call::Settle));
        pace.works(Call::Settle);
        assert!(pace.is_waiting(now, Call::Read) && pace.is_failing());
        pace.works(Call::Read);
        assert!(!pace.is_waiting(now, Call::Read) && !pace.is_failing());
    }
}
