//! Whether the tables are there, and what they are like.

use outbox_core::store::{StoreError, StoreErrorKind};
use outbox_migration::{Payload, Table, check};
use sea_orm::{DbBackend, Value};

use super::error::{broken, during, schema};
use super::{Inner, query};
use crate::outbox::connected;

const DOING: &str = "looking at its tables";

/// What was found out once.
#[derive(Debug)]
pub(super) struct Opened {
    /// Whether payloads are bytes.
    pub(super) binary: bool,
    /// PostgreSQL: the sequence that numbers the events, quoted.
    pub(super) sequence: String,
}

impl Inner {
    pub(super) async fn opened(&self) -> Result<&Opened, StoreError> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let db = connected(&self.db).map_err(during(DOING))?;
        let info = check(db, &self.names).await.map_err(|error| schema(DOING, error))?;
        let sequence = match self.sql.backend {
            DbBackend::Postgres => self.sequence().await?,
            DbBackend::MySql => self.one_numbering().await.map(|()| String::new())?,
            _ => String::new(),
        };
        let opened = Opened { binary: info.payload == Payload::Binary, sequence };
        Ok(self.opened.get_or_init(|| opened))
    }

    /// A replica is behind, and a sequence that is cached by sessions does not number in the order of time.
    async fn sequence(&self) -> Result<String, StoreError> {
        let text = "SELECT pg_get_serial_sequence(?, 'seq'), s.seqcache, pg_is_in_recovery() \
             FROM pg_catalog.pg_sequence s WHERE s.seqrelid = pg_get_serial_sequence(?, 'seq')::regclass";
        let table = || Value::from(self.sql.event.clone());
        let rows = query(&self.db, self.sql.statement(text, [table(), table()]), DOING).await?;
        let unfit = |what: String| StoreError::new(StoreErrorKind::Schema, DOING, what);
        let Some(row) = rows.first() else {
            return Err(unfit(format!("the column seq of {} has no sequence of its own", self.sql.event)));
        };
        let get = during(DOING);
        let sequence: String = row.try_get_by_index(0).map_err(get)?;
        if row.try_get_by_index::<bool>(2).map_err(get)? {
            let what = "the database is a replica, which is behind its primary: connect to the primary";
            return Err(StoreError::new(StoreErrorKind::Unavailable, DOING, what));
        }
        let cache: i64 = row.try_get_by_index(1).map_err(get)?;
        if cache != 1 {
            return Err(unfit(format!(
                "the sequence {sequence} is cached by sessions, which breaks the order of events: \
                 run ALTER SEQUENCE {sequence} CACHE 1"
            )));
        }
        Ok(sequence)
    }

    /// Several servers that number in turns (Galera, ring replication) do not number in the order of time.
    async fn one_numbering(&self) -> Result<(), StoreError> {
        let text = "SELECT CAST(@@auto_increment_increment AS SIGNED)";
        let rows = query(&self.db, self.sql.statement(text, []), DOING).await?;
        let row = rows.first().ok_or_else(|| broken(DOING, "no answer"))?;
        let step: i64 = row.try_get_by_index(0).map_err(during(DOING))?;
        if step == 1 {
            return Ok(());
        }
        let what = format!(
            "auto_increment_increment is {step}: {} must be numbered by one server, in steps of 1",
            self.names.bare(Table::Event)
        );
        Err(StoreError::new(StoreErrorKind::Schema, DOING, what))
    }
}
