//! Apache Kafka publisher of a transactional outbox: an idempotent producer that keeps the order of every key, even
//! when the broker refuses messages.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use outbox_kafka::{Compression, KafkaPublisher};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! // Defaults that suit an outbox; give it to a processor.
//! let publisher = KafkaPublisher::connect("localhost:9092")?;
//!
//! // Or with settings: typed ones, and any of librdkafka's.
//! let publisher = KafkaPublisher::builder("broker-1:9093,broker-2:9093")
//!     .compression(Compression::Lz4)
//!     .linger(Duration::from_millis(1))
//!     .set("security.protocol", "SASL_PLAINTEXT")
//!     .set("sasl.mechanism", "PLAIN")
//!     .set("sasl.username", "outbox")
//!     .set("sasl.password", std::env::var("KAFKA_PASSWORD")?)
//!     .build()?;
//! publisher.health(Duration::from_secs(2)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What consumers get
//!
//! The partition key as the record's key, the payload as its value, the time of staging as its timestamp, and
//! everything else in [`headers`], followed by the event's own. `docs/kafka-record.md` is the contract. A key goes to
//! the partition that Java clients choose for it.
//!
//! # What happens when something fails
//!
//! ```text
//!              +- pipelined: up to 5 requests in flight ------------------------------> delivered
//!  publish ----+        | the broker refuses a batch: nothing behind it is written
//!              |        +- batch of one ---> rejected; the rest of the session: withheld
//!              |        +- larger batch ---> its messages are suspects
//!              |                                 v
//!              +- one by one: one message per request, one per key under way ---------> delivered or rejected
//!                 (suspects, messages that were rejected before, topics in trouble)
//! ```
//!
//! * A broker refuses batches, not messages. Nobody is reported as rejected because of a neighbor: only a message that
//!   was refused in a request of its own is. The later ones of its key in the same batch are withheld.
//! * When the broker refuses a batch, librdkafka's producer stops for good (`enable.gapless.guarantee`), because going
//!   on would let later messages of the key pass. The publisher collects every report and goes on with a new producer.
//! * In each partition the first keyed message of a producer goes alone: a broker that does not know the producer
//!   would otherwise write what is in flight behind a refused first request. This costs one round trip per producer
//!   and partition.
//! * Broker down, network, permissions, a topic that does not exist or was deleted: messages wait in the producer or
//!   are reported as unreachable, never as rejected. Missing topics are reported after
//!   `topic.metadata.propagation.max.ms` (5 s). What has no outcome after the
//!   [`delivery_timeout`](KafkaPublisherBuilder::delivery_timeout) (5 min) is reported as unreachable.
//! * Nothing depends on librdkafka's own message timeout, which is off: a message that times out leaves a gap.
//!
//! A message may be written twice when its producer was given up before the broker answered: at the deadline of a
//! flush, at the delivery timeout, when the publisher is dropped, or when the connection fails while a producer that
//! failed is being replaced. Every repeat carries the same `outbox-event-id`.
//!
//! # Limits
//!
//! * Records of at most 1 MiB before compression ([`max_message_bytes`](KafkaPublisherBuilder::max_message_bytes));
//!   keep `batch.size` at or below the smallest `max.message.bytes` of your topics. Where it is not, batches are
//!   refused and sent one by one, and the publisher halves its batches until the topic takes them.
//! * At most 64 MiB (`queue.buffering.max.kbytes`) and 100,000 messages (`queue.buffering.max.messages`) are buffered;
//!   `publish` waits while the buffer is full. Keep the processor's window below it, so that messages for a partition
//!   without a leader cannot fill it.
//! * Adding partitions to a topic moves keys, as with every Kafka client.
//! * No Kafka transactions, no custom partitioner, and no token callback for SASL/OAUTHBEARER.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `tls` | TLS and SASL/SCRAM, with the system's OpenSSL |
//! | `tls-vendored` | the same, with an OpenSSL that is built along |
//! | `sasl` | SASL/GSSAPI (Kerberos), with the system's Cyrus SASL |
//! | `zstd` | Zstandard compression |
//!
//! SASL/PLAIN works without features; use it with `SASL_SSL` and `tls` outside of a trusted network.
//!
//! # Logs
//!
//! librdkafka's log goes to [`tracing`] under the target `librdkafka`. Values of settings whose name says that they
//! are secret are in no log line, no error and no `Debug` output; payloads, keys and header values are never logged.

mod brokers;
mod builder;
mod config_error;
#[cfg(test)]
mod config_tests;
mod context;
mod environment;
mod error;
mod feed;
mod given;
mod health;
mod inner;
mod pipeline;
mod placement;
mod publisher;
mod record;
mod redact;
mod rest;
mod rules;
mod session;
mod settings;
mod settle;
mod slot;
mod solo;
mod sync;
mod ticket;
mod topics;
mod trust;
#[cfg(test)]
mod trust_tests;

pub use builder::{Compression, KafkaPublisherBuilder};
pub use config_error::ConfigError;
pub use health::{Cluster, Unhealthy};
pub use publisher::KafkaPublisher;
pub use record::headers;
