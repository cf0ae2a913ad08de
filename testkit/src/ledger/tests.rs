//! The ledger itself, on SQLite.

use outbox_core::store::Admin;
use outbox_sea_orm::Outbox;
use outbox_sea_orm::prelude::*;
use sea_orm::{ConnectOptions, Database, DatabaseConnection};

use super::*;

/// A database in memory with three aggregates.
async fn outbox() -> (Outbox, DatabaseConnection) {
    let mut options = ConnectOptions::new("sqlite::memory:");
    // Each connection has a database of its own.
    options.max_connections(1).sqlx_logging(false);
    let db = Database::connect(options).await.unwrap();
    Migrator::up(&db, None).await.unwrap();
    create(&db, 3).await.unwrap();
    (Outbox::new(db.clone()), db)
}

/// What is committed, as (aggregate, version), in order; and as many events are there.
async fn committed(db: &DatabaseConnection) -> Vec<(String, i64)> {
    let entries = entries(db).await.unwrap();
    let events = Outbox::new(db.clone()).store().pending(0, 1_000).await.unwrap();
    let mut of_entries: Vec<Uuid> = entries.iter().map(|entry| entry.event).collect();
    let mut of_events: Vec<Uuid> = events.iter().map(|event| *event.envelope.id.as_uuid()).collect();
    of_entries.sort_unstable();
    of_events.sort_unstable();
    assert_eq!(of_entries, of_events);
    let mut versions: Vec<_> = entries.into_iter().map(|entry| (entry.key, entry.version)).collect();
    versions.sort_unstable();
    versions
}

fn versions(key: &str, last: i64) -> Vec<(String, i64)> {
    (1..=last).map(|version| (key.to_owned(), version)).collect()
}

#[tokio::test]
async fn versions_have_no_gaps_and_entries_have_their_events() {
    let (outbox, db) = outbox().await;
    let writer = Writer::new(outbox.clone(), "readings", 1);
    for (ending, count, committed) in
        [(Ending::Commit, 2, 2), (Ending::Rollback, 2, 0), (Ending::Drop, 2, 0), (Ending::SavepointThenCommit, 1, 1)]
    {
        assert_eq!(writer.transaction("key-1", count, ending).await.unwrap(), committed, "{ending:?}");
    }
    let txn = outbox.begin().await.unwrap();
    enter_many(&txn, "readings", "key-1", 3).await.unwrap();
    enter_refused(&txn, "readings", "key-1").await.unwrap();
    txn.commit().await.unwrap();
    assert_eq!(committed(&db).await, versions("key-1", 7));
    let refused: Vec<i64> =
        entries(&db).await.unwrap().iter().filter(|entry| entry.refused).map(|entry| entry.version).collect();
    assert_eq!(refused, [7]);
}

#[tokio::test]
async fn a_writer_commits_as_many_as_it_is_asked_for() {
    let (outbox, db) = outbox().await;
    Writer::new(outbox.clone(), "readings", 1).write(3, 100).await.unwrap();
    assert_eq!(committed(&db).await.len(), 100);
    let error = Writer::new(outbox, "readings", 1).write(1_000, 100).await.unwrap_err();
    assert!(matches!(error, DbErr::RecordNotFound(_)), "{error}");
}

#[tokio::test]
async fn too_many_at_once_are_none() {
    let (outbox, db) = outbox().await;
    let txn = outbox.begin().await.unwrap();
    let error = enter_many(&txn, "readings", "key-1", MOST + 1).await.unwrap_err().to_string();
    assert!(error.contains("at most 8000"), "{error}");
    assert_eq!(enter_many(&txn, "readings", "key-1", 0).await.unwrap(), [] as [Uuid; 0]);
    enter(&txn, "readings", "key-1").await.unwrap();
    assert_eq!(enter_many(&txn, "readings", "key-2", MOST).await.unwrap().len(), MOST as usize);
    txn.rollback().await.unwrap();
    assert_eq!(committed(&db).await, []);
}

#[tokio::test]
async fn an_aggregate_that_is_not_there_is_named() {
    let (outbox, _) = outbox().await;
    let txn = outbox.begin().await.unwrap();
    let error = enter(&txn, "readings", "key-3").await.unwrap_err();
    assert!(matches!(&error, DbErr::RecordNotFound(text) if text.contains("key-3")), "{error}");
}
