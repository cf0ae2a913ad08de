//! Settings from the environment: accepted, or an error that names the variable and shows no secret.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;

use outbox_core::__private::Env;
use outbox_core::testing::MemoryStore;
use outbox_core::{MemoryPublisher, Processor};
use outbox_kafka::{ConfigError, KafkaPublisher};
use outbox_sea_orm::Outbox;
use sea_orm::{DbBackend, MockDatabase};

use crate::pieces::Pieces;

pub(crate) const SEEDS: &[&[u8]] = &[
    b"OUTBOX_WINDOW=500\nOUTBOX_BATCH_SIZE=200\nOUTBOX_LEASE_MS=3000",
    b"OUTBOX_BATCH_SIZE=0\nOUTBOX_CONCURRENCY=18446744073709551615",
    b"OUTBOX_POLL_BUSY_MS=-1\nOUTBOX_POLL_CALM_MS=1\nOUTBOX_POLL_IDLE_MS=18446744073709551615",
    b"OUTBOX_RETRY_BASE_MS=1\nOUTBOX_RETRY_FACTOR=NaN\nOUTBOX_RETRY_MAX_DELAY_MS=0\nOUTBOX_RETRY_MAX_ATTEMPTS=0",
    b"OUTBOX_RETRY_FACTOR=inf\nOUTBOX_RETRY_ON_DEATH=park_key\nOUTBOX_PROCESSOR_ENABLED=maybe",
    b"OUTBOX_WINDOW_BYTES=1\nOUTBOX_MAX_HELD=0\nOUTBOX_SETTLE_DELAY_MS=1e3\nOUTBOX_SHUTDOWN_DEADLINE_MS=0",
    b"OUTBOX_TOPIC_PAUSE_FIRST_MS=10\nOUTBOX_TOPIC_PAUSE_LONGEST_MS=1\nOUTBOX_PROCESSOR_NAME=x",
    b"OUTBOX_SCHEMA=a;b\nOUTBOX_TABLE_PREFIX=sqlite_\nOUTBOX_PAYLOAD_BYTES=0\nOUTBOX_STRICT=2",
    b"OUTBOX_NOTIFY=yes\nOUTBOX_PROCESSOR_ENABLED=0",
    b"OUTBOX_POLL_CALM_MS=17296",
    b"OUTBOX_EVENTS_PER_TRANSACTION=99999999999999999999999",
    b"OUTBOX_KAFKA_BOOTSTRAP_SERVERS=a:9092,[::1]:1,SSL://b:65536\nOUTBOX_KAFKA_DELIVERY_TIMEOUT_MS=999",
    b"OUTBOX_KAFKA_BOOTSTRAP_SERVERS=broker:9092\nOUTBOX_KAFKA_METADATA_BROKER_LIST=,",
    b"OUTBOX_KAFKA_LINGER_MS=0.5\nOUTBOX_KAFKA_QUEUE_BUFFERING_MAX_MS=101\nOUTBOX_KAFKA_COMPRESSION_TYPE=brotli",
    b"OUTBOX_KAFKA_ACKS=1\nOUTBOX_KAFKA_REQUEST_REQUIRED_ACKS=all\nOUTBOX_KAFKA_ENABLE_IDEMPOTENCE=t",
    b"OUTBOX_KAFKA_MAX_IN_FLIGHT=6\nOUTBOX_KAFKA_PARTITIONER=random\nOUTBOX_KAFKA_MESSAGE_MAX_BYTES=1e9",
    b"OUTBOX_KAFKA_SASL_PASSWORD=canary-1\nOUTBOX_KAFKA_SASL_USERNAME=canary-2\nOUTBOX_KAFKA_SASL_MECHANISM=PLAIN",
    b"OUTBOX_KAFKA_SSL_KEY_PASSWORD=canary\nOUTBOX_KAFKA_SSL_KEY_PEM=canary\nOUTBOX_KAFKA_DEBUG=all,-all,+",
    b"OUTBOX_KAFKA_ENABLE_SSL_CERTIFICATE_VERIFICATION=false\nOUTBOX_KAFKA_SECURITY_PROTOCOL=ssl",
    b"OUTBOX_KAFKA_SSL_ENDPOINT_IDENTIFICATION_ALGORITHM=none\nOUTBOX_KAFKA_PLUGIN_LIBRARY_PATHS=x",
];

/// No broker is there, and nobody looks: settings are checked, and nothing connects.
const NOWHERE: &str = "127.0.0.1:1";

pub(crate) fn run(data: &[u8]) {
    let lines: Vec<(String, String)> = Pieces::of(data)
        .filter_map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    let find = |name: &str| lines.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
    let env = Env::new(find);
    let names_one = |error: &str| {
        assert!(lines.iter().any(|(name, _)| !name.is_empty() && error.contains(name.as_str())), "{error}");
    };
    let builder = Processor::builder(MemoryStore::new(1), MemoryPublisher::new());
    match builder.from_variables(&env).and_then(|builder| builder.build()) {
        Ok(processor) => assert!(!format!("{processor:?}").is_empty()),
        Err(error) => names_one(&error.to_string()),
    }
    match Outbox::builder(MockDatabase::new(DbBackend::Postgres).into_connection())
        .from_variables(&env)
        .and_then(|builder| builder.build())
    {
        Ok(outbox) => assert!(!format!("{outbox:?}").is_empty()),
        Err(error) => names_one(&error.to_string()),
    }
    kafka(data);
}

/// The Kafka publisher, which looks at all variables by itself, as bytes.
fn kafka(data: &[u8]) {
    let lines: Vec<(&[u8], &[u8])> = data
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b'=')?;
            Some((&line[..at], &line[at + 1..]))
        })
        .collect();
    let variables = || lines.iter().map(|(name, value)| (os_string(name), os_string(value)));
    let builder = KafkaPublisher::builder(NOWHERE).from_variables(variables());
    let shown = builder.as_ref().map_or_else(|error| format!("{error:?}"), |builder| format!("{builder:?}"));
    let secret = |name: &[u8]| [&b"PASSWORD"[..], b"SECRET", b"PEM", b"USERNAME"].iter().any(|part| has(name, part));
    let in_a_name = lines.iter().any(|(name, _)| has(&name.to_ascii_lowercase(), b"canary"));
    let all_are_secret =
        !in_a_name && lines.iter().filter(|(_, value)| has(value, b"canary")).all(|(name, _)| secret(name));
    let checked = builder.and_then(|builder| builder.check());
    let error = checked.map_or_else(|error| error.to_string(), |()| String::new());
    if all_are_secret {
        assert!(!shown.contains("canary") && !error.contains("canary"), "{shown} {error}");
    }
    let named = |name: &[u8]| name.starts_with(b"OUTBOX_KAFKA_") && error.as_bytes().starts_with(name);
    assert!(error.is_empty() || lines.iter().any(|(name, _)| named(name)), "{error}");
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(unix)]
fn os_string(bytes: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
}

#[cfg(not(unix))]
fn os_string(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// Every variable that the outbox and its processor ask for.
pub fn variables() -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    let nothing_is_set = Env::new(|name| {
        asked.borrow_mut().insert(name.to_owned());
        None
    });
    let processor = Processor::builder(MemoryStore::new(1), MemoryPublisher::new());
    assert!(processor.from_variables(&nothing_is_set).is_ok());
    assert!(
        Outbox::builder(MockDatabase::new(DbBackend::Postgres).into_connection())
            .from_variables(&nothing_is_set)
            .is_ok()
    );
    asked.into_inner()
}

/// Whether the Kafka publisher knows a variable of this name.
pub fn is_of_kafka(variable: &str) -> bool {
    let only = [(variable.into(), OsString::from("1000"))];
    let checked = KafkaPublisher::builder(NOWHERE).from_variables(only).and_then(|builder| builder.check());
    variable.starts_with("OUTBOX_KAFKA_") && !matches!(checked, Err(ConfigError::Unknown { .. }))
}
