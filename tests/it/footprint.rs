//! What a processor takes of the database: few connections, and no transaction while its events are with the broker.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use outbox_core::{Delivery, EventOptions, PublishError, Publisher};
use outbox_sea_orm::Outbox;
use outbox_sea_orm::migration::Migrator;
use outbox_tests::ledger::Entered;
use outbox_tests::{Kind, Role, TestDatabase, eventually, on_every_server};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, Statement, TransactionTrait};
use tokio::sync::watch;

const DEADLINE: Duration = Duration::from_secs(60);
/// Renewed at a third; calls of the database are waited for as long.
const LEASE: Duration = Duration::from_secs(30);
/// MariaDB shows an old list of transactions to whoever asks within 100 ms of the last one who did.
const UNASKED: Duration = Duration::from_millis(150);
/// As docs/operations.md says.
const MOST_CONNECTIONS: usize = 4;
const EVENTS: usize = 20;

/// Neither returns nor reports before it may; says how many messages it has.
#[derive(Debug, Clone)]
struct Slow {
    may: Arc<watch::Sender<bool>>,
    has: Arc<watch::Sender<usize>>,
}

impl Slow {
    fn new() -> Self {
        Self { may: Arc::new(watch::Sender::new(false)), has: Arc::new(watch::Sender::new(0)) }
    }

    fn has(&self) -> usize {
        *self.has.borrow()
    }
}

#[async_trait]
impl Publisher for Slow {
    async fn publish(&self, batch: Vec<Delivery>) {
        self.has.send_modify(|has| *has += batch.len());
        // The sender is its own.
        drop(self.may.subscribe().wait_for(|may| *may).await);
        self.has.send_modify(|has| *has -= batch.len());
        batch.into_iter().for_each(Delivery::delivered);
    }

    async fn flush(&self, _deadline: Duration) {}

    async fn check(&self) -> Result<(), PublishError> {
        Ok(())
    }
}

/// A connection that looks at what the others do. All that a test has besides the processor is there before it.
struct Observer {
    db: DatabaseConnection,
    kind: Kind,
    others: BTreeSet<i64>,
}

impl Observer {
    async fn new(db: &TestDatabase) -> Self {
        let mut this = Self { db: db.another_pool(1).await, kind: db.kind(), others: BTreeSet::new() };
        this.others = this.connections().await;
        this
    }

    async fn rows<T>(&self, sql: &str, take: impl Fn(&sea_orm::QueryResult) -> T) -> Vec<T> {
        let statement = Statement::from_string(self.db.get_database_backend(), sql);
        self.db.query_all_raw(statement).await.unwrap().iter().map(take).collect()
    }

    /// Those of the processor, by the server's numbers for them.
    async fn connections(&self) -> BTreeSet<i64> {
        let sql = match self.kind {
            Kind::Postgres => "SELECT pid::bigint FROM pg_stat_activity WHERE datname = current_database()",
            _ => "SELECT CAST(id AS SIGNED) FROM information_schema.processlist WHERE db = DATABASE()",
        };
        let all: BTreeSet<i64> = self.rows(sql, |row| row.try_get_by_index(0).unwrap()).await.into_iter().collect();
        all.difference(&self.others).copied().collect()
    }

    /// The transactions that are open on them: whose, and since when.
    async fn transactions(&self) -> BTreeSet<(i64, String)> {
        if self.kind == Kind::MariaDb {
            tokio::time::sleep(UNASKED).await;
        }
        let sql = match self.kind {
            Kind::Postgres => {
                "SELECT pid::bigint, xact_start::text FROM pg_stat_activity \
                 WHERE datname = current_database() AND xact_start IS NOT NULL"
            }
            _ => {
                "SELECT CAST(p.id AS SIGNED), CAST(CONCAT(t.trx_id, ' ', t.trx_started) AS CHAR) \
                 FROM information_schema.innodb_trx t \
                 JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id WHERE p.db = DATABASE()"
            }
        };
        let take = |row: &sea_orm::QueryResult| (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap());
        let all: Vec<(i64, String)> = self.rows(sql, take).await;
        all.into_iter().filter(|(connection, _)| !self.others.contains(connection)).collect()
    }
}

async fn stage(outbox: &Outbox, label: &str, options: fn(EventOptions) -> EventOptions) {
    let txn = outbox.begin().await.unwrap();
    for n in 0..EVENTS {
        let event = Entered { topic: "t".to_owned(), key: format!("{label}-{n}"), version: 1 };
        txn.stage_event_with(&event, options).unwrap();
    }
    txn.commit().await.unwrap();
}

/// Lets nobody else at the outbox's tables.
async fn lock(db: &DatabaseConnection, kind: Kind) -> Option<DatabaseTransaction> {
    if kind == Kind::Postgres {
        let txn = db.begin().await.unwrap();
        let sql = "LOCK TABLE outbox_shard, outbox_event, outbox_scheduled IN ACCESS EXCLUSIVE MODE";
        txn.execute_unprepared(sql).await.unwrap();
        return Some(txn);
    }
    let sql = "LOCK TABLES outbox_shard WRITE, outbox_event WRITE, outbox_scheduled WRITE";
    db.execute_unprepared(sql).await.unwrap();
    None
}

async fn unlock(db: &DatabaseConnection, locked: Option<DatabaseTransaction>) {
    match locked {
        Some(txn) => txn.rollback().await.unwrap(),
        None => drop(db.execute_unprepared("UNLOCK TABLES").await.unwrap()),
    }
}

on_every_server! {
    async fn no_transaction_is_open_while_something_is_published(db: TestDatabase) {
        Migrator::up(db.connection(), None).await.unwrap();
        let writer = Outbox::new(db.another_pool_for(Role::Writer, 1).await);
        let observer = Observer::new(&db).await;
        let processors = db.another_pool_for(Role::Processor, 10).await;
        let slow = Slow::new();
        let processor = Outbox::new(processors).processor(slow.clone()).wake(writer.wake()).spawn().unwrap();
        stage(&writer, "held", |options| options).await;
        eventually(DEADLINE, || async { slow.has() == EVENTS }).await;
        // Leases go on meanwhile, so transactions come; each of them goes again. Those of three looks, because one that
        // is only held now and then is one too many.
        for _ in 0..3 {
            let open = observer.transactions().await;
            eventually(DEADLINE, || async {
                let still: Vec<_> = observer.transactions().await.intersection(&open).cloned().collect();
                if still.is_empty() { Ok(()) } else { Err(still) }
            })
            .await;
            writer.wake().wake();
        }
        assert_eq!(slow.has(), EVENTS, "the broker has them all the time");
        slow.may.send_replace(true);
        processor.shutdown().await.unwrap();
    }

    // The database answers nothing, so everything that a processor may ask at a time is asked at a time.
    async fn a_processor_uses_few_connections(db: TestDatabase) {
        Migrator::up(db.connection(), None).await.unwrap();
        let writer = Outbox::new(db.another_pool_for(Role::Writer, 1).await);
        let locker = db.another_pool(1).await;
        let observer = Observer::new(&db).await;
        let processors = db.another_pool_for(Role::Processor, 10).await;
        let slow = Slow::new();
        let processor = Outbox::new(processors).processor(slow.clone()).wake(writer.wake()).lease(LEASE);
        let processor = processor.spawn().unwrap();
        stage(&writer, "settled", |options| options).await;
        stage(&writer, "scheduled", |options| options.delay(Duration::from_secs(1))).await;
        eventually(DEADLINE, || async { slow.has() == EVENTS }).await;
        let locked = lock(&locker, db.kind()).await;
        slow.may.send_replace(true);
        // A settle, a read, a move of scheduled events, and before long a renewal of leases.
        let most = Cell::new(0);
        let look = async || {
            writer.wake().wake();
            most.set(observer.connections().await.len().max(most.get()));
            most.get()
        };
        eventually(LEASE, || async { look().await >= MOST_CONNECTIONS }).await;
        for _ in 0..20 {
            look().await;
        }
        assert_eq!(most.get(), MOST_CONNECTIONS);
        unlock(&locker, locked).await;
        processor.shutdown().await.unwrap();
    }
}
