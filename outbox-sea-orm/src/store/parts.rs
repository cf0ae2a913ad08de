//! MariaDB and SQLite: the next events of some shards, each after its mark. MariaDB 10 and SQLite have no LATERAL, so each
//! shard is a part of a UNION, which costs more than to find out that there is nothing in it.

use outbox_core::store::{LaneRead, LaneRows, ReadRequest, StoreError};
use sea_orm::{ConnectionTrait, DbBackend, Value};

use super::forward::{Found, empty, light};
use super::read::{DOING, limits, more_than, size};
use super::row::{Cells, message_of, message_with, number};
use super::sql::Column;
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
        let (event, by_key) = (&self.sql.event, self.sql.by_primary_key());
        let text = format!(
            "SELECT s.shard, s.generation, {}, \
             (SELECT e.seq FROM {event} e{by_key} WHERE e.shard = s.shard ORDER BY e.seq DESC LIMIT 1) FROM {}",
            self.server(),
            self.leased(),
        );
        let values = [listed(lanes), request.processor.into()];
        let mut busy = Vec::new();
        for row in query(conn, self.sql.statement(&text, values), DOING).await? {
            let mut cells = Cells::new(&row, false, DOING);
            let shard = cells.shard()?;
            let Some(lane) = lanes.iter().find(|lane| lane.lease.shard == shard) else { continue };
            let generation = cells.take()?;
            found.server = cells.take()?;
            match cells.take::<Option<i64>>()? {
                Some(last) if last > lane.after => busy.push(lane.clone()),
                // Who asks for nothing has not seen that there is nothing.
                _ => found.lanes.push(LaneRows { more: lane.limit == 0, ..empty(shard, generation) }),
            }
        }
        Ok(busy)
    }

    /// The shards as `s` of which [`listed`] leases are held by who is the next parameter, each beside what is asked of it
    /// as `l`.
    fn leased(&self) -> String {
        let (lanes, join) = (self.sql.rows("l", &LANES), self.sql.lookup_join());
        format!("{lanes} {join} {} s ON s.shard = l.shard AND s.epoch = l.epoch AND s.owner = ?", self.sql.shard)
    }

    /// Which server answers, where that may change.
    fn server(&self) -> String {
        if self.sql.backend == DbBackend::MySql {
            format!("CONCAT_WS(' ', @@server_id, @@hostname, @@port, {})", self.sql.made_at())
        } else {
            "NULL".to_owned()
        }
    }

    /// The statement for [`forward_light`](Self::forward_light).
    pub(super) fn light_parts(&self, request: &ReadRequest, lanes: &[LaneRead]) -> (String, Vec<Value>) {
        let (event, by_key, unknown) = (&self.sql.event, self.sql.by_primary_key(), self.unknown(lanes));
        let part =
            format!("SELECT shard, seq FROM {event}{by_key} WHERE shard = ? AND seq > ?{unknown} ORDER BY seq LIMIT ?");
        let size = self.sql.size_of("e.payload");
        let columns = message_with("e", &format!("CASE WHEN {size} <= l.light THEN e.payload END"));
        let limit = |lane: &LaneRead| vec![more_than(lane.limit)];
        self.parts(request, lanes, &part, &format!("{size}, {columns}"), limit)
    }

    /// The statement for [`forward_weighed`](Self::forward_weighed).
    pub(super) fn weighed_parts(&self, request: &ReadRequest, lanes: &[LaneRead]) -> (String, Vec<Value>) {
        let part = self.window(&format!("seq > ?{}", self.unknown(lanes)));
        let columns = format!("w.later, {}", message_of("e"));
        self.parts(request, lanes, &part, &columns, |lane| limits(lane.limit, lane.bytes).to_vec())
    }

    /// Each part finds numbers alone, and what is read of their rows stands outside, once: a database plans every part anew,
    /// and payloads go through no temporary table. There are as many parts as the next power of two, the last for a shard
    /// that nobody has: so there are few texts, and each is prepared once per connection.
    fn parts(
        &self,
        request: &ReadRequest,
        lanes: &[LaneRead],
        part: &str,
        columns: &str,
        limits: impl Fn(&LaneRead) -> Vec<Value>,
    ) -> (String, Vec<Value>) {
        const NOBODY: i16 = -1;
        let event = &self.sql.event;
        let part = match self.sql.backend {
            DbBackend::Sqlite => format!("SELECT * FROM ({part})"),
            _ => format!("({part})"),
        };
        let parts = lanes.len().next_power_of_two();
        let text = format!(
            "SELECT s.shard, s.generation, {}, {columns}, {}, {} FROM {} LEFT JOIN ({}) w ON w.shard = s.shard \
             LEFT JOIN {event} e ON e.shard = w.shard AND e.seq = w.seq",
            self.server(),
            self.wait("e"),
            self.parked("e"),
            self.leased(),
            vec![part; parts].join(" UNION ALL "),
        );
        let has_known = any_known(lanes);
        let mut values = vec![listed(lanes), request.processor.into()];
        let own = lanes.iter().map(|lane| (number(lane.lease.shard), lane));
        let nobody = lanes.last().into_iter().cycle().map(|lane| (NOBODY, lane));
        for (shard, lane) in own.chain(nobody).take(parts) {
            values.extend([shard.into(), lane.after.into()]);
            if has_known {
                values.push(serde_json::json!(lane.known).to_string().into());
            }
            values.extend(limits(lane));
        }
        (text, values)
    }

    /// That a row is not one of those that are known, of which each part is given a list; mostly there are none.
    fn unknown(&self, lanes: &[LaneRead]) -> &'static str {
        match self.sql.backend {
            _ if !any_known(lanes) => "",
            DbBackend::Sqlite => " AND seq NOT IN (SELECT value FROM json_each(?))",
            _ => " AND seq NOT IN (SELECT k.known FROM JSON_TABLE(?, '$[*]' COLUMNS (known BIGINT PATH '$')) AS k)",
        }
    }
}

/// What [`listed`] makes a parameter of.
const LANES: [(&str, Column); 3] = [("shard", Column::Number), ("epoch", Column::Number), ("light", Column::Number)];

fn listed(lanes: &[LaneRead]) -> Value {
    let lane = |lane: &LaneRead| {
        let (shard, epoch, light) = (number(lane.lease.shard), lane.lease.epoch, size(light(lane)));
        serde_json::json!({ "shard": shard, "epoch": epoch, "light": light })
    };
    lanes.iter().map(lane).collect::<serde_json::Value>().to_string().into()
}

fn any_known(lanes: &[LaneRead]) -> bool {
    lanes.iter().any(|lane| !lane.known.is_empty())
}
