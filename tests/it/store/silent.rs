//! A processor whose connection falls silent in the middle of a transaction.

use std::time::Duration;

use futures_util::poll;
use outbox_core::event::{EventId, OrderKey};
use outbox_core::store::{Admin, Fate};
use outbox_sea_orm::SeaOrmStore;
use outbox_tests::{Role, TestDatabase, eventually, on_every_server};
use sea_orm::{ConnectionTrait, Statement};

use super::fixture::Outboxed;
use super::owner::{LONG, Owner, commit, count, lease, only};

const DEADLINE: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(1);

on_every_server! {
    // A database keeps its locks until it learns that the connection is gone, which may take hours. Nobody has to wait
    // for that.
    async fn its_locks_do_not_keep_its_shards_from_others(db: TestDatabase) {
        let outboxed = Outboxed::new(db).await;
        let owner = Owner::of(&outboxed.store, SHORT).await;
        let settle = loop {
            commit(&outboxed, &["1"]).await;
            let (shard, seq, id) = only(&owner, &outboxed.store).await;
            let mut settle = Box::pin(owner.settle(&outboxed.store, shard, seq, id, Fate::Delivered));
            // On a busy machine all answers can be there for one poll, and it comes to its end: again then.
            while poll!(&mut settle).is_pending() && !is_locked(&outboxed, shard).await {}
            if is_locked(&outboxed, shard).await {
                // From now on nobody listens: the future is not dropped, and not polled either.
                break settle;
            }
        };

        let (other, thief) = (outboxed.another_store(), uuid::Uuid::now_v7());
        assert_eq!(lease(&other, thief, LONG).await.len(), 7, "its shard is locked");
        eventually(DEADLINE, || async { lease(&other, thief, LONG).await.len() == 8 }).await;
        assert_eq!(count(&outboxed).await, 1, "what was not committed has not happened");
        drop(settle);
    }

    // Wherever a read hears nothing more, others go on reading, and see everything.
    async fn a_read_that_stands_still_keeps_no_other_from_reading(db: TestDatabase) {
        let outboxed = Outboxed::new(db).await;
        let owner = Owner::of(&outboxed.store, LONG).await;
        let mut still = Vec::new();
        for polls in 1..=6 {
            commit(&outboxed, &["1"]).await;
            let mut read = Box::pin(owner.read(&outboxed.store));
            for _ in 0..polls {
                if poll!(&mut read).is_ready() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            still.push(read);
            let all = || async {
                let reply = tokio::time::timeout(DEADLINE, owner.read(&outboxed.store)).await;
                let reply = reply.expect("a read waits for one that stands still");
                let last = reply.lanes.iter().flat_map(|lane| &lane.rows).map(|row| row.message.seq).max();
                last.is_some_and(|last| reply.decided >= last)
            };
            eventually(DEADLINE, all).await;
        }
    }
}

async fn is_locked(outboxed: &Outboxed, shard: u16) -> bool {
    let table = outboxed.store.names().shard(outboxed.db.backend());
    let sql = format!("SELECT shard FROM {table} WHERE shard = {shard} FOR UPDATE SKIP LOCKED");
    let rows = outboxed.db.connection().query_all_raw(Statement::from_string(outboxed.db.backend(), sql)).await;
    rows.unwrap().is_empty()
}

/// What a processor or an operator sets for a transaction is gone with it, whether it ends well or not: the connection is
/// the program's.
#[tokio::test(flavor = "multi_thread")]
async fn its_limit_does_not_stay_with_the_connection() {
    let Some(db) = outbox_tests::mariadb().await else { return };
    let outboxed = Outboxed::new(db).await;
    let only = outboxed.db.another_pool_for(Role::Operator, 1).await;
    let limit = || async {
        let text = "SELECT CAST(@@SESSION.idle_transaction_timeout AS SIGNED)";
        let row = only.query_one_raw(Statement::from_string(outboxed.db.backend(), text)).await.unwrap().unwrap();
        row.try_get_by_index::<i64>(0).unwrap()
    };
    only.execute_unprepared("SET SESSION idle_transaction_timeout = 77").await.unwrap();
    let operator = SeaOrmStore::new(only.clone(), outboxed.store.names().clone());
    operator.requeue(EventId::new()).await.unwrap_err();
    assert_eq!(limit().await, 77, "after one that was rolled back");
    let key = OrderKey::new("things", "nobody");
    assert_eq!(operator.requeue_key(&key).await.unwrap(), 0);
    assert_eq!(limit().await, 77, "after one that was committed");
}
