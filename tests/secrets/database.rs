//! Passwords of databases.

use std::time::Duration;

use outbox_core::store::{Admin, Store};
use outbox_core::{MemoryPublisher, Wake};
use outbox_sea_orm::Outbox;
use outbox_sea_orm::migration::{Migrator, Options, OutboxMigrator};
use outbox_tests::ledger::Entered;
use outbox_tests::{Role, TestDatabase, eventually, on_every_server};
use sea_orm::{ConnectOptions, Database};

use crate::log::{Shown, times};

const DEADLINE: Duration = Duration::from_secs(30);
const CANNOT_LISTEN: &str = "cannot listen for notifications now";

/// A pool that has not said a word to its server yet.
async fn lazily(url: &str) -> sea_orm::DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.connect_lazy(true).acquire_timeout(Duration::from_secs(2));
    Database::connect(options).await.unwrap()
}

/// With a password that is wrong, and of a server that is not there.
fn unusable(db: &TestDatabase) -> [String; 2] {
    let wrong = db.url_as(Role::Service, "canary-password");
    let nowhere = wrong.rsplit_once('@').map(|(before, _)| format!("{before}@127.0.0.1:1/nowhere")).unwrap();
    [wrong, nowhere]
}

/// What a processor with `notify` listens on is a connection of its own, made with the options of the pool.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_never_shown_by_who_listens() {
    let Some(db) = outbox_tests::postgres().await else { return };
    let mut shown = Shown::nothing();
    Migrator::up(db.connection(), None).await.unwrap();
    db.create_roles().await;
    for url in unusable(&db) {
        let outbox = Outbox::builder(lazily(&url).await).notify(true).build().unwrap();
        shown.debug(&outbox);
        shown.debug(&outbox.store());
        let (store, wake, before) = (outbox.store(), Wake::new(), times(CANNOT_LISTEN));
        tokio::select! {
            () = store.listen(&wake) => panic!("it goes on for ever"),
            () = eventually(DEADLINE, || async { times(CANNOT_LISTEN) > before }) => {}
        }
    }
    shown.check(&["Outbox", "SeaOrmStore"], &[CANNOT_LISTEN]);
}

on_every_server! {
    async fn a_password_is_never_shown(db: TestDatabase) {
        let mut shown = Shown::nothing();
        Migrator::up(db.connection(), None).await.unwrap();
        db.create_roles().await;
        for url in unusable(&db) {
            let outbox = Outbox::new(lazily(&url).await);
            shown.debug(&outbox);
            shown.debug(&outbox.store());
            shown.error(&outbox.begin().await.unwrap_err());
            shown.error(&outbox.check().await.unwrap_err());
            shown.error(&outbox.store().open().await.unwrap_err());
            shown.error(&outbox.store().dead_letters(None, 1).await.unwrap_err());
            shown.error(&OutboxMigrator::new(Options::default()).up(outbox.inner()).await.unwrap_err());
            let processor = outbox.processor(MemoryPublisher::new()).lease(Duration::from_secs(1)).spawn().unwrap();
            shown.debug(&processor);
            tokio::time::sleep(Duration::from_millis(300)).await;
            let report = processor.shutdown().await;
            shown.debug(&report);
            if let Err(error) = report {
                shown.error(&error);
            }
        }
        shown.check(&["Outbox", "SeaOrmStore"], &["cannot be reached yet"]);
    }

    // A right that is missing is said, and nothing else.
    async fn a_missing_right_shows_no_event(db: TestDatabase) {
        let mut shown = Shown::nothing();
        Migrator::up(db.connection(), None).await.unwrap();
        db.create_roles().await;
        let operator = Outbox::new(db.connect_as(Role::Operator).await);
        shown.error(&OutboxMigrator::new(Options::default().prefix("other").unwrap()).up(operator.inner()).await.unwrap_err());
        let writer = Outbox::new(db.connect_as(Role::Writer).await);
        let txn = writer.begin().await.unwrap();
        txn.stage_event(&Entered { topic: "t".to_owned(), key: "canary-key".to_owned(), version: 1 }).unwrap();
        txn.commit().await.unwrap();
        shown.error(&writer.store().pending(0, 1).await.unwrap_err());
        let processor = writer.processor(MemoryPublisher::new()).spawn().unwrap();
        eventually(DEADLINE, || async { processor.snapshot().await.is_none_or(|snapshot| snapshot.database_fails) }).await;
        shown.debug(&processor.snapshot().await);
        shown.debug(&processor.shutdown().await);
        shown.check(&["denied"], &["denied"]);
    }
}
