use std::time::Duration;

use thiserror::Error;

use crate::engine::EngineConfig;
use crate::retry::RetryRules;

/// A setting that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("processor setting {field}: {problem}")]
pub struct ConfigError {
    /// The setting, by the name of its builder method.
    pub field: &'static str,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

/// How a processor works. Set by [`ProcessorBuilder`](super::ProcessorBuilder).
#[derive(Debug, Clone)]
pub(super) struct Config {
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
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_size: 2_000,
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
        }
    }
}

impl Config {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        within("batch_size", self.batch_size, 1, 100_000)?;
        within("window", self.window, 1, 1_000_000)?;
        within("window_bytes", self.window_bytes, 64 * 1024, 1 << 31)?;
        within("concurrency", self.concurrency, 1, 1_000)?;
        within("max_held", self.most_held, 1, 10_000_000)?;
        let (ms, second, hour) = (Duration::from_millis(1), Duration::from_secs(1), Duration::from_secs(3600));
        within_time("lease", self.lease, second, hour)?;
        within_time("settle_delay", self.settle_delay, Duration::ZERO, self.lease / 10)?;
        within_time("shutdown_deadline", self.shutdown_deadline, Duration::ZERO, hour)?;
        let [busy, calm, idle] = self.poll;
        within_time("poll_intervals", busy, ms, hour)?;
        within_time("poll_intervals", calm, busy, hour)?;
        within_time("poll_intervals", idle, calm, hour)?;
        within_time("topic_pause", self.topic_pause.0, ms, hour)?;
        within_time("topic_pause", self.topic_pause.1, self.topic_pause.0, hour)?;
        match self.retry.problem() {
            Some(problem) => Err(ConfigError { field: "retry", problem: problem.to_owned() }),
            None => Ok(()),
        }
    }

    pub(super) fn engine(&self, once: Option<usize>) -> EngineConfig {
        EngineConfig {
            batch_size: self.batch_size,
            window: self.window,
            window_bytes: self.window_bytes,
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

    /// Takes settings from the variables that `variable` knows.
    pub(super) fn read(&mut self, variable: impl Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
        let number =
            |field, name: &str, into: &mut usize| parse(field, variable(name), |n: usize| n).map(|n| set(into, n));
        number("batch_size", "OUTBOX_BATCH_SIZE", &mut self.batch_size)?;
        number("window", "OUTBOX_WINDOW", &mut self.window)?;
        number("window_bytes", "OUTBOX_WINDOW_BYTES", &mut self.window_bytes)?;
        number("concurrency", "OUTBOX_CONCURRENCY", &mut self.concurrency)?;
        number("max_held", "OUTBOX_MAX_HELD", &mut self.most_held)?;
        let time = |field, name: &str, into: &mut Duration| {
            parse(field, variable(name), Duration::from_millis).map(|time| set(into, time))
        };
        time("lease", "OUTBOX_LEASE_MS", &mut self.lease)?;
        time("settle_delay", "OUTBOX_SETTLE_DELAY_MS", &mut self.settle_delay)?;
        time("shutdown_deadline", "OUTBOX_SHUTDOWN_DEADLINE_MS", &mut self.shutdown_deadline)?;
        let [busy, calm, idle] = &mut self.poll;
        time("poll_intervals", "OUTBOX_POLL_BUSY_MS", busy)?;
        time("poll_intervals", "OUTBOX_POLL_CALM_MS", calm)?;
        time("poll_intervals", "OUTBOX_POLL_IDLE_MS", idle)
    }
}

fn set<T>(into: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *into = value;
    }
}

fn parse<N: std::str::FromStr, T>(
    field: &'static str,
    text: Option<String>,
    make: impl Fn(N) -> T,
) -> Result<Option<T>, ConfigError> {
    let Some(text) = text else { return Ok(None) };
    let refuse = |_| ConfigError { field, problem: format!("{text:?} is not a whole number") };
    text.trim().parse().map(|number| Some(make(number))).map_err(refuse)
}

fn within(field: &'static str, value: usize, least: usize, most: usize) -> Result<(), ConfigError> {
    if value < least || value > most {
        let problem = format!("{value} is not between {least} and {most}");
        return Err(ConfigError { field, problem });
    }
    Ok(())
}

fn within_time(field: &'static str, value: Duration, least: Duration, most: Duration) -> Result<(), ConfigError> {
    if value < least || value > most {
        let problem = format!("{value:?} is not between {least:?} and {most:?}");
        return Err(ConfigError { field, problem });
    }
    Ok(())
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
        assert_eq!(error_of(|c| c.batch_size = 0), "batch_size");
        assert_eq!(error_of(|c| c.window = 0), "window");
        assert_eq!(error_of(|c| c.window_bytes = 1), "window_bytes");
        assert_eq!(error_of(|c| c.concurrency = usize::MAX), "concurrency");
        assert_eq!(error_of(|c| c.lease = SECOND / 2), "lease");
        assert_eq!(error_of(|c| c.settle_delay = 2 * SECOND), "settle_delay");
        assert_eq!(error_of(|c| c.poll = [2 * SECOND, SECOND, SECOND]), "poll_intervals");
        assert_eq!(error_of(|c| c.topic_pause = (SECOND, SECOND / 2)), "topic_pause");
        assert_eq!(error_of(|c| c.shutdown_deadline = Duration::MAX), "shutdown_deadline");
        let never = crate::RetryPolicy::exponential().factor(0.5);
        assert_eq!(error_of(|c| c.retry.set_default(never)), "retry");
    }

    #[test]
    fn variables_set_what_they_name_and_nothing_else() {
        let mut config = Config::default();
        let variables = |name: &str| match name {
            "OUTBOX_BATCH_SIZE" => Some("17".to_owned()),
            "OUTBOX_LEASE_MS" => Some(" 4000 ".to_owned()),
            _ => None,
        };
        config.read(variables).unwrap();
        assert_eq!((config.batch_size, config.lease), (17, Duration::from_secs(4)));
        assert_eq!(config.window, Config::default().window);
        let error = config.read(|name| (name == "OUTBOX_WINDOW").then(|| "many".to_owned())).unwrap_err();
        assert_eq!(error.to_string(), "processor setting window: \"many\" is not a whole number");
    }
}
