//! MariaDB: every writer holds a row of the gate, from before it has numbers to the end of its transaction.

use sea_orm::{ConnectionTrait, TransactionSession, TransactionTrait};

use crate::fixtures::{Thing, early, texts, waits};

/// The slots that somebody holds.
async fn held(conn: &impl TransactionTrait) -> Vec<i64> {
    let mut held = Vec::new();
    for slot in 0..16 {
        let txn = conn.begin().await.unwrap();
        let lock = format!("SELECT slot FROM outbox_gate WHERE slot = {slot} FOR UPDATE NOWAIT");
        if txn.execute_unprepared(&lock).await.is_err() {
            held.push(slot);
        }
        txn.rollback().await.unwrap();
    }
    held
}

on_databases! { [mariadb]
    async fn one_row_is_held_until_the_end(db) {
        let (outbox, reader) = (db.outbox().await, db.owner().await);
        for end in ["commit", "rollback"] {
            let txn = outbox.begin().await.unwrap();
            txn.stage_all([Thing::new("a"), Thing::new("b")]).unwrap();
            assert_eq!(held(&reader).await, [0; 0]);
            txn.flush().await.unwrap();
            assert_eq!(held(&reader).await.len(), 1);
            // Also in a savepoint that rolls back: the number it had may not come from below.
            let inner = txn.begin().await.unwrap();
            early(&inner, &Thing::new("c")).await.unwrap();
            inner.rollback().await.unwrap();
            assert!(!held(&reader).await.is_empty());
            if end == "commit" { txn.commit().await.unwrap() } else { txn.rollback().await.unwrap() }
            assert_eq!(held(&reader).await, [0; 0]);
        }
    }

    async fn it_is_held_whatever_the_isolation_level(db) {
        use sea_orm::IsolationLevel::{ReadCommitted, ReadUncommitted, RepeatableRead, Serializable};
        let (outbox, reader) = (db.outbox().await, db.owner().await);
        for level in [ReadUncommitted, ReadCommitted, RepeatableRead, Serializable] {
            let txn = outbox.begin_with_config(Some(level), None).await.unwrap();
            early(&txn, &Thing::new("a")).await.unwrap();
            assert_eq!(held(&reader).await.len(), 1, "{level}");
            txn.commit().await.unwrap();
        }
    }

    async fn numbers_come_after_the_gate(db) {
        let (outbox, reader) = (db.outbox().await, db.owner().await);
        let gate = reader.begin().await.unwrap();
        gate.execute_unprepared("SELECT slot FROM outbox_gate FOR UPDATE").await.unwrap();
        let txn = outbox.begin().await.unwrap();
        txn.stage_event(&Thing::new("late")).unwrap();
        let commit = tokio::spawn(txn.commit());
        while !waits(&reader).await {
            assert!(!commit.is_finished());
        }
        // A row that passes the gate by: it gets the first number.
        reader
            .execute_unprepared(
                "INSERT INTO outbox_event (shard, id, aggregate_type, event_type, event_version, topic, content_type, \
                 headers, created_at, payload) VALUES (0, '0123456789abcdef', 'a', 'e', 1, 't', 'c', '[]', 1, 'early')",
            )
            .await
            .unwrap();
        gate.rollback().await.unwrap();
        commit.await.unwrap().unwrap();
        let order = texts(&reader, "SELECT payload FROM outbox_event ORDER BY seq").await;
        assert_eq!(order, ["early", "\"late\""]);
    }
}
