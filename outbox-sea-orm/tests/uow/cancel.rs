//! Calls whose caller goes away between the request and its answer.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use outbox_sea_orm::Outbox;
use sea_orm::{ConnectionTrait, Statement, TransactionTrait};

use crate::fixtures::{Seen, both, put};
use crate::proxy::{At, Proxy};

/// Runs `call` until the proxy has seen its word, then drops it.
async fn cancelled(proxy: &mut Proxy, call: impl Future) {
    tokio::select! {
        biased;
        () = proxy.said() => {}
        _ = call => panic!("it should not get an answer"),
    }
}

/// Polls `call` once, then drops it.
async fn polled_once(call: impl Future) {
    let mut call = pin!(call);
    poll_fn(|cx| {
        let poll = call.as_mut().poll(cx);
        drop(poll);
        Poll::Ready(())
    })
    .await;
}

on_databases! { [postgres, mariadb]
    async fn a_cancelled_begin(db) {
        // Plain: the connection goes back to the pool with an open transaction, and swallows what comes next.
        let mut proxy = Proxy::before(&db.url).await;
        let plain = db.connect_one(&proxy.url).await;
        proxy.at("BEGIN", At::Hold);
        cancelled(&mut proxy, plain.begin()).await;
        proxy.go_on();
        put(&plain, "acknowledged and lost").await.unwrap();
        assert_eq!(db.seen().await.rows, [""; 0]);
        plain.close().await.unwrap();

        let outbox = Outbox::new(db.connect_one(&proxy.url).await);
        proxy.at("BEGIN", At::Hold);
        cancelled(&mut proxy, outbox.begin()).await;
        proxy.go_on();
        put(&outbox, "a").await.unwrap();
        assert_eq!(db.seen().await.rows, ["a"]);
        let txn = outbox.begin().await.unwrap();
        both(&txn, "b").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await.events, ["b"]);
    }

    async fn a_cancelled_savepoint_is_rolled_back(db) {
        let mut proxy = Proxy::before(&db.url).await;
        let outbox = Outbox::new(db.connect_one(&proxy.url).await);
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        proxy.at("SAVEPOINT", At::Hold);
        cancelled(&mut proxy, txn.begin()).await;
        proxy.go_on();
        // Plain SeaORM would roll back all of it, and commit this on its own.
        both(&txn, "b").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a", "b"]));
        put(&outbox, "c").await.unwrap();
        assert_eq!(db.seen().await.rows, ["a", "b", "c"]);
    }

    async fn a_cancelled_commit_commits(db) {
        let mut proxy = Proxy::before(&db.url).await;
        let outbox = Outbox::new(db.connect_one(&proxy.url).await);
        let wake = outbox.wake();
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        proxy.at("outbox_event", At::Hold);
        cancelled(&mut proxy, txn.commit()).await;
        proxy.go_on();
        wake.woken().await;
        assert_eq!(db.seen().await, Seen::both(&["a"]));
        put(&outbox, "b").await.unwrap();
        assert_eq!(db.seen().await.rows, ["a", "b"]);
    }

    async fn a_cancelled_flush_ends_on_its_own(db) {
        let mut proxy = Proxy::before(&db.url).await;
        let outbox = Outbox::new(db.connect_one(&proxy.url).await);
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        proxy.at("outbox_event", At::Hold);
        cancelled(&mut proxy, txn.flush()).await;
        proxy.go_on();
        both(&txn, "b").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a", "b"]));
    }

    async fn a_cancelled_rollback_rolls_back(db) {
        let mut proxy = Proxy::before(&db.url).await;
        let outbox = Outbox::new(db.connect_one(&proxy.url).await);
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        let inner = txn.begin().await.unwrap();
        both(&inner, "b").await.unwrap();
        proxy.at("ROLLBACK TO", At::Hold);
        cancelled(&mut proxy, inner.rollback()).await;
        proxy.go_on();
        both(&txn, "c").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a", "c"]));
    }

    async fn a_cancelled_release_releases(db) {
        let mut proxy = Proxy::before(&db.url).await;
        let outbox = Outbox::new(db.connect_one(&proxy.url).await);
        let txn = outbox.begin().await.unwrap();
        let inner = txn.begin().await.unwrap();
        both(&inner, "a").await.unwrap();
        proxy.at("RELEASE", At::Hold);
        cancelled(&mut proxy, inner.commit()).await;
        proxy.go_on();
        both(&txn, "b").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a", "b"]));
    }

    async fn a_cancelled_statement_ends_on_its_own(db) {
        let mut proxy = Proxy::before(&db.url).await;
        let outbox = Outbox::new(db.connect_one(&proxy.url).await);
        let txn = outbox.begin().await.unwrap();
        proxy.at("thing", At::Hold);
        // Prepared: plain SeaORM would never get the connection back from MariaDB's driver.
        let insert = Statement::from_string(txn.get_database_backend(), "INSERT INTO thing (label) VALUES ('a')");
        cancelled(&mut proxy, txn.execute_raw(insert)).await;
        proxy.go_on();
        both(&txn, "b").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen { rows: vec!["a".to_owned(), "b".to_owned()], events: vec!["b".to_owned()] });
        put(&outbox, "c").await.unwrap();
    }

    async fn a_cancelled_statement_that_fails_is_noticed_before_the_commit(db) {
        let mut proxy = Proxy::before(&db.url).await;
        let outbox = Outbox::new(db.connect_one(&proxy.url).await);
        let txn = outbox.begin().await.unwrap();
        put(&txn, "a").await.unwrap();
        proxy.at("missing_table", At::Hold);
        cancelled(&mut proxy, txn.execute_unprepared("SELECT 1 FROM missing_table")).await;
        proxy.go_on();
        let committed = txn.commit().await;
        // Either there was an error, or the row is there.
        let expected: &[&str] = if committed.is_ok() { &["a"] } else { &[] };
        assert_eq!(db.seen().await.rows, expected);
    }
}

on_every_database! {
    async fn a_commit_that_was_never_polled_rolls_back(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        drop(txn.commit());
        assert_eq!(db.seen().await, Seen::both(&[]));
    }

    async fn a_commit_that_was_polled_once_ends_on_its_own(db) {
        let outbox = db.outbox().await;
        let wake = outbox.wake();
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        polled_once(txn.commit()).await;
        wake.woken().await;
        assert_eq!(db.seen().await, Seen::both(&["a"]));
    }

    async fn a_begin_that_was_polled_once_leaves_nothing_behind(db) {
        let outbox = Outbox::new(db.connect_one(&db.url).await);
        polled_once(outbox.begin()).await;
        put(&outbox, "a").await.unwrap();
        let txn = outbox.begin().await.unwrap();
        both(&txn, "b").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await.rows, ["a", "b"]);
    }
}
