use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use crate::config_error::ConfigError;
use crate::environment::{self, Variable};
use crate::given::{BROKERS, Given};
use crate::publisher::KafkaPublisher;
use crate::settings::Settings;
use crate::trust;

/// How record batches are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// Fast, and small enough for JSON. The default.
    #[default]
    Lz4,
    /// Fast.
    Snappy,
    /// Smaller and slower.
    Gzip,
    /// Smallest for its speed; needs the feature `zstd`.
    Zstd,
}

impl Compression {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Snappy => "snappy",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Settings of a [`KafkaPublisher`].
///
/// Every [setting of librdkafka] can be given by [`set`](Self::set), except those that would break a promise of the
/// outbox: they are refused by [`build`](Self::build) with the reason. Fixed are `enable.idempotence=true`, `acks=all`,
/// `enable.gapless.guarantee=true`, `partitioner=murmur2_random`, `allow.auto.create.topics=false`,
/// `message.timeout.ms=0`, `retries=2147483647` and `delivery.report.only.error=false`; at most 5 requests may be in
/// flight, `linger.ms` is at most 100, and `transactional.id` and `plugin.library.paths` cannot be set.
/// `enable.ssl.certificate.verification=true` and `ssl.endpoint.identification.algorithm=https` are fixed unless
/// [the program says otherwise](Self::danger_accept_unverified_brokers).
///
/// Where librdkafka's defaults do not suit an outbox, the publisher has its own: `linger.ms=2`,
/// `compression.type=lz4`, `message.max.bytes=1048576`, `queue.buffering.max.kbytes=65536`,
/// `socket.keepalive.enable=true`, `socket.timeout.ms=20000`, `reconnect.backoff.max.ms=1000`,
/// `topic.metadata.propagation.max.ms=5000`, `client.id=outbox`.
///
/// [setting of librdkafka]: https://github.com/confluentinc/librdkafka/blob/v2.12.1/CONFIGURATION.md
#[derive(Clone)]
#[must_use = "nothing is connected before `build`"]
pub struct KafkaPublisherBuilder {
    given: Given,
    delivery_timeout: (String, Duration),
    unverified: bool,
}

impl KafkaPublisherBuilder {
    pub(crate) fn new(brokers: Option<String>) -> Self {
        let mut given = Given::default();
        if let Some(brokers) = brokers {
            given.set(BROKERS, brokers);
        }
        Self { given, delivery_timeout: ("delivery_timeout".to_owned(), Duration::from_secs(300)), unverified: false }
    }

    /// Any setting of librdkafka, for example `("security.protocol", "SASL_SSL")`. The last value counts.
    pub fn set(mut self, setting: impl Into<String>, value: impl Into<String>) -> Self {
        self.given.set(setting, value);
        self
    }

    /// Takes settings from the environment: `OUTBOX_KAFKA_BOOTSTRAP_SERVERS`, `OUTBOX_KAFKA_DELIVERY_TIMEOUT_MS`, and
    /// every setting of librdkafka as `OUTBOX_KAFKA_` with its name in capitals and underscores for dots, for example
    /// `OUTBOX_KAFKA_SASL_PASSWORD`. They replace what was set before, and what is set afterwards replaces them.
    ///
    /// # Errors
    ///
    /// A variable that is not Unicode, or a timeout that is not a whole number, by the variable's name. What else is
    /// wrong with a variable is found by [`build`](Self::build), and named in the same way.
    pub fn from_env(self) -> Result<Self, ConfigError> {
        self.from_variables(std::env::vars_os())
    }

    /// [`from_env`](Self::from_env) with other variables. Not part of the interface: it may change without notice.
    #[doc(hidden)]
    pub fn from_variables(
        mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        for variable in environment::read(variables)? {
            match variable {
                Variable::DeliveryTimeout(name, timeout) => self.delivery_timeout = (name, timeout),
                Variable::Setting { variable, setting, value } => self.given.set_as(variable, &setting, value),
            }
        }
        Ok(self)
    }

    /// How long the producer waits for more messages before it sends a batch that is not full. Default 2 ms, at most
    /// 100 ms: more only adds latency, because a processor hands over many messages at a time.
    pub fn linger(self, linger: Duration) -> Self {
        self.set("linger.ms", (linger.as_micros() as f64 / 1000.0).to_string())
    }

    /// How batches are compressed. Default [`Compression::Lz4`].
    pub fn compression(self, compression: Compression) -> Self {
        self.set("compression.type", compression.name())
    }

    /// Largest record in bytes, before compression, with key and headers. Default 1,048,576, which is what brokers
    /// take unless they or the topic say otherwise. A larger one is rejected without being sent.
    pub fn max_message_bytes(self, bytes: usize) -> Self {
        self.set("message.max.bytes", bytes.to_string())
    }

    /// How long a message may be without an outcome before the publisher starts over with a new connection and
    /// reports it as unreachable. Default 5 minutes, which is longer than a broker takes to restart; starting over
    /// may repeat messages whose acknowledgement was on its way. At least 1 second; [`Duration::MAX`] never gives up.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = ("delivery_timeout".to_owned(), timeout);
        self
    }

    /// Whether `enable.ssl.certificate.verification=false` and `ssl.endpoint.identification.algorithm=none` are
    /// accepted. Default false: [`build`](Self::build) refuses them, wherever they come from.
    ///
    /// With either, somebody on the way to a broker can pose as it, and read and change events and, with SASL/PLAIN,
    /// the password. It is never needed for a certificate of your own, in development or elsewhere: name the
    /// authority that signed it, or the certificate itself, by `ssl.ca.location`. This alone changes nothing; with such
    /// a setting, every publisher that is built logs a warning that names it.
    pub fn danger_accept_unverified_brokers(mut self, accept: bool) -> Self {
        self.unverified = accept;
        self
    }

    /// Checks the settings and starts connecting in the background; no broker needs to be there yet.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub fn build(self) -> Result<KafkaPublisher, ConfigError> {
        let settings = self.settings()?;
        trust::warn(&self.given);
        KafkaPublisher::start(settings)
    }

    /// [`build`](Self::build) without a producer. Not part of the interface: it may change without notice.
    #[doc(hidden)]
    pub fn check(&self) -> Result<(), ConfigError> {
        self.settings().map(drop)
    }

    pub(crate) fn settings(&self) -> Result<Settings, ConfigError> {
        if !self.unverified {
            trust::check(&self.given)?;
        }
        let (name, timeout) = &self.delivery_timeout;
        Settings::new(&self.given, name, *timeout)
    }
}

impl fmt::Debug for KafkaPublisherBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.given.debug(f, "KafkaPublisherBuilder")
    }
}
