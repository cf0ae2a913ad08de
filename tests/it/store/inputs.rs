//! Inputs at the edge of what is accepted, from staging to a publisher, on every database. What is refused is tested
//! where it is: see `docs/bad-inputs.md`.

use std::time::Duration;

use outbox_core::event::Envelope;
use outbox_core::{Limits, MemoryPublisher};
use outbox_sea_orm::Outbox;
use outbox_sea_orm::migration::{Options, OutboxMigrator, TableNames};
use outbox_tests::{Role, TestDatabase, on_every_database};

use super::fixture::{Again, binary, event};

const DEADLINE: Duration = Duration::from_secs(60);

/// Stages events, and compares what a publisher is handed with them.
async fn arrive(outbox: &Outbox, events: Vec<Envelope>) {
    let txn = outbox.begin().await.unwrap();
    for event in &events {
        txn.stage_event_with(&Again(event), |options| options.id(event.id)).unwrap();
    }
    txn.commit().await.unwrap();
    let received = MemoryPublisher::new();
    let processor = outbox.processor(received.clone()).spawn().unwrap();
    let messages = received.wait_for(events.len(), DEADLINE).await.unwrap();
    processor.shutdown().await.unwrap();
    for event in &events {
        let message = messages.iter().find(|message| message.id() == event.id).unwrap();
        let arrived = Envelope { created_at: event.created_at, ..message.envelope.clone() };
        // Not `assert_eq`: it would print megabytes.
        assert!(arrived == *event, "{:?}", event.id);
    }
}

fn keys() -> Vec<String> {
    let words =
        ["'", "\"; DROP TABLE outbox_event; --", "$1 ? :x %s {}", "\\", " a ", "a", "A", "\u{1F980}", "e\u{301}", "é"];
    words.into_iter().map(str::to_owned).chain(["ü".repeat(256)]).collect()
}

on_every_database! {
    async fn strange_keys_and_payloads_arrive_byte_for_byte(db: TestDatabase) {
        OutboxMigrator::new(Options::default()).up(db.connection()).await.unwrap();
        let limits = Limits::new().payload_bytes(16 * 1024 * 1024);
        let outbox = Outbox::builder(db.pool(Role::Service).await).limits(limits).build().unwrap();
        let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let large = "ü".repeat(5_000_000);
        let bodies = ["", "null", "{", "\r\n\t", "'; --", "\u{feff}", &nested, &large];
        let mut events: Vec<Envelope> = bodies.iter().map(|body| event("key", body)).collect();
        events.push(Envelope { payload: None, ..event("key", "") });
        events.extend(keys().iter().map(|key| event(key, key)));
        events.push(Envelope { key: None, aggregate_id: None, ..event("", "unordered") });
        events.push(Envelope { aggregate_version: Some(i64::MIN), event_version: i32::MAX as u32, ..event("key", "") });
        arrive(&outbox, events).await;
    }

    async fn any_bytes_arrive_where_the_column_holds_bytes(db: TestDatabase) {
        OutboxMigrator::new(binary()).up(db.connection()).await.unwrap();
        let outbox = Outbox::new(db.pool(Role::Service).await);
        let all: Vec<u8> = (0..=255).collect();
        let bodies = [vec![0xff; 1_000], vec![0], b"\xed\xa0\x80".to_vec(), all, Vec::new()];
        let of = |body: Vec<u8>| Envelope { payload: Some(body.into()), ..event("key", "") };
        arrive(&outbox, bodies.into_iter().map(of).collect()).await;
    }

    /// Names are quoted wherever they are used: words that SQL knows, and cases that a database would fold.
    async fn tables_may_be_called_what_sql_means_otherwise(db: TestDatabase) {
        for prefix in ["SELECT", "Order", "_", "a23456789_123456789_123456789_123456789_"] {
            let names = TableNames::new(prefix).unwrap();
            OutboxMigrator::new(Options::new(names)).up(db.connection()).await.unwrap();
            let outbox = Outbox::builder(db.connection().clone()).table_prefix(prefix).build().unwrap();
            arrive(&outbox, vec![event("a", prefix), event("b", "2")]).await;
        }
    }
}
