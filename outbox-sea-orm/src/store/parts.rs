//! MariaDB and SQLite: the next events of some shards, each after its mark. MariaDB 10 and SQLite have no LATERAL, so each
//! shard is a part of a UNION of its own, which costs much more than to find out that there is nothing in it.

use outbox_core::store::{LaneRead, LaneRows, Lease, ReadRequest, StoreError};
use sea_orm::{ConnectionTrait, DbBackend, Value};

use super::forward::{Found, empty};
use super::read::{DOING, limits};
use super::row::{Cells, message_of, number};
use super::{Inner, query};

impl Inner {
    /// The shards that have events after their marks. The others go to `found`, with nothing.
    pub(super) async fn busy(
        &self,
        conn: &impl ConnectionTrait,
        request: &ReadRequest,
        lanes: &[LaneRead],
        found: &mut Found,
    ) -> Result<Vec<LaneRead>, StoreError> {
        let shards: Vec<i16> = lanes.iter().map(|lane| number(lane.lease.shard)).collect();
        let mut values = Vec::new();
        let is_one = self.sql.is_one_of("s.shard", &shards, &mut values);
        values.push(request.processor.into());
        let text = format!(
            "SELECT s.shard, s.epoch, s.generation, {}, \
             (SELECT e.seq FROM {} e WHERE e.shard = s.shard ORDER BY e.seq DESC LIMIT 1) \
             FROM {} s WHERE {is_one} AND s.owner = ?",
            self.server(),
            self.sql.event,
            self.sql.shard,
        );
        let mut busy = Vec::new();
        for row in query(conn, self.sql.statement(&text, values), DOING).await? {
            let mut cells = Cells::new(&row, false, DOING);
            let lease = Lease { shard: cells.shard()?, epoch: cells.take()? };
            let Some(lane) = lanes.iter().find(|lane| lane.lease == lease) else { continue };
            let generation = cells.take()?;
            found.server = cells.take()?;
            match cells.take::<Option<i64>>()? {
                Some(last) if last > lane.after => busy.push(lane.clone()),
                // Who asks for nothing has not seen that there is nothing.
                _ => found.lanes.push(LaneRows { more: lane.limit == 0, ..empty(lease.shard, generation) }),
            }
        }
        Ok(busy)
    }

    /// Which server answers, where that may change.
    fn server(&self) -> String {
        if self.sql.backend == DbBackend::MySql {
            format!("CONCAT_WS(' ', @@server_id, @@hostname, @@port, {})", self.sql.made_at())
        } else {
            "NULL".to_owned()
        }
    }

    /// One part per shard. The sizes come from a pass of their own, so that no payload goes through a temporary table.
    pub(super) fn forward_union(&self, request: &ReadRequest, lanes: &[LaneRead]) -> (String, Vec<Value>) {
        let server = self.server();
        let columns = message_of("e");
        let (wait, parked) = (self.wait("e"), self.parked("e"));
        let (mut parts, mut values) = (Vec::with_capacity(lanes.len()), Vec::new());
        for lane in lanes {
            let shard = Value::from(number(lane.lease.shard));
            let known = if lane.known.is_empty() { String::new() } else { not_in(&lane.known) };
            let window = self.window(&format!("seq > ?{known}"));
            parts.push(format!(
                "SELECT s.shard, s.generation, {server}, w.later, {columns}, {wait}, {parked} FROM {} s \
                 LEFT JOIN ({window}) w ON 1 = 1 LEFT JOIN {} e ON e.shard = ? AND e.seq = w.seq \
                 WHERE s.shard = ? AND s.owner = ? AND s.epoch = ?",
                self.sql.shard, self.sql.event
            ));
            values.extend([shard.clone(), lane.after.into()]);
            values.extend(limits(lane.limit, lane.bytes));
            values.extend([shard.clone(), shard, request.processor.into(), lane.lease.epoch.into()]);
        }
        (parts.join(" UNION ALL "), values)
    }
}

/// Numbers to leave out. Not the bare column: MariaDB would make a range out of every gap between them.
fn not_in(known: &[i64]) -> String {
    let list: Vec<String> = known.iter().map(ToString::to_string).collect();
    format!(" AND seq + 0 NOT IN ({})", list.join(", "))
}
