//! Tables that are missing or made for somebody else.

use outbox_sea_orm::migration::CheckError;
use outbox_sea_orm::{CommitOutcome, OutboxError, commit_outcome};
use sea_orm::ConnectionTrait;

use crate::fixtures::{Seen, Thing, both, put};

on_every_database! {
    async fn missing_tables_roll_back_and_say_what_to_run(db) {
        let outbox = db.builder().await.table_prefix("nowhere").build().unwrap();
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        let error = txn.commit().await.unwrap_err();
        assert!(matches!(OutboxError::of(&error), Some(OutboxError::Schema(CheckError::Missing { .. }))), "{error}");
        let text = error.to_string();
        assert!(text.starts_with("Error converting `staged events` into `rows of the outbox`: the outbox tables"), "{text}");
        assert!(text.contains("outbox-migrate --prefix nowhere up"), "{text}");
        assert_eq!(commit_outcome(&error), CommitOutcome::RolledBack);
        assert_eq!(db.seen().await, Seen::both(&[]));
        outbox.check().await.unwrap_err();
        // Without events nobody asks for the tables.
        let txn = outbox.begin().await.unwrap();
        put(&txn, "a").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await.rows, ["a"]);
    }

    async fn tables_of_another_version_are_refused(db) {
        let outbox = db.outbox().await;
        outbox.execute_unprepared("UPDATE outbox_meta SET value = 'md5-9' WHERE name = 'hash'").await.unwrap();
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        let error = txn.commit().await.unwrap_err();
        assert!(matches!(OutboxError::of(&error), Some(OutboxError::Schema(CheckError::Mismatch(_)))), "{error}");
        assert_eq!(db.seen().await, Seen::both(&[]));
        // Put right, the same outbox goes on.
        outbox.execute_unprepared("UPDATE outbox_meta SET value = 'xxh64-1' WHERE name = 'hash'").await.unwrap();
        assert_eq!(outbox.check().await.unwrap().shard_count, 64);
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a"]));
    }

    async fn they_are_read_once(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        txn.stage_event(&Thing::new("a")).unwrap();
        txn.commit().await.unwrap();
        outbox.execute_unprepared("DELETE FROM outbox_meta").await.unwrap();
        let txn = outbox.begin().await.unwrap();
        txn.stage_event(&Thing::new("b")).unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await.events, ["a", "b"]);
    }
}
