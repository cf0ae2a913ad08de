//! A table of what was committed, written in the same transactions as the events, and the checker that holds what
//! consumers saw against it.
//!
//! Every transaction locks an aggregate's row, writes a ledger row and stages an event. The ledger and the events share
//! the transaction, so the ledger says which events must arrive, whatever its writer was told, and the aggregate's
//! versions say in which order.

mod checker;
#[cfg(test)]
mod checker_tests;
mod event;
mod kind;
#[cfg(test)]
mod tests;
mod writer;

use outbox_core::{EventId, OutboxEvent};
use outbox_sea_orm::OutboxTransaction;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement, Value};
use uuid::Uuid;

pub use checker::{Findings, check, check_with_dead};
pub use event::{Entered, HEADER, Refused, entry_header, payload};
pub use kind::event_id;
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

/// How many entries are made at once at most: a statement takes so many values.
const MOST: u32 = 8_000;

/// Makes the tables `ledger_aggregate` and `ledger_entry`, and `keys` aggregates, called `key-0` and so on.
///
/// A ledger is for one run: what is in it must be on the topic. Make the next one in a database of its own, or drop both
/// tables before, and let it have another topic.
///
/// # Errors
///
/// What the database says: also that the tables are there. What was made before an error stays.
///
/// # Cancel safety
///
/// As an error.
pub async fn create(db: &DatabaseConnection, keys: usize) -> Result<(), DbErr> {
    db.execute_unprepared("CREATE TABLE ledger_aggregate (name VARCHAR(64) PRIMARY KEY, version BIGINT NOT NULL)")
        .await?;
    db.execute_unprepared(
        "CREATE TABLE ledger_entry (event CHAR(36) PRIMARY KEY, name VARCHAR(64) NOT NULL, version BIGINT NOT NULL, \
         refused BIGINT NOT NULL)",
    )
    .await?;
    let names: Vec<String> = (0..keys).map(|key| format!("('key-{key}', 0)")).collect();
    for names in names.chunks(1_000) {
        db.execute_unprepared(&format!("INSERT INTO ledger_aggregate VALUES {}", names.join(", "))).await?;
    }
    Ok(())
}

/// Makes an entry within a transaction: raises the aggregate's version, stages the event, and writes the ledger row.
///
/// # Errors
///
/// What the database says, and [`DbErr::RecordNotFound`] if there is no such aggregate. Roll the transaction back then:
/// on databases that would go on, an aggregate's version may have been raised.
///
/// # Cancel safety
///
/// As an error: roll the transaction back.
pub async fn enter(txn: &OutboxTransaction, topic: &str, key: &str) -> Result<Uuid, DbErr> {
    one(enter_all(txn, topic, key, 1, false).await?)
}

/// Makes `count` entries of an aggregate at once, in three statements. At most 8,000.
///
/// # Errors
///
/// As [`enter`]. Of more than 8,000 none is made.
///
/// # Cancel safety
///
/// As [`enter`].
pub async fn enter_many(txn: &OutboxTransaction, topic: &str, key: &str, count: u32) -> Result<Vec<Uuid>, DbErr> {
    enter_all(txn, topic, key, count, false).await
}

/// Makes an entry whose event the broker refuses, if the topic takes at most [`Refused::TOPIC_LIMIT`] bytes. It belongs
/// among the dead letters.
///
/// # Errors
///
/// As [`enter`].
///
/// # Cancel safety
///
/// As [`enter`].
pub async fn enter_refused(txn: &OutboxTransaction, topic: &str, key: &str) -> Result<Uuid, DbErr> {
    one(enter_all(txn, topic, key, 1, true).await?)
}

fn one(entered: Vec<Uuid>) -> Result<Uuid, DbErr> {
    entered.into_iter().next().ok_or_else(|| DbErr::Custom("no entry was made".to_owned()))
}

async fn enter_all(
    txn: &OutboxTransaction,
    topic: &str,
    key: &str,
    count: u32,
    refused: bool,
) -> Result<Vec<Uuid>, DbErr> {
    if count > MOST {
        return Err(DbErr::Custom(format!("at most {MOST} entries can be made at once, and not {count}")));
    }
    let backend = txn.get_database_backend();
    // Locks the aggregate until the end of the transaction: its versions are the order of commits.
    let raise = "UPDATE ledger_aggregate SET version = version + ? WHERE name = ?";
    txn.execute_raw(statement(backend, raise, [i64::from(count).into(), key.into()])).await?;
    let version = statement(backend, "SELECT version FROM ledger_aggregate WHERE name = ?", [key.into()]);
    let row = txn.query_one_raw(version).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound(format!("there is no aggregate {key:?} in the ledger")))?;
    let last: i64 = row.try_get_by_index(0)?;
    let entries: Vec<(EventId, i64)> =
        (last + 1 - i64::from(count)..=last).map(|version| (EventId::new(), version)).collect();
    if !entries.is_empty() {
        let rows = vec!["(?, ?, ?, ?)"; entries.len()].join(", ");
        let values = entries.iter().flat_map(|(id, version)| {
            [id.to_string().into(), key.into(), (*version).into(), i64::from(refused).into()]
        });
        txn.execute_raw(statement(backend, &format!("INSERT INTO ledger_entry VALUES {rows}"), values)).await?;
    }
    // Nothing is waited for from here on: who goes away leaves both or neither. An entry without its event would be a
    // loss, and an event without its entry one that nobody entered.
    for (id, version) in &entries {
        let entered = Refused(Entered { topic: topic.to_owned(), key: key.to_owned(), version: *version });
        let event: &dyn OutboxEvent = if refused { &entered } else { &entered.0 };
        txn.stage_event_with(event, |options| options.id(*id))?;
    }
    Ok(entries.into_iter().map(|(id, _)| *id.as_uuid()).collect())
}

/// A statement whose parameters are written as `?`, whatever the database.
fn statement(backend: DbBackend, text: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    if backend != DbBackend::Postgres {
        return Statement::from_sql_and_values(backend, text, values);
    }
    let parts = text.split('?').enumerate();
    let numbered: String =
        parts.map(|(n, part)| if n == 0 { part.to_owned() } else { format!("${n}{part}") }).collect();
    Statement::from_sql_and_values(backend, numbered, values)
}

/// All entries: what was committed, and nothing else. Read them when the writers have ended: what is committed later, or
/// is not delivered yet when the topic is read, counts as lost.
///
/// # Errors
///
/// What the database says.
pub async fn entries(db: &DatabaseConnection) -> Result<Vec<Entry>, DbErr> {
    let sql = "SELECT event, name, version, refused FROM ledger_entry";
    let sql = Statement::from_string(db.get_database_backend(), sql);
    let rows = db.query_all_raw(sql).await?;
    let entry = |row: sea_orm::QueryResult| {
        let event: String = row.try_get_by_index(0)?;
        let event = event.parse().map_err(|error| DbErr::Custom(format!("{event:?}: {error}")))?;
        let (key, version) = (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
        Ok(Entry { event, key, version, refused: row.try_get_by_index::<i64>(3)? != 0 })
    };
    rows.into_iter().map(entry).collect()
}
