//! Statements that fail and errors that nobody handles.

use outbox_sea_orm::{Breach, OutboxError};
use sea_orm::{ConnectionTrait, DbErr, TransactionTrait};

use crate::fixtures::{Db, Seen, Thing, both, put};

fn ended(error: &DbErr) -> bool {
    matches!(OutboxError::of(error), Some(OutboxError::Broken { breach: Breach::EndedByDatabase }))
}

on_databases! { [postgres]
    async fn an_unhandled_error_before_commit(db) {
        // Plain: PostgreSQL answers COMMIT with ROLLBACK, which the driver takes for success.
        let plain = db.connect().await;
        let txn = plain.begin().await.unwrap();
        put(&txn, "lost").await.unwrap();
        txn.execute_unprepared("SELECT 1/0").await.unwrap_err();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&[]));

        // With nothing staged there is no INSERT that would notice.
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        put(&txn, "a").await.unwrap();
        txn.execute_unprepared("SELECT 1/0").await.unwrap_err();
        assert!(matches!(OutboxError::of(&txn.commit().await.unwrap_err()), Some(OutboxError::Aborted { .. })));

        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        txn.execute_unprepared("SELECT 1/0").await.unwrap_err();
        txn.commit().await.unwrap_err();
        assert_eq!(db.seen().await, Seen::both(&[]));
    }

    async fn rolling_back_to_a_savepoint_heals(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        let inner = txn.begin().await.unwrap();
        inner.execute_unprepared("SELECT 1/0").await.unwrap_err();
        // Refused without harm, where the driver would roll back the level around it.
        assert!(matches!(OutboxError::of(&inner.begin().await.unwrap_err()), Some(OutboxError::Aborted { .. })));
        drop(inner);
        let inner = txn.begin().await.unwrap();
        inner.execute_unprepared("SELECT 1/0").await.unwrap_err();
        inner.commit().await.unwrap_err();
        both(&txn, "b").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a", "b"]));
    }
}

on_databases! { [mariadb, sqlite, sqlite_of_one]
    async fn a_failed_statement_is_undone_alone(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        txn.execute_unprepared("INSERT INTO thing (n, label) VALUES (1, 'again')").await.unwrap_err();
        both(&txn, "b").await.unwrap();
        txn.execute_unprepared("INSERT INTO thing (n, label) VALUES (1, 'again')").await.unwrap_err();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a", "b"]));
    }
}

/// Makes `txn` the victim of a deadlock.
async fn deadlock(db: &Db, txn: &impl ConnectionTrait) {
    let other = db.connect().await;
    let winner = other.begin().await.unwrap();
    // The heavier transaction survives.
    for _ in 0..20 {
        put(&winner, "winner").await.unwrap();
    }
    winner.execute_unprepared("UPDATE account SET v = 1 WHERE id = 2").await.unwrap();
    txn.execute_unprepared("UPDATE account SET v = 1 WHERE id = 1").await.unwrap();
    let blocked = winner.execute_unprepared("UPDATE account SET v = 1 WHERE id = 1");
    let victim = txn.execute_unprepared("UPDATE account SET v = 1 WHERE id = 2");
    let (won, lost) = tokio::join!(blocked, victim);
    won.unwrap();
    lost.unwrap_err();
    winner.rollback().await.unwrap();
    other.close().await.unwrap();
}

on_databases! { [mariadb]
    async fn a_deadlock_ends_the_transaction(db) {
        let plain = db.connect().await;
        plain.execute_unprepared("CREATE TABLE account (id INT PRIMARY KEY, v INT)").await.unwrap();
        plain.execute_unprepared("INSERT INTO account VALUES (1, 0), (2, 0)").await.unwrap();

        // Plain: what came before is gone, what comes after commits by itself, and not even a rollback undoes it.
        let txn = plain.begin().await.unwrap();
        put(&txn, "lost").await.unwrap();
        deadlock(db, &txn).await;
        put(&txn, "stays").await.unwrap();
        txn.rollback().await.unwrap();
        assert_eq!(db.seen().await.rows, ["stays"]);

        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        deadlock(db, &txn).await;
        assert!(ended(&put(&txn, "b").await.unwrap_err()));
        txn.stage_event(&Thing::new("b")).unwrap_err();
        assert!(ended(&txn.commit().await.unwrap_err()));

        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        deadlock(db, &txn).await;
        assert!(ended(&txn.commit().await.unwrap_err()));
        let seen = db.seen().await;
        assert_eq!((seen.rows, seen.events), (vec!["stays".to_owned()], vec![]));
    }

    async fn ddl_commits_rows_but_never_events_alone(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        // No error gives it away: MariaDB commits, and goes on without a transaction.
        txn.execute_unprepared("CREATE TABLE other (n INT)").await.unwrap();
        txn.commit().await.unwrap_err();
        let seen = db.seen().await;
        assert_eq!((seen.rows, seen.events), (vec!["a".to_owned()], vec![]));
    }
}

on_databases! { [sqlite, sqlite_of_one]
    async fn on_conflict_rollback_ends_the_transaction(db) {
        let plain = db.connect().await;
        plain.execute_unprepared("CREATE TABLE one (n INTEGER PRIMARY KEY ON CONFLICT ROLLBACK)").await.unwrap();
        plain.execute_unprepared("INSERT INTO one VALUES (1)").await.unwrap();

        // Plain: what comes after commits by itself.
        let txn = plain.begin().await.unwrap();
        put(&txn, "lost").await.unwrap();
        txn.execute_unprepared("INSERT INTO one VALUES (1)").await.unwrap_err();
        put(&txn, "stays").await.unwrap();
        drop(txn);
        plain.close().await.unwrap();
        assert_eq!(db.seen().await.rows, ["stays"]);

        let outbox = db.outbox().await;
        for how in 0..5 {
            let txn = outbox.begin().await.unwrap();
            both(&txn, "a").await.unwrap();
            let inner = if how == 0 { None } else { Some(txn.begin().await.unwrap()) };
            let failing = inner.as_ref().unwrap_or(&txn);
            failing.execute_unprepared("INSERT INTO one VALUES (1)").await.unwrap_err();
            match (how, inner) {
                (1, inner) => drop(inner),
                (2, Some(inner)) => assert!(ended(&inner.commit().await.unwrap_err())),
                (3, Some(inner)) => inner.rollback().await.unwrap(),
                (4, Some(inner)) => {
                    put(&inner, "b").await.unwrap_err();
                    inner.commit().await.unwrap_err();
                }
                _ => {}
            }
            assert!(ended(&put(&txn, "b").await.unwrap_err()), "{how}");
            assert!(ended(&txn.commit().await.unwrap_err()), "{how}");
        }
        // The pool is well, also where the driver would count savepoints that are gone.
        let txn = outbox.begin().await.unwrap();
        both(&txn, "c").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await.rows, ["stays", "c"]);
        assert_eq!(db.texts("SELECT payload FROM outbox_event").await, ["\"c\""]);
    }
}

on_every_database! {
    async fn a_failed_flush_rolls_everything_back(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        // The database refuses the events: a trigger, a constraint, a missing privilege.
        let rename = "ALTER TABLE outbox_event RENAME TO hidden";
        let back = "ALTER TABLE hidden RENAME TO outbox_event";
        if ConnectionTrait::get_database_backend(&txn) == sea_orm::DbBackend::MySql {
            // Outside, because DDL commits; without waiting for the transaction, which has not touched the table.
            outbox.inner().execute_unprepared(rename).await.unwrap();
        } else {
            txn.execute_unprepared(rename).await.unwrap();
        }
        let error = txn.commit().await.unwrap_err();
        assert!(OutboxError::of(&error).is_none(), "the database's own error is passed on: {error}");
        if outbox.inner().get_database_backend() == sea_orm::DbBackend::MySql {
            outbox.inner().execute_unprepared(back).await.unwrap();
        }
        assert_eq!(db.seen().await, Seen::both(&[]));
    }
}
