use outbox_sea_orm::Outbox;
use sea_orm::DbErr;

use super::enter;

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// COMMIT.
    Commit,
    /// ROLLBACK.
    Rollback,
    /// The handle is dropped.
    Drop,
    /// An entry is made in a savepoint that is rolled back, then another outside of it is committed.
    SavepointThenCommit,
}

/// Makes entries through an outbox. For a run in which its own way to the database is troubled too, call it again after
/// an error: the ledger knows what became of the transaction.
#[derive(Debug)]
pub struct Writer {
    outbox: Outbox,
    topic: String,
    random: u64,
}

impl Writer {
    /// A writer whose choices come from `seed`.
    #[must_use]
    pub fn new(outbox: Outbox, topic: impl Into<String>, seed: u64) -> Self {
        Self { outbox, topic: topic.into(), random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// Runs transactions, one after the other, until `events` entries are committed: on the first `keys` aggregates, at
    /// least one. Each has one to four entries; a twentieth each is rolled back, dropped, or has a savepoint that is.
    ///
    /// # Errors
    ///
    /// What the database says; it ends with the first. [`DbErr::RecordNotFound`] if there are fewer aggregates.
    ///
    /// # Cancel safety
    ///
    /// The transaction under way is committed or not, as the ledger says.
    pub async fn write(&mut self, keys: u64, events: usize) -> Result<(), DbErr> {
        let mut committed = 0;
        while committed < events {
            let key = format!("key-{}", self.next() % keys.max(1));
            let count = (1 + self.next() % 4) as usize;
            let ending = match self.next() % 20 {
                0 => Ending::Rollback,
                1 => Ending::Drop,
                2 => Ending::SavepointThenCommit,
                _ => Ending::Commit,
            };
            committed += self.transaction(&key, count.min(events - committed), ending).await?;
        }
        Ok(())
    }

    /// One transaction with `count` entries. Returns how many are committed.
    ///
    /// # Errors
    ///
    /// What the database says. It is not known then whether it is committed.
    ///
    /// # Cancel safety
    ///
    /// As [`write`](Self::write).
    pub async fn transaction(&self, key: &str, count: usize, ending: Ending) -> Result<usize, DbErr> {
        let txn = self.outbox.begin().await?;
        if ending == Ending::SavepointThenCommit {
            let savepoint = txn.begin().await?;
            enter(&savepoint, &self.topic, key).await?;
            savepoint.rollback().await?;
        }
        for _ in 0..count {
            enter(&txn, &self.topic, key).await?;
        }
        match ending {
            Ending::Commit | Ending::SavepointThenCommit => txn.commit().await.map(|()| count),
            Ending::Rollback => txn.rollback().await.map(|()| 0),
            Ending::Drop => {
                drop(txn);
                Ok(0)
            }
        }
    }

    /// Xorshift64 (Marsaglia, "Xorshift RNGs", 2003).
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}
