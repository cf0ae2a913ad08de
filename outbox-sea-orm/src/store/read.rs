//! Reading pending events.
//!
//! A read is three steps, in this order: what is decided, what had been passed over, what is new. Each later one sees
//! at least what the earlier ones saw, and the last one says under which generation.

use std::collections::HashMap;

use outbox_core::Shard;
use outbox_core::store::{ReadReply, ReadRequest, Revisit, Row, StoreError};
use sea_orm::{ConnectionTrait, DbBackend, StreamTrait, Value};

use super::error::during;
use super::forward::Found;
use super::open::Opened;
use super::row::{Cells, Read, message_of, number};
use super::sql::marks;
use super::{Inner, query_each};
use crate::failpoint::failpoint;

pub(super) const DOING: &str = "reading events";

impl Inner {
    pub(super) async fn read(&self, request: &ReadRequest) -> Result<ReadReply, StoreError> {
        let opened = self.opened().await?;
        let reply = match self.nothing_new(opened, request).await? {
            Some(nothing) => nothing,
            None => self.read_rows(opened, request).await?,
        };
        failpoint!("store::read::after", DOING);
        self.quiet.found(&reply);
        Ok(reply)
    }

    async fn read_rows(&self, opened: &Opened, request: &ReadRequest) -> Result<ReadReply, StoreError> {
        let (mut mark, txn) = self.decided(opened).await?;
        let found = match txn {
            Some(txn) => {
                let found = self.read_all(&txn, request, opened.binary).await?;
                txn.commit().await.map_err(during(DOING))?;
                found
            }
            None => self.read_all(&self.db, request, opened.binary).await?,
        };
        let Found { mut lanes, server } = found;
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
        conn: &(impl ConnectionTrait + StreamTrait),
        request: &ReadRequest,
        binary: bool,
    ) -> Result<Found, StoreError> {
        let mut revisited = HashMap::new();
        for lane in &request.lanes {
            if let Some(revisit) = lane.revisit.as_ref().filter(|revisit| revisit.from <= revisit.to) {
                revisited.insert(lane.lease.shard, self.revisit(conn, lane.lease.shard, revisit, binary).await?);
            }
        }
        let mut found = self.forward(conn, request, binary).await?;
        for lane in &mut found.lanes {
            if let Some((rows, more)) = revisited.remove(&lane.shard) {
                (lane.revisited, lane.more_revisited) = (rows, more);
            }
        }
        Ok(found)
    }

    /// What was passed over and may go now.
    async fn revisit(
        &self,
        conn: &(impl ConnectionTrait + StreamTrait),
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
        query_each(conn, self.sql.statement(&text, values), DOING, |row| {
            let mut cells = Cells::new(row, binary, DOING);
            let Some(Read { message, unreadable }) = cells.message(shard)? else { return Ok(()) };
            rows.push(Row { message, unreadable, retry_in: cells.wait()?, parked: cells.flag()? });
            more = cells.follows()?;
            Ok(())
        })
        .await?;
        Ok((rows, more))
    }

    /// The shard and numbers of its first events that meet a condition, within two limits (see [`limits`]), each with the
    /// one that comes next, if there is one.
    pub(super) fn window(&self, condition: &str) -> String {
        format!(
            "SELECT v.shard, v.seq, v.later FROM (SELECT u.shard, u.seq, LEAD(u.seq) OVER (ORDER BY u.seq) AS later, \
             ROW_NUMBER() OVER (ORDER BY u.seq) AS n, \
             SUM(u.size) OVER (ORDER BY u.seq ROWS UNBOUNDED PRECEDING) AS total FROM (\
             SELECT shard, seq, COALESCE({}, 0) AS size FROM {}{} WHERE shard = ? AND {condition} ORDER BY seq LIMIT ?) u) v \
             WHERE v.n <= ? AND (v.n = 1 OR v.total <= ?)",
            self.sql.size_of("payload"),
            self.sql.event,
            self.sql.by_primary_key()
        )
    }

    /// How long an event must still wait; negative or null when it need not. Few have a time, and to ask for the clock
    /// costs as much as to read a row.
    pub(super) fn wait(&self, alias: &str) -> String {
        let column = format!("{alias}.next_attempt_at");
        format!("CASE WHEN {column} IS NOT NULL THEN {} END", self.sql.until(&column))
    }

    /// Whether an event's key is parked. Mostly none is, which is looked at once and not for every row.
    pub(super) fn parked(&self, alias: &str) -> String {
        let parked = &self.sql.parked;
        format!(
            "CASE WHEN NOT EXISTS (SELECT 1 FROM {parked}) THEN 0 WHEN EXISTS (SELECT 1 FROM {parked} k \
             WHERE k.topic = {alias}.topic AND k.partition_key = {alias}.partition_key) THEN 1 ELSE 0 END"
        )
    }
}

/// One row more than asked for, which says whether there is one.
pub(super) fn more_than(limit: u32) -> Value {
    (i64::from(limit) + 1).into()
}

/// The parameters of a window.
pub(super) fn limits(limit: u32, bytes: usize) -> [Value; 3] {
    [more_than(limit), i64::from(limit).into(), size(bytes).into()]
}

pub(super) fn size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
