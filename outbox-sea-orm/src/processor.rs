//! From an outbox to what delivers its events, and to what operators ask of it.

use outbox_core::processor::ProcessorBuilder;
use outbox_core::{Processor, Publisher};

use crate::outbox::Outbox;
use crate::store::SeaOrmStore;

impl Outbox {
    /// A processor that takes this outbox's events to `publisher`, and is woken by its commits: those of
    /// this process, and on PostgreSQL of others too, with [`notify`](crate::OutboxBuilder::notify).
    ///
    /// Any number of processors, in this process and in others, share the work. Each uses the outbox's connection
    /// pool; it needs a place for its own short transactions there, and never holds one while it publishes.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use outbox_sea_orm::prelude::*;
    ///
    /// # async fn run(
    /// #     db: sea_orm::DatabaseConnection,
    /// #     publisher: impl Publisher,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// let outbox = Outbox::new(db);
    /// let processor = outbox
    ///     .processor(publisher)
    ///     .retry(RetryPolicy::exponential().base(Duration::from_secs(1)).max_attempts(10))
    ///     .spawn()?;
    /// // .. the program does its work ..
    /// processor.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn processor(&self, publisher: impl Publisher) -> ProcessorBuilder {
        Processor::builder(self.store(), publisher).wake(self.wake())
    }

    /// The outbox's tables as processors and operators see them: the trait [`Admin`](crate::core::store::Admin) has
    /// dead letters, parked keys and statistics.
    ///
    /// ```no_run
    /// use outbox_sea_orm::prelude::*;
    ///
    /// # async fn run(outbox: Outbox) -> Result<(), Box<dyn std::error::Error>> {
    /// let store = outbox.store();
    /// for letter in store.dead_letters(None, 100).await? {
    ///     println!("{} {}: {}", letter.envelope.id, letter.envelope.event_type, letter.reason);
    ///     store.requeue(letter.envelope.id).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn store(&self) -> SeaOrmStore {
        SeaOrmStore::with(self.inner().clone(), self.names().clone(), self.shared().config.notify)
    }
}
