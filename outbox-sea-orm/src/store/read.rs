//! Reading pending events.
//!
//! A read is three steps, in this order: what is decided, what had been passed over, what is new. Each later one sees
//! at least what the earlier ones saw, and the last one says under which generation.

use std::collections::HashMap;

use outbox_core::Shard;
use outbox_core::store::{LaneRead, LaneRows, ReadReply, ReadRequest, Revisit, Row, StoreError};
use sea_orm::{ConnectionTrait, DbBackend, Value};
use serde_json::json;

use super::error::during;
use super::row::{Cells, Read, message_of, number};
use super::sql::marks;
use super::{Inner, query};
use crate::failpoint::failpoint;

const DOING: &str = "reading events";

/// Most shards in one statement; SQLite takes 500 parts of a UNION.
const MOST_SHARDS: usize = 200;

impl Inner {
    pub(super) async fn read(&self, request: &ReadRequest) -> Result<ReadReply, StoreError> {
        let opened = self.opened().await?;
        let (mut mark, txn) = self.decided(opened).await?;
        let found = match txn {
            Some(txn) => {
                let found = self.read_all(&txn, request, opened.binary).await?;
                txn.commit().await.map_err(during(DOING))?;
                found
            }
            None => self.read_all(&self.db, request, opened.binary).await?,
        };
        failpoint!("store::read::after", DOING);
        let (mut lanes, server) = found;
        let mut decided = mark.decided;
        if self.sql.backend == DbBackend::MySql {
            let rows = lanes.iter().flat_map(|lane| &lane.rows);
            let highest = rows.map(|row| row.message.seq).max();
            let now = self.saw(highest, server.as_deref());
            if now.era != mark.era {
                // What was decided was decided of another server.
                (mark, decided) = (now, 0);
            }
        }
        for lane in &mut lanes {
            lane.generation = mark.generation(lane.generation);
        }
        Ok(ReadReply { decided, lanes })
    }

    /// What had been passed over, and then what is new, which is never older.
    async fn read_all(
        &self,
        conn: &impl ConnectionTrait,
        request: &ReadRequest,
        binary: bool,
    ) -> Result<(Vec<LaneRows>, Option<String>), StoreError> {
        let mut revisited = HashMap::new();
        for lane in &request.lanes {
            if let Some(revisit) = lane.revisit.as_ref().filter(|revisit| revisit.from <= revisit.to) {
                revisited.insert(lane.lease.shard, self.revisit(conn, lane.lease.shard, revisit, binary).await?);
            }
        }
        let (mut found, mut server) = (Vec::with_capacity(request.lanes.len()), None);
        for lanes in request.lanes.chunks(MOST_SHARDS) {
            self.forward(conn, request, lanes, binary, &mut found, &mut server).await?;
        }
        for lane in &mut found {
            if let Some((rows, more)) = revisited.remove(&lane.shard) {
                (lane.revisited, lane.more_revisited) = (rows, more);
            }
        }
        Ok((found, server))
    }

    /// The next events of some shards, each after its mark: one statement, so one snapshot.
    async fn forward(
        &self,
        conn: &impl ConnectionTrait,
        request: &ReadRequest,
        lanes: &[LaneRead],
        binary: bool,
        found: &mut Vec<LaneRows>,
        server: &mut Option<String>,
    ) -> Result<(), StoreError> {
        let (text, values) = match self.sql.backend {
            DbBackend::Postgres => self.forward_lateral(request, lanes),
            _ => self.forward_union(request, lanes),
        };
        let from = found.len();
        for row in query(conn, self.sql.statement(&text, values), DOING).await? {
            let mut cells = Cells::new(&row, binary, DOING);
            let shard = cells.shard()?;
            let generation = cells.take()?;
            *server = cells.take()?;
            let more = cells.follows()?;
            // Rows of a shard come together.
            if found.get(from..).and_then(<[_]>::last).is_none_or(|lane: &LaneRows| lane.shard != shard) {
                found.push(empty(shard, generation));
            }
            let Some(lane) = found.last_mut() else { continue };
            if let Some(Read { message, unreadable }) = cells.message()? {
                // Only the last of all that are left has none behind it.
                lane.more = more && (lane.more || lane.rows.is_empty());
                lane.rows.push(Row { message, unreadable, retry_in: cells.wait()?, parked: cells.flag()? });
            }
        }
        for lane in found.iter_mut().skip(from) {
            lane.rows.sort_unstable_by_key(|row| row.message.seq);
            lane.more |= lanes.iter().any(|asked| asked.lease.shard == lane.shard && asked.limit == 0);
        }
        Ok(())
    }

    /// PostgreSQL: one text for any shards, so that it is prepared once per connection.
    fn forward_lateral(&self, request: &ReadRequest, lanes: &[LaneRead]) -> (String, Vec<Value>) {
        let text = format!(
            "SELECT s.shard, s.generation, NULL::text, w.later, {}, w.wait, w.parked \
             FROM json_to_recordset(?::json) AS \
             l(shard smallint, epoch bigint, after bigint, most bigint, bytes bigint, known int8multirange) \
             JOIN {} s ON s.shard = l.shard AND s.epoch = l.epoch AND s.owner = ? \
             LEFT JOIN LATERAL (\
             SELECT e.*, {} AS wait, {} AS parked FROM (\
             SELECT x.*, lead(x.seq) OVER o AS later, row_number() OVER o AS n, \
             sum(coalesce(octet_length(x.payload), 0)) OVER (o ROWS UNBOUNDED PRECEDING) AS size FROM (\
             SELECT p.* FROM {} p WHERE p.shard = l.shard AND p.seq > l.after AND NOT (l.known @> p.seq) \
             ORDER BY p.seq LIMIT l.most + 1) x WINDOW o AS (ORDER BY x.seq)) e \
             WHERE e.n <= l.most AND (e.n = 1 OR e.size <= l.bytes)) w ON true",
            message_of("w"),
            self.sql.shard,
            self.wait("e"),
            self.parked("e"),
            self.sql.event,
        );
        let lanes = lanes.iter().map(|lane| {
            json!({
                "shard": lane.lease.shard.number(),
                "epoch": lane.lease.epoch,
                "after": lane.after,
                "most": lane.limit,
                "bytes": size(lane.bytes),
                "known": ranges(&lane.known),
            })
        });
        (text, vec![serde_json::Value::from_iter(lanes).to_string().into(), request.processor.into()])
    }

    /// MariaDB 10 and SQLite have no LATERAL: one part per shard. The sizes come from a pass of their own, so that no
    /// payload goes through a temporary table.
    fn forward_union(&self, request: &ReadRequest, lanes: &[LaneRead]) -> (String, Vec<Value>) {
        let server = if self.sql.backend == DbBackend::MySql {
            format!("CONCAT_WS(' ', @@server_id, @@hostname, @@port, {})", self.sql.made_at())
        } else {
            "NULL".to_owned()
        };
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

    /// What was passed over and may go now.
    async fn revisit(
        &self,
        conn: &impl ConnectionTrait,
        shard: Shard,
        revisit: &Revisit,
        binary: bool,
    ) -> Result<(Vec<Row>, bool), StoreError> {
        let mut filters = Vec::new();
        let mut values = vec![Value::from(number(shard)), revisit.from.into(), revisit.to.into()];
        let lists = [
            ("partition_key", revisit.keys.iter().map(|key| Value::from(key.clone())).collect::<Vec<_>>()),
            ("topic", revisit.topics.iter().map(|topic| Value::from(topic.clone())).collect()),
            ("seq", revisit.seqs.iter().map(|seq| Value::from(*seq)).collect()),
        ];
        for (column, list) in lists {
            if !list.is_empty() {
                filters.push(format!("{column} IN ({})", marks(list.len())));
                values.extend(list);
            }
        }
        if filters.is_empty() {
            return Ok((Vec::new(), false));
        }
        let filter = format!("seq BETWEEN ? AND ? AND ({})", filters.join(" OR "));
        values.extend(limits(revisit.limit, revisit.bytes));
        values.push(number(shard).into());
        let text = format!(
            "SELECT {}, {}, {}, w.later FROM ({}) w {} ORDER BY e.seq",
            message_of("e"),
            self.wait("e"),
            self.parked("e"),
            self.window(&filter),
            self.sql.look_up_event("?", "w.seq")
        );
        let (mut rows, mut more) = (Vec::new(), revisit.limit == 0);
        for row in query(conn, self.sql.statement(&text, values), DOING).await? {
            let mut cells = Cells::new(&row, binary, DOING);
            let Some(Read { message, unreadable }) = cells.message()? else { continue };
            rows.push(Row { message, unreadable, retry_in: cells.wait()?, parked: cells.flag()? });
            more = cells.follows()?;
        }
        Ok((rows, more))
    }

    /// The numbers of a shard's first events that meet a condition, within two limits (see [`limits`]), each with the
    /// one that comes next, if there is one.
    fn window(&self, condition: &str) -> String {
        let size = match self.sql.backend {
            DbBackend::Sqlite => "length(CAST(payload AS BLOB))",
            _ => "octet_length(payload)",
        };
        format!(
            "SELECT v.seq, v.later FROM (SELECT u.seq, LEAD(u.seq) OVER (ORDER BY u.seq) AS later, \
             ROW_NUMBER() OVER (ORDER BY u.seq) AS n, \
             SUM(u.size) OVER (ORDER BY u.seq ROWS UNBOUNDED PRECEDING) AS total FROM (\
             SELECT seq, COALESCE({size}, 0) AS size FROM {} WHERE shard = ? AND {condition} ORDER BY seq LIMIT ?) u) v \
             WHERE v.n <= ? AND (v.n = 1 OR v.total <= ?)",
            self.sql.event
        )
    }

    /// How long an event must still wait; negative or null when it need not. Few have a time, and to ask for the clock
    /// costs as much as to read a row.
    fn wait(&self, alias: &str) -> String {
        let column = format!("{alias}.next_attempt_at");
        format!("CASE WHEN {column} IS NOT NULL THEN {} END", self.sql.until(&column))
    }

    /// Whether an event's key is parked. Mostly none is, which is looked at once and not for every row.
    fn parked(&self, alias: &str) -> String {
        let parked = &self.sql.parked;
        format!(
            "CASE WHEN NOT EXISTS (SELECT 1 FROM {parked}) THEN 0 WHEN EXISTS (SELECT 1 FROM {parked} k \
             WHERE k.topic = {alias}.topic AND k.partition_key = {alias}.partition_key) THEN 1 ELSE 0 END"
        )
    }
}

fn empty(shard: Shard, generation: i64) -> LaneRows {
    LaneRows { shard, generation, rows: Vec::new(), more: false, revisited: Vec::new(), more_revisited: false }
}

/// The parameters of a window: one row more than asked for, which says whether there is one.
fn limits(limit: u32, bytes: usize) -> [Value; 3] {
    [(i64::from(limit) + 1).into(), i64::from(limit).into(), size(bytes).into()]
}

fn size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Numbers to leave out. Not the bare column: MariaDB would make a range out of every gap between them.
fn not_in(known: &[i64]) -> String {
    let list: Vec<String> = known.iter().map(ToString::to_string).collect();
    format!(" AND seq + 0 NOT IN ({})", list.join(", "))
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
    use super::*;

    #[test]
    fn numbers_become_ranges() {
        assert_eq!(ranges(&[]), "{}");
        assert_eq!(ranges(&[5]), "{[5,5]}");
        assert_eq!(ranges(&[1, 2, 3, 5, 7, 8, 8]), "{[1,3],[5,5],[7,8]}");
        assert_eq!(ranges(&[i64::MAX]), format!("{{[{0},{0}]}}", i64::MAX));
    }
}
