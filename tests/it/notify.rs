//! Commits of one process wake the processors of another, on PostgreSQL.
//!
//! The processors here do not poll within the time of a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbox_core::{MemoryPublisher, ProcessorHandle};
use outbox_sea_orm::Outbox;
use outbox_sea_orm::migration::Migrator;
use outbox_tests::{Role, TestDatabase, eventually, postgres};
use sea_orm::sqlx::postgres::PgListener;
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};

use crate::delivery::{entered, stage};

const DEADLINE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn notifying(db: DatabaseConnection) -> Outbox {
    Outbox::builder(db).notify(true).build().unwrap()
}

/// The tables, and an outbox whose processors listen.
async fn outbox(db: &TestDatabase) -> Outbox {
    Migrator::up(db.connection(), None).await.unwrap();
    notifying(db.pool(Role::Service).await)
}

/// Another process, as far as the database can tell: a pool of its own, and nothing shared in memory.
async fn elsewhere(db: &TestDatabase) -> Outbox {
    notifying(db.another_pool_for(Role::Writer, 2).await)
}

fn processor(outbox: &Outbox, received: &MemoryPublisher) -> ProcessorHandle {
    outbox.processor(received.clone()).poll_intervals(HOUR, HOUR, HOUR).spawn().unwrap()
}

/// The connections on which a processor listens for this database.
async fn listening(db: &TestDatabase) -> Vec<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'";
    let rows = db.connection().query_all_raw(Statement::from_string(db.backend(), sql)).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

pub(crate) async fn until_it_listens(db: &TestDatabase) -> i32 {
    eventually(DEADLINE, || async { listening(db).await.first().copied() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_elsewhere_is_noticed_and_a_stop_ends_listening() {
    let Some(db) = postgres().await else { return };
    let (outbox, received) = (outbox(&db).await, MemoryPublisher::new());
    let (processor, elsewhere) = (processor(&outbox, &received), elsewhere(&db).await);
    until_it_listens(&db).await;
    for version in 1..=20 {
        stage(&elsewhere, [entered("t", "key", version)]).await;
        received.wait_for(version as usize, DEADLINE).await.unwrap();
    }
    processor.shutdown().await.unwrap();
    eventually(DEADLINE, || async { listening(&db).await.is_empty() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_while_nobody_listens_is_found_when_somebody_does_again() {
    let Some(db) = postgres().await else { return };
    let (outbox, received) = (outbox(&db).await, MemoryPublisher::new());
    let (processor, elsewhere) = (processor(&outbox, &received), elsewhere(&db).await);
    for version in 1..=3 {
        let connection = until_it_listens(&db).await;
        let end = format!("SELECT pg_terminate_backend({connection})");
        db.connection().execute_unprepared(&end).await.unwrap();
        stage(&elsewhere, [entered("t", "key", version)]).await;
        received.wait_for(version as usize, DEADLINE).await.unwrap();
    }
    processor.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_notifications_there_is_no_further_connection_and_nobody_is_told() {
    let Some(db) = postgres().await else { return };
    drop(outbox(&db).await);
    let quiet = Outbox::new(db.pool(Role::Service).await);
    let received = MemoryPublisher::new();
    let processor = quiet.processor(received.clone()).spawn().unwrap();
    let (heard, _listener) = listener(&db).await;
    stage(&quiet, [entered("t", "key", 1)]).await;
    received.wait_for(1, DEADLINE).await.unwrap();
    assert_eq!(listening(&db).await.len(), 1, "the test's own");
    // A notification of its own comes behind all others.
    stage(&elsewhere(&db).await, [entered("t", "key", 2)]).await;
    eventually(DEADLINE, || async { heard.load(Ordering::SeqCst) == 1 }).await;
    processor.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commits_make_few_notifications_and_the_last_one_is_not_forgotten() {
    const COMMITS: usize = 400;
    let Some(db) = postgres().await else { return };
    let (outbox, received) = (outbox(&db).await, MemoryPublisher::new());
    let processor = processor(&outbox, &received);
    until_it_listens(&db).await;
    let (heard, _listener) = listener(&db).await;
    let elsewhere = notifying(db.another_pool_for(Role::Writer, 8).await);
    let writers = (0..8).map(|writer| {
        let elsewhere = elsewhere.clone();
        tokio::spawn(async move {
            for version in 0..COMMITS / 8 {
                stage(&elsewhere, [entered("t", &format!("key-{writer}"), version as i64)]).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    received.wait_for(COMMITS, DEADLINE).await.unwrap();
    let heard = heard.load(Ordering::SeqCst);
    assert!((1..=COMMITS / 2).contains(&heard), "{heard} notifications of {COMMITS} commits");
    processor.shutdown().await.unwrap();
}

/// Counts notifications, for as long as the set lives.
async fn listener(db: &TestDatabase) -> (Arc<AtomicUsize>, tokio::task::JoinSet<()>) {
    let heard = Arc::new(AtomicUsize::new(0));
    let mut listener = PgListener::connect(db.url()).await.unwrap();
    listener.listen("outbox_event").await.unwrap();
    let (count, mut listening) = (Arc::clone(&heard), tokio::task::JoinSet::new());
    listening.spawn(async move {
        while let Ok(notification) = listener.recv().await {
            count.fetch_add(usize::from(notification.payload().is_empty()), Ordering::SeqCst);
        }
    });
    (heard, listening)
}
