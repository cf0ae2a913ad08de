//! An event lives and dies like a row that is written at the same point.

use futures_util::TryStreamExt;
use outbox_sea_orm::{Outbox, OutboxTransaction};
use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, DbErr, IsolationLevel, SqliteTransactionMode, Statement, StreamTrait,
    TransactionError, TransactionOptions, TransactionSession, TransactionTrait,
};

use crate::fixtures::{Seen, Thing, both, number, put};

on_every_database! {
    async fn commit_keeps_rows_and_events(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        let id = txn.stage_event(&Thing::new("b")).unwrap();
        put(&txn, "b").await.unwrap();
        assert_eq!(txn.staged().last().map(|event| event.id), Some(id));
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a", "b"]));
    }

    async fn rollback_forgets_both(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        txn.rollback().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&[]));
    }

    async fn drop_forgets_both(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        drop(txn);
        both_in_one(&outbox, "b").await;
        assert_eq!(db.seen().await, Seen::both(&["b"]));
    }

    async fn a_transaction_without_events_commits(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        put(&txn, "a").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await.rows, ["a"]);
    }

    async fn a_released_savepoint_belongs_to_its_parent(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        let inner = txn.begin().await.unwrap();
        both(&inner, "b").await.unwrap();
        inner.commit().await.unwrap();
        both(&txn, "c").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a", "b", "c"]));
    }

    async fn release_then_outer_rollback_forgets_both(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        let inner = txn.begin().await.unwrap();
        both(&inner, "b").await.unwrap();
        inner.commit().await.unwrap();
        assert_eq!(txn.staged().len(), 1);
        txn.rollback().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&[]));
    }

    async fn a_rolled_back_savepoint_takes_its_events_along(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        let inner = txn.begin().await.unwrap();
        both(&inner, "b").await.unwrap();
        inner.rollback().await.unwrap();
        both(&txn, "c").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a", "c"]));
    }

    async fn a_savepoint_dropped_by_a_question_mark_takes_its_events_along(db) {
        async fn fails(txn: &OutboxTransaction) -> Result<(), DbErr> {
            let inner = txn.begin().await?;
            both(&inner, "b").await?;
            Err(DbErr::Custom("no".to_owned()))
        }
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        fails(&txn).await.unwrap_err();
        both(&txn, "c").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a", "c"]));
    }

    async fn three_levels(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        let one = txn.begin().await.unwrap();
        both(&one, "b").await.unwrap();
        let two = one.begin().await.unwrap();
        both(&two, "c").await.unwrap();
        let three = two.begin().await.unwrap();
        both(&three, "d").await.unwrap();
        three.commit().await.unwrap();
        two.rollback().await.unwrap();
        let two = one.begin().await.unwrap();
        both(&two, "e").await.unwrap();
        two.commit().await.unwrap();
        one.commit().await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a", "b", "e"]));
    }

    async fn every_callback_form_commits_and_rolls_back(db) {
        let outbox = db.outbox().await;
        outbox.transaction_async(async |txn| both(txn, "a").await).await.unwrap();
        outbox.transaction(|txn| Box::pin(both(txn, "b"))).await.unwrap();
        let nested = async |txn: &OutboxTransaction| {
            txn.transaction_async(async |inner| both(inner, "c").await).await.map_err(|error| DbErr::Custom(error.to_string()))?;
            let undone = txn
                .transaction_async(async |inner| {
                    both(inner, "x").await?;
                    Err::<(), _>(DbErr::Custom("on purpose".to_owned()))
                })
                .await;
            assert!(matches!(undone, Err(TransactionError::Transaction(DbErr::Custom(why))) if why == "on purpose"));
            both(txn, "d").await
        };
        outbox.transaction_with_config_async(nested, None, Some(AccessMode::ReadWrite)).await.unwrap();
        let undone = outbox.transaction(|txn| Box::pin(async move {
            both(txn, "y").await?;
            Err::<(), _>(DbErr::Custom("on purpose".to_owned()))
        })).await;
        assert!(matches!(undone, Err(TransactionError::Transaction(DbErr::Custom(why))) if why == "on purpose"));
        assert_eq!(db.seen().await, Seen::both(&["a", "b", "c", "d"]));
    }

    async fn code_for_any_connection_works_unchanged(db) {
        async fn generic<C: TransactionTrait + ConnectionTrait>(conn: &C) -> Result<(), DbErr> {
            let txn = conn.begin().await?;
            put(&txn, "a").await?;
            let inner = txn.begin_with_config(None, None).await?;
            put(&inner, "b").await?;
            inner.commit().await?;
            txn.commit().await
        }
        let outbox = db.outbox().await;
        generic(&outbox).await.unwrap();
        let txn = outbox.begin().await.unwrap();
        generic(&txn).await.unwrap();
        TransactionSession::commit(txn).await.unwrap();
        put(&outbox, "c").await.unwrap();
        assert_eq!(db.seen().await.rows, ["a", "b", "a", "b", "c"]);
    }

    async fn rows_can_be_streamed(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        for label in ["a", "b", "c"] {
            both(&txn, label).await.unwrap();
        }
        let select = || Statement::from_string(ConnectionTrait::get_database_backend(&txn), "SELECT label FROM thing ORDER BY n");
        let labels: Vec<String> = txn
            .stream_raw(select())
            .await
            .unwrap()
            .and_then(|row| async move { row.try_get_by_index(0) })
            .try_collect()
            .await
            .unwrap();
        assert_eq!(labels, ["a", "b", "c"]);
        // Dropped after the first row: nothing is lost by it.
        let mut stream = txn.stream_raw(select()).await.unwrap();
        assert!(stream.try_next().await.unwrap().is_some());
        drop(stream);
        both(&txn, "d").await.unwrap();
        txn.commit().await.unwrap();
        let streamed: Vec<_> = outbox.stream_raw(Statement::from_string(outbox.inner().get_database_backend(), "SELECT 1"))
            .await.unwrap().try_collect().await.unwrap();
        assert_eq!(streamed.len(), 1);
        assert_eq!(db.seen().await, Seen::both(&["a", "b", "c", "d"]));
    }

    async fn options_reach_the_database(db) {
        let outbox = db.outbox().await;
        let options = TransactionOptions {
            isolation_level: Some(IsolationLevel::Serializable),
            access_mode: Some(AccessMode::ReadOnly),
            sqlite_transaction_mode: Some(SqliteTransactionMode::Deferred),
        };
        let txn = outbox.begin_with_options(options).await.unwrap();
        match outbox.inner().get_database_backend() {
            DbBackend::Sqlite => {
                // Two readers at once: neither is immediate.
                if db.pools_several() {
                    let other = outbox.begin_with_options(options).await.unwrap();
                    other.rollback().await.unwrap();
                }
            }
            DbBackend::Postgres => {
                assert_eq!(crate::fixtures::texts(&txn, "SHOW transaction_isolation").await, ["serializable"]);
                put(&txn, "a").await.unwrap_err();
            }
            _ => drop(put(&txn, "a").await.unwrap_err()),
        }
        txn.rollback().await.unwrap();
    }

    async fn wake_comes_after_a_commit_with_events(db) {
        let outbox = db.outbox().await;
        let wake = outbox.wake();
        let txn = outbox.begin().await.unwrap();
        put(&txn, "a").await.unwrap();
        txn.commit().await.unwrap();
        assert!(futures_util::FutureExt::now_or_never(wake.woken()).is_none());
        both_in_one(&outbox, "b").await;
        wake.woken().await;
        assert!(futures_util::FutureExt::now_or_never(wake.woken()).is_none());
    }
}

on_databases! { [postgres, mariadb]
    async fn isolation_levels_are_kept(db) {
        let outbox = db.outbox().await;
        let count = "SELECT COUNT(*) FROM thing";
        for (isolation_level, sees_others) in [(IsolationLevel::ReadCommitted, 1), (IsolationLevel::RepeatableRead, 0)] {
            let begin = || outbox.begin_with_config(Some(isolation_level), None);
            let txn = begin().await.unwrap();
            let before = number(&txn, count).await;
            put(&outbox, "of another").await.unwrap();
            assert_eq!(number(&txn, count).await - before, sees_others, "{isolation_level:?}");
            txn.commit().await.unwrap();
        }
    }
}

on_databases! { [sqlite]
    async fn who_reads_first_may_write_later(db) {
        // The other does not wait for locks.
        let other = db.connect_one(&db.url).await;
        other.execute_unprepared("PRAGMA busy_timeout = 0").await.unwrap();
        let count = "SELECT COUNT(*) FROM thing";

        // Plain: the first write finds that somebody else has written since the first read, and never succeeds.
        let plain = db.connect().await;
        let txn = plain.begin().await.unwrap();
        assert_eq!(number(&txn, count).await, 0);
        put(&other, "other").await.unwrap();
        let error = put(&txn, "lost").await.unwrap_err();
        assert!(error.to_string().contains("database is locked"), "{error}");
        txn.rollback().await.unwrap();
        plain.close().await.unwrap();
        other.execute_unprepared("DELETE FROM thing").await.unwrap();

        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        assert_eq!(number(&txn, count).await, 0);
        let error = put(&other, "other").await.unwrap_err();
        assert!(error.to_string().contains("database is locked"), "{error}");
        both(&txn, "a").await.unwrap();
        txn.commit().await.unwrap();
        put(&other, "other").await.unwrap();
        let seen = db.seen().await;
        assert_eq!((seen.rows, seen.events), (vec!["a".to_owned(), "other".to_owned()], vec!["a".to_owned()]));
    }
}

async fn both_in_one(outbox: &Outbox, label: &str) {
    let txn = outbox.begin().await.unwrap();
    both(&txn, label).await.unwrap();
    txn.commit().await.unwrap();
}

#[tokio::test]
async fn a_mock_connection_stays_one() {
    let results = [sea_orm::MockExecResult { last_insert_id: 0, rows_affected: 1 }];
    let mock = sea_orm::MockDatabase::new(DbBackend::Postgres).append_exec_results(results).into_connection();
    let outbox = Outbox::new(mock);
    assert!(outbox.is_mock_connection());
    let txn = outbox.begin().await.unwrap();
    put(&txn, "a").await.unwrap();
    txn.commit().await.unwrap();
    let log = outbox.inner().clone().into_transaction_log();
    assert!(format!("{log:?}").contains("COMMIT"), "{log:?}");
}
