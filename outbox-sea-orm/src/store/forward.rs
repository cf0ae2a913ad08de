//! The next events of some shards, each after its mark.

use outbox_core::Shard;
use outbox_core::store::{LaneRead, LaneRows, ReadRequest, Row, StoreError};
use sea_orm::{ConnectionTrait, DbBackend, StreamTrait, Value};
use uuid::Uuid;

use super::read::{DOING, size};
use super::row::{Cells, Read, message_of, message_with, number, place_of};
use super::sql::array;
use super::{Inner, query_each};

/// Most shards in one statement; SQLite takes 500 parts of a UNION.
const MOST_SHARDS: usize = 200;

/// What [`listed`] makes a parameter of, on PostgreSQL.
const LANES: &str = "unnest(?::smallint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], \
                     ?::text[]::int8multirange[]) AS l(shard, epoch, after, most, bytes, light, known)";

/// What was found in some shards, and which server answered where that may change.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) lanes: Vec<LaneRows>,
    pub(super) server: Option<String>,
}

impl Inner {
    /// One statement for each so many shards, so one snapshot for each of them.
    pub(super) async fn forward(
        &self,
        conn: &(impl ConnectionTrait + StreamTrait),
        request: &ReadRequest,
        binary: bool,
    ) -> Result<Found, StoreError> {
        let mut found = Found { lanes: Vec::with_capacity(request.lanes.len()), server: None };
        for lanes in request.lanes.chunks(MOST_SHARDS) {
            let busy;
            let lanes = if self.sql.backend == DbBackend::Postgres {
                lanes
            } else {
                // Only of shards that have something is more asked than what their last number is.
                busy = self.busy(conn, request, lanes, &mut found).await?;
                &busy
            };
            if lanes.is_empty() {
                continue;
            }
            let heavy = self.forward_light(conn, request, lanes, binary, &mut found).await?;
            if !heavy.is_empty() {
                self.forward_weighed(conn, request, &heavy, binary, &mut found).await?;
            }
        }
        Ok(found)
    }

    /// The usual case is that payloads are about as large as those before them. To add their sizes up in the database
    /// costs more than to read them. So those that are larger by far are left out, and what came with its payload is
    /// counted here. Where the first event is such a one, the shard is to be read again: these are returned.
    async fn forward_light(
        &self,
        conn: &(impl ConnectionTrait + StreamTrait),
        request: &ReadRequest,
        lanes: &[LaneRead],
        binary: bool,
        found: &mut Found,
    ) -> Result<Vec<LaneRead>, StoreError> {
        let (text, values) = match self.sql.backend {
            DbBackend::Postgres => self.light_lateral(request, lanes),
            _ => self.light_parts(request, lanes),
        };
        let mut shards: Vec<(Shard, i64, Vec<Weighed>)> = Vec::with_capacity(lanes.len());
        query_each(conn, self.sql.statement(&text, values), DOING, |row| {
            let mut cells = Cells::new(row, binary, DOING);
            let shard = cells.shard()?;
            let generation = cells.take()?;
            found.server = cells.take()?;
            let size = cells.size()?;
            if self.sql.backend == DbBackend::Postgres {
                cells.place();
            }
            // Rows of a shard come together.
            if shards.last().is_none_or(|(last, ..)| *last != shard) {
                let expected = lanes.iter().find(|lane| lane.lease.shard == shard).map_or(0, |lane| lane.limit);
                shards.push((shard, generation, Vec::with_capacity(expected as usize + 1)));
            }
            if let Some((.., rows)) = shards.last_mut()
                && let Some(Read { message, unreadable }) = cells.message(shard)?
            {
                rows.push((size, Row { message, unreadable, retry_in: cells.wait()?, parked: cells.flag()? }));
            }
            Ok(())
        })
        .await?;
        let mut heavy = Vec::new();
        for (shard, generation, rows) in shards {
            let Some(asked) = lanes.iter().find(|lane| lane.lease.shard == shard) else { continue };
            match cut(rows, asked) {
                Some((rows, more)) => found.lanes.push(LaneRows { rows, more, ..empty(shard, generation) }),
                None => heavy.push(asked.clone()),
            }
        }
        Ok(heavy)
    }

    /// PostgreSQL: one text for any shards, so that it is prepared once per connection.
    fn light_lateral(&self, request: &ReadRequest, lanes: &[LaneRead]) -> (String, Vec<Value>) {
        // Mostly there is nothing to leave out, and then no row is asked about it.
        let all_unknown = lanes.iter().all(|lane| lane.known.is_empty());
        let unknown = if all_unknown { "" } else { " AND NOT (l.known @> e.seq)" };
        // The size is known without the payload being put together.
        let columns = message_with("w", "CASE WHEN w.size <= l.light THEN w.payload END");
        let text = format!(
            "SELECT s.shard, s.generation, NULL::text, w.size, w.place, {columns}, {}, {} FROM {LANES} {} \
             LEFT JOIN LATERAL (\
             SELECT e.*, octet_length(e.payload) AS size, {} AS place FROM {} e \
             WHERE e.shard = l.shard AND e.seq > l.after{unknown} \
             ORDER BY e.seq LIMIT l.most + 1) w ON true",
            self.wait("w"),
            self.parked("w"),
            self.sql.look_up_lease(),
            place_of("e"),
            self.sql.event,
        );
        (text, listed(lanes, request.processor))
    }

    /// Reads with statements in which the database adds the sizes up.
    async fn forward_weighed(
        &self,
        conn: &(impl ConnectionTrait + StreamTrait),
        request: &ReadRequest,
        lanes: &[LaneRead],
        binary: bool,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        let (text, values) = match self.sql.backend {
            DbBackend::Postgres => self.weighed_lateral(request, lanes),
            _ => self.weighed_parts(request, lanes),
        };
        let from = found.lanes.len();
        query_each(conn, self.sql.statement(&text, values), DOING, |row| {
            let mut cells = Cells::new(row, binary, DOING);
            let shard = cells.shard()?;
            let generation = cells.take()?;
            found.server = cells.take()?;
            let more = cells.follows()?;
            // Rows of a shard come together.
            if found.lanes.get(from..).and_then(<[_]>::last).is_none_or(|lane: &LaneRows| lane.shard != shard) {
                found.lanes.push(empty(shard, generation));
            }
            let Some(lane) = found.lanes.last_mut() else { return Ok(()) };
            if let Some(Read { message, unreadable }) = cells.message(shard)? {
                // Only the last of all that are left has none behind it.
                lane.more = more && (lane.more || lane.rows.is_empty());
                lane.rows.push(Row { message, unreadable, retry_in: cells.wait()?, parked: cells.flag()? });
            }
            Ok(())
        })
        .await?;
        for lane in found.lanes.iter_mut().skip(from) {
            lane.rows.sort_unstable_by_key(|row| row.message.seq);
            lane.more |= lanes.iter().any(|asked| asked.lease.shard == lane.shard && asked.limit == 0);
        }
        Ok(())
    }

    /// PostgreSQL, likewise.
    fn weighed_lateral(&self, request: &ReadRequest, lanes: &[LaneRead]) -> (String, Vec<Value>) {
        let text = format!(
            "SELECT s.shard, s.generation, NULL::text, w.later, {}, w.wait, w.parked FROM {LANES} {} \
             LEFT JOIN LATERAL (\
             SELECT e.*, {} AS wait, {} AS parked FROM (\
             SELECT x.*, lead(x.seq) OVER o AS later, row_number() OVER o AS n, \
             sum(coalesce(octet_length(x.payload), 0)) OVER (o ROWS UNBOUNDED PRECEDING) AS size FROM (\
             SELECT p.* FROM {} p WHERE p.shard = l.shard AND p.seq > l.after AND NOT (l.known @> p.seq) \
             ORDER BY p.seq LIMIT l.most + 1) x WINDOW o AS (ORDER BY x.seq)) e \
             WHERE e.n <= l.most AND (e.n = 1 OR e.size <= l.bytes)) w ON true",
            message_of("w"),
            self.sql.look_up_lease(),
            self.wait("e"),
            self.parked("e"),
            self.sql.event,
        );
        (text, listed(lanes, request.processor))
    }
}

/// What is asked of each shard, as the columns of [`LANES`], and who asks.
fn listed(lanes: &[LaneRead], processor: Uuid) -> Vec<Value> {
    vec![
        array(lanes, |lane| number(lane.lease.shard)),
        array(lanes, |lane| lane.lease.epoch),
        array(lanes, |lane| lane.after),
        array(lanes, |lane| i64::from(lane.limit)),
        array(lanes, |lane| size(lane.bytes)),
        array(lanes, |lane| size(light(lane))),
        array(lanes, |lane| ranges(&lane.known)),
        processor.into(),
    ]
}

/// An event with the size of its payload, which may have been left out.
type Weighed = (usize, Row);

/// The largest payload that comes with the rest: if all were as large, they would be twice as much as was asked for.
pub(super) fn light(asked: &LaneRead) -> usize {
    const LEAST: usize = 1_024;
    (asked.bytes / (asked.limit.max(1) as usize)).saturating_mul(2).max(LEAST)
}

/// As much as was asked for, and whether there is more; `None` when not even the first event came with its payload.
fn cut(mut rows: Vec<Weighed>, asked: &LaneRead) -> Option<(Vec<Row>, bool)> {
    rows.sort_unstable_by_key(|(_, row)| row.message.seq);
    let (all, mut bytes, light) = (rows.len(), 0_usize, light(asked));
    let mut kept = Vec::with_capacity(all);
    for (size, row) in rows.into_iter().take(asked.limit as usize) {
        if size > light && kept.is_empty() {
            return None;
        }
        bytes = bytes.saturating_add(size);
        if size > light || (bytes > asked.bytes && !kept.is_empty()) {
            break;
        }
        kept.push(row);
    }
    // Who asks for nothing has not seen that there is nothing.
    let more = kept.len() < all || asked.limit == 0;
    Some((kept, more))
}

/// Nothing of a shard.
pub(super) fn empty(shard: Shard, generation: i64) -> LaneRows {
    LaneRows { shard, generation, rows: Vec::new(), more: false, revisited: Vec::new(), more_revisited: false }
}

/// Numbers as PostgreSQL writes a multirange, in which it finds one by halving.
fn ranges(known: &[i64]) -> String {
    let mut ranges = String::from("{");
    let mut known = known.iter().copied().peekable();
    while let Some(first) = known.next() {
        let mut last = first;
        while let Some(next) = known.next_if(|next| *next <= last.saturating_add(1)) {
            last = next;
        }
        if ranges.len() > 1 {
            ranges.push(',');
        }
        ranges.push_str(&format!("[{first},{last}]"));
    }
    ranges.push('}');
    ranges
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use outbox_core::event::{Envelope, EventId, Headers};
    use outbox_core::store::Lease;
    use outbox_core::{Message, Origin, Place};

    use super::*;

    #[test]
    fn numbers_become_ranges() {
        assert_eq!(ranges(&[]), "{}");
        assert_eq!(ranges(&[5]), "{[5,5]}");
        assert_eq!(ranges(&[1, 2, 3, 5, 7, 8, 8]), "{[1,3],[5,5],[7,8]}");
        assert_eq!(ranges(&[i64::MAX]), format!("{{[{0},{0}]}}", i64::MAX));
    }

    fn asked(limit: u32, bytes: usize) -> LaneRead {
        let lease = Lease { shard: Shard::new(0), epoch: 1 };
        LaneRead { lease, after: 0, known: Vec::new(), limit, bytes, revisit: None }
    }

    /// Payloads of these sizes, numbered from 1, the last first.
    fn rows(sizes: &[usize]) -> Vec<Weighed> {
        let row = |(n, size): (i64, &usize)| {
            let envelope = Envelope {
                id: EventId::from(Uuid::nil()),
                aggregate_type: "".into(),
                aggregate_id: None,
                aggregate_version: None,
                event_type: "".into(),
                event_version: 1,
                topic: "".into(),
                key: None,
                payload: None,
                content_type: "".into(),
                headers: Headers::new(),
                created_at: SystemTime::UNIX_EPOCH,
                delay: None,
            };
            let message = Message {
                envelope,
                seq: n,
                shard: Shard::new(0),
                attempts: 0,
                origin: Origin::Staged,
                place: Place::default(),
            };
            (*size, Row { message: message.into(), unreadable: None, retry_in: None, parked: false })
        };
        let mut rows: Vec<Weighed> = (1..).zip(sizes).map(row).collect();
        rows.reverse();
        rows
    }

    fn numbers(sizes: &[usize], limit: u32, bytes: usize) -> Option<(Vec<i64>, bool)> {
        let (rows, more) = cut(rows(sizes), &asked(limit, bytes))?;
        Some((rows.iter().map(|row| row.message.seq).collect(), more))
    }

    #[test]
    fn as_many_events_and_bytes_as_were_asked_for() {
        assert_eq!(numbers(&[], 2, 9_000), Some((vec![], false)));
        assert_eq!(numbers(&[1, 1], 2, 9_000), Some((vec![1, 2], false)));
        assert_eq!(numbers(&[1, 1, 1], 2, 9_000), Some((vec![1, 2], true)), "one row more says that there is more");
        assert_eq!(numbers(&[1], 0, 9_000), Some((vec![], true)));
        assert_eq!(numbers(&[], 0, 9_000), Some((vec![], true)));
        assert_eq!(numbers(&[4_000, 4_000, 4_000], 3, 8_000), Some((vec![1, 2], true)));
        assert_eq!(numbers(&[900, 900], 2, 500), Some((vec![1], true)), "one is always read");
    }

    #[test]
    fn what_came_without_its_payload_is_not_used_and_nothing_behind_it() {
        let bytes = 3_000;
        let (light, heavy) = (light(&asked(3, bytes)), light(&asked(3, bytes)) + 1);
        assert_eq!(light, 2_000);
        assert_eq!(numbers(&[1, heavy, 1], 3, bytes), Some((vec![1], true)));
        assert_eq!(numbers(&[heavy, 1, 1], 3, bytes), None);
        assert_eq!(numbers(&[light, 1_000, 1], 3, bytes), Some((vec![1, 2], true)));
        assert_eq!(numbers(&[heavy], 0, bytes), Some((vec![], true)), "nothing was asked for");
    }
}
