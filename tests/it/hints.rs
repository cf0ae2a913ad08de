//! Hints that come before what they are about can be seen: each must lead to another look, or the event stays behind.
//! Polling is set so that it finds nothing in the time of a test, unless polling is what is tested.

use std::collections::HashSet;
use std::time::Duration;

use outbox_core::{MemoryPublisher, ProcessorHandle, Wake};
use outbox_sea_orm::Outbox;
use outbox_sea_orm::migration::Migrator;
use outbox_tests::ledger::Entered;
use outbox_tests::{Kind, TestDatabase, on_every_database};
use sea_orm::TransactionTrait;
use tokio::task::JoinSet;

const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(120);
const WRITERS: usize = 8;

fn event(writer: usize, n: usize) -> Entered {
    Entered { topic: "things".to_owned(), key: format!("{writer} {n}"), version: 1 }
}

struct Stage {
    db: TestDatabase,
    outbox: Outbox,
    sent: MemoryPublisher,
    wake: Wake,
    processor: ProcessorHandle,
    /// What the writers write altogether.
    events: usize,
}

impl Stage {
    /// With a processor that hears nothing but `wake`, unless it polls.
    async fn new(db: TestDatabase, polls: bool) -> Self {
        Migrator::up(db.connection(), None).await.unwrap();
        // On SQLite writers wait for each other: in the queue of a pool better than by asking the file again and again.
        let outbox = Outbox::new(db.another_pool(if db.kind() == Kind::Sqlite { 1 } else { 10 }).await);
        let (sent, wake) = (MemoryPublisher::new(), Wake::new());
        let reader = Outbox::new(db.another_pool(4).await);
        let processor = reader.processor(sent.clone()).wake(wake.clone());
        let processor = if polls { processor } else { processor.poll_intervals(HOUR, HOUR, HOUR) };
        let events = match db.kind() {
            Kind::Postgres => 20_000,
            Kind::MariaDb => 4_000,
            Kind::Sqlite => 2_000,
        };
        Self { db, outbox, sent, wake, processor: processor.spawn().unwrap(), events }
    }

    /// Many transactions with one event each, by several writers.
    async fn write<F: Future<Output = ()> + Send + 'static>(&self, transaction: fn(Outbox, Wake, Entered) -> F) {
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let (outbox, wake, count) = (self.outbox.clone(), self.wake.clone(), self.events / WRITERS);
            writers.spawn(async move {
                for n in 0..count {
                    transaction(outbox.clone(), wake.clone(), event(writer, n)).await;
                }
            });
        }
        while let Some(done) = writers.join_next().await {
            done.unwrap();
        }
    }

    async fn all_arrive(self) {
        let messages = self.sent.wait_for(self.events, PATIENCE).await.unwrap();
        let keys: HashSet<_> = messages.iter().map(|message| message.envelope.key.clone()).collect();
        assert_eq!((messages.len(), keys.len()), (self.events, self.events), "each of them once");
        self.processor.shutdown().await.unwrap();
        drop(self.db);
    }
}

/// The hint comes when the rows are written and not yet committed.
async fn hint_before_commit(outbox: Outbox, wake: Wake, event: Entered) {
    let txn = outbox.begin().await.unwrap();
    txn.stage_event(&event).unwrap();
    txn.flush().await.unwrap();
    wake.wake();
    // Whoever was woken reads now.
    tokio::task::yield_now().await;
    txn.commit().await.unwrap();
}

/// The same for an event that is due a little later.
async fn delayed_hint_before_commit(outbox: Outbox, wake: Wake, event: Entered) {
    let txn = outbox.begin().await.unwrap();
    txn.stage_event_with(&event, |options| options.delay(Duration::from_millis(300))).unwrap();
    txn.flush().await.unwrap();
    wake.wake();
    txn.commit().await.unwrap();
}

/// What recording in a transaction that is not ours does by itself: nobody hears of its commit.
async fn record_in_a_plain_transaction(outbox: Outbox, wake: Wake, event: Entered) {
    let txn = outbox.inner().begin().await.unwrap();
    outbox.record(&txn, &event).await.unwrap();
    // The processor has the wake of another outbox.
    wake.wake();
    txn.commit().await.unwrap();
}

async fn no_hint(outbox: Outbox, _: Wake, event: Entered) {
    let txn = outbox.begin().await.unwrap();
    txn.stage_event(&event).unwrap();
    txn.commit().await.unwrap();
}

on_every_database! {
    async fn a_hint_before_the_commit_is_enough(db: TestDatabase) {
        let stage = Stage::new(db, false).await;
        stage.write(hint_before_commit).await;
        stage.all_arrive().await;
    }

    async fn a_hint_before_the_commit_of_a_delayed_event_is_enough(db: TestDatabase) {
        let mut stage = Stage::new(db, false).await;
        stage.events /= 10;
        stage.write(delayed_hint_before_commit).await;
        stage.all_arrive().await;
    }

    async fn the_hint_of_a_record_is_enough(db: TestDatabase) {
        let mut stage = Stage::new(db, false).await;
        stage.events /= 4;
        stage.write(record_in_a_plain_transaction).await;
        stage.all_arrive().await;
    }

    async fn polling_finds_what_nobody_hinted_at(db: TestDatabase) {
        let mut stage = Stage::new(db, true).await;
        stage.events /= 4;
        stage.write(no_hint).await;
        stage.all_arrive().await;
    }

    async fn polling_and_early_hints_find_everything(db: TestDatabase) {
        let mut stage = Stage::new(db, true).await;
        if stage.db.kind() != Kind::Postgres {
            stage.events /= 2;
        }
        stage.write(hint_before_commit).await;
        stage.all_arrive().await;
    }
}

/// One event alone, with a transaction that commits long after its hint: there is no later hint to help.
#[tokio::test(flavor = "multi_thread")]
async fn one_hint_long_before_its_commit_is_enough() {
    let Some(db) = outbox_tests::postgres().await else { return };
    let mut stage = Stage::new(db, false).await;
    stage.events = 1;
    let txn = stage.outbox.begin().await.unwrap();
    txn.stage_event(&event(0, 0)).unwrap();
    txn.flush().await.unwrap();
    stage.wake.wake();
    tokio::time::sleep(Duration::from_millis(700)).await;
    txn.commit().await.unwrap();
    stage.all_arrive().await;
}
