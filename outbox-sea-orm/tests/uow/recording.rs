//! Events that are written at once, through any connection.

use outbox_sea_orm::{StageError, record, record_with};
use sea_orm::{ConnectionTrait, TransactionTrait};

use crate::fixtures::{Seen, Thing, both, put, texts};

on_every_database! {
    async fn it_shares_the_fate_of_a_foreign_transaction(db) {
        let plain = db.connect().await;
        let txn = plain.begin().await.unwrap();
        put(&txn, "a").await.unwrap();
        record(&txn, &Thing::new("a")).await.unwrap();
        let inner = txn.begin().await.unwrap();
        record(&inner, &Thing::new("x")).await.unwrap();
        inner.rollback().await.unwrap();
        txn.commit().await.unwrap();
        let txn = plain.begin().await.unwrap();
        record(&txn, &Thing::new("y")).await.unwrap();
        txn.rollback().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a"]));
    }

    async fn on_a_pool_it_is_a_commit_of_its_own(db) {
        let outbox = db.outbox().await;
        let id = record_with(outbox.inner(), &Thing::new("a"), |o| o.header("h", 1)).await.unwrap();
        outbox.record(&outbox, &Thing::new("b")).await.unwrap();
        outbox.record_with(outbox.inner(), &Thing::new("c"), |o| o.delay(std::time::Duration::from_secs(9))).await.unwrap();
        assert_eq!(db.seen().await.events, ["a", "b"]);
        assert_eq!(texts(&outbox, "SELECT headers FROM outbox_event ORDER BY seq").await[0], r#"[["h","1"]]"#);
        assert_eq!(texts(&outbox, "SELECT payload FROM outbox_scheduled").await, ["\"c\""]);
        assert_ne!(id, outbox.record(outbox.inner(), &Thing::new("d")).await.unwrap());
    }

    async fn a_mistake_writes_nothing(db) {
        let plain = db.connect().await;
        let error = record(&plain, &Thing::keyed("", "a")).await.unwrap_err();
        assert!(StageError::of(&error).is_some(), "{error}");
        assert_eq!(db.seen().await, Seen::both(&[]));
    }

    async fn through_a_generic_connection_it_overtakes_what_is_staged(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        record(&txn, &Thing::new("b")).await.unwrap();
        both(&txn, "c").await.unwrap();
        txn.flush().await.unwrap();
        record(&txn, &Thing::new("d")).await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await.events, ["b", "a", "c", "d"]);
    }

    async fn through_the_transaction_itself_it_keeps_the_order(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        put(&txn, "b").await.unwrap();
        early(&txn, &Thing::new("b")).await.unwrap();
        both(&txn, "c").await.unwrap();
        assert_eq!(txn.staged().len(), 3);
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a", "b", "c"]));
    }

    async fn what_a_savepoint_wrote_early_is_written_again_after_its_rollback(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        let inner = txn.begin().await.unwrap();
        put(&inner, "x").await.unwrap();
        // Writes "a" too, inside the savepoint.
        early(&inner, &Thing::new("x")).await.unwrap();
        inner.rollback().await.unwrap();
        let inner = txn.begin().await.unwrap();
        both(&inner, "b").await.unwrap();
        inner.flush().await.unwrap();
        inner.commit().await.unwrap();
        both(&txn, "c").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a", "b", "c"]));
    }

    async fn a_failed_flush_in_the_middle_breaks_the_transaction(db) {
        let outbox = db.builder().await.table_prefix("nowhere").build().unwrap();
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        txn.flush().await.unwrap_err();
        txn.execute_unprepared("SELECT 1").await.unwrap_err();
        txn.commit().await.unwrap_err();
        assert_eq!(db.seen().await, Seen::both(&[]));
    }
}
