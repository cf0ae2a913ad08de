//! The settings that carry the promises of the outbox.

use std::collections::BTreeMap;

use crate::config_error::ConfigError;
use crate::given::Setting;

struct Rule {
    setting: &'static str,
    required: &'static str,
    reason: &'static str,
    accepts: fn(&str) -> bool,
    /// What the producer gets when nothing is given; `None` leaves it to librdkafka.
    value: Option<&'static str>,
}

const RULES: [Rule; 16] = [
    Rule {
        setting: "enable.idempotence",
        required: "true",
        reason: "without it a retried request can be written twice or out of order",
        accepts: is_true,
        value: Some("true"),
    },
    Rule {
        setting: "acks",
        required: "all",
        reason: "an event counts as delivered only when all in-sync replicas have it",
        accepts: |value| matches!(value, "all" | "-1"),
        value: Some("all"),
    },
    Rule {
        setting: "enable.gapless.guarantee",
        required: "true",
        reason: "without it the later events of a key pass one that the broker refuses",
        accepts: is_true,
        value: Some("true"),
    },
    Rule {
        setting: "max.in.flight.requests.per.connection",
        required: "1 to 5",
        reason: "a broker recognizes repeats among the last 5 requests only",
        accepts: |value| value.parse::<u8>().is_ok_and(|n| (1..=5).contains(&n)),
        value: Some("5"),
    },
    Rule {
        setting: "partitioner",
        required: "murmur2_random",
        reason: "a key belongs to the partition that Java clients give it, and moving it breaks the order of its events",
        accepts: |value| value == "murmur2_random",
        value: Some("murmur2_random"),
    },
    Rule {
        setting: "allow.auto.create.topics",
        required: "false",
        reason: "a mistyped topic would be created instead of being reported",
        accepts: is_false,
        value: Some("false"),
    },
    Rule {
        setting: "message.timeout.ms",
        required: "0",
        reason: "a message that times out leaves a gap which later events of its key pass; \
                 use the publisher's delivery_timeout",
        accepts: |value| value == "0",
        value: Some("0"),
    },
    Rule {
        setting: "retries",
        required: "2147483647",
        reason: "a message that runs out of retries leaves a gap which later events of its key pass",
        accepts: |value| value == "2147483647",
        value: Some("2147483647"),
    },
    Rule {
        setting: "delivery.report.only.error",
        required: "false",
        reason: "the outbox would never hear that an event was delivered",
        accepts: is_false,
        value: Some("false"),
    },
    Rule {
        setting: "queuing.strategy",
        required: "fifo",
        reason: "events of a key are sent in order",
        accepts: |value| value == "fifo",
        value: None,
    },
    Rule {
        setting: "linger.ms",
        required: "0 to 100",
        reason: "a longer pause adds latency and nothing else, and holds up a shutdown",
        accepts: |value| value.parse::<f64>().is_ok_and(|ms| (0.0..=100.0).contains(&ms)),
        value: None,
    },
    Rule {
        setting: "transactional.id",
        required: "left out",
        reason: "the outbox does not use Kafka transactions",
        accepts: |_| false,
        value: None,
    },
    Rule {
        setting: "log.queue",
        required: "left out",
        reason: "the publisher forwards librdkafka's log itself",
        accepts: |_| false,
        value: None,
    },
    Rule {
        setting: "plugin.library.paths",
        required: "left out",
        reason: "a plugin can change every other setting, and a setting should not load code into the process",
        accepts: |_| false,
        value: None,
    },
    // What librdkafka has for its own tests, and does not document.
    Rule {
        setting: "test.mock.num.brokers",
        required: "left out",
        reason: "everything would go to brokers that are made up",
        accepts: |_| false,
        value: None,
    },
    Rule {
        setting: "ut_handle_ProduceResponse",
        required: "left out",
        reason: "it replaces what librdkafka makes of the broker's answers",
        accepts: |_| false,
        value: None,
    },
];

/// What librdkafka calls by two names: the other one first.
const ALIASES: [(&str, &str); 10] = [
    ("metadata.broker.list", "bootstrap.servers"),
    ("request.required.acks", "acks"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("message.send.max.retries", "retries"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("compression.codec", "compression.type"),
    ("sasl.mechanisms", "sasl.mechanism"),
    ("sasl.oauthbearer.client.credentials.client.id", "sasl.oauthbearer.client.id"),
    ("sasl.oauthbearer.client.credentials.client.secret", "sasl.oauthbearer.client.secret"),
];

/// One name for settings that have two, so that none is given to librdkafka twice with different values.
pub(crate) fn canonical(setting: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == setting).map_or(setting, |(_, name)| name)
}

/// Whether the outbox can keep its promises with this setting.
pub(crate) fn check(given: Setting<'_>) -> Result<(), ConfigError> {
    match RULES.iter().find(|rule| rule.setting == given.setting) {
        Some(rule) if !(rule.accepts)(given.value.trim()) => {
            Err(ConfigError::Conflict { setting: given.name.to_owned(), required: rule.required, reason: rule.reason })
        }
        _ => Ok(()),
    }
}

/// The values that are fixed, or stand unless another permitted one is given.
pub(crate) fn forced() -> BTreeMap<String, String> {
    RULES.iter().filter_map(|rule| Some((rule.setting.to_owned(), rule.value?.to_owned()))).collect()
}

pub(crate) fn is_true(value: &str) -> bool {
    matches!(value, "true" | "t" | "1")
}

fn is_false(value: &str) -> bool {
    matches!(value, "false" | "f" | "0")
}
