//! Tables that are dropped and made again, with another shard count, under a processor that runs.

use std::collections::BTreeMap;
use std::time::Duration;

use outbox_core::event::OrderKey;
use outbox_core::store::{Admin, Fate, Settled, Store};
use outbox_core::{Envelope, MemoryPublisher, Shard};
use outbox_sea_orm::migration::{Options, OutboxMigrator, TableNames};
use outbox_sea_orm::{Outbox, SeaOrmStore};
use outbox_tests::{TestDatabase, eventually, on_every_database};
use sea_orm::{ConnectionTrait, Statement};

use super::fixture::{Outboxed, event, write};
use super::owner::{LONG, Owner, only};

const DEADLINE: Duration = Duration::from_secs(60);
const KEYS: usize = 20;

on_every_database! {
    /// New numbers may end below or beyond the old ones before the processor looks again.
    async fn a_processor_starts_over(db: TestDatabase) {
        let received = MemoryPublisher::new();
        up(&db, 64).await;
        let processor = Outbox::new(db.connection().clone())
            .processor(received.clone())
            .lease(Duration::from_secs(1))
            .spawn()
            .unwrap();
        let mut all = 0;
        for (shards, count) in [(64, 200), (8, 40), (12, 400), (64, 40)] {
            all += count;
            if all > count {
                eventually(DEADLINE, || async { pending(&db).await == 0 }).await;
                OutboxMigrator::new(Options::default()).down(db.connection()).await.unwrap();
                up(&db, shards).await;
            }
            commit(&db, count).await;
            let messages = received.wait_for(all, DEADLINE).await.unwrap();
            let mut last = BTreeMap::new();
            for message in &messages[all - count..] {
                let body = std::str::from_utf8(message.envelope.payload.as_deref().unwrap()).unwrap();
                let n: usize = body.parse().unwrap();
                let before = last.insert(message.envelope.key.clone().unwrap(), n);
                assert!(before.is_none_or(|before| before < n), "{before:?} before {n}");
            }
            assert_eq!(last.len(), KEYS);
        }
        eventually(DEADLINE, || async { pending(&db).await == 0 }).await;
        assert_eq!(processor.shutdown().await.unwrap().counts.delivered, all as u64);
    }

    async fn an_operator_finds_the_shard_of_a_key(db: TestDatabase) {
        assert_ne!(Shard::of_key("a", 64), Shard::of_key("a", 8));
        up(&db, 64).await;
        let operator = SeaOrmStore::new(db.connection().clone(), TableNames::default());
        operator.open().await.unwrap();
        OutboxMigrator::new(Options::default()).down(db.connection()).await.unwrap();

        let outboxed = Outboxed::new(db).await;
        super::owner::commit(&outboxed, &["1"]).await;
        let owner = Owner::of(&outboxed.store, LONG).await;
        let (shard, seq, id) = only(&owner, &outboxed.store).await;
        let fate = Fate::Dead { attempts: 1, error: "no".to_owned(), park: true };
        assert_eq!(owner.settle(&outboxed.store, shard, seq, id, fate).await, Settled::Done);
        assert_eq!(operator.requeue_key(&OrderKey::new("topic", "a")).await.unwrap(), 1);
        // The owner is told to read the shard again from the start.
        let read = owner.read(&outboxed.store).await;
        let told: Vec<u16> =
            read.lanes.iter().filter(|lane| lane.generation > 0).map(|lane| lane.shard.number()).collect();
        assert_eq!(told, [shard]);
    }
}

async fn up(db: &TestDatabase, shards: u16) {
    OutboxMigrator::new(Options::default().shards(shards).unwrap()).up(db.connection()).await.unwrap();
}

/// In one transaction, so that they are all there at once.
async fn commit(db: &TestDatabase, count: usize) {
    let outbox = Outbox::new(db.connection().clone());
    let events: Vec<Envelope> = (0..count).map(|n| event(&format!("key {}", n % KEYS), &n.to_string())).collect();
    let txn = outbox.begin().await.unwrap();
    write(&txn, outbox.names(), &events).await;
    txn.commit().await.unwrap();
}

async fn pending(db: &TestDatabase) -> i64 {
    let sql = Statement::from_string(db.backend(), "SELECT COUNT(*) FROM outbox_event");
    db.connection().query_one_raw(sql).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}
