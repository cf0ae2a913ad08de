//! A large backlog that cannot go is ahead of what can.

use std::time::Duration;

use outbox_core::processor::ProcessorBuilder;
use outbox_core::store::{Admin, StoreStats};
use outbox_core::testing::{Fault, FaultyPublisher};
use outbox_core::{MemoryPublisher, Message, OnDeath, ProcessorHandle, RetryPolicy};
use outbox_sea_orm::Outbox;
use outbox_sea_orm::migration::Migrator;
use outbox_tests::ledger::Entered;
use outbox_tests::{Kind, Role, TestDatabase, eventually, on_every_database};
use sea_orm::{ConnectionTrait, Statement};

use crate::delivery::operator;

const DEADLINE: Duration = Duration::from_secs(300);
/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(24 * 3600);
const HEALTHY: usize = 1_000;

struct Backlog {
    db: TestDatabase,
    outbox: Outbox,
    events: usize,
    keys: usize,
}

impl Backlog {
    /// So many blocked events with so many keys, and then the healthy ones.
    async fn of(db: TestDatabase, events: usize, keys: usize) -> Self {
        Migrator::up(db.connection(), None).await.unwrap();
        let outbox = Outbox::new(db.pool(Role::Service).await);
        let this = Self { db, outbox, events, keys };
        this.stage("blocked", this.events, this.keys).await;
        this.stage("healthy", HEALTHY, HEALTHY / 10).await;
        this
    }

    /// Large on PostgreSQL, smaller where the servers of the tests would take minutes.
    async fn large(db: TestDatabase) -> Self {
        match db.kind() {
            Kind::Postgres => Self::of(db, 100_000, 10_000).await,
            Kind::MariaDb | Kind::Sqlite => Self::of(db, 10_000, 1_000).await,
        }
    }

    async fn stage(&self, topic: &str, events: usize, keys: usize) {
        for chunk in (0..events).collect::<Vec<_>>().chunks(2_000) {
            let txn = self.outbox.begin().await.unwrap();
            for n in chunk {
                let (topic, key) = (topic.to_owned(), format!("{topic}-{}", n % keys));
                txn.stage_event(&Entered { topic, key, version: (n / keys) as i64 }).unwrap();
            }
            txn.commit().await.unwrap();
        }
    }

    fn start(&self, fault: Fault, policy: RetryPolicy, most_held: usize) -> (MemoryPublisher, ProcessorHandle) {
        self.start_with(fault, |builder| builder.retry(policy).max_held(most_held))
    }

    fn start_with(
        &self,
        fault: Fault,
        configure: impl FnOnce(ProcessorBuilder) -> ProcessorBuilder,
    ) -> (MemoryPublisher, ProcessorHandle) {
        let received = MemoryPublisher::new();
        let blocked = |message: &Message| message.envelope.topic == "blocked";
        let publisher = FaultyPublisher::new(received.clone()).when(blocked, fault);
        (received, configure(self.outbox.processor(publisher)).spawn().unwrap())
    }

    async fn count(&self, table: &str) -> usize {
        let sql = Statement::from_string(self.db.backend(), format!("SELECT COUNT(*) FROM {table}"));
        let row = self.db.connection().query_one_raw(sql).await.unwrap().unwrap();
        row.try_get_by_index::<i64>(0).unwrap() as usize
    }

    /// All healthy ones arrive, in order, and none of the others is gone.
    async fn healthy_arrive(&self, received: &MemoryPublisher) {
        let messages = received.wait_for(HEALTHY, DEADLINE).await.unwrap();
        assert_eq!(messages.len(), HEALTHY);
        for key in 0..HEALTHY / 10 {
            let key = format!("healthy-{key}");
            let of_key = messages.iter().filter(|message| message.envelope.key.as_deref() == Some(&key));
            let versions: Vec<_> = of_key.map(|message| message.envelope.aggregate_version.unwrap()).collect();
            assert_eq!(versions, (0..10).collect::<Vec<_>>(), "{key}");
        }
        let settled = || async {
            let left = self.count("outbox_event").await + self.count("outbox_dead").await;
            if left == self.events { Ok(()) } else { Err(left) }
        };
        eventually(DEADLINE, settled).await;
    }
}

async fn held(processor: &ProcessorHandle) -> usize {
    processor.snapshot().await.unwrap().held
}

on_every_database! {
    async fn keys_that_wait_for_a_retry_hold_back_nothing_else(db: TestDatabase) {
        let backlog = Backlog::large(db).await;
        let (received, processor) = backlog.start(Fault::Reject, RetryPolicy::fixed(LONG), 100_000);
        backlog.healthy_arrive(&received).await;
        assert_eq!(backlog.count("outbox_event").await, backlog.events, "all of the others are still there");
        // One rejection per key, and an entry for each: nothing per event.
        let rejected = || async { held(&processor).await == backlog.keys };
        eventually(DEADLINE, rejected).await;
        assert_eq!(backlog.count("outbox_event WHERE attempts = 1").await, backlog.keys);
        processor.shutdown().await.unwrap();
    }

    async fn keys_that_are_parked_hold_back_nothing_else(db: TestDatabase) {
        let backlog = Backlog::large(db).await;
        let policy = RetryPolicy::never().on_death(OnDeath::ParkKey);
        let (received, processor) = backlog.start(Fault::Reject, policy, 100_000);
        backlog.healthy_arrive(&received).await;
        let aside = || async {
            let left = backlog.count("outbox_event").await;
            if left == 0 { Ok(()) } else { Err(left) }
        };
        eventually(DEADLINE, aside).await;
        assert_eq!(backlog.count("outbox_parked").await, backlog.keys);
        assert_eq!(backlog.count("outbox_dead").await, backlog.events);
        // The tables remember who is parked; the processor need not.
        eventually(DEADLINE, || async { held(&processor).await == 0 }).await;
        processor.shutdown().await.unwrap();
    }

    async fn a_topic_that_is_paused_holds_back_nothing_else(db: TestDatabase) {
        let backlog = Backlog::large(db).await;
        // As many keys as there may be entries and more: a topic needs none for its keys.
        let (received, processor) = backlog.start(Fault::Unreachable, RetryPolicy::never(), backlog.keys / 10);
        backlog.healthy_arrive(&received).await;
        assert_eq!(backlog.count("outbox_event WHERE attempts = 0").await, backlog.events);
        let snapshot = processor.snapshot().await.unwrap();
        assert!(snapshot.paused.iter().any(|(topic, _)| topic == "blocked"), "{snapshot:?}");
        assert!(snapshot.held <= backlog.keys / 10, "{snapshot:?}");
        processor.shutdown().await.unwrap();
    }

    /// What `max_held` is for, and its price: no more is remembered, and nothing new is read until something can go.
    async fn more_blocked_keys_than_may_be_held_are_worked_off(db: TestDatabase) {
        const MOST: usize = 100;
        let backlog = Backlog::of(db, 2_000, 1_000).await;
        let policy = RetryPolicy::fixed(Duration::from_millis(50)).max_attempts(2);
        let configure = |builder: ProcessorBuilder| builder.retry(policy).max_held(MOST).window(50).batch_size(50);
        let (received, processor) = backlog.start_with(Fault::Reject, configure);
        let operator = operator(&backlog.db).await;
        let mut most = 0;
        while received.messages().len() < HEALTHY || backlog.count("outbox_dead").await < backlog.events {
            let stats: StoreStats = operator.stats().await.unwrap();
            most = most.max(held(&processor).await);
            assert!(processor.is_running(), "{stats:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // It is looked at before a read. On top comes what was queued and published then, a batch and a window, and what
        // is read: a batch, or a few of each shard, once of what is new and once of what was held. Each counts twice, for
        // its key and itself.
        assert!((1..=MOST + 2 * (50 + 50 + 2 * 80)).contains(&most), "held {most}");
        assert_eq!(received.messages().len(), HEALTHY);
        processor.shutdown().await.unwrap();
    }
}
