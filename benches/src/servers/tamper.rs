//! What no program may do to the outbox's tables, and a benchmark must.

use std::time::{Duration, SystemTime};

use sea_orm::{ConnectionTrait, DbErr, TransactionTrait};

use super::BenchDatabase;

const COLUMNS: &str = "shard, id, aggregate_type, aggregate_id, aggregate_version, event_type, event_version, topic, \
     partition_key, payload, content_type, headers, created_at";

/// How often what waits has been rejected, and how long it waits: as long as the default policy has it wait, nearly, or a
/// processor would take it for the trace of a clock that went back.
const REJECTED: u32 = 9;
const WAITS: Duration = Duration::from_secs(58);

impl BenchDatabase {
    /// Takes all pending events away, to be put back at once later.
    pub(crate) async fn put_aside(&self) -> Result<(), DbErr> {
        self.connection.execute_unprepared("DROP TABLE IF EXISTS put_aside").await?;
        let text = format!("CREATE TABLE put_aside AS SELECT seq, {COLUMNS} FROM outbox_event");
        self.connection.execute_unprepared(&text).await?;
        self.clear().await
    }

    /// Puts them back in one transaction, in their order, with new numbers.
    pub(crate) async fn put_back(&self) -> Result<(), DbErr> {
        let txn = self.connection.begin().await?;
        let text = format!("INSERT INTO outbox_event ({COLUMNS}) SELECT {COLUMNS} FROM put_aside ORDER BY seq");
        txn.execute_unprepared(&text).await?;
        txn.commit().await
    }

    /// Makes all pending events wait: the first of each key for its next attempt, or all because their keys are
    /// parked.
    pub(crate) async fn block(&self, by_retry: bool, by_parking: bool) -> Result<(), DbErr> {
        if by_retry {
            let until = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + WAITS;
            let text = format!(
                "UPDATE outbox_event SET attempts = {REJECTED}, next_attempt_at = {} WHERE seq IN \
                 (SELECT first FROM (SELECT MIN(seq) AS first FROM outbox_event GROUP BY topic, partition_key) firsts)",
                until.as_micros()
            );
            self.connection.execute_unprepared(&text).await?;
        }
        if by_parking {
            let text = "INSERT INTO outbox_parked (topic, partition_key, shard, parked_at) \
                 SELECT DISTINCT topic, partition_key, shard, 1 FROM outbox_event";
            self.connection.execute_unprepared(text).await?;
        }
        Ok(())
    }

    /// Empties the tables.
    pub(crate) async fn forget_all(&self) -> Result<(), DbErr> {
        for table in ["outbox_dead", "outbox_parked"] {
            self.connection.execute_unprepared(&format!("DELETE FROM {table}")).await?;
        }
        self.clear().await
    }

    /// How many processors hold leases, and the fewest shards that one of them has.
    pub(crate) async fn spread(&self) -> Result<(i64, i64), DbErr> {
        let held = "SELECT COUNT(*) AS n FROM outbox_shard WHERE owner IS NOT NULL GROUP BY owner";
        let owners = self.number(&format!("SELECT COUNT(*) FROM ({held}) held")).await?;
        let fewest = self.number(&format!("SELECT COALESCE(MIN(n), 0) FROM ({held}) held")).await?;
        Ok((owners, fewest))
    }
}
