//! PostgreSQL: finding out in one statement that there is nothing new.
//!
//! A read is a transaction of four messages. Where several in a row have found nothing, this is tried first: if no number
//! has been given out behind those that the lanes have seen, all of them are decided, and the same server answers, then
//! a read would find nothing again. What puts events back at numbers of before raises their shard's generation, which
//! is in the reply.

use std::sync::atomic::{AtomicU32, Ordering};

use outbox_core::store::{LaneRows, Lease, ReadReply, ReadRequest, StoreError};
use sea_orm::DbBackend;

use super::decided::{Mark, looked};
use super::forward::empty;
use super::open::Opened;
use super::read::DOING;
use super::row::Cells;
use super::sql::{LEASES, leases};
use super::{Inner, query};

/// How often nothing must have been found before it is worth while.
const ENOUGH: u32 = 3;

/// How many reads in a row found nothing.
#[derive(Debug, Default)]
pub(super) struct Quiet(AtomicU32);

impl Quiet {
    /// Takes note of what a read found.
    pub(super) fn found(&self, reply: &ReadReply) {
        let nothing = |lane: &LaneRows| lane.rows.is_empty() && lane.revisited.is_empty();
        if reply.lanes.iter().all(nothing) {
            // It would take years to overflow, and then counts anew.
            self.0.fetch_add(1, Ordering::Relaxed);
        } else {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    fn lasts(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= ENOUGH
    }
}

impl Inner {
    /// The reply to a read that would find nothing; `None` where that is not sure.
    pub(super) async fn nothing_new(
        &self,
        opened: &Opened,
        request: &ReadRequest,
    ) -> Result<Option<ReadReply>, StoreError> {
        let simple = request.lanes.iter().all(|lane| lane.revisit.is_none());
        let Some(after) = request.lanes.iter().map(|lane| lane.after).min() else { return Ok(None) };
        if self.sql.backend != DbBackend::Postgres || !self.quiet.lasts() || !simple {
            return Ok(None);
        }
        let text = format!(
            "SELECT {}, s.shard, s.generation FROM {} CROSS JOIN {LEASES} \
             JOIN {} s ON s.shard = l.shard AND s.epoch = l.epoch AND s.owner = ?",
            self.look(),
            opened.sequence,
            self.sql.shard
        );
        let held: Vec<Lease> = request.lanes.iter().map(|lane| lane.lease).collect();
        let [shards, epochs] = leases(&held);
        let values = [shards, epochs, request.processor.into()];
        let (mut mark, mut lanes) = (None, Vec::with_capacity(request.lanes.len()));
        for row in query(&self.db, self.sql.statement(&text, values), DOING).await? {
            let mut cells = Cells::new(&row, false, DOING);
            let Some(look) = looked(&mut cells)? else { return Ok(None) };
            if look.last > after {
                return Ok(None);
            }
            let Some(unchanged) = self.unchanged(&look) else { return Ok(None) };
            let (shard, generation) = (cells.shard()?, cells.take()?);
            lanes.push(empty(shard, unchanged.generation(generation)));
            mark = Some(unchanged);
        }
        Ok(mark.map(|Mark { decided, .. }| ReadReply { decided, lanes }))
    }
}
