//! What the statements have in common on three databases.

use outbox_core::event::EventId;
use outbox_core::store::Lease;
use outbox_migration::TableNames;
use sea_orm::{DbBackend, Statement, Value};

use super::row::number;

/// The tables' quoted names, and the dialect.
#[derive(Debug)]
pub(super) struct Sql {
    pub(super) backend: DbBackend,
    pub(super) event: String,
    pub(super) scheduled: String,
    pub(super) dead: String,
    pub(super) parked: String,
    pub(super) shard: String,
    pub(super) processor: String,
    pub(super) meta: String,
    pub(super) gate: String,
}

/// A column of [`Sql::rows`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    Number,
    Id,
    Text,
}

/// The columns that say which row, for [`Sql::rows`].
pub(super) const WHICH: [(&str, Column); 3] = [("shard", Column::Number), ("seq", Column::Number), ("id", Column::Id)];

impl Sql {
    pub(super) fn new(names: &TableNames, backend: DbBackend) -> Self {
        Self {
            backend,
            event: names.event(backend),
            scheduled: names.scheduled(backend),
            dead: names.dead(backend),
            parked: names.parked(backend),
            shard: names.shard(backend),
            processor: names.processor(backend),
            meta: names.meta(backend),
            gate: names.gate(backend),
        }
    }

    /// How long until the time in `column`, negative when it has passed. One from before 1970, which nobody but a person
    /// wrote, must not overflow.
    pub(super) fn until(&self, column: &str) -> String {
        let greatest = if self.backend == DbBackend::Sqlite { "max" } else { "GREATEST" };
        format!("{greatest}({column}, 0) - {}", self.now())
    }

    /// How many bytes a payload has.
    pub(super) fn size_of(&self, payload: &str) -> String {
        match self.backend {
            DbBackend::Sqlite => format!("length(CAST({payload} AS BLOB))"),
            _ => format!("octet_length({payload})"),
        }
    }

    /// Microseconds since the epoch by the database's clock, whatever the session's time zone.
    pub(super) fn now(&self) -> &'static str {
        match self.backend {
            DbBackend::Postgres => "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
            DbBackend::MySql => "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
            // Its clock has milliseconds.
            _ => {
                "(CAST(strftime('%s', 'now') AS INTEGER) * 1000000 \
                 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000)"
            }
        }
    }

    /// Whether a lease or a processor lasts, by its column that says until when. One that is to last for more than twice
    /// its length was made before the clock went back, by more than it is long: it has run out, or nobody could take
    /// over for as long as the clock jumped. `of` is the table's alias with a dot, if it has one.
    pub(super) fn lasts(&self, of: &str, until: &str) -> String {
        let now = self.now();
        format!("({of}{until} > {now} AND {of}{until} <= {now} + 2 * {of}lease)")
    }

    /// What tells these tables from others that had the same names before.
    pub(super) fn made_at(&self) -> String {
        format!("(SELECT m.value FROM {} m WHERE m.name = 'made_at')", self.meta)
    }

    /// A statement whose parameters are written as `?`, whatever the database.
    pub(super) fn statement(&self, text: &str, values: impl IntoIterator<Item = Value>) -> Statement {
        if self.backend != DbBackend::Postgres {
            return Statement::from_sql_and_values(self.backend, text, values);
        }
        let mut numbered = String::with_capacity(text.len() + 64);
        for (n, part) in text.split('?').enumerate() {
            if n > 0 {
                numbered.push('$');
                numbered.push_str(&n.to_string());
            }
            numbered.push_str(part);
        }
        Statement::from_sql_and_values(self.backend, numbered, values)
    }

    /// A lock on the rows of a SELECT, for as long as the transaction lasts.
    pub(super) fn for_update(&self) -> &'static str {
        match self.backend {
            // No weaker lock is needed where keys never change, and a stronger one would hinder nobody else.
            DbBackend::Postgres => " FOR NO KEY UPDATE",
            DbBackend::MySql => " FOR UPDATE",
            _ => "",
        }
    }

    /// The same, without those that somebody else has locked.
    pub(super) fn for_update_of_the_free(&self) -> &'static str {
        match self.backend {
            DbBackend::Postgres => " FOR NO KEY UPDATE SKIP LOCKED",
            DbBackend::MySql => " FOR UPDATE SKIP LOCKED",
            _ => "",
        }
    }

    /// A lock that many may hold, and that keeps out who would change the row.
    pub(super) fn for_share(&self) -> &'static str {
        match self.backend {
            DbBackend::Postgres => " FOR SHARE",
            DbBackend::MySql => " LOCK IN SHARE MODE",
            _ => "",
        }
    }

    /// Without it MariaDB reads a small table from end to end, and locks what it reads, or looks for a shard's rows among all
    /// others, by an index on what they are ordered by.
    pub(super) fn by_primary_key(&self) -> &'static str {
        if self.backend == DbBackend::MySql { " FORCE INDEX (PRIMARY)" } else { "" }
    }

    /// `column` is one of these shards.
    pub(super) fn is_one_of(&self, column: &str, shards: &[i16], values: &mut Vec<Value>) -> String {
        if self.backend == DbBackend::Postgres {
            values.push(shards.to_vec().into());
            return format!("{column} = ANY(?::smallint[])");
        }
        let list: Vec<String> = shards.iter().map(ToString::to_string).collect();
        format!("{column} IN ({})", if list.is_empty() { "NULL".to_owned() } else { list.join(", ") })
    }

    /// A table out of one parameter: a JSON array of objects. Ids are hexadecimal digits in it; see [`hex`].
    pub(super) fn rows(&self, alias: &str, columns: &[(&str, Column)]) -> String {
        let list = |each: &dyn Fn(&str, Column) -> String| {
            columns.iter().map(|(name, kind)| each(name, *kind)).collect::<Vec<_>>().join(", ")
        };
        match self.backend {
            DbBackend::Postgres => {
                let columns = list(&|name, kind| match kind {
                    Column::Number => format!("{name} bigint"),
                    Column::Id => format!("{name} uuid"),
                    Column::Text => format!("{name} text"),
                });
                format!("json_to_recordset(?::json) AS {alias}({columns})")
            }
            DbBackend::MySql => {
                let columns = list(&|name, kind| match kind {
                    Column::Number => format!("{name} BIGINT PATH '$.{name}'"),
                    Column::Id => format!("{name} CHAR(32) PATH '$.{name}'"),
                    Column::Text => format!("{name} LONGTEXT PATH '$.{name}'"),
                });
                format!("JSON_TABLE(?, '$[*]' COLUMNS ({columns})) AS {alias}")
            }
            _ => {
                let columns = list(&|name, _| format!("json_extract(value, '$.{name}') AS {name}"));
                format!("(SELECT {columns} FROM json_each(?)) AS {alias}")
            }
        }
    }

    /// The row of `outbox_event` as `e` that a row of [`rows`](Self::rows) means by [`WHICH`].
    pub(super) fn same_event(&self, alias: &str) -> String {
        let id = match self.backend {
            DbBackend::Postgres => format!("e.id = {alias}.id"),
            DbBackend::MySql => format!("e.id = UNHEX({alias}.id)"),
            _ => format!("hex(e.id) = {alias}.id"),
        };
        format!("e.shard = {alias}.shard AND e.seq = {alias}.seq AND {id}")
    }

    /// Joins it, row by row and by the primary key: nothing else is read, and nothing else can be waited for.
    pub(super) fn look_up_same_event(&self, alias: &str) -> String {
        if self.backend == DbBackend::Postgres {
            return self.find_same_event("*", alias, "");
        }
        let (join, table, by_key) = (self.lookup_join(), &self.event, self.by_primary_key());
        format!("{join} {table} e{by_key} ON {}", self.same_event(alias))
    }

    /// PostgreSQL: the same with some columns alone, and maybe a lock. The limit keeps it from becoming a join: with a plan
    /// for a table with next to nothing in it, the whole table would be read, and each of its rows compared with all that
    /// are looked for.
    pub(super) fn find_same_event(&self, columns: &str, alias: &str, lock: &str) -> String {
        let (table, same) = (&self.event, self.same_event(alias));
        format!("CROSS JOIN LATERAL (SELECT {columns} FROM {table} e WHERE {same} LIMIT 1{lock}) e")
    }

    /// PostgreSQL: joins the row `s` of the shard of which `l` is a lease, held by who is the next parameter. The same way:
    /// shards are believed to be few as long as nobody has counted them.
    pub(super) fn look_up_lease(&self) -> String {
        let table = &self.shard;
        format!(
            "CROSS JOIN LATERAL (SELECT * FROM {table} h \
             WHERE h.shard = l.shard AND h.epoch = l.epoch AND h.owner = ? LIMIT 1) s"
        )
    }

    /// A join that looks up the right side for every row of the left one.
    pub(super) fn lookup_join(&self) -> &'static str {
        match self.backend {
            DbBackend::Postgres => "JOIN",
            DbBackend::MySql => "STRAIGHT_JOIN",
            // SQLite takes the words for an order.
            _ => "CROSS JOIN",
        }
    }

    /// Joins one event as `e`, by the primary key whatever the database believes about the table's size.
    pub(super) fn look_up_event(&self, shard: &str, seq: &str) -> String {
        let (join, table) = (self.lookup_join(), &self.event);
        if self.backend == DbBackend::Postgres {
            // The limit keeps it from becoming a join that reads the whole table.
            return format!(
                "CROSS JOIN LATERAL (SELECT * FROM {table} j WHERE j.shard = {shard} AND j.seq = {seq} LIMIT 1) e"
            );
        }
        format!("{join} {table} e ON e.shard = {shard} AND e.seq = {seq}")
    }

    /// Before and after the rows of an INSERT that leaves alone what is there.
    pub(super) fn or_ignore(&self) -> (&'static str, &'static str) {
        match self.backend {
            DbBackend::MySql => ("INSERT IGNORE INTO", ""),
            _ => ("INSERT INTO", " ON CONFLICT DO NOTHING"),
        }
    }
}

/// What [`leases`] makes parameters of, on PostgreSQL.
pub(super) const LEASES: &str = "unnest(?::smallint[], ?::bigint[]) AS l(shard, epoch)";

/// One parameter for many values, on PostgreSQL, where it is less work than JSON.
pub(super) fn array<T, V>(rows: &[T], value: impl Fn(&T) -> V) -> Value
where
    Value: From<Vec<V>>,
{
    rows.iter().map(value).collect::<Vec<V>>().into()
}

/// The parameters of [`LEASES`].
pub(super) fn leases(leases: &[Lease]) -> [Value; 2] {
    [array(leases, |lease| number(lease.shard)), array(leases, |lease| lease.epoch)]
}

/// An id as [`Sql::rows`] wants it.
pub(super) fn hex(id: EventId) -> String {
    format!("{:X}", id.as_uuid().simple())
}

/// So many `?`.
pub(super) fn marks(count: usize) -> String {
    let mut marks = "?, ".repeat(count);
    marks.truncate(marks.len().saturating_sub(2));
    marks
}

/// Text that every database takes: without NUL, and no longer than `most` characters.
pub(super) fn clip(text: &str, most: usize) -> String {
    text.chars().take(most).map(|c| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A count, as far as a column holds it.
pub(super) fn count(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Whole microseconds, as far as a column holds them.
pub(super) fn micros(duration: std::time::Duration) -> i64 {
    // A delay is added to the time of day, which must not overflow either.
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).min(i64::MAX / 2)
}
