//! What can be set, what cannot, and what nobody gets to see.

use std::ffi::OsString;
use std::time::Duration;

use crate::builder::KafkaPublisherBuilder;
use crate::config_error::ConfigError;
use crate::given::Given;
use crate::publisher::KafkaPublisher;
use crate::redact::REDACTED;

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
        ("plugin.library.paths", "no-such-library"),
        ("test.mock.num.brokers", "3"),
        ("ut_handle_ProduceResponse", "0x1"),
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
    let again = builder()
        .set("enable.idempotence", "true")
        .set("request.required.acks", "-1")
        .set("max.in.flight", "1")
        .set("partitioner", "murmur2_random")
        .set("delivery.timeout.ms", "0")
        .set("queue.buffering.max.ms", "0.5")
        .set("compression.codec", "gzip");
    let config = again.settings().unwrap().pipelined(None);
    assert_eq!(config.get("max.in.flight.requests.per.connection"), Some("1"));
    assert_eq!(config.get("linger.ms"), Some("0.5"));
    assert_eq!(config.get("compression.type"), Some("gzip"));
    assert!(["max.in.flight", "queue.buffering.max.ms", "compression.codec"].iter().all(|s| config.get(s).is_none()));
    drop(again.build().unwrap());
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
    let settings = builder().settings().unwrap();
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
    let mut all = builder();
    for (n, setting) in secrets.iter().enumerate() {
        all = all.set(*setting, format!("canary-{n}"));
    }
    let shown = format!("{all:?} {all:#?}");
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("sasl.password") && shown.contains(REDACTED), "{shown}");

    // An error about the setting itself.
    for setting in secrets {
        let outcome = builder().set(setting, "canary-alone").build();
        let shown = outcome.map_or_else(|error| format!("{error} {error:?}"), |made| format!("{made:?}"));
        assert!(!shown.contains("canary"), "{shown}");
    }
    let with_password = builder().set("sasl.password", "canary").set("sasl.username", "canary").build();
    let shown = format!("{with_password:?} {:#?}", with_password.as_ref().unwrap());
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn texts_from_elsewhere_lose_their_secrets() {
    let mut given = Given::default();
    given.set("sasl.password", "canary");
    given.set("ssl.key.pem", "canary-and-more\n");
    given.set("client.id", "shop");
    let hidden = given.secrets().hide("shop: canary-and-more, canary");
    assert_eq!(hidden, "shop: [redacted], [redacted]");
}

#[test]
fn of_a_setting_with_two_names_the_last_value_counts() {
    let both = builder().set("queue.buffering.max.ms", "7").set("linger.ms", "3");
    assert_eq!(both.settings().unwrap().pipelined(None).get("linger.ms"), Some("3"));
    let both = builder().set("linger.ms", "3").set("queue.buffering.max.ms", "7");
    assert_eq!(both.settings().unwrap().pipelined(None).get("linger.ms"), Some("7"));
}

#[test]
fn a_feature_that_is_missing_is_named() {
    let built = |setting: &str, value: &str| builder().set(setting, value).build();
    if !cfg!(feature = "tls") {
        for (setting, value) in [("security.protocol", "SSL"), ("ssl.ca.location", "/tmp/ca.pem")] {
            let error = built(setting, value).unwrap_err();
            assert!(error.to_string().starts_with(setting), "{error}");
            assert!(error.to_string().contains("turn on the feature `tls`"), "{error}");
        }
        let error = builder().set("security.protocol", "SASL_PLAINTEXT").set("sasl.mechanism", "SCRAM-SHA-512");
        let error = error.build().unwrap_err();
        assert!(error.to_string().contains("turn on the feature `tls`"), "{error}");
    }
    if !cfg!(feature = "zstd") {
        let error = builder().compression(crate::Compression::Zstd).build().unwrap_err();
        assert!(error.to_string().contains("turn on the feature `zstd`"), "{error}");
    }
}

fn environment(variables: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into()))
}

fn from(variables: &[(&str, &str)]) -> Result<KafkaPublisherBuilder, ConfigError> {
    KafkaPublisherBuilder::new(None).from_variables(environment(variables))
}

#[test]
fn every_setting_can_be_a_variable() {
    let variables = [
        ("OUTBOX_KAFKA_BOOTSTRAP_SERVERS", "broker:9092"),
        ("OUTBOX_KAFKA_DELIVERY_TIMEOUT_MS", "2500"),
        ("OUTBOX_KAFKA_SASL_PASSWORD", "canary"),
        ("OUTBOX_KAFKA_MAX_IN_FLIGHT", "2"),
        ("OUTBOX_KAFKA_QUEUE_BUFFERING_MAX_MS", "9"),
        ("OUTBOX_BATCH_SIZE", "of no concern"),
        ("KAFKA_BOOTSTRAP_SERVERS", "of no concern"),
    ];
    let settings = from(&variables).unwrap().set("linger.ms", "4").settings().unwrap();
    assert_eq!(settings.delivery_timeout, Duration::from_millis(2500));
    let config = settings.pipelined(None);
    for (setting, value) in [
        ("bootstrap.servers", "broker:9092"),
        ("sasl.password", "canary"),
        ("max.in.flight.requests.per.connection", "2"),
        ("linger.ms", "4"),
    ] {
        assert_eq!(config.get(setting), Some(value), "{setting}");
    }
    let other = builder().linger(Duration::from_millis(1)).from_variables(environment(&variables)).unwrap();
    let config = other.settings().unwrap().pipelined(None);
    assert_eq!((config.get("bootstrap.servers"), config.get("linger.ms")), (Some("broker:9092"), Some("9")));
}

#[test]
fn errors_name_the_variable() {
    let brokers = ("OUTBOX_KAFKA_BOOTSTRAP_SERVERS", "broker:9092");
    for (variable, value, kind) in [
        ("OUTBOX_KAFKA_ACKS", "1", "must be all"),
        ("OUTBOX_KAFKA_QUEUE_BUFFERING_MAX_MS", "1000", "must be 0 to 100"),
        ("OUTBOX_KAFKA_NO_SUCH_SETTING", "1", "is not a setting of librdkafka"),
        ("OUTBOX_KAFKA_SOCKET_TIMEOUT_MS", "soon", "cannot be used"),
        ("OUTBOX_KAFKA_DELIVERY_TIMEOUT_MS", "soon", "not a whole number of milliseconds"),
        ("OUTBOX_KAFKA_DELIVERY_TIMEOUT_MS", "10", "shorter than 1 second"),
        ("OUTBOX_KAFKA_BOOTSTRAP_SERVERS", "broker:none", "not host:port"),
    ] {
        let error = from(&[brokers, (variable, value)]).and_then(KafkaPublisherBuilder::build).unwrap_err().to_string();
        assert!(error.starts_with(variable) && error.contains(kind), "{error}");
    }
    let error = from(&[]).unwrap().build().unwrap_err().to_string();
    assert!(error.contains("bootstrap.servers") && error.contains("OUTBOX_KAFKA_BOOTSTRAP_SERVERS"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_unicode_is_an_error_without_its_value() {
    use std::os::unix::ffi::OsStringExt;
    let secret = OsString::from_vec(b"canary\xff".to_vec());
    let error =
        KafkaPublisherBuilder::new(None).from_variables([("OUTBOX_KAFKA_SASL_PASSWORD".into(), secret)]).unwrap_err();
    assert_eq!(error.to_string(), "OUTBOX_KAFKA_SASL_PASSWORD has a value that cannot be used: it is not Unicode");
    assert!(!format!("{error:?}").contains("canary"));
}

#[test]
fn whoever_asks_for_debug_messages_gets_them() {
    use rdkafka::config::RDKafkaLogLevel::{Debug, Info};
    let level = |builder: KafkaPublisherBuilder| builder.settings().unwrap().pipelined(None).log_level;
    assert!(matches!(level(builder()), Info));
    assert!(matches!(level(builder().set("debug", "broker")), Debug));
}
