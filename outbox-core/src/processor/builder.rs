use std::sync::Arc;
use std::time::Duration;

use super::config::{Config, ConfigError};
use super::settings::{
    BATCH_SIZE, CONCURRENCY, ENABLED, LEASE, MAX_HELD, NAME, PAUSE_FIRST, PAUSE_LONGEST, POLL_BUSY, POLL_CALM,
    POLL_IDLE, SETTLE_DELAY, SHUTDOWN_DEADLINE, Setting, WINDOW, WINDOW_BYTES,
};
use super::{Processor, ProcessorHandle};
use crate::env::Env;
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
    config: Config,
}

impl ProcessorBuilder {
    pub(super) fn new(store: Arc<dyn Store>, publisher: Arc<dyn Publisher>) -> Self {
        Self { store, publisher, wake: Wake::new(), config: Config::default() }
    }

    /// Changes settings, which are the program's own from now on, and no longer those of their variables.
    fn set(mut self, settings: &[Setting], change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self.config.forget(settings);
        self
    }

    /// A name for operators, 1 to 255 bytes. Default: `processor-` and the process id.
    pub fn name(self, name: impl Into<String>) -> Self {
        self.set(&[NAME], |config| config.name = Some(name.into()))
    }

    /// Where hints come from that there is work, besides polling.
    pub fn wake(mut self, wake: Wake) -> Self {
        self.wake = wake;
        self
    }

    /// Whether it does anything at all: one that is not enabled only waits for its shutdown. Default true.
    pub fn enabled(self, enabled: bool) -> Self {
        self.set(&[ENABLED], |config| config.enabled = enabled)
    }

    /// Most events in one read and in one batch for the publisher, 1 to 100,000. Default 8,000. Reads begin with 1,000 at
    /// most, and grow while the publisher has to wait for them.
    pub fn batch_size(self, events: usize) -> Self {
        self.set(&[BATCH_SIZE], |config| config.batch_size = events)
    }

    /// Most events published and not yet settled, 1 to 1,000,000: what can be repeated after a crash. Default 10,000.
    pub fn window(self, events: usize) -> Self {
        self.set(&[WINDOW], |config| config.window = events)
    }

    /// Most bytes with the publisher, 64 KiB to 2 GiB; one event may go beyond. A quarter as much again is read ahead, or one
    /// event of each shard where that is more. Default 16 MiB.
    pub fn window_bytes(self, bytes: usize) -> Self {
        self.set(&[WINDOW_BYTES], |config| config.window_bytes = bytes)
    }

    /// Most calls of the publisher at a time, 1 to 1,000. Default 8.
    pub fn concurrency(self, calls: usize) -> Self {
        self.set(&[CONCURRENCY], |config| config.concurrency = calls)
    }

    /// How long the shards of a processor that died stay its own, 1 s to 1 h. Renewed at a third. Default 15 s.
    pub fn lease(self, lease: Duration) -> Self {
        self.set(&[LEASE], |config| config.lease = lease)
    }

    /// How often to look for events nobody announced: shortly after activity, in calm, and when idle.
    /// Each 1 ms to 1 h and none shorter than the one before. Default 0.1 s, 1 s, 5 s. After a look that found something
    /// the next one follows sooner: in 10 ms or four times what the look took, and then each time in twice as long.
    pub fn poll_intervals(self, busy: Duration, calm: Duration, idle: Duration) -> Self {
        self.set(&[POLL_BUSY, POLL_CALM, POLL_IDLE], |config| config.poll = [busy, calm, idle])
    }

    /// How long delivered events may wait to be settled together with others, at most a tenth of the lease.
    /// Default 10 ms.
    pub fn settle_delay(self, delay: Duration) -> Self {
        self.set(&[SETTLE_DELAY], |config| config.settle_delay = delay)
    }

    /// How long a topic is left alone that does not work: first, and at most; 1 ms to 1 h. Default 0.1 s
    /// and 5 s.
    pub fn topic_pause(self, first: Duration, longest: Duration) -> Self {
        self.set(&[PAUSE_FIRST, PAUSE_LONGEST], |config| config.topic_pause = (first, longest))
    }

    /// Most keys and single events remembered as passed over, because they wait for a retry or a topic. Beyond it,
    /// nothing new is read until some can go. 1 to 10,000,000, default 100,000.
    pub fn max_held(self, entries: usize) -> Self {
        self.set(&[MAX_HELD], |config| config.most_held = entries)
    }

    /// How long a shutdown may wait for the broker and the database, and a shard that another processor should have
    /// for its last events. At most 1 h, default 20 s.
    pub fn shutdown_deadline(self, deadline: Duration) -> Self {
        self.set(&[SHUTDOWN_DEADLINE], |config| config.shutdown_deadline = deadline)
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

    /// Takes settings from their environment variables, where these are set and not empty; what is set after it wins.
    ///
    /// | variable | sets |
    /// |---|---|
    /// | `OUTBOX_PROCESSOR_NAME` | [`name`](Self::name) |
    /// | `OUTBOX_PROCESSOR_ENABLED` | [`enabled`](Self::enabled): `true`, `false`, `1` or `0` |
    /// | `OUTBOX_BATCH_SIZE` | [`batch_size`](Self::batch_size) |
    /// | `OUTBOX_WINDOW` | [`window`](Self::window) |
    /// | `OUTBOX_WINDOW_BYTES` | [`window_bytes`](Self::window_bytes) |
    /// | `OUTBOX_CONCURRENCY` | [`concurrency`](Self::concurrency) |
    /// | `OUTBOX_LEASE_MS` | [`lease`](Self::lease) |
    /// | `OUTBOX_POLL_BUSY_MS`, `OUTBOX_POLL_CALM_MS`, `OUTBOX_POLL_IDLE_MS` | [`poll_intervals`](Self::poll_intervals) |
    /// | `OUTBOX_SETTLE_DELAY_MS` | [`settle_delay`](Self::settle_delay) |
    /// | `OUTBOX_TOPIC_PAUSE_FIRST_MS`, `OUTBOX_TOPIC_PAUSE_LONGEST_MS` | [`topic_pause`](Self::topic_pause) |
    /// | `OUTBOX_MAX_HELD` | [`max_held`](Self::max_held) |
    /// | `OUTBOX_SHUTDOWN_DEADLINE_MS` | [`shutdown_deadline`](Self::shutdown_deadline) |
    /// | `OUTBOX_RETRY_BASE_MS`, `OUTBOX_RETRY_FACTOR`, `OUTBOX_RETRY_MAX_DELAY_MS` | the numbers of an exponential [`retry`](Self::retry) policy |
    /// | `OUTBOX_RETRY_MAX_ATTEMPTS` | its [`max_attempts`](RetryPolicy::max_attempts) |
    /// | `OUTBOX_RETRY_ON_DEATH` | its [`on_death`](RetryPolicy::on_death): `continue` or `park_key` |
    ///
    /// # Errors
    ///
    /// A value cannot be read; one that is out of range is an error of [`build`](Self::build). Both name the variable.
    pub fn from_env(self) -> Result<Self, ConfigError> {
        self.from_variables(&Env::of_process())
    }

    /// [`from_env`](Self::from_env) with other variables. Not part of the interface: it may change without notice.
    #[doc(hidden)]
    pub fn from_variables(mut self, env: &Env<impl Fn(&str) -> Option<String>>) -> Result<Self, ConfigError> {
        self.config.read(env)?;
        Ok(self)
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first setting that is out of range, by name.
    pub fn build(self) -> Result<Processor, ConfigError> {
        let Self { store, publisher, wake, config } = self;
        config.check()?;
        let name = config.name.clone().unwrap_or_else(|| format!("processor-{}", std::process::id()));
        Ok(Processor { store, publisher, wake, name, config })
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
