//! Hints that come before what they are about can be seen: each must lead to another look, or the event stays behind.
//! Polling is set so that it finds nothing in the time of a test, unless polling is what is tested.

use std::collections::HashSet;
use std::time::Duration;

use outbox_core::processor::ProcessorBuilder;
use outbox_core::{MemoryPublisher, ProcessorHandle, Wake};
use outbox_sea_orm::Outbox;
use outbox_sea_orm::migration::Migrator;
use outbox_tests::ledger::Entered;
use outbox_tests::{Kind, Role, TestDatabase, on_every_database, postgres};
use sea_orm::{ConnectionTrait, DbBackend, SqliteTransactionMode, TransactionOptions, TransactionTrait};
use tokio::task::JoinSet;

use crate::notify::{notifying, until_it_listens};

const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(120);
const WRITERS: usize = 8;
const LATE: Duration = Duration::from_millis(100);

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
        let reader = Outbox::new(db.another_pool_for(Role::Processor, 4).await);
        Self::with_reader(db, &reader, polls).await
    }

    /// With one of the writers' own outbox, which hears nothing but what that one says by itself.
    async fn of_one_outbox(db: TestDatabase) -> Self {
        Migrator::up(db.connection(), None).await.unwrap();
        let outbox = writers(&db, Role::Service).await;
        Self::with(db, outbox.clone(), |sent| outbox.processor(sent).poll_intervals(HOUR, HOUR, HOUR))
    }

    /// With one that listens to what the database tells it, for writers of another process.
    async fn listening(db: TestDatabase) -> Self {
        Migrator::up(db.connection(), None).await.unwrap();
        let reader = notifying(db.another_pool_for(Role::Processor, 4).await);
        let stage = Self::with_reader(db, &reader, false).await;
        until_it_listens(&stage.db).await;
        stage
    }

    async fn with_reader(db: TestDatabase, reader: &Outbox, polls: bool) -> Self {
        let (outbox, wake) = (writers(&db, Role::Writer).await, Wake::new());
        let processor = |sent| {
            let processor = reader.processor(sent).wake(wake.clone());
            if polls { processor } else { processor.poll_intervals(HOUR, HOUR, HOUR) }
        };
        Self { wake: wake.clone(), ..Self::with(db, outbox, processor) }
    }

    fn with(db: TestDatabase, outbox: Outbox, processor: impl FnOnce(MemoryPublisher) -> ProcessorBuilder) -> Self {
        let sent = MemoryPublisher::new();
        let processor = processor(sent.clone()).spawn().unwrap();
        let events = match db.kind() {
            Kind::Postgres => 20_000,
            Kind::MariaDb => 4_000,
            Kind::Sqlite => 800,
        };
        Self { db, outbox, sent, wake: Wake::new(), processor, events }
    }

    /// Many transactions with one event each, by several writers.
    async fn write<F: Future<Output = ()> + Send + 'static>(&self, transaction: fn(Outbox, Hint, Entered) -> F) {
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let (outbox, wake, count) = (self.outbox.clone(), self.wake.clone(), self.events / WRITERS);
            writers.spawn(async move {
                for n in 0..count {
                    // Behind the last ones there comes no hint that could help them.
                    let late = if n + 1 == count { LATE } else { Duration::ZERO };
                    transaction(outbox.clone(), Hint { wake: wake.clone(), late }, event(writer, n)).await;
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

/// The outbox of all writers. On SQLite they wait for each other: in the queue of a pool better than by asking the file
/// again and again.
async fn writers(db: &TestDatabase, role: Role) -> Outbox {
    Outbox::new(db.another_pool_for(role, if db.kind() == Kind::Sqlite { 1 } else { 10 }).await)
}

/// A hint, and how long it comes before the commit at least.
struct Hint {
    wake: Wake,
    late: Duration,
}

impl Hint {
    /// Whoever is woken reads before the commit.
    async fn give(self) {
        self.wake.wake();
        self.was_given().await;
    }

    /// The same where somebody else has given it.
    async fn was_given(self) {
        tokio::task::yield_now().await;
        tokio::time::sleep(self.late).await;
    }
}

/// The hint comes when the rows are written and not yet committed.
async fn hint_before_commit(outbox: Outbox, hint: Hint, event: Entered) {
    let txn = outbox.begin().await.unwrap();
    txn.stage_event(&event).unwrap();
    txn.flush().await.unwrap();
    hint.give().await;
    txn.commit().await.unwrap();
}

/// The same for an event that is due a little later.
async fn delayed_hint_before_commit(outbox: Outbox, hint: Hint, event: Entered) {
    let txn = outbox.begin().await.unwrap();
    txn.stage_event_with(&event, |options| options.delay(Duration::from_millis(300))).unwrap();
    txn.flush().await.unwrap();
    hint.give().await;
    txn.commit().await.unwrap();
}

/// What recording in a transaction that is not ours does by itself: nobody hears of its commit.
async fn record_in_a_plain_transaction(outbox: Outbox, hint: Hint, event: Entered) {
    // SQLite refuses at once to make a writer of a transaction that has read what another one has changed since.
    let sqlite_transaction_mode =
        (outbox.inner().get_database_backend() == DbBackend::Sqlite).then_some(SqliteTransactionMode::Immediate);
    let options = TransactionOptions { sqlite_transaction_mode, ..TransactionOptions::default() };
    let txn = outbox.inner().begin_with_options(options).await.unwrap();
    outbox.record(&txn, &event).await.unwrap();
    hint.was_given().await;
    txn.commit().await.unwrap();
}

/// Somebody else's notification, as its commit came earlier.
async fn notification_before_commit(outbox: Outbox, hint: Hint, event: Entered) {
    let txn = outbox.begin().await.unwrap();
    txn.stage_event(&event).unwrap();
    txn.flush().await.unwrap();
    outbox.inner().execute_unprepared("NOTIFY \"outbox_event\"").await.unwrap();
    hint.give().await;
    txn.commit().await.unwrap();
}

async fn no_hint(outbox: Outbox, _: Hint, event: Entered) {
    let txn = outbox.begin().await.unwrap();
    txn.stage_event(&event).unwrap();
    txn.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_before_the_commit_is_enough() {
    let Some(db) = postgres().await else { return };
    let mut stage = Stage::listening(db).await;
    stage.events /= 4;
    stage.write(notification_before_commit).await;
    stage.all_arrive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notifications_of_commits_are_enough() {
    let Some(db) = postgres().await else { return };
    let mut stage = Stage::listening(db).await;
    stage.events /= 4;
    stage.outbox = notifying(stage.outbox.inner().clone());
    stage.write(no_hint).await;
    stage.all_arrive().await;
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
        let mut stage = Stage::of_one_outbox(db).await;
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
