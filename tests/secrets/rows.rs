//! Rows that cannot be understood, or that the tables refuse, on their way through a processor.

use std::time::Duration;

use outbox_core::MemoryPublisher;
use outbox_core::store::{Admin, Store};
use outbox_sea_orm::Outbox;
use outbox_sea_orm::migration::{Migrator, Options, OutboxMigrator};
use outbox_tests::ledger::Entered;
use outbox_tests::{TestDatabase, eventually, on_every_database};
use sea_orm::ConnectionTrait;

use crate::log::{self, Shown};

const DEADLINE: Duration = Duration::from_secs(60);

fn entered() -> Entered {
    Entered { topic: "t".to_owned(), key: "canary-key".to_owned(), version: 1 }
}

on_every_database! {
    async fn a_row_that_cannot_be_understood_is_never_shown(db: TestDatabase) {
        let mut shown = Shown::nothing();
        Migrator::up(db.connection(), None).await.unwrap();
        let outbox = Outbox::new(log::chatty(&db).await);
        for headers in [r#"{"canary":1}"#, "canary", r#"[["a", 1, "canary"]]"#] {
            let txn = outbox.begin().await.unwrap();
            txn.stage_event(&entered()).unwrap();
            txn.commit().await.unwrap();
            let sql = format!("UPDATE outbox_event SET payload = 'canary', headers = '{headers}' WHERE payload <> 'canary'");
            db.connection().execute_unprepared(&sql).await.unwrap();
        }
        let processor = outbox.processor(MemoryPublisher::new()).spawn().unwrap();
        let store = outbox.store();
        eventually(DEADLINE, || async { store.dead_letters(None, 10).await.unwrap().len() == 3 }).await;
        for letter in store.dead_letters(None, 10).await.unwrap() {
            shown.debug(&(&letter, &letter.reason, &letter.rejections));
        }
        shown.debug(&processor.snapshot().await);
        shown.debug(&processor.shutdown().await);
        shown.check(&["headers break"], &["an event cannot be read and is dead"]);
    }

    /// PostgreSQL quotes a row that a check refuses, in the details of its error.
    async fn a_row_that_the_tables_refuse_is_never_shown(db: TestDatabase) {
        let mut shown = Shown::nothing();
        let migrator = OutboxMigrator::new(Options::default());
        migrator.up(db.connection()).await.unwrap();
        let outbox = Outbox::new(log::chatty(&db).await);
        let txn = outbox.begin().await.unwrap();
        txn.stage_event_with(&entered(), |options| options.delay(Duration::from_millis(1))).unwrap();
        txn.commit().await.unwrap();
        let sql = if db.backend() == sea_orm::DbBackend::Sqlite {
            "CREATE TRIGGER refuse BEFORE INSERT ON outbox_event BEGIN SELECT RAISE(FAIL, 'refused'); END"
        } else {
            "ALTER TABLE outbox_event ADD CONSTRAINT refused CHECK (origin <> 1)"
        };
        db.connection().execute_unprepared(sql).await.unwrap();
        let store = outbox.store();
        let processor = outbox.processor(MemoryPublisher::new()).spawn().unwrap();
        let noticed = || async { processor.snapshot().await.is_some_and(|snapshot| snapshot.database_fails) };
        eventually(DEADLINE, noticed).await;
        shown.debug(&processor.snapshot().await);
        shown.debug(&processor.shutdown().await);
        let (owner, leases) = lease(&store).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        shown.error(&store.promote(owner, &leases, 10).await.unwrap_err());
        shown.check(&["refused"], &["refused"]);
    }
}

/// All shards.
async fn lease(store: &impl Store) -> (uuid::Uuid, Vec<outbox_core::store::Lease>) {
    let processor = uuid::Uuid::now_v7();
    let request = outbox_core::store::LeaseRequest {
        processor,
        name: "by hand".to_owned(),
        ttl: Duration::from_secs(60),
        release: Vec::new(),
        most: 64,
        leaving: false,
        guest: false,
        reach: outbox_core::store::Reach::Works,
        state: "{}".to_owned(),
    };
    (processor, store.lease(request).await.unwrap().held)
}
