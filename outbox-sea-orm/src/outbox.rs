//! The entry: a connection whose transactions carry events.

use std::fmt;
use std::sync::{Arc, OnceLock};

use outbox_core::{Envelope, EventId, EventOptions, OutboxEvent, Wake};
use outbox_migration::{Payload, SchemaInfo, TableNames, check};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseConnectionType, DbBackend, DbErr, RuntimeErr};

use crate::config::{Config, OutboxBuilder};
use crate::error::{OutboxError, StageError};
use crate::flush::Sql;
#[cfg(feature = "postgres")]
use crate::notify::Sender;
use crate::record;

/// A database connection whose transactions carry events.
///
/// It takes the place of a [`DatabaseConnection`] in a program: it implements SeaORM's `ConnectionTrait`,
/// `TransactionTrait` and `StreamTrait`, and code that is generic over these works with it unchanged, nested saves of
/// `ActiveModelEx` included. Cheap to clone. There is no `Deref` to the connection inside, because a transaction begun
/// on that one takes no events; [`inner`](Self::inner) gives it to those who need it, such as a migrator.
///
/// ```no_run
/// # use outbox_core::OutboxEvent;
/// # use outbox_sea_orm::Outbox;
/// # async fn run(db: sea_orm::DatabaseConnection, event: impl OutboxEvent) -> Result<(), sea_orm::DbErr> {
/// let outbox = Outbox::new(db);
/// let txn = outbox.begin().await?;
/// // .. any SeaORM call with `&txn` ..
/// txn.stage_event(&event)?;
/// txn.commit().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Outbox {
    db: DatabaseConnection,
    shared: Arc<Shared>,
}

/// What an outbox and its transactions have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) backend: DbBackend,
    pub(crate) sql: Sql,
    wake: Wake,
    #[cfg(feature = "postgres")]
    notify: Option<Sender>,
    meta: OnceLock<SchemaInfo>,
}

/// The database behind a connection. SeaORM panics when it is asked this of one that was never made; any call on it
/// fails, whatever we take it for.
pub(crate) fn backend_of(db: &DatabaseConnection) -> DbBackend {
    connected(db).map_or(DbBackend::Sqlite, ConnectionTrait::get_database_backend)
}

/// For whatever asks the connection itself.
pub(crate) fn connected(db: &DatabaseConnection) -> Result<&DatabaseConnection, DbErr> {
    if matches!(db.inner, DatabaseConnectionType::Disconnected) {
        return Err(DbErr::Conn(RuntimeErr::Internal("Disconnected: the connection was never made".to_owned())));
    }
    Ok(db)
}

impl Outbox {
    /// An outbox with the tables `outbox_*` of the connection's own schema, and defaults for everything else.
    ///
    /// Nothing is read or written: the tables are looked at before the first commit with events, or by
    /// [`check`](Self::check).
    #[must_use]
    pub fn new(db: DatabaseConnection) -> Self {
        Self::with(db, Config::default())
    }

    /// An outbox with other tables or settings.
    pub fn builder(db: DatabaseConnection) -> OutboxBuilder {
        OutboxBuilder::new(db)
    }

    pub(crate) fn with(db: DatabaseConnection, config: Config) -> Self {
        let notify = config.notify;
        let mut shared = Shared::new(config, backend_of(&db));
        if notify {
            shared.notify_through(&db);
        }
        Self { db, shared: Arc::new(shared) }
    }

    /// The connection inside. Transactions begun on it take no events.
    #[must_use]
    pub fn inner(&self) -> &DatabaseConnection {
        &self.db
    }

    /// Where the tables are.
    #[must_use]
    pub fn names(&self) -> &TableNames {
        &self.shared.config.names
    }

    /// Is woken after every commit of this process that had events.
    #[must_use]
    pub fn wake(&self) -> Wake {
        self.shared.wake.clone()
    }

    /// Makes sure that the tables are there and that this version can use them: for the start of a program.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Schema`], which says what to run, inside the `DbErr`.
    pub async fn check(&self) -> Result<SchemaInfo, DbErr> {
        self.shared.meta(connected(&self.db)?).await
    }

    /// Writes an event into this outbox's tables through any connection to the same database: for transactions that
    /// were not begun on an outbox, and for hooks that may run on one. See [`record`](crate::record()) for what it
    /// does. Processors of this process look more often for a while, so that they find it soon after its commit.
    ///
    /// # Errors
    ///
    /// A [`StageError`] or what the database says, in a `DbErr`.
    pub fn record<'c, C: ConnectionTrait, E: OutboxEvent + ?Sized>(
        &self,
        conn: &'c C,
        event: &E,
    ) -> impl Future<Output = Result<EventId, DbErr>> + Send + use<'c, C, E> {
        record::write(Some(Arc::clone(&self.shared)), conn, record::encode(event, EventOptions::new()))
    }

    /// [`record`](Self::record) with headers, another key or topic, a delay or an id of its own.
    ///
    /// # Errors
    ///
    /// As [`record`](Self::record).
    pub fn record_with<'c, C: ConnectionTrait, E: OutboxEvent + ?Sized, O: FnOnce(EventOptions) -> EventOptions>(
        &self,
        conn: &'c C,
        event: &E,
        options: O,
    ) -> impl Future<Output = Result<EventId, DbErr>> + Send + use<'c, C, E, O> {
        record::write(Some(Arc::clone(&self.shared)), conn, record::encode(event, options(EventOptions::new())))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    /// Without a connection of its own it tells nobody but this process of commits.
    pub(crate) fn new(config: Config, backend: DbBackend) -> Self {
        let sql = Sql::new(&config.names, backend);
        Self {
            config,
            backend,
            sql,
            wake: Wake::new(),
            #[cfg(feature = "postgres")]
            notify: None,
            meta: OnceLock::new(),
        }
    }

    #[cfg(feature = "postgres")]
    fn notify_through(&mut self, db: &DatabaseConnection) {
        self.notify = Some(Sender::new(db, &self.config.names));
    }

    #[cfg(not(feature = "postgres"))]
    fn notify_through(&mut self, _: &DatabaseConnection) {}

    /// Tells processors, of this process and of others, that there may be work.
    pub(crate) fn announce(&self) {
        self.wake.wake();
        #[cfg(feature = "postgres")]
        if let Some(notify) = &self.notify {
            notify.send();
        }
    }

    /// Encodes and checks everything that can be checked without the database.
    pub(crate) fn encode(
        &self,
        event: &(impl OutboxEvent + ?Sized),
        options: EventOptions,
    ) -> Result<Envelope, StageError> {
        let envelope = self.config.encode(event, options)?;
        if let Some(meta) = self.meta.get() {
            fits(&envelope, meta)?;
        }
        Ok(envelope)
    }

    /// Does for an event that was encoded without an outbox what is particular to this one.
    pub(crate) fn adopt(&self, envelope: Envelope) -> Result<Envelope, StageError> {
        let envelope = self.config.adopt(envelope)?;
        if let Some(meta) = self.meta.get() {
            fits(&envelope, meta)?;
        }
        Ok(envelope)
    }

    /// What the tables say about themselves, read once. Through the given connection: with a pool of one there is no
    /// other while a transaction is open.
    pub(crate) async fn meta(&self, conn: &impl ConnectionTrait) -> Result<SchemaInfo, DbErr> {
        if let Some(meta) = self.meta.get() {
            return Ok(meta.clone());
        }
        let meta = check(conn, &self.config.names).await.map_err(OutboxError::schema)?;
        Ok(self.meta.get_or_init(|| meta).clone())
    }
}

/// A text column takes text only, and PostgreSQL's no NUL.
pub(crate) fn fits(envelope: &Envelope, meta: &SchemaInfo) -> Result<(), outbox_core::StageError> {
    let is_text = || {
        let payload = envelope.payload.as_deref().unwrap_or_default();
        !payload.contains(&0) && std::str::from_utf8(payload).is_ok()
    };
    if meta.payload == Payload::Text && !is_text() {
        return Err(outbox_core::StageError::PayloadNotText { event_type: envelope.event_type.to_string() });
    }
    Ok(())
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("db", &self.db).field("names", self.names()).finish_non_exhaustive()
    }
}

const _: fn() = || {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<Outbox>();
};
