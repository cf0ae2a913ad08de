//! Databases for one test each.

mod owner;

use std::time::Duration;

use owner::Owner;
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbBackend};
use tokio::sync::OnceCell;

use crate::server::Server;

/// The databases that tests run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    MariaDb,
    /// SQLite, a file.
    Sqlite,
}

/// A fresh database that belongs to one test and goes when this is dropped.
#[derive(Debug)]
pub struct TestDatabase {
    kind: Kind,
    url: String,
    connection: DatabaseConnection,
    /// Whether the accounts of the roles are there.
    pub(crate) roles: OnceCell<()>,
    // Last, so that our own connections are gone before the database is.
    owner: Owner,
}

/// A new database on the PostgreSQL server; `None` when it is left out by request.
pub async fn postgres() -> Option<TestDatabase> {
    Some(on_server(&Server::Postgres.address()?).await)
}

/// A new database on the MariaDB server; `None` when it is left out by request.
pub async fn mariadb() -> Option<TestDatabase> {
    Some(on_server(&Server::MariaDb.address()?).await)
}

/// A new database on another server than the shared one, such as an [`OwnServer`](crate::OwnServer), by the URL of a
/// database on it.
///
/// # Panics
///
/// When the server does not answer, or its user may not create databases.
pub async fn on_server(server: &str) -> TestDatabase {
    let kind = if server.starts_with("postgres") { Kind::Postgres } else { Kind::MariaDb };
    let (owner, url) = Owner::on_server(server).await;
    let mut options = options(&url);
    options.max_connections(10).acquire_timeout(Duration::from_secs(30));
    let connection = Database::connect(options).await.expect("a connection to a database just created");
    TestDatabase { kind, url, connection, roles: OnceCell::new(), owner }
}

/// A new SQLite file as we recommend to use it: WAL, several connections, foreign keys.
pub async fn sqlite() -> TestDatabase {
    in_file(|options| {
        options.max_connections(8);
        recommended(options);
    })
    .await
}

fn recommended(options: &mut ConnectOptions) {
    options.map_sqlx_sqlite_opts(|options| {
        options.foreign_keys(true).pragma("journal_mode", "WAL").busy_timeout(Duration::from_secs(30))
    });
}

/// A new SQLite file as SeaORM opens it when told nothing: a pool of one connection.
pub async fn sqlite_default_pool() -> TestDatabase {
    in_file(|_| {}).await
}

impl TestDatabase {
    /// Removes it as dropping it does, which blocks the thread: a task that does several things at a time would stand
    /// still, a login of its own in its middle, and PostgreSQL drops no database while somebody is logging in.
    pub async fn remove(self) {
        let Self { connection, owner, .. } = self;
        drop(connection);
        owner.remove().await;
    }

    /// Which database this is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What SeaORM calls it.
    #[must_use]
    pub fn backend(&self) -> DbBackend {
        match self.kind {
            Kind::Postgres => DbBackend::Postgres,
            Kind::MariaDb => DbBackend::MySql,
            Kind::Sqlite => DbBackend::Sqlite,
        }
    }

    /// Where it is, for further connections and child processes.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the server calls it.
    pub(crate) fn name(&self) -> &str {
        let url = self.url.split('?').next().unwrap_or_default();
        url.rsplit('/').next().unwrap_or_default()
    }

    /// Options for another pool of the same size, as somebody else.
    pub(crate) fn options_of(&self, url: &str) -> ConnectOptions {
        let mut options = options(url);
        options.max_connections(10).acquire_timeout(Duration::from_secs(30));
        options
    }

    /// The connection pool that came with it.
    #[must_use]
    pub const fn connection(&self) -> &DatabaseConnection {
        &self.connection
    }

    /// Another pool on the same database, as another process would have it, set up by `configure`.
    ///
    /// # Panics
    ///
    /// When the database cannot be reached.
    pub async fn connect(&self, configure: impl FnOnce(&mut ConnectOptions)) -> DatabaseConnection {
        connect_to(&self.url, configure).await
    }

    /// Another pool with so many connections, opened as we recommend.
    ///
    /// # Panics
    ///
    /// When the database cannot be reached.
    pub async fn another_pool(&self, connections: u32) -> DatabaseConnection {
        connect_to(&self.url, of(connections)).await
    }
}

/// So many connections, opened as we recommend.
pub(crate) fn of(connections: u32) -> impl FnOnce(&mut ConnectOptions) {
    move |options| recommended(options.max_connections(connections).acquire_timeout(Duration::from_secs(30)))
}

pub(crate) async fn connect_to(url: &str, configure: impl FnOnce(&mut ConnectOptions)) -> DatabaseConnection {
    let mut options = options(url);
    configure(&mut options);
    Database::connect(options).await.expect("another connection to the test's database")
}

async fn in_file(configure: impl FnOnce(&mut ConnectOptions)) -> TestDatabase {
    let (owner, url) = Owner::in_file();
    let mut options = options(&url);
    configure(&mut options);
    let connection = Database::connect(options).await.expect("a connection to a new file");
    TestDatabase { kind: Kind::Sqlite, url, connection, roles: OnceCell::new(), owner }
}

/// Without a line of log for every statement.
fn options(url: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options.sqlx_logging(false);
    options
}
