//! Settings from the environment: accepted or an error that names the variable.

use outbox_core::__private::Env;
use outbox_core::testing::MemoryStore;
use outbox_core::{MemoryPublisher, Processor};
use outbox_sea_orm::Outbox;
use sea_orm::{DbBackend, MockDatabase};

use crate::pieces::Pieces;

pub(crate) const SEEDS: &[&str] = &[
    "OUTBOX_WINDOW=500\nOUTBOX_BATCH_SIZE=200\nOUTBOX_LEASE_MS=3000",
    "OUTBOX_BATCH_SIZE=0\nOUTBOX_CONCURRENCY=18446744073709551615",
    "OUTBOX_POLL_BUSY_MS=-1\nOUTBOX_POLL_CALM_MS=1\nOUTBOX_POLL_IDLE_MS=18446744073709551615",
    "OUTBOX_RETRY_BASE_MS=1\nOUTBOX_RETRY_FACTOR=NaN\nOUTBOX_RETRY_MAX_DELAY_MS=0\nOUTBOX_RETRY_MAX_ATTEMPTS=0",
    "OUTBOX_RETRY_FACTOR=inf\nOUTBOX_RETRY_ON_DEATH=park_key\nOUTBOX_ENABLED=maybe",
    "OUTBOX_WINDOW_BYTES=1\nOUTBOX_MAX_HELD=0\nOUTBOX_SETTLE_DELAY_MS=1e3\nOUTBOX_SHUTDOWN_DEADLINE_MS=0",
    "OUTBOX_TOPIC_PAUSE_FIRST_MS=10\nOUTBOX_TOPIC_PAUSE_LONGEST_MS=1\nOUTBOX_PROCESSOR_NAME=x",
    "OUTBOX_SCHEMA=a;b\nOUTBOX_TABLE_PREFIX=sqlite_\nOUTBOX_PAYLOAD_BYTES=0\nOUTBOX_STRICT=2",
    "OUTBOX_POLL_CALM_MS=17296",
    "OUTBOX_EVENTS_PER_TRANSACTION=99999999999999999999999",
];

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
    let db = MockDatabase::new(DbBackend::Postgres).into_connection();
    match Outbox::builder(db).from_variables(&env).and_then(|builder| builder.build()) {
        Ok(outbox) => assert!(!format!("{outbox:?}").is_empty()),
        Err(error) => names_one(&error.to_string()),
    }
}
