//! Telling the processors of other processes that there is work: PostgreSQL's NOTIFY and LISTEN.
//!
//! Hints, both ways: what is not heard is found by polling. A notification is sent after the COMMIT and in a
//! transaction of its own. In the transaction itself it would hold a lock of the whole server until the commit is
//! durable, and fail the commit when the server's queue of notifications is full.

mod listener;
mod sender;

use outbox_migration::{Table, TableNames};
use sea_orm::sqlx::PgPool;
use sea_orm::{DatabaseConnection, DatabaseConnectionType};

pub(crate) use self::listener::Listener;
pub(crate) use self::sender::Sender;

/// The statement that wakes whoever listens for these tables.
fn statement(names: &TableNames) -> String {
    format!("NOTIFY \"{}\"", channel(names))
}

/// Without the schema, which one side may have named and the other not. Outboxes of one database whose tables have
/// the same names in different schemas wake each other for nothing.
fn channel(names: &TableNames) -> String {
    names.bare(Table::Event)
}

/// None for everything but a real PostgreSQL.
fn pool(db: &DatabaseConnection) -> Option<&PgPool> {
    match &db.inner {
        DatabaseConnectionType::SqlxPostgresPoolConnection(_) => Some(db.get_postgres_connection_pool()),
        #[allow(unreachable_patterns, reason = "the other kinds of connections are features")]
        _ => None,
    }
}
