//! Counting, at a cost that does not grow with the backlog.

use std::time::Duration;

use outbox_core::store::{StoreError, StoreStats};

use super::super::row::Cells;
use super::super::{Inner, query};

const DOING: &str = "counting";

impl Inner {
    pub(in super::super) async fn stats(&self) -> Result<StoreStats, StoreError> {
        let now = self.sql.now();
        let up_to = |table: &str| format!("(SELECT COUNT(*) FROM (SELECT 1 AS one FROM {table} LIMIT 10000) t)");
        let text = format!(
            "SELECT {}, {}, {}, {}, \
             (SELECT COUNT(*) FROM {} p WHERE {}), (SELECT COUNT(*) FROM {} s WHERE {}), \
             {now} - (SELECT MIN(f.first) FROM (SELECT \
             (SELECT e.created_at FROM {} e{} WHERE e.shard = s.shard ORDER BY e.seq LIMIT 1) AS first FROM {} s) f)",
            up_to(&self.sql.event),
            up_to(&self.sql.scheduled),
            up_to(&self.sql.dead),
            up_to(&self.sql.parked),
            self.sql.processor,
            self.sql.lasts("p.", "alive_until"),
            self.sql.shard,
            self.free(),
            self.sql.event,
            self.sql.by_primary_key(),
            self.sql.shard,
        );
        let mut stats = StoreStats::default();
        for row in query(&self.db, self.sql.statement(&text, []), DOING).await? {
            let mut cells = Cells::new(&row, false, DOING);
            let mut count = || cells.take::<i64>().map(|count| u64::try_from(count).unwrap_or(0));
            stats.pending_up_to_10_000 = count()?;
            stats.scheduled_up_to_10_000 = count()?;
            stats.dead_up_to_10_000 = count()?;
            stats.parked_keys_up_to_10_000 = count()?;
            stats.processors = u32::try_from(count()?).unwrap_or(u32::MAX);
            stats.free_shards = u32::try_from(count()?).unwrap_or(u32::MAX);
            // The host that staged it may be ahead of the database.
            let age = cells.take::<Option<i64>>()?;
            stats.oldest_pending = age.map(|age| Duration::from_micros(u64::try_from(age).unwrap_or(0)));
        }
        Ok(stats)
    }
}
