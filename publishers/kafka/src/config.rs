use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{IsError, KafkaError};

use crate::error::ConfigError;
use crate::publisher::KafkaPublisher;
use crate::redact::{REDACTED, Secrets, is_secret};
use crate::rules;

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
/// flight, `linger.ms` is at most 100, and `transactional.id` cannot be set.
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
    given: BTreeMap<String, String>,
    delivery_timeout: Duration,
}

impl KafkaPublisherBuilder {
    pub(crate) fn new(brokers: String) -> Self {
        Self {
            given: BTreeMap::from([("bootstrap.servers".to_owned(), brokers)]),
            delivery_timeout: Duration::from_secs(300),
        }
    }

    /// Any setting of librdkafka, for example `("security.protocol", "SASL_SSL")`. The last value counts.
    pub fn set(mut self, setting: impl Into<String>, value: impl Into<String>) -> Self {
        self.given.insert(setting.into(), value.into());
        self
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
        self.delivery_timeout = timeout;
        self
    }

    /// Checks the settings and starts connecting in the background; no broker needs to be there yet.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub fn build(self) -> Result<KafkaPublisher, ConfigError> {
        let timeout = self.delivery_timeout;
        KafkaPublisher::start(Settings::new(&self.given, timeout)?)
    }
}

impl fmt::Debug for KafkaPublisherBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_settings(f, "KafkaPublisherBuilder", &self.given)
    }
}

/// Checked settings, by their canonical names, complete with defaults.
#[derive(Clone)]
pub(crate) struct Settings {
    all: BTreeMap<String, String>,
    pub(crate) delivery_timeout: Duration,
    pub(crate) secrets: Secrets,
}

impl Settings {
    const DEFAULTS: [(&'static str, &'static str); 9] = [
        ("linger.ms", "2"),
        ("compression.type", "lz4"),
        ("message.max.bytes", "1048576"),
        ("queue.buffering.max.kbytes", "65536"),
        ("socket.keepalive.enable", "true"),
        ("socket.timeout.ms", "20000"),
        ("reconnect.backoff.max.ms", "1000"),
        ("topic.metadata.propagation.max.ms", "5000"),
        ("client.id", "outbox"),
    ];

    pub(crate) fn new(given: &BTreeMap<String, String>, delivery_timeout: Duration) -> Result<Self, ConfigError> {
        if delivery_timeout < Duration::from_secs(1) {
            let reason = "it is shorter than 1 second".to_owned();
            return Err(ConfigError::Invalid { setting: "delivery_timeout".to_owned(), reason });
        }
        let secrets = Secrets::of(given);
        for (setting, value) in given {
            rules::check(setting, value)?;
            librdkafka_takes(setting, value, &secrets)?;
        }
        let mut all = rules::forced();
        all.extend(Self::DEFAULTS.map(|(setting, value)| (setting.to_owned(), value.to_owned())));
        all.extend(given.iter().map(|(setting, value)| (rules::canonical(setting).to_owned(), value.clone())));
        Ok(Self { all, delivery_timeout, secrets })
    }

    /// For the producer that most messages go through. `batch_bytes` caps `batch.size` further, if given.
    pub(crate) fn pipelined(&self, batch_bytes: Option<usize>) -> ClientConfig {
        let mut config = self.config();
        if let Some(bytes) = batch_bytes {
            config.set("batch.size", bytes.to_string());
        }
        config
    }

    /// Largest batch in bytes that the settings allow.
    pub(crate) fn batch_bytes(&self) -> usize {
        const LIBRDKAFKA_DEFAULT: usize = 1_000_000;
        self.all.get("batch.size").and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(LIBRDKAFKA_DEFAULT)
    }

    /// For the producer that sends every message in a request of its own, so that a refusal hits nobody else.
    ///
    /// It needs no gap-less guarantee, because it never has two messages of one key under way.
    pub(crate) fn one_by_one(&self) -> ClientConfig {
        let mut config = self.config();
        config.set("enable.gapless.guarantee", "false").set("batch.num.messages", "1").set("linger.ms", "0");
        config
    }

    fn config(&self) -> ClientConfig {
        let mut config: ClientConfig = self.all.clone().into_iter().collect();
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_settings(f, "Settings", &self.all)
    }
}

fn debug_settings(f: &mut fmt::Formatter<'_>, name: &str, settings: &BTreeMap<String, String>) -> fmt::Result {
    let mut shown = f.debug_struct(name);
    for (setting, value) in settings {
        shown.field(setting, if is_secret(setting) { &REDACTED } else { value });
    }
    shown.finish()
}

/// Asks librdkafka about one setting alone, so that the answer is about that setting.
fn librdkafka_takes(setting: &str, value: &str, secrets: &Secrets) -> Result<(), ConfigError> {
    let Err(error) = ClientConfig::new().set(setting, value).create_native_config() else { return Ok(()) };
    let setting = setting.to_owned();
    Err(match error {
        KafkaError::ClientConfig(code, ..) if is_unknown(code) => ConfigError::Unknown { setting },
        KafkaError::ClientConfig(_, reason, ..) => ConfigError::Invalid { setting, reason: secrets.hide(&reason) },
        KafkaError::Nul(_) => ConfigError::Invalid { setting, reason: "it contains a NUL byte".to_owned() },
        other => ConfigError::Invalid { setting, reason: secrets.hide(&other.to_string()) },
    })
}

fn is_unknown(code: rdkafka::types::RDKafkaConfRes) -> bool {
    code.is_error() && code == rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> KafkaPublisherBuilder {
        KafkaPublisher::builder("127.0.0.1:1")
    }

    #[test]
    fn settings_that_would_break_a_promise_are_refused_by_name() {
        for (setting, value) in [
            ("enable.idempotence", "false"),
            ("acks", "1"),
            ("request.required.acks", "0"),
            ("max.in.flight", "6"),
            ("max.in.flight.requests.per.connection", "1000000"),
            ("enable.gapless.guarantee", "false"),
            ("partitioner", "consistent_random"),
            ("allow.auto.create.topics", "true"),
            ("message.timeout.ms", "30000"),
            ("delivery.timeout.ms", "30000"),
            ("retries", "3"),
            ("message.send.max.retries", "0"),
            ("delivery.report.only.error", "true"),
            ("queuing.strategy", "lifo"),
            ("linger.ms", "101"),
            ("queue.buffering.max.ms", "1000"),
            ("transactional.id", "outbox"),
        ] {
            let error = builder().set(setting, value).build().unwrap_err();
            assert!(matches!(&error, ConfigError::Conflict { setting: named, .. } if named == setting), "{error}");
            assert!(error.to_string().starts_with(setting), "{error}");
        }
        let error = builder().linger(Duration::from_secs(1)).build().unwrap_err();
        assert!(matches!(error, ConfigError::Conflict { .. }), "{error}");
    }

    #[test]
    fn what_agrees_with_the_promises_may_be_said_again() {
        let builder = builder()
            .set("enable.idempotence", "true")
            .set("request.required.acks", "-1")
            .set("max.in.flight", "1")
            .set("partitioner", "murmur2_random")
            .set("delivery.timeout.ms", "0")
            .set("queue.buffering.max.ms", "0.5")
            .set("compression.codec", "gzip");
        let settings = Settings::new(&builder.given, builder.delivery_timeout).unwrap();
        let config = settings.pipelined(None);
        assert_eq!(config.get("max.in.flight.requests.per.connection"), Some("1"));
        assert_eq!(config.get("linger.ms"), Some("0.5"));
        assert_eq!(config.get("compression.type"), Some("gzip"));
        assert!(
            ["max.in.flight", "queue.buffering.max.ms", "compression.codec"].iter().all(|s| config.get(s).is_none())
        );
        drop(builder.build().unwrap());
    }

    #[test]
    fn mistakes_are_found_before_anything_is_connected() {
        let error = builder().set("no.such.setting", "1").build().unwrap_err();
        assert_eq!(error, ConfigError::Unknown { setting: "no.such.setting".to_owned() });
        let error = builder().set("socket.timeout.ms", "soon").build().unwrap_err();
        assert!(matches!(&error, ConfigError::Invalid { setting, .. } if setting == "socket.timeout.ms"), "{error}");
        let error = builder().set("client.id", "a\0b").build().unwrap_err();
        assert!(matches!(error, ConfigError::Invalid { .. }), "{error}");
        let error = builder().delivery_timeout(Duration::from_millis(999)).build().unwrap_err();
        assert!(matches!(&error, ConfigError::Invalid { setting, .. } if setting == "delivery_timeout"), "{error}");
        let error = builder().max_message_bytes(1).build().unwrap_err();
        assert!(matches!(&error, ConfigError::Invalid { setting, .. } if setting == "message.max.bytes"), "{error}");
    }

    #[test]
    fn every_promise_is_in_the_configuration() {
        let settings = Settings::new(&builder().given, Duration::MAX).unwrap();
        let config = settings.pipelined(Some(5000));
        for (setting, value) in [
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("max.in.flight.requests.per.connection", "5"),
            ("partitioner", "murmur2_random"),
            ("enable.gapless.guarantee", "true"),
            ("allow.auto.create.topics", "false"),
            ("message.timeout.ms", "0"),
            ("batch.size", "5000"),
        ] {
            assert_eq!(config.get(setting), Some(value), "{setting}");
        }
        assert_eq!(settings.one_by_one().get("batch.num.messages"), Some("1"));
    }

    #[test]
    fn secrets_are_in_no_debug_output_and_no_error() {
        let secrets = [
            "sasl.password",
            "sasl.username",
            "ssl.key.password",
            "ssl.key.pem",
            "ssl.keystore.password",
            "ssl.certificate.pem",
            "sasl.oauthbearer.config",
            "sasl.oauthbearer.client.secret",
            "sasl.jaas.config",
            "my.token",
        ];
        let mut builder = builder();
        for (n, setting) in secrets.iter().enumerate() {
            builder = builder.set(*setting, format!("canary-{n}"));
        }
        let shown = format!("{builder:?} {builder:#?}");
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("sasl.password") && shown.contains(REDACTED), "{shown}");

        // An error about the setting itself.
        for setting in secrets {
            let outcome = self::builder().set(setting, "canary-alone").build();
            let shown = outcome.map_or_else(|error| format!("{error} {error:?}"), |made| format!("{made:?}"));
            assert!(!shown.contains("canary"), "{shown}");
        }
        let with_password = self::builder().set("sasl.password", "canary").set("sasl.username", "canary").build();
        let shown = format!("{with_password:?} {:#?}", with_password.as_ref().unwrap());
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[test]
    fn texts_from_elsewhere_lose_their_secrets() {
        let given = BTreeMap::from([
            ("sasl.password".to_owned(), "canary".to_owned()),
            ("ssl.key.pem".to_owned(), "canary-and-more\n".to_owned()),
            ("client.id".to_owned(), "shop".to_owned()),
        ]);
        let hidden = Secrets::of(&given).hide("shop: canary-and-more, canary");
        assert_eq!(hidden, "shop: [redacted], [redacted]");
    }
}
