//! Handles that are used or closed in the wrong order. Plain SeaORM loses rows although every call succeeds.

use std::panic::AssertUnwindSafe;
use std::task::Poll;

use futures_util::{FutureExt, TryStreamExt};
use outbox_sea_orm::{Breach, OutboxError, StageError};
use sea_orm::{ConnectionTrait, DbErr, Statement, StreamTrait, TransactionTrait};

use crate::fixtures::{Seen, Thing, both, put};

fn is_not_innermost(error: &DbErr) -> bool {
    matches!(OutboxError::of(error), Some(OutboxError::NotInnermost))
}

fn breach(error: &DbErr) -> Option<Breach> {
    match OutboxError::of(error) {
        Some(OutboxError::Broken { breach }) => Some(*breach),
        _ => None,
    }
}

on_every_database! {
    async fn parent_committed_first(db) {
        // Plain: the commit releases the child's savepoint and says Ok; the child's drop rolls everything back.
        let plain = db.connect().await;
        let txn = plain.begin().await.unwrap();
        put(&txn, "lost").await.unwrap();
        let child = txn.begin().await.unwrap();
        txn.commit().await.unwrap();
        drop(child);
        plain.close().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&[]));

        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        let child = txn.begin().await.unwrap();
        assert!(is_not_innermost(&txn.commit().await.unwrap_err()));
        // The transaction is gone, and its child knows.
        assert_eq!(breach(&put(&child, "b").await.unwrap_err()), Some(Breach::ClosedOutOfOrder));
        assert!(matches!(child.stage_event(&Thing::new("b")).unwrap_err().reason(), reason if reason.to_string().contains("broken")));
        assert_eq!(breach(&child.commit().await.unwrap_err()), Some(Breach::ClosedOutOfOrder));
        let txn = outbox.begin().await.unwrap();
        both(&txn, "c").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["c"]));
    }

    async fn parent_dropped_first(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        let child = txn.begin().await.unwrap();
        let grandchild = child.begin().await.unwrap();
        drop(txn);
        assert_eq!(breach(&put(&grandchild, "b").await.unwrap_err()), Some(Breach::ClosedOutOfOrder));
        grandchild.rollback().await.unwrap();
        assert_eq!(breach(&child.commit().await.unwrap_err()), Some(Breach::ClosedOutOfOrder));
        let txn = outbox.begin().await.unwrap();
        both(&txn, "c").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["c"]));
    }

    async fn parent_rolled_back_first(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        let child = txn.begin().await.unwrap();
        assert!(is_not_innermost(&txn.rollback().await.unwrap_err()));
        child.commit().await.unwrap_err();
        assert_eq!(db.seen().await, Seen::both(&[]));
    }

    async fn interleaved_siblings(db) {
        // Plain: A's commit releases B's savepoint, B's rollback undoes A; the row of A, reported saved, is gone.
        let plain = db.connect().await;
        let txn = plain.begin().await.unwrap();
        let a = txn.begin().await.unwrap();
        let b = txn.begin().await.unwrap();
        put(&a, "lost").await.unwrap();
        a.commit().await.unwrap();
        b.rollback().await.unwrap();
        txn.commit().await.unwrap();
        plain.close().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&[]));

        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        let a = txn.begin().await.unwrap();
        assert!(is_not_innermost(&txn.begin().await.unwrap_err()));
        both(&a, "a").await.unwrap();
        a.commit().await.unwrap();
        let b = txn.begin().await.unwrap();
        both(&b, "b").await.unwrap();
        b.rollback().await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a"]));
    }

    async fn siblings_under_join(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        let save = async |label: &'static str, fails: bool| {
            let inner = txn.begin().await?;
            both(&inner, label).await?;
            tokio::task::yield_now().await;
            if fails { inner.rollback().await } else { inner.commit().await }
        };
        let (a, b) = tokio::join!(save("a", false), save("b", true));
        // Whichever came first did what it said; the other was refused.
        a.unwrap();
        assert!(is_not_innermost(&b.unwrap_err()));
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a"]));
    }

    async fn statement_through_the_parent(db) {
        // Plain: it runs inside the child's savepoint and goes with it.
        let plain = db.connect().await;
        let txn = plain.begin().await.unwrap();
        let child = txn.begin().await.unwrap();
        put(&txn, "lost").await.unwrap();
        child.rollback().await.unwrap();
        txn.commit().await.unwrap();
        plain.close().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&[]));

        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        let child = txn.begin().await.unwrap();
        assert!(is_not_innermost(&put(&txn, "a").await.unwrap_err()));
        let error: StageError = txn.stage_event(&Thing::new("a")).unwrap_err();
        assert!(error.to_string().contains("still open"), "{error}");
        child.rollback().await.unwrap();
        // Nothing is broken by the refusal.
        both(&txn, "b").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["b"]));
    }

    async fn a_statement_never_slips_into_a_savepoint_that_is_opening(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        // All three wait for the connection at once, in this order.
        let (first, child, second) = tokio::join!(put(&txn, "a"), txn.begin(), put(&txn, "b"));
        first.unwrap();
        assert!(is_not_innermost(&second.unwrap_err()));
        child.unwrap().rollback().await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await.rows, ["a"]);
    }

    async fn root_dropped_while_its_child_works(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        let child = txn.begin().await.unwrap();
        let mut statement = Box::pin(put(&child, "a"));
        // Under way, where plain SeaORM panics; or, on a quick machine, just over.
        let early = std::future::poll_fn(|cx| Poll::Ready(statement.as_mut().poll(cx))).await;
        drop(txn);
        if early.is_pending() {
            drop(statement.as_mut().await);
        }
        drop(statement);
        assert_eq!(breach(&child.commit().await.unwrap_err()), Some(Breach::ClosedOutOfOrder));
        let txn = outbox.begin().await.unwrap();
        both(&txn, "c").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["c"]));
    }

    async fn root_dropped_while_a_stream_lives(db) {
        let plain = db.connect().await;
        let select = || Statement::from_string(plain.get_database_backend(), "SELECT label FROM thing");
        put(&plain, "there").await.unwrap();
        let txn = plain.begin().await.unwrap();
        let child = txn.begin().await.unwrap();
        let mut stream = child.stream_raw(select()).await.unwrap();
        assert!(stream.try_next().await.unwrap().is_some());
        std::panic::catch_unwind(AssertUnwindSafe(|| drop(txn))).unwrap_err();
        drop(stream);
        drop(child);
        plain.close_by_ref().await.unwrap();

        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        let child = txn.begin().await.unwrap();
        let mut stream = child.stream_raw(select()).await.unwrap();
        assert!(stream.try_next().await.unwrap().is_some());
        drop(txn);
        drop(stream);
        assert_eq!(breach(&child.commit().await.unwrap_err()), Some(Breach::ClosedOutOfOrder));
        outbox.execute_unprepared("DELETE FROM thing").await.unwrap();
        let txn = outbox.begin().await.unwrap();
        both(&txn, "c").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["c"]));
    }

    async fn panic_in_a_callback(db) {
        let outbox = db.outbox().await;
        let call = outbox.transaction_async(async |txn| {
            both(txn, "a").await?;
            let inner = txn.begin().await?;
            both(&inner, "b").await?;
            if inner.staged().len() == 2 {
                panic!("on purpose");
            }
            Ok::<_, DbErr>(())
        });
        AssertUnwindSafe(call).catch_unwind().await.unwrap_err();
        let txn = outbox.begin().await.unwrap();
        both(&txn, "c").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["c"]));
    }

    async fn savepoints_take_no_isolation_level(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        let nested = txn.begin_with_config(Some(sea_orm::IsolationLevel::Serializable), None).await;
        if ConnectionTrait::get_database_backend(&txn) == sea_orm::DbBackend::Sqlite {
            nested.unwrap().commit().await.unwrap();
        } else {
            assert!(matches!(OutboxError::of(&nested.unwrap_err()), Some(OutboxError::NestedOptions)));
        }
        both(&txn, "a").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a"]));
    }
}

on_databases! { [postgres, mariadb]
    async fn plain_root_dropped_while_its_child_works_panics(db) {
        let plain = db.connect().await;
        put(&plain, "a").await.unwrap();
        let other = plain.begin().await.unwrap();
        let update = "UPDATE thing SET label = 'b'";
        other.execute_unprepared(update).await.unwrap();
        let txn = plain.begin().await.unwrap();
        let child = txn.begin().await.unwrap();
        // It waits for the row, so it is under way however quick the server is.
        let mut statement = Box::pin(child.execute_unprepared(update));
        let early = std::future::poll_fn(|cx| Poll::Ready(statement.as_mut().poll(cx))).await;
        assert!(early.is_pending());
        std::panic::catch_unwind(AssertUnwindSafe(|| drop(txn))).unwrap_err();
    }
}
