//! Whether this processor can publish, and what it makes of it.

use std::time::{Duration, Instant};

use super::{Effect, Engine};
use crate::publisher::{Outcome, PublishError, PublishErrorKind};
use crate::store::Reach;

/// Most doublings of a wait.
const DOUBLINGS: u32 = 4;
/// After how many waits without giving up nothing is held against the publisher's word any more.
const FORGIVEN: u32 = 64;
/// How many waits a trial may find nothing to try in its shard, before it asks for another one.
const QUIET: u32 = 4;
/// How often in a row the store must say that all shards belong to others. They were told before, and may have got
/// through again at the same moment as this one.
const SURE: u32 = 2;

/// What the outcomes say about the way to the broker. See [`Reach`] for what other processors make of it.
///
/// It works until everything that was tried in the time of a lease has failed as unreachable. Then the publisher is
/// asked: where it cannot reach the broker either, that is enough; where it can, the topics may be at fault and would
/// be so for others too, so that each time it has to last twice as long. Without shards, the publisher is asked again
/// and again; when it says yes, one event of one shard is tried, and if that arrives all is well.
#[derive(Debug)]
pub(super) struct Standing {
    reach: Reach,
    announced: Reach,
    /// A lease, which is also the unit of all waits.
    patience: Duration,
    /// Since when everything has failed.
    failing: Option<Instant>,
    check_at: Option<Instant>,
    checking: bool,
    /// Trials in a row that failed.
    failed_trials: u32,
    /// How often it gave up although the publisher could reach the broker.
    doubtful: u32,
    gave_up: Option<Instant>,
    /// Replies in a row by which all shards belong to others.
    told: u32,
}

impl Standing {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            reach: Reach::Works,
            announced: Reach::Works,
            patience,
            failing: None,
            check_at: None,
            checking: false,
            failed_trials: 0,
            doubtful: 0,
            gave_up: None,
            told: 0,
        }
    }

    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    /// Whether the others have not heard the latest.
    pub(super) fn is_news(&self) -> bool {
        self.reach != self.announced
    }

    /// What to tell the others.
    pub(super) fn announce(&mut self) -> Reach {
        self.announced = self.reach;
        self.reach
    }

    /// How many events may be with the publisher.
    pub(super) fn most_in_flight(&self) -> usize {
        if self.reach == Reach::Trying { 1 } else { usize::MAX }
    }

    /// When to ask the publisher.
    fn check_due(&self, has_shards: bool) -> Option<Instant> {
        // With shards, because nobody else works either, it finds out by itself.
        let needless = self.checking || (self.reach == Reach::Nothing && has_shards);
        self.check_at.filter(|_| !needless)
    }

    /// The broker answered. True when that is news.
    fn answered(&mut self) -> bool {
        let news = self.reach != Reach::Works;
        (self.reach, self.failing, self.check_at) = (Reach::Works, None, None);
        (self.failed_trials, self.told) = (0, 0);
        news
    }

    /// Something could not be delivered because there is no way to the broker.
    fn unreachable(&mut self, now: Instant) {
        match self.reach {
            Reach::Works if self.failing.is_none() => {
                if self.gave_up.is_some_and(|at| now.duration_since(at) > FORGIVEN * self.patience) {
                    self.doubtful = 0;
                }
                self.failing = Some(now);
                self.check_at = Some(now + self.patience);
            }
            Reach::Works | Reach::Nothing => {}
            Reach::Trying => self.trial_failed(now),
        }
    }

    /// The publisher says whether it can reach the broker. True when this processor has come to give up.
    fn checked(&mut self, now: Instant, works: bool) -> bool {
        self.checking = false;
        match (self.reach, self.failing) {
            (Reach::Works, None) => self.check_at = None,
            (Reach::Works, Some(since)) => {
                self.check_at = Some(now + self.patience);
                let wait = if works { self.patience * (1 << self.doubtful) } else { self.patience };
                if now.duration_since(since) < wait {
                    return false;
                }
                if works {
                    self.doubtful = (self.doubtful + 1).min(DOUBLINGS);
                }
                (self.reach, self.failing, self.told) = (Reach::Nothing, None, 0);
                self.gave_up = Some(now);
                return true;
            }
            (Reach::Nothing, _) if works => {
                self.reach = Reach::Trying;
                self.check_at = Some(now + QUIET * self.patience);
            }
            (Reach::Nothing, _) => self.check_at = Some(now + self.patience),
            // Its shard had nothing to try, so perhaps another one has.
            (Reach::Trying, _) if works => {
                (self.reach, self.told) = (Reach::Nothing, SURE);
                self.check_at = Some(now);
            }
            (Reach::Trying, _) => self.trial_failed(now),
        }
        false
    }

    fn trial_failed(&mut self, now: Instant) {
        (self.reach, self.told) = (Reach::Nothing, SURE);
        self.failed_trials = (self.failed_trials + 1).min(DOUBLINGS);
        self.check_at = Some(now + self.patience * (1 << self.failed_trials));
    }

    /// The store said how many shards are this processor's. True when it should give up all.
    pub(super) fn told(&mut self, fair_share: usize) -> bool {
        if fair_share > 0 || self.reach != Reach::Nothing {
            self.told = 0;
            return false;
        }
        self.told = (self.told + 1).min(SURE);
        self.told == SURE
    }
}

impl Engine {
    pub(super) fn check_due(&self) -> Option<Instant> {
        let has_shards = self.lanes.values().any(|lane| !lane.draining);
        self.standing.check_due(has_shards).filter(|_| self.stop.is_none())
    }

    pub(super) fn next_check(&mut self, now: Instant) -> Option<Effect> {
        self.check_due().filter(|due| *due <= now)?;
        self.standing.checking = true;
        Some(Effect::Check)
    }

    /// What an outcome says about the way to the broker. A rejection says nothing: it may have been made on this side.
    pub(super) fn judge_reach(&mut self, now: Instant, outcome: &Outcome) {
        match outcome {
            Outcome::Failed(error) if error.kind() == PublishErrorKind::Unreachable => self.standing.unreachable(now),
            Outcome::Failed(error) if error.kind() == PublishErrorKind::Rejected => {}
            Outcome::Withheld => {}
            Outcome::Delivered | Outcome::Failed(_) => {
                if self.standing.answered() {
                    tracing::info!("this processor reaches its broker again, and takes part");
                }
            }
        }
    }

    pub(super) fn checked(&mut self, now: Instant, answer: &Result<(), PublishError>) {
        let cause = answer.as_ref().err().map(PublishError::summary);
        if self.standing.checked(now, answer.is_ok()) {
            tracing::warn!(cause, "nothing reaches the broker from here; the shards go to a processor that works");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    fn fails_for(standing: &mut Standing, from: Instant, time: Duration) -> Instant {
        standing.unreachable(from);
        standing.unreachable(from + time);
        from + time
    }

    #[test]
    fn one_answer_in_time_is_enough_to_keep_everything() {
        let (mut standing, start) = (Standing::new(LEASE), Instant::now());
        for n in 0..100 {
            let now = start + n * LEASE;
            standing.unreachable(now);
            assert_eq!(standing.check_due(true), Some(now + LEASE));
            assert!(!standing.answered());
            assert_eq!(standing.check_due(true), None);
        }
        assert_eq!(standing.reach(), Reach::Works);
    }

    #[test]
    fn a_broker_that_answers_the_publisher_is_given_longer_each_time() {
        let (mut standing, mut now) = (Standing::new(LEASE), Instant::now());
        for leases in [1, 2, 4, 8, 16, 16] {
            let since = now;
            standing.unreachable(now);
            for _ in 1..leases {
                now += LEASE;
                assert!(!standing.checked(now, true));
            }
            now += LEASE;
            assert!(standing.checked(now, true), "{:?}", now.duration_since(since));
            assert_eq!(standing.reach(), Reach::Nothing);
            assert!(standing.answered());
        }
        now = fails_for(&mut standing, now, LEASE);
        assert!(standing.checked(now, false), "the publisher's own no needs no more time");
        assert!(standing.answered());
        let later = fails_for(&mut standing, now + 64 * LEASE, LEASE);
        assert!(!standing.checked(later, true), "that was not long ago");
        assert!(!standing.answered());
        now = fails_for(&mut standing, now + 65 * LEASE, LEASE);
        assert!(standing.checked(now, true), "that was long ago");
    }

    #[test]
    fn a_check_that_is_late_says_nothing_about_a_later_failure() {
        let (mut standing, now) = (Standing::new(LEASE), Instant::now());
        let now = fails_for(&mut standing, now, LEASE);
        assert!(!standing.answered());
        standing.unreachable(now);
        assert!(!standing.checked(now, false));
        assert_eq!((standing.reach(), standing.check_due(true)), (Reach::Works, Some(now + LEASE)));
    }

    #[test]
    fn it_comes_back_by_one_event_and_waits_longer_after_each_failure() {
        let (mut standing, now) = (Standing::new(LEASE), Instant::now());
        let mut now = fails_for(&mut standing, now, LEASE);
        assert!(standing.checked(now, false));
        assert_eq!((standing.announce(), standing.check_due(true)), (Reach::Nothing, None), "with shards it can tell");
        for leases in [1, 2, 4, 8, 16, 16] {
            assert_eq!(standing.check_due(false), Some(now + leases * LEASE));
            now += leases * LEASE;
            standing.checked(now, true);
            assert_eq!((standing.reach(), standing.most_in_flight()), (Reach::Trying, 1));
            assert!(standing.is_news());
            standing.unreachable(now);
            assert_eq!(standing.reach(), Reach::Nothing);
            assert!(standing.told(0), "it has just seen that it does not work");
        }
        standing.checked(now, true);
        assert!(standing.answered());
        assert_eq!((standing.reach(), standing.most_in_flight()), (Reach::Works, usize::MAX));
    }

    #[test]
    fn a_trial_that_finds_nothing_asks_for_another_shard() {
        let (mut standing, now) = (Standing::new(LEASE), Instant::now());
        let now = fails_for(&mut standing, now, LEASE);
        standing.checked(now, false);
        standing.checked(now + LEASE, true);
        assert_eq!(standing.check_due(true), Some(now + 5 * LEASE));
        standing.checked(now + 5 * LEASE, true);
        assert_eq!((standing.reach(), standing.told(0)), (Reach::Nothing, true));
        assert_eq!(standing.check_due(false), Some(now + 5 * LEASE), "at once");
    }

    #[test]
    fn a_publisher_that_says_no_is_asked_again() {
        let (mut standing, now) = (Standing::new(LEASE), Instant::now());
        let mut now = fails_for(&mut standing, now, LEASE);
        for _ in 0..3 {
            standing.checked(now, false);
            assert_eq!((standing.reach(), standing.check_due(false)), (Reach::Nothing, Some(now + LEASE)));
            now += LEASE;
        }
        standing.checked(now, true);
        assert_eq!(standing.reach(), Reach::Trying);
        standing.checked(now, false);
        assert_eq!((standing.reach(), standing.check_due(false)), (Reach::Nothing, Some(now + 2 * LEASE)));
    }

    #[test]
    fn shards_go_only_when_the_store_is_sure() {
        let (mut standing, now) = (Standing::new(LEASE), Instant::now());
        assert!(!standing.told(0) && !standing.told(0), "it works, so the reply is out of date");
        let now = fails_for(&mut standing, now, LEASE);
        standing.checked(now, false);
        assert!(!standing.told(0) && !standing.told(3) && !standing.told(0));
        assert!(standing.told(0) && standing.told(0));
    }
}
