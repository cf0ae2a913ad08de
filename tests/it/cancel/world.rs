//! What must hold after every call.

use std::sync::Arc;
use std::time::Duration;

use outbox_core::store::Store;
use outbox_sea_orm::migration::Migrator;
use outbox_sea_orm::{Outbox, OutboxTransaction, SeaOrmStore};
use outbox_tests::ledger::Entered;
use outbox_tests::{Kind, Role, TestDatabase, eventually};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement, TransactionTrait};
use uuid::Uuid;

use super::Left;

/// How long anything may take that goes on in the background.
const PATIENCE: Duration = Duration::from_secs(15);

/// A database, and the pool through which functions are called.
#[derive(Clone)]
pub(super) struct World {
    pub(super) db: Arc<TestDatabase>,
    pub(super) outbox: Outbox,
    /// Looks on with a connection of its own.
    observer: DatabaseConnection,
    connections: u32,
    /// Who calls the functions; the owner of the tables unless it is said.
    role: Option<Role>,
}

/// Holds all connections of a pool at once, writes a row by each, and says how many the pool has.
macro_rules! use_all {
    ($pool:expr, $most:expr) => {{
        let pool = $pool;
        let mut all = Vec::new();
        for _ in 0..$most {
            all.push(pool.acquire().await.expect("every connection is back in the pool"));
        }
        for connection in &mut all {
            let put = sea_orm::sqlx::query("INSERT INTO probe VALUES (1)").execute(&mut **connection);
            put.await.expect("every connection works");
        }
        (pool.size(), all)
    }};
}

impl World {
    pub(super) async fn new(db: TestDatabase, connections: u32, role: Option<Role>) -> Self {
        let observer = pool(&db, 1, None).await;
        Migrator::up(&observer, None).await.unwrap();
        let table = "(label VARCHAR(100) NOT NULL)";
        for sql in [
            &format!("CREATE TABLE thing {table}"),
            &format!("CREATE TABLE loose {table}"),
            "CREATE TABLE probe (n INT)",
        ] {
            observer.execute_unprepared(sql).await.unwrap();
        }
        put(&observer, "shared").await.unwrap();
        let outbox = Outbox::new(pool(&db, connections, role).await);
        if db.kind() == Kind::MariaDb {
            observer.execute_unprepared("SET SESSION innodb_lock_wait_timeout = 10").await.unwrap();
        }
        Self { db: Arc::new(db), outbox, observer, connections, role }
    }

    /// The same database through a new pool.
    pub(super) async fn with_pool(&self) -> Self {
        Self { outbox: Outbox::new(pool(&self.db, self.connections, self.role).await), ..self.clone() }
    }

    pub(super) fn conn(&self) -> &DatabaseConnection {
        self.outbox.inner()
    }

    pub(super) fn store(&self) -> SeaOrmStore {
        self.outbox.store()
    }

    pub(super) fn backend(&self) -> DbBackend {
        self.db.backend()
    }

    /// No connection is missing, none is in a transaction that nobody ends, no lock is left, and work goes on.
    pub(super) async fn is_well(&self) {
        self.at_rest().await;
        self.next_commits().await;
        self.nothing_is_locked().await;
    }

    /// What the pool lent out came back, and each connection commits what it writes.
    pub(super) async fn at_rest(&self) {
        self.observer.execute_unprepared("DELETE FROM probe").await.unwrap();
        let (db, most) = (self.conn(), self.connections);
        let size = match self.backend() {
            DbBackend::Postgres => {
                let (size, _held) = use_all!(db.get_postgres_connection_pool(), most);
                self.probes_are_seen().await;
                size
            }
            DbBackend::MySql => {
                let (size, _held) = use_all!(db.get_mysql_connection_pool(), most);
                self.probes_are_seen().await;
                size
            }
            _ => {
                let (size, _held) = use_all!(db.get_sqlite_connection_pool(), most);
                self.probes_are_seen().await;
                size
            }
        };
        assert!(size <= most, "{size} of at most {most} connections");
    }

    async fn probes_are_seen(&self) {
        let seen = self.number("SELECT COUNT(*) FROM probe").await;
        assert_eq!(seen, i64::from(self.connections), "a connection was in a transaction, and swallows what it writes");
    }

    async fn next_commits(&self) {
        let label = Uuid::now_v7().to_string();
        let txn = self.outbox.begin().await.unwrap();
        both(&txn, &label).await.unwrap();
        txn.commit().await.unwrap();
        self.left(&label, Left::Both).await;
    }

    /// Another writer gets at every row.
    async fn nothing_is_locked(&self) {
        let txn = self.observer.begin().await.unwrap();
        if self.backend() == DbBackend::Postgres {
            txn.execute_unprepared("SET LOCAL lock_timeout = '10s'").await.unwrap();
        }
        for table in
            ["thing", "loose", "outbox_shard", "outbox_event", "outbox_scheduled", "outbox_dead", "outbox_gate"]
        {
            let sql = match self.backend() {
                DbBackend::Sqlite => "UPDATE thing SET label = label".to_owned(),
                DbBackend::Postgres if table == "outbox_gate" => continue,
                _ => format!("SELECT * FROM {table} FOR UPDATE"),
            };
            txn.execute_unprepared(&sql).await.unwrap_or_else(|error| panic!("{table} is locked: {error}"));
        }
        txn.rollback().await.unwrap();
    }

    /// What is there of the label, now or as soon as the background has ended; then removes it.
    pub(super) async fn left(&self, label: &str, expected: Left) {
        let fits = || async {
            let rows = self.number(&format!("SELECT COUNT(*) FROM thing WHERE label = '{label}'")).await;
            let events = self.events(label).await;
            let fits = match expected {
                Left::Both => (rows, events) == (1, 1),
                Left::Nothing => (rows, events) == (0, 0),
                Left::BothOrNothing => rows == events && rows <= 1,
                Left::Event => (rows, events) == (0, 1),
                Left::EventOrNothing => rows == 0 && events <= 1,
            };
            if fits { Ok(()) } else { Err(format!("{rows} rows and {events} events, not {expected:?}")) }
        };
        eventually(PATIENCE, fits).await;
        self.observer.execute_unprepared(&format!("DELETE FROM thing WHERE label = '{label}'")).await.unwrap();
        for table in ["event", "scheduled", "dead"] {
            let sql = format!("DELETE FROM outbox_{table} WHERE aggregate_id = '{label}'");
            self.observer.execute_unprepared(&sql).await.unwrap();
        }
    }

    /// How often there is an event, wherever it may be.
    pub(super) async fn events(&self, label: &str) -> i64 {
        let count = |table: &str| format!("(SELECT COUNT(*) FROM outbox_{table} WHERE aggregate_id = '{label}')");
        self.number(&format!("SELECT {} + {} + {}", count("event"), count("scheduled"), count("dead"))).await
    }

    /// How many rows of a table belong to the label.
    pub(super) async fn count(&self, table: &str, label: &str) -> i64 {
        self.number(&format!("SELECT COUNT(*) FROM {table} WHERE aggregate_id = '{label}'")).await
    }

    pub(super) async fn number(&self, sql: &str) -> i64 {
        let statement = Statement::from_string(self.backend(), sql);
        self.observer.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
    }

    /// As if no processor had ever been here.
    pub(super) async fn free_shards(&self) {
        self.observer.execute_unprepared("DELETE FROM outbox_processor").await.unwrap();
        self.observer.execute_unprepared("UPDATE outbox_shard SET owner = NULL").await.unwrap();
        self.store().open().await.unwrap();
    }
}

async fn pool(db: &TestDatabase, connections: u32, role: Option<Role>) -> DatabaseConnection {
    let configure = |options: &mut ConnectOptions| {
        options.max_connections(connections).acquire_timeout(PATIENCE);
        if connections > 1 {
            options.map_sqlx_sqlite_opts(|options| options.pragma("journal_mode", "WAL").busy_timeout(PATIENCE));
        }
    };
    match role {
        Some(role) => db.connect_for(role, configure).await,
        None => db.connect(configure).await,
    }
}

pub(super) async fn put(conn: &impl ConnectionTrait, label: &str) -> Result<(), DbErr> {
    conn.execute_unprepared(&format!("INSERT INTO thing VALUES ('{label}')")).await.map(drop)
}

/// A row and an event.
pub(super) async fn both(txn: &OutboxTransaction, label: &str) -> Result<(), DbErr> {
    put(txn, label).await?;
    txn.stage_event(&event(label))?;
    Ok(())
}

pub(super) fn event(label: &str) -> Entered {
    Entered { topic: "things".to_owned(), key: label.to_owned(), version: 1 }
}
