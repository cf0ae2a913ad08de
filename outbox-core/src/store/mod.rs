//! The database side: what a processor asks of the tables.

mod dead;
mod error;
mod lease;
mod read;
mod settle;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

pub use dead::{Admin, AdminError, DeadLetter, DeadState, PendingEvent, Rejection, ScheduledEvent, StoreStats};
pub use error::{StoreError, StoreErrorKind};
pub use lease::{Lease, LeaseReply, LeaseRequest, Reach};
pub use read::{LaneRead, LaneRows, ReadReply, ReadRequest, Revisit, Row};
pub use settle::{Change, Fate, LaneSettle, SettleReply, SettleRequest, Settled};

use crate::wake::Wake;

/// The tables, as one processor sees them.
///
/// # Contract
///
/// 1. *Leases.* At most one processor holds a shard's lease by the database's clock; every change of owner raises
///    the epoch. Giving up and renewing are compare-and-set on owner and epoch.
/// 2. *Reads.* A reply is one snapshot: if it shows an event, it shows every event that was committed before that
///    one was staged, unless it is at or below `after`, in `known`, or behind the limit.
/// 3. *Decided.* `ReadReply::decided` moves by proof, never by time.
/// 4. *Fence.* A settle writes only for leases that are still held when it commits: it locks the lease rows first.
/// 5. *Durability.* [`Fate::Retry`] and [`Fate::Dead`] are durable when the settle returns; [`Fate::Delivered`]
///    may be lost in a crash of the database, which repeats the event.
///
/// # Cancel safety
///
/// None is needed but by [`listen`](Self::listen): a processor runs every other call to its end. It may have stopped
/// waiting for the answer by then, and have asked again.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Checks that the tables are there and understood. Called once before anything else.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Schema`] stops the processor.
    async fn open(&self) -> Result<(), StoreError>;

    /// Renews, gives up and takes leases, and counts the processor among the living.
    ///
    /// # Errors
    ///
    /// See [`StoreErrorKind`]; whether anything was done is then unknown.
    async fn lease(&self, request: LeaseRequest) -> Result<LeaseReply, StoreError>;

    /// Reads pending events.
    ///
    /// # Errors
    ///
    /// See [`StoreErrorKind`].
    async fn read(&self, request: ReadRequest) -> Result<ReadReply, StoreError>;

    /// Writes outcomes back.
    ///
    /// # Errors
    ///
    /// See [`StoreErrorKind`]; whether anything was written is then unknown, and asking again is safe.
    async fn settle(&self, request: SettleRequest) -> Result<SettleReply, StoreError>;

    /// Moves at most `limit` scheduled events of the leased shards that are due into the pending ones, in the order
    /// of due time and id, and says how long it is until the next one is due (zero: at once).
    ///
    /// # Errors
    ///
    /// See [`StoreErrorKind`]; whether anything was moved is then unknown, and asking again is safe.
    async fn promote(
        &self,
        processor: uuid::Uuid,
        leases: &[Lease],
        limit: u32,
    ) -> Result<Option<Duration>, StoreError>;

    /// Wakes `wake` whenever another process says that there may be work.
    ///
    /// A processor calls it once, beside all other calls, and drops the future when it ends. These are hints: what is
    /// missed is found by polling. Returning means that nothing will be heard. The default hears nothing.
    async fn listen(&self, _wake: &Wake) {}
}
