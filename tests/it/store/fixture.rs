//! A database with the outbox's tables, and a store on it.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use outbox_core::event::{Envelope, EventId, HeaderError, Headers};
use outbox_core::store::{Admin, Store};
use outbox_core::testing::contract::store::{Fixture, Open, SHARDS};
use outbox_core::{Encoded, Limits, OutboxEvent};
use outbox_sea_orm::migration::{Options, OutboxMigrator, Payload, TableNames};
use outbox_sea_orm::{Outbox, OutboxTransaction, SeaOrmStore};
use outbox_tests::{Kind, Role, TestDatabase};
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, IsolationLevel, Statement, TransactionOptions,
    Value,
};

/// A database with the outbox's tables.
pub(super) struct Outboxed {
    pub(super) db: TestDatabase,
    pub(super) outbox: Outbox,
    pub(super) store: SeaOrmStore,
    admin: SeaOrmStore,
    processor: DatabaseConnection,
}

impl Outboxed {
    /// With eight shards, and payloads as text.
    pub(super) async fn new(db: TestDatabase) -> Self {
        Self::with(db, Options::default()).await
    }

    /// With eight shards.
    pub(super) async fn with(db: TestDatabase, options: Options) -> Self {
        let options = options.shards(SHARDS).unwrap();
        let names = options.names().clone();
        OutboxMigrator::new(options).up(db.connection()).await.unwrap();
        let mut limits = Limits::default();
        limits.payload_bytes = 2 * 1024 * 1024;
        let outbox = Outbox::builder(db.connection().clone()).limits(limits).build().unwrap();
        let processor = db.pool(Role::Processor).await;
        let store = SeaOrmStore::new(processor.clone(), names.clone());
        let admin = SeaOrmStore::new(db.pool(Role::Operator).await, names);
        store.open().await.unwrap();
        Self { db, outbox, store, admin, processor }
    }

    /// With eight shards, and for processors and operators accounts that may do no more than they must. The events
    /// are written by the owner of the tables, who corrects them afterwards.
    pub(super) async fn with_roles(db: TestDatabase) -> Self {
        let mut this = Self::new(db).await;
        let store = async |role| SeaOrmStore::new(this.db.connect_as(role).await, this.store.names().clone());
        let (processor, operator) = (store(Role::Processor).await, store(Role::Operator).await);
        (this.store, this.admin) = (processor, operator);
        this.store.open().await.unwrap();
        this
    }

    /// Another store on the same tables, as another process would have it.
    pub(super) fn another_store(&self) -> SeaOrmStore {
        SeaOrmStore::new(self.processor.clone(), self.store.names().clone())
    }

    /// A pool of its own with one connection.
    pub(super) async fn one_connection(&self) -> DatabaseConnection {
        let one = |options: &mut ConnectOptions| {
            options.max_connections(1);
        };
        self.db.connect(one).await
    }

    /// Runs SQL in which `{event}` stands for the table.
    pub(super) async fn execute(&self, conn: &impl ConnectionTrait, sql: &str) {
        conn.execute_unprepared(&self.fill(sql)).await.unwrap();
    }

    /// SQL with the names of the tables `{event}`, `{shard}` and `{processor}`.
    pub(super) fn fill(&self, sql: &str) -> String {
        let (names, backend) = (self.store.names(), self.db.backend());
        let sql = sql.replace("{event}", &names.event(backend)).replace("{shard}", &names.shard(backend));
        sql.replace("{processor}", &names.processor(backend))
    }
}

#[async_trait]
impl Fixture for Outboxed {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn admin(&self) -> &dyn Admin {
        &self.admin
    }

    async fn begin(&self, events: Vec<Envelope>) -> Box<dyn Open> {
        // What is corrected below must not lock the gaps around it, where others insert.
        let isolation_level = self.writes_at_once().then_some(IsolationLevel::ReadCommitted);
        let options = TransactionOptions { isolation_level, ..TransactionOptions::default() };
        let txn = self.outbox.begin_with_options(options).await.unwrap();
        write(&txn, self.store.names(), &events).await;
        Box::new(Staged(txn))
    }

    fn writes_at_once(&self) -> bool {
        self.db.kind() != Kind::Sqlite
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time + Duration::from_millis(20)).await;
    }
}

/// Writes events as a program would, but for the time of staging, which staging takes from the clock.
pub(super) async fn write(txn: &OutboxTransaction, names: &TableNames, events: &[Envelope]) {
    for event in events {
        txn.stage_event_with(&Again(event), |mut options| {
            options = options.id(event.id);
            match event.delay {
                Some(delay) => options.delay(delay),
                None => options,
            }
        })
        .unwrap();
    }
    txn.flush().await.unwrap();
    let backend = txn.get_database_backend();
    let marked = |sql: &str, values: Vec<Value>| {
        let postgres = backend == DbBackend::Postgres;
        let sql = if postgres { sql.replacen('?', "$1", 1).replacen('?', "$2", 1) } else { sql.to_owned() };
        Statement::from_sql_and_values(backend, sql, values)
    };
    for event in events {
        let at = event.created_at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros();
        let (at, id) = (Value::from(i64::try_from(at).unwrap()), Value::from(*event.id.as_uuid()));
        let update = if event.delay.is_some() {
            marked(&format!("UPDATE {} SET created_at = ? WHERE id = ?", names.scheduled(backend)), vec![at, id])
        } else {
            // By its primary key: a search would wait for the rows of other transactions.
            let table = names.event(backend);
            let find = marked(&format!("SELECT shard, seq FROM {table} WHERE id = ?"), vec![id]);
            let row = txn.query_one_raw(find).await.unwrap().unwrap();
            let (shard, seq): (i16, i64) = (row.try_get("", "shard").unwrap(), row.try_get("", "seq").unwrap());
            let sql = format!("UPDATE {table} SET created_at = ? WHERE shard = {shard} AND seq = ?");
            marked(&sql, vec![at, seq.into()])
        };
        txn.execute_raw(update).await.unwrap();
    }
}

struct Staged(OutboxTransaction);

#[async_trait]
impl Open for Staged {
    async fn commit(self: Box<Self>) {
        self.0.commit().await.unwrap();
    }

    async fn rollback(self: Box<Self>) {
        self.0.rollback().await.unwrap();
    }
}

/// An event that is to be encoded into exactly this.
pub(super) struct Again<'e>(pub(super) &'e Envelope);

impl OutboxEvent for Again<'_> {
    fn aggregate_type(&self) -> Cow<'_, str> {
        (&*self.0.aggregate_type).into()
    }

    fn aggregate_id(&self) -> Option<Cow<'_, str>> {
        self.0.aggregate_id.as_deref().map(Into::into)
    }

    fn aggregate_version(&self) -> Option<i64> {
        self.0.aggregate_version
    }

    fn event_type(&self) -> Cow<'_, str> {
        (&*self.0.event_type).into()
    }

    fn event_version(&self) -> u32 {
        self.0.event_version
    }

    fn topic(&self) -> Cow<'_, str> {
        (&*self.0.topic).into()
    }

    fn partition_key(&self) -> Option<Cow<'_, str>> {
        self.0.key.as_deref().map(Into::into)
    }

    fn headers(&self, headers: &mut Headers) -> Result<(), HeaderError> {
        self.0.headers.iter().try_for_each(|(name, value)| headers.set(name, value))
    }

    fn encode(&self) -> Result<Encoded, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Encoded { payload: self.0.payload.clone(), content_type: self.0.content_type.to_string() })
    }
}

/// Options for payloads as bytes.
pub(super) fn binary() -> Options {
    Options::default().payload(Payload::Binary)
}

/// An event of a key.
pub(super) fn event(key: &str, body: &str) -> Envelope {
    Envelope {
        id: EventId::new(),
        aggregate_type: "thing".into(),
        aggregate_id: Some(key.into()),
        aggregate_version: None,
        event_type: "thing.happened".into(),
        event_version: 1,
        topic: "topic".into(),
        key: Some(key.into()),
        payload: Some(body.to_owned().into()),
        content_type: Encoded::JSON.into(),
        headers: Headers::new(),
        created_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        delay: None,
    }
}
