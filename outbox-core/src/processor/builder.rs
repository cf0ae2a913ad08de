use std::sync::Arc;
use std::time::Duration;

use super::config::{Config, ConfigError};
use super::{Processor, ProcessorHandle};
use crate::publisher::Publisher;
use crate::retry::RetryPolicy;
use crate::store::Store;
use crate::wake::Wake;

/// Settings of a [`Processor`], all with defaults that work.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it builds or spawns"]
pub struct ProcessorBuilder {
    store: Arc<dyn Store>,
    publisher: Arc<dyn Publisher>,
    wake: Wake,
    name: Option<String>,
    config: Config,
    enabled: bool,
}

impl ProcessorBuilder {
    pub(super) fn new(store: Arc<dyn Store>, publisher: Arc<dyn Publisher>) -> Self {
        Self { store, publisher, wake: Wake::new(), name: None, config: Config::default(), enabled: true }
    }

    /// A name for operators. Default: `processor-` and the process id.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Where hints come from that there is work, besides polling.
    pub fn wake(mut self, wake: Wake) -> Self {
        self.wake = wake;
        self
    }

    /// Whether it does anything at all: one that is not enabled waits for its shutdown. Default true.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Most events in one read and in one batch for the publisher, 1 to 100,000. Default 2,000.
    pub fn batch_size(mut self, events: usize) -> Self {
        self.config.batch_size = events;
        self
    }

    /// Most events published and not yet settled, 1 to 1,000,000: what can be repeated after a crash. Default 10,000.
    pub fn window(mut self, events: usize) -> Self {
        self.config.window = events;
        self
    }

    /// Most bytes with the publisher, 64 KiB to 2 GiB; half as much again is read ahead. Default 16 MiB.
    pub fn window_bytes(mut self, bytes: usize) -> Self {
        self.config.window_bytes = bytes;
        self
    }

    /// Most calls of the publisher at a time, 1 to 1,000. Default 8.
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.config.concurrency = calls;
        self
    }

    /// How long the shards of a processor that died stay its own, 1 s to 1 h. Renewed at a third. Default 15 s.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.config.lease = lease;
        self
    }

    /// How often to look for events nobody announced: shortly after activity, in calm, and when idle.
    /// Default 0.1 s, 1 s, 5 s.
    pub fn poll_intervals(mut self, busy: Duration, calm: Duration, idle: Duration) -> Self {
        self.config.poll = [busy, calm, idle];
        self
    }

    /// How long delivered events may wait to be settled together with others, at most a tenth of the lease.
    /// Default 10 ms.
    pub fn settle_delay(mut self, delay: Duration) -> Self {
        self.config.settle_delay = delay;
        self
    }

    /// How long a topic is left alone that does not work: first, and at most. Default 0.1 s and 5 s.
    pub fn topic_pause(mut self, first: Duration, longest: Duration) -> Self {
        self.config.topic_pause = (first, longest);
        self
    }

    /// Most keys and single events remembered as passed over, because they wait for a retry or a topic. Beyond it,
    /// nothing new is read until some can go. Default 100,000.
    pub fn max_held(mut self, entries: usize) -> Self {
        self.config.most_held = entries;
        self
    }

    /// How long a shutdown may wait for the broker and the database, at most 1 h. Default 20 s.
    pub fn shutdown_deadline(mut self, deadline: Duration) -> Self {
        self.config.shutdown_deadline = deadline;
        self
    }

    /// What to do about rejected events. Default: [`RetryPolicy::exponential`].
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.config.retry.set_default(policy);
        self
    }

    /// The same for one event type.
    pub fn retry_event_type(mut self, event_type: impl Into<String>, policy: RetryPolicy) -> Self {
        self.config.retry.set_event_type(event_type, policy);
        self
    }

    /// The same for one topic; a policy of the event type goes before.
    pub fn retry_topic(mut self, topic: impl Into<String>, policy: RetryPolicy) -> Self {
        self.config.retry.set_topic(topic, policy);
        self
    }

    /// Takes settings from `OUTBOX_BATCH_SIZE`, `OUTBOX_WINDOW`, `OUTBOX_WINDOW_BYTES`, `OUTBOX_CONCURRENCY`,
    /// `OUTBOX_MAX_HELD`, `OUTBOX_LEASE_MS`, `OUTBOX_SETTLE_DELAY_MS`, `OUTBOX_SHUTDOWN_DEADLINE_MS` and
    /// `OUTBOX_POLL_{BUSY,CALM,IDLE}_MS`, where they are set.
    ///
    /// # Errors
    ///
    /// A value is not a whole number.
    pub fn from_env(mut self) -> Result<Self, ConfigError> {
        self.config.read(|name| std::env::var(name).ok())?;
        Ok(self)
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first setting that is out of range, by name.
    pub fn build(self) -> Result<Processor, ConfigError> {
        self.config.check()?;
        let name = self.name.unwrap_or_else(|| format!("processor-{}", std::process::id()));
        if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
            let problem = "must have 1 to 255 bytes and no control characters".to_owned();
            return Err(ConfigError { field: "name", problem });
        }
        Ok(Processor {
            store: self.store,
            publisher: self.publisher,
            wake: self.wake,
            name,
            config: self.config,
            enabled: self.enabled,
        })
    }

    /// [`build`](Self::build) and [`Processor::spawn`] in one.
    ///
    /// # Errors
    ///
    /// See [`build`](Self::build).
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn spawn(self) -> Result<ProcessorHandle, ConfigError> {
        self.build().map(Processor::spawn)
    }
}
