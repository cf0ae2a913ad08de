//! A processor whose connection falls silent in the middle of a transaction.

use std::time::Duration;

use futures_util::poll;
use outbox_core::store::Fate;
use outbox_tests::{TestDatabase, eventually, on_every_server};
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
