//! Checked settings, and the configurations of the two producers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{IsError, KafkaError};

use crate::config_error::ConfigError;
use crate::given::{Given, Setting, debug};
use crate::redact::Secrets;
use crate::{brokers, rules};

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

    /// `timeout_name` is what a person calls the delivery timeout.
    pub(crate) fn new(given: &Given, timeout_name: &str, delivery_timeout: Duration) -> Result<Self, ConfigError> {
        if delivery_timeout < Duration::from_secs(1) {
            let reason = "it is shorter than 1 second".to_owned();
            return Err(ConfigError::Invalid { setting: timeout_name.to_owned(), reason });
        }
        let secrets = given.secrets();
        for setting in given.iter() {
            rules::check(setting)?;
            librdkafka_takes(setting, &secrets)?;
        }
        brokers::check(given)?;
        let mut all = rules::forced();
        all.extend(Self::DEFAULTS.map(|(setting, value)| (setting.to_owned(), value.to_owned())));
        all.extend(given.iter().map(|given| (given.setting.to_owned(), given.value.to_owned())));
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
        // Whoever asks for debug messages should get them; the level would hide them.
        let debug = self.all.get("debug").is_some_and(|contexts| !contexts.trim().is_empty());
        config.set_log_level(if debug { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
        config
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "Settings", self.all.iter().map(|(setting, value)| (setting.as_str(), value.as_str())))
    }
}

/// Asks librdkafka about one setting alone, so that the answer is about that setting.
fn librdkafka_takes(given: Setting<'_>, secrets: &Secrets) -> Result<(), ConfigError> {
    let Err(error) = ClientConfig::new().set(given.setting, given.value).create_native_config() else { return Ok(()) };
    let setting = given.name.to_owned();
    Err(match error {
        KafkaError::ClientConfig(code, ..) if is_unknown(code) => ConfigError::Unknown { setting },
        KafkaError::ClientConfig(_, reason, ..) => {
            ConfigError::Invalid { setting, reason: with_feature(&secrets.hide(&reason)) }
        }
        KafkaError::Nul(_) => ConfigError::Invalid { setting, reason: "it contains a NUL byte".to_owned() },
        other => ConfigError::Invalid { setting, reason: secrets.hide(&other.to_string()) },
    })
}

/// Says which feature of this package is missing, where librdkafka says that something was not built in.
fn with_feature(reason: &str) -> String {
    let features = [("OpenSSL", "tls"), ("cyrus-sasl", "sasl"), ("libzstd", "zstd"), ("libcurl", "none")];
    let missing = features.iter().find(|(library, _)| reason.contains(library) && reason.contains("at build time"));
    match missing {
        Some((_, "none")) | None => reason.to_owned(),
        Some((_, feature)) => format!("{reason}: turn on the feature `{feature}` of outbox-sea-orm-kafka"),
    }
}

fn is_unknown(code: rdkafka::types::RDKafkaConfRes) -> bool {
    code.is_error() && code == rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN
}
