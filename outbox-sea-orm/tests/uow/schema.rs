//! Tables that are missing or made for somebody else.

use std::time::Duration;

use outbox_sea_orm::core::Shard;
use outbox_sea_orm::core::store::{Store, StoreErrorKind};
use outbox_sea_orm::migration::{CheckError, Options, OutboxMigrator};
use outbox_sea_orm::{CommitOutcome, Outbox, OutboxError, commit_outcome};
use sea_orm::{ConnectionTrait, DbErr, TransactionTrait};

use crate::fixtures::{Db, Seen, Thing, both, put};

/// Drops the tables and makes them again with so many shards, beside whoever uses them.
async fn remake(db: &Db, shards: u16) {
    let conn = db.connect().await;
    OutboxMigrator::new(Options::default()).down(&conn).await.unwrap();
    OutboxMigrator::new(Options::default().shards(shards).unwrap()).up(&conn).await.unwrap();
    conn.close().await.unwrap();
}

/// A key that belongs to the same shard of 8 and of 64, or not.
fn key(same: bool) -> String {
    let is_same = |key: &String| Shard::of_key(key, 8) == Shard::of_key(key, 64);
    (0..).map(|n| format!("key {n}")).find(|key| is_same(key) == same).unwrap()
}

#[track_caller]
fn assert_remade(error: &DbErr, count: u16) {
    let found = OutboxError::of(error);
    let refused = matches!(found, Some(OutboxError::Schema(CheckError::Remade { believed })) if *believed == count);
    assert!(refused, "{error}");
    let text = error.to_string();
    assert!(text.contains("another shard count") && text.contains("restart it"), "{text}");
    assert_eq!(commit_outcome(error), CommitOutcome::RolledBack);
}

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

    async fn tables_remade_with_another_shard_count_are_refused(db) {
        for (before, after) in [(64, 8), (8, 64)] {
            remake(db, before).await;
            let outbox = db.outbox().await;
            assert_eq!(outbox.check().await.unwrap().shard_count, before);
            remake(db, after).await;
            // Also where the shard happens to be right: the next event's is not.
            for same in [false, true] {
                let thing = Thing::keyed(&key(same), "x");
                let txn = outbox.begin().await.unwrap();
                put(&txn, "x").await.unwrap();
                txn.stage_event(&thing).unwrap();
                assert_remade(&txn.commit().await.unwrap_err(), before);

                let txn = outbox.begin().await.unwrap();
                put(&txn, "x").await.unwrap();
                txn.stage_event_with(&thing, |options| options.delay(Duration::from_secs(60))).unwrap();
                assert_remade(&txn.commit().await.unwrap_err(), before);

                let txn = outbox.begin().await.unwrap();
                put(&txn, "x").await.unwrap();
                txn.stage_event(&thing).unwrap();
                assert_remade(&txn.flush().await.unwrap_err(), before);
                txn.commit().await.unwrap_err();

                assert_remade(&outbox.record(&outbox, &thing).await.unwrap_err(), before);
                let plain = outbox.inner().begin().await.unwrap();
                put(&plain, "x").await.unwrap();
                assert_remade(&outbox.record(&plain, &thing).await.unwrap_err(), before);
                plain.rollback().await.unwrap();
            }
            assert_eq!(db.seen().await, Seen::both(&[]));
            assert_eq!(db.number("SELECT COUNT(*) FROM outbox_scheduled").await, 0);
            // One that is made anew asks the tables as they are now.
            let outbox = db.outbox().await;
            let txn = outbox.begin().await.unwrap();
            both(&txn, "y").await.unwrap();
            txn.commit().await.unwrap();
            assert_eq!(db.seen().await, Seen::both(&["y"]));
            outbox.execute_unprepared("DELETE FROM thing").await.unwrap();
            outbox.execute_unprepared("DELETE FROM outbox_event").await.unwrap();
        }
    }
}

on_databases! { [mariadb]
    async fn a_session_that_cuts_values_is_refused(db) {
        let conn = db.connect_one(&db.url).await;
        for mode in ["", "ANSI", "NO_ENGINE_SUBSTITUTION"] {
            conn.execute_unprepared(&format!("SET SESSION sql_mode = '{mode}'")).await.unwrap();
            let outbox = Outbox::new(conn.clone());
            let txn = outbox.begin().await.unwrap();
            txn.stage_event(&Thing::new("a")).unwrap();
            let error = txn.commit().await.unwrap_err();
            assert!(matches!(OutboxError::of(&error), Some(OutboxError::Schema(CheckError::NotStrict { .. }))), "{error}");
            assert!(error.to_string().contains("STRICT_TRANS_TABLES"), "{error}");
            let error = outbox.store().open().await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
        }
        assert_eq!(db.seen().await, Seen::both(&[]));
        for mode in ["STRICT_TRANS_TABLES", "STRICT_ALL_TABLES", "TRADITIONAL"] {
            conn.execute_unprepared(&format!("SET SESSION sql_mode = '{mode}'")).await.unwrap();
            let outbox = Outbox::new(conn.clone());
            outbox.check().await.unwrap();
            outbox.store().open().await.unwrap();
        }
    }
}
