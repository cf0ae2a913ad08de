use std::fmt;
use std::time::Duration;

use super::settings::{
    BATCH_SIZE, CONCURRENCY, LEASE, MAX_HELD, NAME, PAUSE_FIRST, PAUSE_LONGEST, POLL_BUSY, POLL_CALM, POLL_IDLE,
    SETTLE_DELAY, SHUTDOWN_DEADLINE, Setting, WINDOW, WINDOW_BYTES,
};
use crate::engine::EngineConfig;
use crate::retry::RetryRules;

/// A setting that cannot work. Its text names the variable that the value came from, or the builder method.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// The setting, by the name of its builder method.
    pub field: &'static str,
    /// The environment variable, where the value came from one.
    pub variable: Option<&'static str>,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.variable {
            Some(variable) => write!(f, "{variable}: {}", self.problem),
            None => write!(f, "processor setting {}: {}", self.field, self.problem),
        }
    }
}

impl std::error::Error for ConfigError {}

/// How a processor works. Set by [`ProcessorBuilder`](super::ProcessorBuilder).
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) name: Option<String>,
    pub(super) enabled: bool,
    pub(super) batch_size: usize,
    pub(super) window: usize,
    pub(super) window_bytes: usize,
    pub(super) concurrency: usize,
    pub(super) lease: Duration,
    pub(super) poll: [Duration; 3],
    pub(super) settle_delay: Duration,
    pub(super) topic_pause: (Duration, Duration),
    pub(super) most_held: usize,
    pub(super) shutdown_deadline: Duration,
    pub(super) retry: RetryRules,
    /// Settings whose value is that of their variable.
    pub(super) read: Vec<Setting>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: None,
            enabled: true,
            batch_size: 8_000,
            window: 10_000,
            window_bytes: 16 * 1024 * 1024,
            concurrency: 8,
            lease: Duration::from_secs(15),
            poll: [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(5)],
            settle_delay: Duration::from_millis(10),
            topic_pause: (Duration::from_millis(100), Duration::from_secs(5)),
            most_held: 100_000,
            shutdown_deadline: Duration::from_secs(20),
            retry: RetryRules::default(),
            read: Vec::new(),
        }
    }
}

impl Config {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let bad_name = |name: &String| name.is_empty() || name.len() > 255 || name.chars().any(char::is_control);
        if self.name.as_ref().is_some_and(bad_name) {
            return Err(self.error(NAME, "must have 1 to 255 bytes and no control characters".to_owned()));
        }
        self.within(BATCH_SIZE, self.batch_size, 1, 100_000)?;
        self.within(WINDOW, self.window, 1, 1_000_000)?;
        self.within(WINDOW_BYTES, self.window_bytes, 64 * 1024, 1 << 31)?;
        self.within(CONCURRENCY, self.concurrency, 1, 1_000)?;
        self.within(MAX_HELD, self.most_held, 1, 10_000_000)?;
        let (ms, second, hour) = (Duration::from_millis(1), Duration::from_secs(1), Duration::from_secs(3600));
        self.within(LEASE, self.lease, second, hour)?;
        self.within(SETTLE_DELAY, self.settle_delay, Duration::ZERO, self.lease / 10)?;
        self.within(SHUTDOWN_DEADLINE, self.shutdown_deadline, Duration::ZERO, hour)?;
        let [busy, calm, idle] = self.poll;
        self.within(POLL_BUSY, busy, ms, hour)?;
        self.ordered((POLL_BUSY, busy), (POLL_CALM, calm))?;
        self.ordered((POLL_CALM, calm), (POLL_IDLE, idle))?;
        self.within(POLL_CALM, calm, busy, hour)?;
        self.within(POLL_IDLE, idle, calm, hour)?;
        let (first, longest) = self.topic_pause;
        self.within(PAUSE_FIRST, first, ms, hour)?;
        self.ordered((PAUSE_FIRST, first), (PAUSE_LONGEST, longest))?;
        self.within(PAUSE_LONGEST, longest, first, hour)?;
        match self.retry.problem() {
            Some(problem) => Err(ConfigError { field: "retry", variable: None, problem: problem.to_owned() }),
            None => Ok(()),
        }
    }

    pub(super) fn engine(&self, once: Option<usize>) -> EngineConfig {
        EngineConfig {
            batch_size: self.batch_size,
            window: self.window,
            window_bytes: self.window_bytes,
            drain: self.shutdown_deadline,
            concurrency: self.concurrency,
            lease: self.lease,
            poll: self.poll,
            settle_delay: self.settle_delay,
            pause: self.topic_pause,
            most_held: self.most_held,
            retry: self.retry.clone(),
            once,
        }
    }

    /// Of two that must be in order, the one that a variable has set is at fault, not the one that nobody has.
    fn ordered(&self, low: (Setting, Duration), high: (Setting, Duration)) -> Result<(), ConfigError> {
        if low.1 > high.1 && self.read.contains(&low.0) && !self.read.contains(&high.0) {
            return Err(self.error(low.0, format!("{:?} is above {:?}, which is {}", low.1, high.1, high.0.field)));
        }
        Ok(())
    }

    fn within<T: Copy + PartialOrd + fmt::Debug>(
        &self,
        setting: Setting,
        value: T,
        least: T,
        most: T,
    ) -> Result<(), ConfigError> {
        if value < least || value > most {
            return Err(self.error(setting, format!("{value:?} is not between {least:?} and {most:?}")));
        }
        Ok(())
    }

    fn error(&self, setting: Setting, problem: String) -> ConfigError {
        let variable = self.read.contains(&setting).then_some(setting.variable);
        ConfigError { field: setting.field, variable, problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(change: impl FnOnce(&mut Config)) -> &'static str {
        let mut config = Config::default();
        change(&mut config);
        config.check().unwrap_err().field
    }

    #[test]
    fn defaults_are_in_range_and_what_is_not_is_named() {
        const SECOND: Duration = Duration::from_secs(1);
        assert_eq!(Config::default().check(), Ok(()));
        assert_eq!(error_of(|c| c.name = Some(String::new())), "name");
        assert_eq!(error_of(|c| c.name = Some("a\nb".to_owned())), "name");
        assert_eq!(error_of(|c| c.batch_size = 0), "batch_size");
        assert_eq!(error_of(|c| c.window = 0), "window");
        assert_eq!(error_of(|c| c.window_bytes = 1), "window_bytes");
        assert_eq!(error_of(|c| c.concurrency = usize::MAX), "concurrency");
        assert_eq!(error_of(|c| c.most_held = 0), "max_held");
        assert_eq!(error_of(|c| c.lease = SECOND / 2), "lease");
        assert_eq!(error_of(|c| c.settle_delay = 2 * SECOND), "settle_delay");
        assert_eq!(error_of(|c| c.poll = [2 * SECOND, SECOND, SECOND]), "poll_intervals");
        assert_eq!(error_of(|c| c.topic_pause = (SECOND, SECOND / 2)), "topic_pause");
        assert_eq!(error_of(|c| c.shutdown_deadline = Duration::MAX), "shutdown_deadline");
        let never = crate::RetryPolicy::exponential().factor(0.5);
        assert_eq!(error_of(|c| c.retry.set_default(never)), "retry");
    }
}
