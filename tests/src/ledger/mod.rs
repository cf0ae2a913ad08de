//! A workload whose truth can be read afterwards, and the checker that holds what consumers saw against it.
//!
//! Every transaction locks its aggregate's row, writes a ledger row and stages an event. The ledger and the events
//! share the transaction, so the ledger says which events must arrive, and its numbers say in which order.

mod checker;
#[cfg(test)]
mod checker_tests;
mod event;
mod writer;

use outbox_core::{EventId, OutboxEvent};
use outbox_sea_orm::OutboxTransaction;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};
use uuid::Uuid;

pub use checker::{Findings, check, check_with_dead, event_id};
pub use event::{Entered, Refused, payload};
pub use writer::{Ending, Writer};

/// One committed event, as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The event's id.
    pub event: Uuid,
    /// The aggregate.
    pub key: String,
    /// The aggregate's version: 1, 2, 3 and so on in the order of commits, without gaps.
    pub version: i64,
    /// Whether the broker refuses it, so that it belongs among the dead letters.
    pub refused: bool,
}

/// Makes the tables and `keys` aggregates, called `key-0` and so on.
///
/// # Errors
///
/// What the database says.
pub async fn create(db: &DatabaseConnection, keys: usize) -> Result<(), DbErr> {
    db.execute_unprepared("CREATE TABLE aggregate (name VARCHAR(64) PRIMARY KEY, version BIGINT NOT NULL)").await?;
    db.execute_unprepared(
        "CREATE TABLE ledger (event CHAR(36) PRIMARY KEY, name VARCHAR(64) NOT NULL, version BIGINT NOT NULL, \
         refused BIGINT NOT NULL)",
    )
    .await?;
    for key in 0..keys {
        db.execute_unprepared(&format!("INSERT INTO aggregate VALUES ('key-{key}', 0)")).await?;
    }
    Ok(())
}

/// Makes an entry within a transaction: raises the aggregate's version, stages the event, and writes the ledger row.
///
/// # Errors
///
/// What the database says.
pub async fn enter(txn: &OutboxTransaction, topic: &str, key: &str, refused: bool) -> Result<Uuid, DbErr> {
    let entered = enter_all(txn, topic, key, 1, refused).await?;
    entered.first().copied().ok_or_else(|| DbErr::Custom("no entry".to_owned()))
}

/// Makes `count` entries of an aggregate at once, in three statements however many there are.
///
/// # Errors
///
/// What the database says.
pub async fn enter_all(
    txn: &OutboxTransaction,
    topic: &str,
    key: &str,
    count: u32,
    refused: bool,
) -> Result<Vec<Uuid>, DbErr> {
    let backend = txn.get_database_backend();
    // Locks the aggregate until the end of the transaction: its versions are the order of commits.
    let raise = format!("UPDATE aggregate SET version = version + {count} WHERE name = '{key}'");
    txn.execute_unprepared(&raise).await?;
    let version = Statement::from_string(backend, format!("SELECT version FROM aggregate WHERE name = '{key}'"));
    let row = txn.query_one_raw(version).await?.ok_or_else(|| DbErr::Custom(format!("no aggregate {key}")))?;
    let last: i64 = row.try_get_by_index(0)?;
    let (mut ids, mut rows) = (Vec::new(), Vec::new());
    for version in last + 1 - i64::from(count)..=last {
        let id = EventId::new();
        let entered = Entered { topic: topic.to_owned(), key: key.to_owned(), version };
        let refusable = Refused(entered);
        let event: &dyn OutboxEvent = if refused { &refusable } else { &refusable.0 };
        txn.stage_event_with(event, |options| options.id(id))?;
        rows.push(format!("('{id}', '{key}', {version}, {})", i32::from(refused)));
        ids.push(*id.as_uuid());
    }
    if !rows.is_empty() {
        txn.execute_unprepared(&format!("INSERT INTO ledger VALUES {}", rows.join(", "))).await?;
    }
    Ok(ids)
}

/// All entries: what was committed, and nothing else.
///
/// # Errors
///
/// What the database says.
pub async fn entries(db: &DatabaseConnection) -> Result<Vec<Entry>, DbErr> {
    let sql = Statement::from_string(db.get_database_backend(), "SELECT event, name, version, refused FROM ledger");
    let rows = db.query_all_raw(sql).await?;
    let entry = |row: sea_orm::QueryResult| {
        let event: String = row.try_get_by_index(0)?;
        let event = event.parse().map_err(|error| DbErr::Custom(format!("{event:?}: {error}")))?;
        let (key, version) = (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
        Ok(Entry { event, key, version, refused: row.try_get_by_index::<i64>(3)? != 0 })
    };
    rows.into_iter().map(entry).collect()
}
