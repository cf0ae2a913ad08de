//! A database of its own for each test.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use outbox_migration::sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, QueryResult, Statement,
};

/// An empty database; `db` is a pool of several connections.
pub(crate) struct Scratch {
    pub(crate) db: DatabaseConnection,
    pub(crate) url: String,
    _folder: Option<tempfile::TempDir>,
}

/// A fresh database of this kind, or none when the test is left out by request.
///
/// # Panics
///
/// When it isn't left out and cannot be had: a test that does not run must not look like one that passed.
pub(crate) async fn scratch(kind: &str) -> Option<Scratch> {
    let left_out = std::env::var("OUTBOX_TEST_SKIP").unwrap_or_default();
    if left_out.split(',').any(|name| name.trim() == kind) {
        println!("left out by request: {kind}");
        return None;
    }
    if kind == "sqlite" {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("outbox.sqlite").display());
        let db = connect(&url).await;
        return Some(Scratch { db, url, _folder: Some(folder) });
    }
    let variable = format!("OUTBOX_TEST_{}_URL", kind.to_uppercase());
    let server = std::env::var(&variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run `cargo xtask test`, or leave {kind} out with OUTBOX_TEST_SKIP={kind}")
    });
    let name = unique("migration");
    let admin = connect(&server).await;
    admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
    admin.close().await.unwrap();
    let url = with_database(&server, &name);
    Some(Scratch { db: connect(&url).await, url, _folder: None })
}

/// A name that no other test has, in this process or another.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("{what}_{}_{}_{}", std::process::id(), nanos, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The server's URL with another database in its path.
pub(crate) fn with_database(server: &str, name: &str) -> String {
    let (base, query) = server.split_once('?').map_or((server, None), |(base, query)| (base, Some(query)));
    let authority = base.find("://").map_or(0, |at| at + 3);
    let end = base[authority..].find('/').map_or(base.len(), |at| authority + at);
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    format!("{}/{name}{query}", &base[..end])
}

pub(crate) async fn connect(url: &str) -> DatabaseConnection {
    connect_with(url, 8).await
}

/// A pool of this many connections.
pub(crate) async fn connect_with(url: &str, connections: u32) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(connections).sqlx_logging(false);
    Database::connect(options).await.unwrap_or_else(|error| panic!("cannot connect to {url}: {error}"))
}

pub(crate) async fn rows(db: &impl ConnectionTrait, sql: &str) -> Vec<QueryResult> {
    let statement = Statement::from_string(db.get_database_backend(), sql);
    db.query_all_raw(statement).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// The first column of every row, as text.
pub(crate) async fn texts(db: &impl ConnectionTrait, sql: &str) -> Vec<String> {
    rows(db, sql).await.iter().map(|row| row.try_get_by_index::<String>(0).unwrap()).collect()
}

pub(crate) async fn count(db: &impl ConnectionTrait, table: &str) -> i64 {
    rows(db, &format!("SELECT COUNT(*) FROM {table}")).await[0].try_get_by_index(0).unwrap()
}

pub(crate) async fn execute(db: &impl ConnectionTrait, sql: &str) {
    db.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// The tables of the connection's own schema, sorted.
pub(crate) async fn tables(db: &impl ConnectionTrait) -> Vec<String> {
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema() ORDER BY 1"
        }
        DbBackend::MySql => {
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1"
        }
        _ => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1",
    };
    texts(db, sql).await
}

/// The SQL of an INSERT of one event into `table` (quoted) with this id (one hexadecimal digit) and key.
pub(crate) fn insert_event(backend: DbBackend, table: &str, id: char, key: &str) -> String {
    let id = id.to_string().repeat(32);
    let id = match backend {
        DbBackend::Postgres => format!("'{id}'"),
        _ => format!("X'{id}'"),
    };
    format!(
        "INSERT INTO {table} (shard, id, aggregate_type, event_type, event_version, topic, partition_key, payload, \
         content_type, headers, created_at) \
         VALUES (0, {id}, 'order', 'order.placed', 1, 'orders', '{key}', '{{}}', 'application/json', '[]', 1)"
    )
}

/// One test per database.
macro_rules! on_each_database {
    ($($name:ident)*) => {
        mod postgres { $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
            if let Some(scratch) = crate::support::scratch("postgres").await { super::$name(scratch).await; }
        })* }
        mod mariadb { $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
            if let Some(scratch) = crate::support::scratch("mariadb").await { super::$name(scratch).await; }
        })* }
        mod sqlite { $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
            if let Some(scratch) = crate::support::scratch("sqlite").await { super::$name(scratch).await; }
        })* }
    };
}
pub(crate) use on_each_database;
