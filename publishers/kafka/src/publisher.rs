use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use outbox_core::{Delivery, Message, Partition, PublishError, Publisher};

use crate::builder::KafkaPublisherBuilder;
use crate::config_error::ConfigError;
use crate::feed::{Feed, feed};
use crate::health::{Cluster, Unhealthy};
use crate::inner::{Inner, distinct_topics};
use crate::settings::Settings;
use crate::{health, topics};

/// Publishes to Apache Kafka with an idempotent producer, in order per key even when the broker refuses messages.
///
/// See the [crate documentation](crate) for what it promises. Dropping it reports what it still holds: as withheld
/// what was not sent, as unreachable with an unknown outcome what was.
pub struct KafkaPublisher {
    inner: Arc<Inner>,
}

impl KafkaPublisher {
    /// A publisher with default settings. `brokers` is a comma-separated list of `host:port`.
    ///
    /// Returns at once and connects in the background: [`check`](Publisher::check) tells whether that works.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub fn connect(brokers: impl Into<String>) -> Result<Self, ConfigError> {
        Self::builder(brokers).build()
    }

    /// A publisher with own settings. `brokers` is a comma-separated list of `host:port`.
    pub fn builder(brokers: impl Into<String>) -> KafkaPublisherBuilder {
        KafkaPublisherBuilder::new(Some(brokers.into()))
    }

    /// A publisher as the environment has it: `OUTBOX_KAFKA_BOOTSTRAP_SERVERS` must be set. See
    /// [`KafkaPublisherBuilder::from_env`].
    ///
    /// # Errors
    ///
    /// See [`ConfigError`]; it names the variable.
    pub fn from_env() -> Result<Self, ConfigError> {
        KafkaPublisherBuilder::new(None).from_env()?.build()
    }

    /// Asks a broker to answer now, and returns at the latest when `within` has passed.
    ///
    /// For health checks. It says nothing about the rights to write to a topic, and messages need no check before
    /// them: they wait for a broker. A broker that has just come back is noticed after at most 1 second
    /// (`reconnect.backoff.max.ms`), so give it more than that.
    ///
    /// # Errors
    ///
    /// Why no broker can be used; see [`Unhealthy`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn health(&self, within: Duration) -> Result<Cluster, Unhealthy> {
        health::check(&self.inner, within).await
    }

    pub(crate) fn start(settings: Settings) -> Result<Self, ConfigError> {
        let inner = Inner::new(settings);
        inner.pipeline()?;
        Ok(Self { inner })
    }
}

#[async_trait]
impl Publisher for KafkaPublisher {
    /// Returns when librdkafka has the whole batch; waits while its queue is full, or while a producer that failed
    /// is replaced.
    ///
    /// # Cancel safety
    ///
    /// Cancelling withholds what was not enqueued yet; the rest is reported as usual.
    async fn publish(&self, batch: Vec<Delivery>) {
        let inner = &self.inner;
        let (tag, tickets) = inner.take(batch);
        let Some(session) = inner.open_pipeline().await else { return }; // given up: tickets report as withheld
        topics::learn(&session, distinct_topics(&tickets)).await;
        let (pipelined, alone) = inner.divide(&session, tickets);
        if !alone.is_empty() {
            inner.submit_alone(alone, &tag).await;
        }
        if !pipelined.is_empty() {
            session.watch(&tag);
            feed(Feed::new(session, pipelined), &inner.gauge).await;
        }
    }

    /// Waits until every message has its outcome. A batch that is not full waits for its `linger` all the same, which is
    /// 100 ms at most. After the deadline both producers are given up: what was not sent
    /// is withheld, what was on its way is unreachable with an unknown outcome.
    async fn flush(&self, deadline: Duration) {
        let inner = &self.inner;
        if inner.gauge.wait_for(0, deadline).await {
            return;
        }
        inner.give_up();
        const TO_COLLECT: Duration = Duration::from_secs(12);
        if !inner.gauge.wait_for(0, TO_COLLECT).await {
            tracing::error!(messages = inner.gauge.outstanding(), "messages are still without a report after a flush");
        }
    }

    /// [`health`](KafkaPublisher::health) within 5 seconds.
    async fn check(&self) -> Result<(), PublishError> {
        const PATIENCE: Duration = Duration::from_secs(5);
        match self.health(PATIENCE).await {
            Ok(_) => Ok(()),
            Err(error) => Err(PublishError::unreachable(error.to_string())),
        }
    }

    /// Known once something was published to the topic.
    fn partition(&self, message: &Message) -> Option<Partition> {
        self.inner.partition(message)
    }
}

impl fmt::Debug for KafkaPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaPublisher")
            .field("settings", &self.inner.settings)
            .field("outstanding", &self.inner.gauge.outstanding())
            .finish_non_exhaustive()
    }
}
