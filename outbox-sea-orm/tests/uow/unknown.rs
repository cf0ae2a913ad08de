//! Connections that are lost at COMMIT.

use outbox_sea_orm::{CommitOutcome, Outbox, OutboxError, commit_outcome};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, TransactionError};

use crate::fixtures::{Seen, both, number, put};
use crate::proxy::{At, Proxy};

on_databases! { [postgres, mariadb]
    async fn a_connection_lost_after_commit_is_unknown_and_was_committed(db) {
        let proxy = Proxy::before(&db.url).await;
        let outbox = Outbox::new(db.connect_one(&proxy.url).await);
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        proxy.at("COMMIT", At::CutAfter);
        let error = txn.commit().await.unwrap_err();
        assert_eq!(commit_outcome(&error), CommitOutcome::Unknown, "{error}");
        assert!(matches!(OutboxError::of(&error), Some(OutboxError::CommitUnknown { source: DbErr::Query(_) })));
        assert_eq!(db.seen().await, Seen::both(&["a"]));
    }

    async fn a_connection_lost_before_commit_is_unknown_and_was_not(db) {
        let proxy = Proxy::before(&db.url).await;
        let outbox = Outbox::new(db.connect_one(&proxy.url).await);
        proxy.at("COMMIT", At::CutBefore);
        let error = outbox.transaction_async(async |txn| both(txn, "a").await).await.unwrap_err();
        let TransactionError::Connection(error) = error else { panic!("{error}") };
        assert_eq!(commit_outcome(&error), CommitOutcome::Unknown, "{error}");
        assert_eq!(db.seen().await, Seen::both(&[]));
    }

    async fn a_connection_lost_at_the_flush_is_no_commit(db) {
        let proxy = Proxy::before(&db.url).await;
        let outbox = Outbox::new(db.connect_one(&proxy.url).await);
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        proxy.at("outbox_event", At::CutAfter);
        let error = txn.commit().await.unwrap_err();
        assert_eq!(commit_outcome(&error), CommitOutcome::RolledBack, "{error}");
        assert_eq!(db.seen().await, Seen::both(&[]));
    }

    async fn a_connection_ended_by_the_server_is_no_false_rollback(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        let (own, kill) = match outbox.inner().get_database_backend() {
            DbBackend::Postgres => ("SELECT pg_backend_pid()::bigint", "SELECT pg_terminate_backend"),
            _ => ("SELECT CAST(CONNECTION_ID() AS SIGNED)", "KILL"),
        };
        txn.flush().await.unwrap();
        let id = number(&txn, own).await;
        outbox.inner().execute_unprepared(&format!("{kill}({id})").replace("KILL(", "KILL (")).await.unwrap();
        let error = txn.commit().await.unwrap_err();
        assert_eq!(commit_outcome(&error), CommitOutcome::Unknown, "{error}");
        assert_eq!(db.seen().await, Seen::both(&[]));
    }
}

on_databases! { [postgres]
    async fn a_refusal_at_commit_is_a_rollback(db) {
        let outbox = db.outbox().await;
        outbox
            .execute_unprepared("CREATE TABLE late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
            .await
            .unwrap();
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        txn.execute_unprepared("INSERT INTO late VALUES (1), (1)").await.unwrap();
        let error = txn.commit().await.unwrap_err();
        assert_eq!(commit_outcome(&error), CommitOutcome::RolledBack, "{error}");
        assert!(error.sql_err().is_some(), "the database's own error is passed on: {error}");
        put(&outbox, "b").await.unwrap();
        assert_eq!(db.seen().await.rows, ["b"]);
    }
}

on_databases! { [sqlite]
    async fn a_refusal_at_commit_is_a_rollback_too(db) {
        let outbox = db.outbox().await;
        outbox.execute_unprepared("CREATE TABLE late (n INTEGER REFERENCES thing (n) DEFERRABLE INITIALLY DEFERRED)")
            .await.unwrap();
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        txn.execute_unprepared("INSERT INTO late VALUES (77)").await.unwrap();
        let error = txn.commit().await.unwrap_err();
        assert_eq!(commit_outcome(&error), CommitOutcome::RolledBack, "{error}");
        assert_eq!(db.seen().await, Seen::both(&[]));
    }
}
