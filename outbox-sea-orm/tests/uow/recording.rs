//! Events that are written at once, through any connection.

use futures_util::FutureExt;
use outbox_sea_orm::core::{Headers, Limits, StageError as Refused};
use outbox_sea_orm::migration::{Options, OutboxMigrator};
use outbox_sea_orm::{OutboxError, StageError, record, record_with};
use sea_orm::{ConnectionTrait, DbErr, TransactionTrait};

use crate::fixtures::{Seen, Thing, both, early, put, texts};

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
        assert_eq!(db.texts("SELECT headers FROM outbox_event ORDER BY seq").await[0], r#"[["h","1"]]"#);
        assert_eq!(db.texts("SELECT payload FROM outbox_scheduled").await, ["\"c\""]);
        assert_ne!(id, outbox.record(outbox.inner(), &Thing::new("d")).await.unwrap());
    }

    async fn a_mistake_writes_nothing(db) {
        let plain = db.connect().await;
        let error = record(&plain, &Thing::keyed("", "a")).await.unwrap_err();
        assert!(StageError::of(&error).is_some(), "{error}");
        assert_eq!(db.seen().await, Seen::both(&[]));
    }

    async fn through_a_generic_connection_it_keeps_its_place_among_what_is_staged(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        record(&txn, &Thing::new("b")).await.unwrap();
        both(&txn, "c").await.unwrap();
        txn.flush().await.unwrap();
        record(&txn, &Thing::new("d")).await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await.events, ["a", "b", "c", "d"]);
    }

    async fn through_a_transaction_with_its_own_settings_it_has_these(db) {
        // As a hook sees it.
        async fn hook<C: ConnectionTrait>(conn: &C, label: &str) -> Result<(), DbErr> {
            put(conn, label).await?;
            let thing = Thing::new(label);
            record_with(conn, &thing, |options| options.header("own", 1).header("both", "call")).await.map(drop)
        }
        // Other tables and limits than the function knows, and a pool of one has no other connection.
        let builder = db.builder().await.table_prefix("shop").limits(Limits::new().payload_bytes(10));
        let ambient = |headers: &mut Headers| {
            headers.set("both", "ambient")?;
            headers.set("tenant-id", "t1")
        };
        let outbox = builder.ambient_headers(ambient).build().unwrap();
        OutboxMigrator::new(Options::default().prefix("shop").unwrap()).up(outbox.inner()).await.unwrap();
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        hook(&txn, "b").await.unwrap();
        let inner = txn.begin().await.unwrap();
        hook(&inner, "lost").await.unwrap();
        inner.rollback().await.unwrap();
        let inner = txn.begin().await.unwrap();
        hook(&inner, "c").await.unwrap();
        assert_eq!(OutboxError::of(&record(&txn, &Thing::new("x")).await.unwrap_err()).unwrap().to_string(),
            "a savepoint inside this transaction is still open: stage through it, or close it first");
        inner.commit().await.unwrap();
        // The outbox that is named may be another one with the same tables, but not with others.
        let twin = db.builder().await.table_prefix("shop").build().unwrap();
        twin.record(&txn, &Thing::new("d")).await.unwrap();
        let stranger = db.outbox().await;
        stranger.record(&txn, &Thing::new("strange")).await.unwrap();
        both(&txn, "e").await.unwrap();
        let error = record(&txn, &Thing::new("123456789")).await.unwrap_err();
        assert!(matches!(StageError::of(&error).unwrap().reason(), Refused::PayloadTooLarge { limit: 10, .. }));
        assert_eq!(txn.staged().len(), 5);
        let (wake, before) = (outbox.wake(), texts(&txn, "SELECT payload FROM shop_event").await);
        assert!(before.is_empty() && wake.woken().now_or_never().is_none());
        txn.commit().await.unwrap();
        wake.woken().await;
        let events = db.texts("SELECT payload FROM shop_event ORDER BY seq").await;
        assert_eq!(events, ["a", "b", "c", "d", "e"].map(|label| format!("\"{label}\"")));
        assert_eq!(db.seen().await.events, ["strange"]);
        let headers = db.texts("SELECT headers FROM shop_event ORDER BY seq").await;
        assert_eq!(headers[1], r#"[["both","call"],["tenant-id","t1"],["own","1"]]"#);
    }

    async fn through_an_outbox_it_is_a_commit_of_its_own_that_wakes(db) {
        let outbox = db.outbox().await;
        let wake = outbox.wake();
        record(&outbox, &Thing::new("a")).await.unwrap();
        wake.woken().await;
        // The outbox has read about its tables now, and does not ask again.
        outbox.execute_unprepared("DELETE FROM outbox_meta").await.unwrap();
        record(&outbox, &Thing::new("b")).await.unwrap();
        outbox.record(&outbox, &Thing::new("c")).await.unwrap();
        assert_eq!(db.seen().await.events, ["a", "b", "c"]);
        let error = record(outbox.inner(), &Thing::new("d")).await.unwrap_err();
        assert!(matches!(OutboxError::of(&error), Some(OutboxError::Schema(_))), "{error}");
    }

    async fn what_is_flushed_early_keeps_the_order(db) {
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
