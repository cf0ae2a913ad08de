//! How the outbox is set up in a run: short times, so that much happens in a minute.

use std::time::Duration;

use outbox_core::RetryPolicy;
use outbox_core::processor::ProcessorBuilder;
use outbox_kafka::{ConfigError, KafkaPublisher, KafkaPublisherBuilder};

/// Aggregates; one of them gets a tenth of the transactions.
pub(crate) const KEYS: usize = 200;
pub(crate) const PARTITIONS: i32 = 6;
pub(crate) const WRITERS: usize = 12;
/// What the writers enter together, at most. A few processors in a debug build deliver about three times as much, so
/// that what an outage leaves behind is gone soon after it.
pub(crate) const EVENTS_PER_SECOND: u32 = 1_000;
pub(crate) const LEASE: Duration = Duration::from_secs(3);
/// What a processor may have published and not settled, and so repeat.
pub(crate) const WINDOW: u64 = 500;
/// What the publisher has under way, at most, of messages that it sends alone.
pub(crate) const SOLO: u64 = 64;
/// How long a processor may take to stop.
pub(crate) const SHUTDOWN: Duration = Duration::from_secs(10);
/// PostgreSQL may lose asynchronous commits of three times this in a crash.
pub(crate) const WAL_WRITER_DELAY: Duration = Duration::from_millis(200);

/// In a processor's process.
pub(crate) fn processor(builder: ProcessorBuilder) -> ProcessorBuilder {
    let (short, long) = (Duration::from_millis(100), Duration::from_secs(1));
    builder
        .lease(LEASE)
        .window(WINDOW as usize)
        .batch_size(200)
        .poll_intervals(Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(500))
        .topic_pause(short, long)
        .retry(RetryPolicy::exponential().base(short).max_delay(long).max_attempts(3))
        .shutdown_deadline(SHUTDOWN)
}

/// In a processor's process. Kafka need not be there yet.
pub(crate) fn kafka(builder: KafkaPublisherBuilder) -> Result<KafkaPublisher, ConfigError> {
    // Half of what the topic takes, and noticing a silent connection within a few seconds.
    builder.set("batch.size", "131072").set("socket.timeout.ms", "5000").build()
}
