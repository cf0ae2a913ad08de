//! What the other crates rely on: numbers that never come again, and text that compares by bytes.

use outbox_migration::Migrator;
use outbox_migration::sea_orm::{ConnectionTrait, DbBackend};

use crate::support::{Scratch, count, execute, insert_event, on_each_database, rows, texts};

on_each_database! {
    a_seq_never_comes_again
    text_compares_by_bytes
    long_keys_fit
    defaults_are_set
}

async fn insert(db: &impl ConnectionTrait, id: char, key: &str) {
    execute(db, &insert_event(db.get_database_backend(), "outbox_event", id, key)).await;
}

async fn a_seq_never_comes_again(Scratch { db, .. }: Scratch) {
    Migrator::up(&db, None).await.unwrap();
    let mut seen = Vec::new();
    for id in ['1', '2', '3', '4'] {
        insert(&db, id, "k").await;
        let seq: i64 = rows(&db, "SELECT seq FROM outbox_event").await[0].try_get("", "seq").unwrap();
        seen.push(seq);
        execute(&db, "DELETE FROM outbox_event").await;
    }
    assert_eq!(seen, [1, 2, 3, 4], "in order, without a gap, though each was the largest and is gone");
}

async fn text_compares_by_bytes(Scratch { db, .. }: Scratch) {
    Migrator::up(&db, None).await.unwrap();
    let keys = ["a", "A", "a ", " a", "á", "a\u{301}", "ß", "ss", "", "ａ", "😀", "\u{ffff}"];
    for key in keys {
        execute(
            &db,
            &format!("INSERT INTO outbox_parked (topic, partition_key, shard, parked_at) VALUES ('t', '{key}', 0, 0)"),
        )
        .await;
    }
    for key in keys {
        assert_eq!(count(&db, &format!("outbox_parked WHERE partition_key = '{key}'")).await, 1, "{key:?}");
    }
    let mut sorted = keys.map(str::to_owned);
    sorted.sort();
    let found = texts(&db, "SELECT partition_key FROM outbox_parked ORDER BY partition_key").await;
    assert_eq!(found, sorted, "in the order of their bytes");
}

async fn long_keys_fit(Scratch { db, .. }: Scratch) {
    Migrator::up(&db, None).await.unwrap();
    let (topic, key) = ("t".repeat(249), "😀".repeat(128));
    assert_eq!(key.len(), 512);
    execute(
        &db,
        &format!(
            "INSERT INTO outbox_parked (topic, partition_key, shard, parked_at) VALUES ('{topic}', '{key}', 0, 0)"
        ),
    )
    .await;
    insert(&db, '1', &key).await;
}

async fn defaults_are_set(Scratch { db, .. }: Scratch) {
    Migrator::up(&db, None).await.unwrap();
    insert(&db, 'a', "k").await;
    let no_trail = "origin = 0 AND attempts = 0 AND next_attempt_at IS NULL AND errors IS NULL";
    assert_eq!(count(&db, &format!("outbox_event WHERE {no_trail}")).await, 1);
    let free = "owner IS NULL AND epoch = 0 AND lease_until = 0 AND generation = 0";
    assert_eq!(count(&db, &format!("outbox_shard WHERE {free}")).await, 64);
    if db.get_database_backend() == DbBackend::Postgres {
        let cache = "SELECT cache_size::text FROM pg_sequences WHERE sequencename = 'outbox_event_seq_seq'";
        assert_eq!(texts(&db, cache).await, ["1"]);
        let settings = texts(
            &db,
            "SELECT array_to_string(c.reloptions || t.reloptions, ',') FROM pg_class c \
             JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.relname IN ('outbox_event', 'outbox_scheduled')",
        )
        .await;
        for setting in settings {
            assert_eq!(setting.matches("autovacuum_vacuum_threshold=2000").count(), 2, "{setting}");
            assert!(setting.contains("vacuum_truncate=off"), "{setting}");
        }
    }
    if db.get_database_backend() == DbBackend::Sqlite {
        let wrong = "INSERT INTO outbox_parked (topic, partition_key, shard, parked_at) VALUES ('t', 'k', 'x', 0)";
        db.execute_unprepared(wrong).await.unwrap_err();
    }
}
