//! When a rejected event is tried again, and when it is given up.

mod backoff;
mod env;
mod rules;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use rules::RetryRules;

use crate::message::Message;

/// What becomes of the later events of a key whose event has died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnDeath {
    /// They go on without it.
    #[default]
    Continue,
    /// They are held back, durably, until an operator requeues the key.
    ParkKey,
}

/// What to do about a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Try again after this long.
    RetryIn(Duration),
    /// Give up.
    Dead(OnDeath),
}

/// How often and how soon a rejected event is tried again.
///
/// Only rejections count; see [`PublishErrorKind`](crate::PublishErrorKind). Policies are pure: time and chance come
/// from outside.
///
/// ```
/// # use std::time::Duration;
/// # use outbox_core::retry::{OnDeath, RetryPolicy};
/// let policy = RetryPolicy::exponential()
///     .base(Duration::from_secs(1))
///     .factor(2.0)
///     .max_delay(Duration::from_secs(60))
///     .max_attempts(10)
///     .on_death(OnDeath::ParkKey);
/// ```
#[derive(Clone)]
#[must_use = "a policy does nothing until a processor is given it"]
pub struct RetryPolicy {
    shape: Shape,
    max_attempts: u32,
    on_death: OnDeath,
    /// What was asked of a policy that cannot have it.
    mistake: Option<&'static str>,
}

type Custom = dyn Fn(&Message, u32) -> Option<Duration> + Send + Sync;

#[derive(Clone)]
enum Shape {
    Exponential { base: Duration, factor: f64, max_delay: Duration },
    Fixed(Duration),
    Custom(Arc<Custom>),
}

impl RetryPolicy {
    /// Exponential backoff with full jitter: base 1 s, factor 2, at most 60 s, 10 attempts.
    pub fn exponential() -> Self {
        let shape =
            Shape::Exponential { base: Duration::from_secs(1), factor: 2.0, max_delay: Duration::from_secs(60) };
        Self::new(shape, 10)
    }

    /// Always the same delay, 10 attempts.
    pub fn fixed(delay: Duration) -> Self {
        Self::new(Shape::Fixed(delay), 10)
    }

    /// No second attempt.
    pub fn never() -> Self {
        Self::fixed(Duration::ZERO).max_attempts(1)
    }

    /// Whatever `decide` says, given the message and the number of rejections so far; `None` gives up.
    ///
    /// A panic in `decide` gives up too. [`max_attempts`](Self::max_attempts) applies as well; unlimited by default.
    pub fn custom(decide: impl Fn(&Message, u32) -> Option<Duration> + Send + Sync + 'static) -> Self {
        Self::new(Shape::Custom(Arc::new(decide)), u32::MAX)
    }

    fn new(shape: Shape, max_attempts: u32) -> Self {
        Self { shape, max_attempts, on_death: OnDeath::default(), mistake: None }
    }

    /// The range of the first delay. Default 1 s. Of exponential policies only: a processor refuses others with it.
    pub fn base(mut self, delay: Duration) -> Self {
        match &mut self.shape {
            Shape::Exponential { base, .. } => *base = delay,
            _ => self.mistake = Some("base is a setting of exponential policies alone"),
        }
        self
    }

    /// By what the range grows with each attempt, at least 1. Default 2. Of exponential policies only, as
    /// [`base`](Self::base).
    pub fn factor(mut self, by: f64) -> Self {
        match &mut self.shape {
            Shape::Exponential { factor, .. } => *factor = by,
            _ => self.mistake = Some("factor is a setting of exponential policies alone"),
        }
        self
    }

    /// The longest delay. Default 60 s. Of exponential policies only, as [`base`](Self::base).
    pub fn max_delay(mut self, delay: Duration) -> Self {
        match &mut self.shape {
            Shape::Exponential { max_delay, .. } => *max_delay = delay,
            _ => self.mistake = Some("max_delay is a setting of exponential policies alone"),
        }
        self
    }

    /// After how many rejections the event is dead; at least 1. Default 10, of custom policies unlimited.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// What becomes of the later events of a key whose event has died. Default [`OnDeath::Continue`].
    pub fn on_death(mut self, then: OnDeath) -> Self {
        self.on_death = then;
        self
    }

    /// What to do about rejection number `attempts`, counted from 1. `random` is from 0 to 1.
    #[must_use]
    pub fn verdict(&self, message: &Message, attempts: u32, random: f64) -> Verdict {
        if attempts >= self.max_attempts {
            return Verdict::Dead(self.on_death);
        }
        let delay = match &self.shape {
            Shape::Exponential { base, factor, max_delay } => {
                Some(backoff::full_jitter(*base, *factor, *max_delay, attempts, random))
            }
            Shape::Fixed(delay) => Some(*delay),
            Shape::Custom(decide) => {
                let call = std::panic::AssertUnwindSafe(|| decide(message, attempts));
                std::panic::catch_unwind(call).unwrap_or(None)
            }
        };
        delay.map_or(Verdict::Dead(self.on_death), Verdict::RetryIn)
    }

    /// The longest delay after rejection number `attempts`, where the policy alone says so.
    fn longest(&self, attempts: u32) -> Option<Duration> {
        match &self.shape {
            Shape::Exponential { base, factor, max_delay } => {
                Some(backoff::ceiling(*base, *factor, *max_delay, attempts))
            }
            Shape::Fixed(delay) => Some(*delay),
            Shape::Custom(_) => None,
        }
    }

    /// What is wrong with the policy, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if self.mistake.is_some() {
            return self.mistake;
        }
        if self.max_attempts == 0 {
            return Some("max_attempts must be at least 1");
        }
        match &self.shape {
            Shape::Exponential { factor, .. } if !factor.is_finite() || *factor < 1.0 => {
                Some("factor must be a number of at least 1")
            }
            _ => None,
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::exponential()
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = match &self.shape {
            Shape::Exponential { base, factor, max_delay } => {
                format!("exponential(base {base:?}, factor {factor}, at most {max_delay:?})")
            }
            Shape::Fixed(delay) => format!("fixed({delay:?})"),
            Shape::Custom(_) => "custom".to_owned(),
        };
        f.debug_struct("RetryPolicy")
            .field("delay", &shape)
            .field("max_attempts", &self.max_attempts)
            .field("on_death", &self.on_death)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::message;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn settings_that_a_policy_does_not_have_are_a_problem() {
        let custom = || RetryPolicy::custom(|_, _| None);
        for policy in [
            RetryPolicy::fixed(SECOND).base(SECOND),
            RetryPolicy::never().factor(2.0),
            custom().max_delay(SECOND),
            RetryPolicy::exponential().factor(f64::NAN),
            RetryPolicy::exponential().max_attempts(0),
        ] {
            assert!(policy.problem().is_some(), "{policy:?}");
        }
        let exponential = RetryPolicy::exponential().base(SECOND).factor(1.0).max_delay(SECOND);
        for policy in [exponential, RetryPolicy::fixed(SECOND), RetryPolicy::never(), custom().max_attempts(3)] {
            assert_eq!(policy.problem(), None, "{policy:?}");
        }
    }

    fn of_seq(seq: i64) -> Message {
        message("orders", Some("7"), seq, "{}")
    }

    #[test]
    fn the_last_attempt_is_the_end() {
        let policy = RetryPolicy::fixed(SECOND).max_attempts(3);
        let verdicts: Vec<_> = (1..=4).map(|attempts| policy.verdict(&of_seq(1), attempts, 0.5)).collect();
        let dead = Verdict::Dead(OnDeath::Continue);
        assert_eq!(verdicts, [Verdict::RetryIn(SECOND), Verdict::RetryIn(SECOND), dead, dead]);
        assert_eq!(RetryPolicy::never().verdict(&of_seq(1), 1, 0.5), dead);
        let exponential = RetryPolicy::default().on_death(OnDeath::ParkKey);
        assert_eq!(exponential.verdict(&of_seq(1), 1, 1.0), Verdict::RetryIn(SECOND));
        assert_eq!(exponential.verdict(&of_seq(1), 9, 0.5), Verdict::RetryIn(30 * SECOND));
        assert_eq!(exponential.verdict(&of_seq(1), 10, 0.5), Verdict::Dead(OnDeath::ParkKey));
    }

    #[test]
    fn a_custom_policy_decides_by_message_and_attempts() {
        let even = |message: &Message, attempts| (message.seq % 2 == 0).then(|| attempts * SECOND);
        let policy = RetryPolicy::custom(even);
        assert_eq!(policy.verdict(&of_seq(2), 7, 0.5), Verdict::RetryIn(7 * SECOND));
        assert_eq!(policy.verdict(&of_seq(2), u32::MAX - 1, 0.5), Verdict::RetryIn((u32::MAX - 1) * SECOND));
        assert_eq!(policy.verdict(&of_seq(3), 1, 0.5), Verdict::Dead(OnDeath::Continue));
        let policy = policy.max_attempts(2).on_death(OnDeath::ParkKey);
        assert_eq!(policy.verdict(&of_seq(2), 1, 0.5), Verdict::RetryIn(SECOND));
        assert_eq!(policy.verdict(&of_seq(2), 2, 0.5), Verdict::Dead(OnDeath::ParkKey));
        assert_eq!(policy.verdict(&of_seq(3), 1, 0.5), Verdict::Dead(OnDeath::ParkKey));
    }

    #[test]
    fn a_custom_policy_that_panics_gives_up() {
        // Without the output of a real panic, which would look like a failure of the test.
        let policy = RetryPolicy::custom(|_, _| std::panic::resume_unwind(Box::new("a bug")));
        assert_eq!(policy.verdict(&of_seq(1), 1, 0.5), Verdict::Dead(OnDeath::Continue));
        let policy = policy.on_death(OnDeath::ParkKey);
        assert_eq!(policy.verdict(&of_seq(1), 1, 0.5), Verdict::Dead(OnDeath::ParkKey));
    }
}
