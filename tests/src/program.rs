//! What a processor's process does.

use std::env;
use std::time::Duration;

use crate::ledger::{Ending, Entered, Writer};
use outbox_core::EventId;
use outbox_core::processor::ProcessorBuilder;
use outbox_core::store::Admin;
use outbox_kafka::{KafkaPublisher, KafkaPublisherBuilder};
use outbox_sea_orm::Outbox;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DbErr, TransactionTrait};
use tokio::signal::unix::{SignalKind, signal};

/// What a processor prints when a failpoint made something happen.
pub const FAILED: &str = "a failpoint was hit";

/// Runs a processor on `DATABASE_URL` and `KAFKA_BROKERS` until SIGTERM, which stops it gracefully. Neither server
/// needs to be there yet.
///
/// Prints `ready`, then a line with the number of delivered events whenever that changes, and at its end `stopped`
/// with its report.
///
/// # Panics
///
/// When the environment is not complete, a setting is out of range, or the tables cannot be used.
#[expect(clippy::print_stdout, reason = "it talks to the test that started it")]
pub async fn run_processor(assemble: impl FnOnce(&Outbox, KafkaPublisherBuilder) -> ProcessorBuilder) {
    // Before anything else: until then the signal ends the process.
    let mut terminate = signal(SignalKind::terminate()).expect("a signal handler");
    let mut options = ConnectOptions::new(env::var("DATABASE_URL").expect("DATABASE_URL"));
    options.sqlx_logging(false).max_connections(6).connect_lazy(true).acquire_timeout(Duration::from_secs(5));
    let db = Database::connect(options).await.expect("a pool");
    let kafka = KafkaPublisher::builder(env::var("KAFKA_BROKERS").expect("KAFKA_BROKERS"));
    let builder = assemble(&Outbox::new(db), kafka).from_env().expect("settings");
    let processor = builder.spawn().expect("settings in range");
    println!("ready");
    let (mut delivered, mut failed) = (0, false);
    let mut look = tokio::time::interval(Duration::from_millis(50));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = look.tick() => {
                if !failed && outbox_core::failpoints::hits() > 0 {
                    failed = true;
                    println!("{FAILED}");
                }
                let Some(snapshot) = processor.snapshot().await else { break };
                if snapshot.counts.delivered != delivered {
                    delivered = snapshot.counts.delivered;
                    println!("{delivered}");
                }
            }
        }
    }
    let report = processor.shutdown().await.expect("a processor that could use the tables");
    println!("stopped delivered={} abandoned={}", report.counts.delivered, report.abandoned);
}

/// Writes entries of a ledger into `DATABASE_URL`, for the topic `OUTBOX_TEST_TOPIC`, until `OUTBOX_TEST_EVENTS` are
/// committed. A transaction that fails is left as it is, and the next one begins.
///
/// # Panics
///
/// When the environment is not complete.
pub async fn run_writer() {
    let (outbox, topic, events) = written().await;
    let writer = Writer::new(outbox, topic, 1);
    for n in 0..events {
        let key = format!("key-{}", n % 4);
        // The ledger knows what became of it.
        drop(writer.transaction(&key, 1, Ending::Commit).await);
    }
}

/// Does what [`run_writer`] does, with transactions that are begun on a plain connection, and so with `record`. Each
/// entry has a key of its own.
///
/// # Panics
///
/// When the environment is not complete.
pub async fn run_recorder() {
    let (outbox, topic, events) = written().await;
    for n in 0..events {
        drop(record(&outbox, &topic, &format!("recorded-{n}")).await);
    }
}

async fn record(outbox: &Outbox, topic: &str, key: &str) -> Result<(), DbErr> {
    let txn = outbox.inner().begin().await?;
    let id = EventId::new();
    txn.execute_unprepared(&format!("INSERT INTO ledger_entry VALUES ('{id}', '{key}', 1, 0)")).await?;
    let event = Entered { topic: topic.to_owned(), key: key.to_owned(), version: 1 };
    outbox.record_with(&txn, &event, |options| options.id(id)).await?;
    txn.commit().await
}

/// Where a writer writes, and how much.
async fn written() -> (Outbox, String, usize) {
    let mut options = ConnectOptions::new(env::var("DATABASE_URL").expect("DATABASE_URL"));
    options.sqlx_logging(false).max_connections(2);
    let outbox = Outbox::new(Database::connect(options).await.expect("a pool"));
    let events = env::var("OUTBOX_TEST_EVENTS").ok().and_then(|events| events.parse().ok());
    (outbox, env::var("OUTBOX_TEST_TOPIC").expect("OUTBOX_TEST_TOPIC"), events.expect("OUTBOX_TEST_EVENTS, a number"))
}

/// Requeues all dead letters of `DATABASE_URL`.
///
/// # Panics
///
/// When that fails.
pub async fn run_requeue() {
    let mut options = ConnectOptions::new(env::var("DATABASE_URL").expect("DATABASE_URL"));
    options.sqlx_logging(false);
    let store = Outbox::new(Database::connect(options).await.expect("a pool")).store();
    store.requeue_all(1_000).await.expect("dead letters that can be requeued");
}
