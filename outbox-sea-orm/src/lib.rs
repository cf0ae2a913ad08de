//! Transactional outbox for SeaORM: rows and events, or neither.
//!
//! An [`Outbox`] wraps a `DatabaseConnection`; its transactions ([`OutboxTransaction`]) are SeaORM transactions that
//! also carry events. Staging is synchronous and exact to the savepoint; the events are written in one INSERT, the
//! last thing before COMMIT.
//!
//! ```no_run
//! # use outbox_core::OutboxEvent;
//! use outbox_sea_orm::Outbox;
//! use sea_orm::{ConnectionTrait, DbErr};
//!
//! # async fn run(db: sea_orm::DatabaseConnection, event: impl OutboxEvent) -> Result<(), DbErr> {
//! let outbox = Outbox::new(db);
//! let txn = outbox.begin().await?;
//! txn.execute_unprepared("UPDATE orders SET state = 'placed' WHERE id = 7").await?;
//! txn.stage_event(&event)?;
//! txn.commit().await?;
//! # Ok(())
//! # }
//! ```
//!
//! `docs/transactions.md` says how staging works, and what becomes of the ways in which transactions go wrong.

mod config;
mod error;
mod failpoint;
mod finish;
mod flush;
mod lost;
#[cfg(feature = "postgres")]
mod notify;
mod outbox;
pub mod prelude;
mod processor;
mod record;
mod store;
mod sync;
mod trace;
mod transaction;

#[doc(inline)]
pub use outbox_core::__private::FacadeOutboxEvent as OutboxEvent;
pub use outbox_core::event::OutboxEvent;
#[cfg(feature = "testing")]
pub use outbox_core::testing;
pub use outbox_core::{AggregateRoot, EventId, EventOptions, OnDeath, PendingEvents, ProcessorHandle, RetryPolicy};
#[cfg(feature = "kafka")]
pub use outbox_kafka as kafka;
pub use outbox_migration as migration;

/// Everything of `outbox_core`, with a derive that finds it here: programs need no other dependency.
pub mod core {
    #[doc(inline)]
    pub use outbox_core::__private::FacadeOutboxEvent as OutboxEvent;
    pub use outbox_core::*;
}

pub use config::{OutboxBuildError, OutboxBuilder};
pub use error::{Breach, CommitOutcome, OutboxError, StageError, commit_outcome};
pub use outbox::Outbox;
pub use record::{record, record_with};
pub use store::SeaOrmStore;
pub use trace::TraceContext;
pub use transaction::{OutboxTransaction, OutboxTransactionStream};
