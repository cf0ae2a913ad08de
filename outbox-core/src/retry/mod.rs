//! When a rejected event is tried again, and when it is given up.

mod backoff;
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
    /// They are held back, durably, until an operator requeues or deletes what is dead.
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
        Self { shape, max_attempts: 10, on_death: OnDeath::default() }
    }

    /// Always the same delay, 10 attempts.
    pub fn fixed(delay: Duration) -> Self {
        Self { shape: Shape::Fixed(delay), max_attempts: 10, on_death: OnDeath::default() }
    }

    /// No second attempt.
    pub fn never() -> Self {
        Self::fixed(Duration::ZERO).max_attempts(1)
    }

    /// Whatever `decide` says, given the message and the number of rejections so far; `None` gives up.
    ///
    /// A panic in `decide` gives up too. [`max_attempts`](Self::max_attempts) applies as well; unlimited by default.
    pub fn custom(decide: impl Fn(&Message, u32) -> Option<Duration> + Send + Sync + 'static) -> Self {
        Self { shape: Shape::Custom(Arc::new(decide)), max_attempts: u32::MAX, on_death: OnDeath::default() }
    }

    /// The range of the first delay. For exponential policies; others keep what they have.
    pub fn base(mut self, delay: Duration) -> Self {
        if let Shape::Exponential { base, .. } = &mut self.shape {
            *base = delay;
        }
        self
    }

    /// By what the range grows with each attempt, at least 1. For exponential policies.
    pub fn factor(mut self, by: f64) -> Self {
        if let Shape::Exponential { factor, .. } = &mut self.shape {
            *factor = by;
        }
        self
    }

    /// The longest delay. For exponential policies.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        if let Shape::Exponential { max_delay, .. } = &mut self.shape {
            *max_delay = delay;
        }
        self
    }

    /// After how many rejections the event is dead; at least 1.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// What becomes of the key.
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

    /// What is wrong with the policy, if anything.
    pub(crate) fn problem(&self) -> Option<&'static str> {
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
