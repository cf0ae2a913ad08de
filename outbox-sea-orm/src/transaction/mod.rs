//! A SeaORM transaction that carries the events staged inside it.

mod begin;
mod close;
mod delegate;
mod doubt;
mod level;
mod log;
mod session;
mod stage;

use std::fmt;
use std::sync::Arc;

use sea_orm::DatabaseTransaction;

use self::level::Level;
use self::session::{Family, Session};
use crate::outbox::Shared;

pub use delegate::OutboxTransactionStream;

/// A transaction, or a savepoint inside one, that carries events.
///
/// It does what SeaORM's [`DatabaseTransaction`] does, and an event staged through it lives and dies like a row that
/// is written through it at the same point: rolled back or dropped, the event is gone; released, it belongs to the
/// transaction around it; committed, it is in the outbox, in the order of staging. The events reach the database in
/// one INSERT, the last thing before COMMIT.
///
/// # Misuse
///
/// A savepoint shares its connection with the transaction around it, and the database knows only the innermost one.
/// While a savepoint is open, statements, staging and closing through a handle further out are refused with
/// [`OutboxError::NotInnermost`](crate::OutboxError::NotInnermost). Plain SeaORM lets them pass, and rows are lost
/// although every call succeeds; `docs/transactions.md` shows each case.
///
/// # Cancel safety
///
/// [`commit`](Self::commit) and [`rollback`](Self::rollback) run to their end once they are polled, even if their
/// caller goes away, and so does every statement, once it has the connection: what comes next in the transaction
/// comes after it. A cancelled `begin` of a savepoint is rolled back. Rows that are streamed are the exception: a
/// stream that is dropped early leaves a doubt, which is settled before the commit. All of it needs the tokio runtime
/// that the call was made on.
pub struct OutboxTransaction {
    session: Session,
    outbox: Arc<Shared>,
}

impl OutboxTransaction {
    pub(crate) fn root(txn: DatabaseTransaction, heals: bool, outbox: Arc<Shared>) -> Self {
        let level = Level::root(outbox.config.strict, heals);
        Self { session: Session::new(txn, level, Arc::<Family>::default()), outbox }
    }
}

impl fmt::Debug for OutboxTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxTransaction").field("staged", &self.staged().len()).finish_non_exhaustive()
    }
}

const _: fn() = || {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<OutboxTransaction>();
};
