use std::str::FromStr;

use anyhow::{Context, bail};
use outbox_sea_orm::Outbox;
use outbox_sea_orm::migration::Migrator;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr, Statement};
use tempfile::TempDir;
use uuid::Uuid;

use super::{address, local_port};
use crate::machine::listener;

/// The databases that a benchmark can run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    MariaDb,
    Sqlite,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mariadb",
            Self::Sqlite => "sqlite",
        }
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        let known = [Self::Postgres, Self::MariaDb, Self::Sqlite].into_iter().find(|kind| kind.name() == name);
        known.with_context(|| format!("there is no database {name:?}: postgres, mariadb or sqlite"))
    }
}

/// A database of our own, with the outbox's tables and one of accounts that transactions change.
#[derive(Debug)]
pub(crate) struct BenchDatabase {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    pub(crate) connection: DatabaseConnection,
    /// The server, when it runs on this machine.
    pub(crate) pid: Option<u32>,
    server: Option<(String, String)>,
    _folder: Option<TempDir>,
}

/// What a database counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Activity {
    pub(crate) transactions: i64,
    pub(crate) rows_changed: i64,
}

impl Activity {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            transactions: self.transactions - before.transactions,
            rows_changed: self.rows_changed - before.rows_changed,
        }
    }
}

/// Rows of `account`.
pub(crate) const ACCOUNTS: usize = 64;

impl BenchDatabase {
    pub(crate) async fn create(kind: Kind) -> anyhow::Result<Self> {
        let variable = match kind {
            Kind::Postgres => "OUTBOX_TEST_POSTGRES_URL",
            Kind::MariaDb => "OUTBOX_TEST_MARIADB_URL",
            Kind::Sqlite => return Self::in_file().await,
        };
        let server = address(variable)?;
        let name = format!("outbox_bench_{}", Uuid::now_v7().simple());
        let admin = connect(&server, 1).await.with_context(|| format!("{variable}: no answer"))?;
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.context("may not create databases")?;
        admin.close().await?;
        let url = with_database(&server, &name);
        let pid = local_port(&server).and_then(listener);
        Self::prepare(kind, url, pid, Some((server, name)), None).await
    }

    async fn in_file() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("bench.sqlite").display());
        Self::prepare(Kind::Sqlite, url, None, None, Some(folder)).await
    }

    async fn prepare(
        kind: Kind,
        url: String,
        pid: Option<u32>,
        server: Option<(String, String)>,
        folder: Option<TempDir>,
    ) -> anyhow::Result<Self> {
        let connection = connect(&url, 4).await?;
        Migrator::up(&connection, None).await.context("cannot make the outbox's tables")?;
        connection.execute_unprepared("CREATE TABLE account (id INTEGER PRIMARY KEY, n BIGINT NOT NULL)").await?;
        for account in 0..ACCOUNTS {
            connection.execute_unprepared(&format!("INSERT INTO account VALUES ({account}, 0)")).await?;
        }
        Ok(Self { kind, url, connection, pid, server, _folder: folder })
    }

    pub(crate) fn outbox(&self) -> Outbox {
        Outbox::new(self.connection.clone())
    }

    /// Another pool, as another process would have it.
    pub(crate) async fn connect(&self, connections: u32) -> Result<DatabaseConnection, DbErr> {
        connect(&self.url, connections).await
    }

    /// Lets the server write now what it would write in the middle of the next measurement.
    pub(crate) async fn settle_down(&self) -> Result<(), DbErr> {
        if self.kind == Kind::Postgres {
            self.connection.execute_unprepared("VACUUM (ANALYZE) outbox_event").await?;
            self.connection.execute_unprepared("CHECKPOINT").await?;
        }
        Ok(())
    }

    /// Bytes of write-ahead log ever written; `None` where the database does not say.
    pub(crate) async fn wal_bytes(&self) -> Result<Option<i64>, DbErr> {
        if self.kind != Kind::Postgres {
            return Ok(None);
        }
        self.number("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint").await.map(Some)
    }

    /// What was done in this database so far, as far as the sessions that did it have told; those that have ended have
    /// told all. `None` where the database does not count it.
    pub(crate) async fn activity(&self) -> Result<Option<Activity>, DbErr> {
        if self.kind != Kind::Postgres {
            return Ok(None);
        }
        let count = |what: &str| format!("SELECT {what} FROM pg_stat_database WHERE datname = current_database()");
        Ok(Some(Activity {
            transactions: self.number(&count("xact_commit + xact_rollback")).await?,
            rows_changed: self.number(&count("tup_inserted + tup_updated + tup_deleted")).await?,
        }))
    }

    pub(crate) async fn pending(&self) -> Result<i64, DbErr> {
        self.number("SELECT COUNT(*) FROM outbox_event").await
    }

    /// Forgets all events.
    pub(crate) async fn clear(&self) -> Result<(), DbErr> {
        let text = if self.kind == Kind::Sqlite { "DELETE FROM outbox_event" } else { "TRUNCATE TABLE outbox_event" };
        self.connection.execute_unprepared(text).await.map(drop)
    }

    /// The first column of the first row.
    pub(crate) async fn number(&self, text: &str) -> Result<i64, DbErr> {
        let statement = Statement::from_string(self.connection.get_database_backend(), text);
        let row = self.connection.query_one_raw(statement).await?;
        row.ok_or_else(|| DbErr::RecordNotFound(text.to_owned()))?.try_get_by_index(0)
    }

    /// Removes it. What a benchmark leaves behind that failed goes with the server.
    pub(crate) async fn remove(self) -> anyhow::Result<()> {
        self.connection.close().await?;
        let Some((server, name)) = self.server else { return Ok(()) };
        let admin = connect(&server, 1).await?;
        let force = if self.kind == Kind::Postgres { " WITH (FORCE)" } else { "" };
        admin.execute_unprepared(&format!("DROP DATABASE {name}{force}")).await?;
        Ok(admin.close().await?)
    }
}

/// A pool without a line of log for every statement.
pub(crate) async fn connect(url: &str, connections: u32) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(url);
    options.sqlx_logging(false).max_connections(connections).map_sqlx_sqlite_opts(|options| {
        options.pragma("journal_mode", "WAL").busy_timeout(std::time::Duration::from_secs(30))
    });
    Database::connect(options).await
}

/// The URL of another database on the same server.
fn with_database(server: &str, name: &str) -> String {
    let (base, query) = server.split_once('?').map_or((server, String::new()), |(base, q)| (base, format!("?{q}")));
    let authority = base.find("://").map_or(0, |at| at + 3);
    let end = base[authority..].find('/').map_or(base.len(), |at| authority + at);
    format!("{}/{name}{query}", &base[..end])
}

impl BenchDatabase {
    /// An error, where a benchmark needs what one database alone has.
    pub(crate) fn only_on(&self, kind: Kind, why: &str) -> anyhow::Result<()> {
        if self.kind == kind {
            return Ok(());
        }
        bail!("this benchmark runs on {} alone: {why}", kind.name())
    }
}
