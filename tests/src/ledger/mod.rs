//! A workload whose truth can be read afterwards, and the checker that holds what consumers saw against it.
//!
//! Every transaction locks its aggregate's row, writes a ledger row and stages an event. The ledger and the events
//! share the transaction, so the ledger says which events must arrive, and its numbers say in which order.

mod checker;
mod writer;

use outbox_core::{Encoded, OutboxEvent};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};
use uuid::Uuid;

pub use checker::{Findings, check};
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
}

/// The event of a ledger row.
#[derive(Debug)]
pub struct Entered {
    /// The topic.
    pub topic: String,
    /// The aggregate.
    pub key: String,
    /// Its version.
    pub version: i64,
}

impl OutboxEvent for Entered {
    fn aggregate_type(&self) -> std::borrow::Cow<'_, str> {
        "ledger".into()
    }

    fn aggregate_id(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some(self.key.as_str().into())
    }

    fn aggregate_version(&self) -> Option<i64> {
        Some(self.version)
    }

    fn event_type(&self) -> std::borrow::Cow<'_, str> {
        "ledger.entered".into()
    }

    fn topic(&self) -> std::borrow::Cow<'_, str> {
        self.topic.as_str().into()
    }

    fn partition_key(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some(self.key.as_str().into())
    }

    fn encode(&self) -> Result<Encoded, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Encoded::new(payload(&self.key, self.version), Encoded::JSON))
    }
}

/// What a consumer must find as the value of an entry's record.
#[must_use]
pub fn payload(key: &str, version: i64) -> String {
    format!("{{\"key\":\"{key}\",\"version\":{version}}}")
}

/// Makes the tables and `keys` aggregates, called `key-0` and so on.
///
/// # Errors
///
/// What the database says.
pub async fn create(db: &DatabaseConnection, keys: usize) -> Result<(), DbErr> {
    db.execute_unprepared("CREATE TABLE aggregate (name VARCHAR(64) PRIMARY KEY, version BIGINT NOT NULL)").await?;
    db.execute_unprepared(
        "CREATE TABLE ledger (event CHAR(36) PRIMARY KEY, name VARCHAR(64) NOT NULL, version BIGINT NOT NULL)",
    )
    .await?;
    for key in 0..keys {
        db.execute_unprepared(&format!("INSERT INTO aggregate VALUES ('key-{key}', 0)")).await?;
    }
    Ok(())
}

/// All entries: what was committed, and nothing else.
///
/// # Errors
///
/// What the database says.
pub async fn entries(db: &DatabaseConnection) -> Result<Vec<Entry>, DbErr> {
    let sql = Statement::from_string(db.get_database_backend(), "SELECT event, name, version FROM ledger");
    let rows = db.query_all_raw(sql).await?;
    let entry = |row: sea_orm::QueryResult| {
        let event: String = row.try_get_by_index(0)?;
        let event = event.parse().map_err(|error| DbErr::Custom(format!("{event:?}: {error}")))?;
        Ok(Entry { event, key: row.try_get_by_index(1)?, version: row.try_get_by_index(2)? })
    };
    rows.into_iter().map(entry).collect()
}
