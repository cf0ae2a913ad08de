//! Writing events into the tables, in one INSERT per 1,000.

mod mariadb;
#[cfg(feature = "postgres")]
mod postgres;
mod remade;
mod row;
mod sqlite;
mod strict;

use outbox_core::{Envelope, Shard};
use outbox_migration::{Payload, SchemaInfo, Table, TableNames};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use self::row::Row;
use crate::error::OutboxError;
use crate::outbox::{Shared, fits};

/// The tables' quoted names.
#[derive(Debug)]
pub(crate) struct Sql {
    event: String,
    scheduled: String,
    gate: String,
    lock: String,
    /// The names of the checks that refuse a writer with another shard count.
    checks: [String; 2],
}

impl Sql {
    pub(crate) fn new(names: &TableNames, backend: DbBackend) -> Self {
        Self {
            event: names.event(backend),
            scheduled: names.scheduled(backend),
            gate: names.gate(backend),
            lock: names.lock(backend),
            checks: [Table::Event, Table::Scheduled].map(|table| names.shards_check(table)),
        }
    }
}

/// How events are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mode {
    /// Lock the order keys first.
    pub(crate) strict: bool,
    /// A transaction is open, by all we know; on a foreign connection none need be.
    pub(crate) inside: bool,
}

/// Most events in one statement: SQLite takes 32,766 parameters.
const MOST_ROWS: usize = 1000;
/// Most bytes in one statement with more than one event, well below MariaDB's default `max_allowed_packet`.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Writes `events`; their numbers rise in the order given.
pub(crate) async fn write<C: ConnectionTrait>(
    conn: &C,
    shared: &Shared,
    events: &[&Envelope],
    mode: Mode,
) -> Result<(), DbErr> {
    let meta = shared.meta(conn).await?;
    let mut due = Vec::with_capacity(events.len());
    let mut scheduled = Vec::new();
    for event in events {
        fits(event, &meta).map_err(OutboxError::from)?;
        let row = Row::new(event, shard(event, &meta));
        if event.delay.is_some() { scheduled.push(row) } else { due.push(row) }
    }
    if mode.strict {
        strict::lock(conn, &shared.sql, events).await?;
    }
    // The pending ones last, so that their sequence numbers are open for the shortest time.
    for (target, rows) in [(Target::Scheduled, &scheduled), (Target::Event, &due)] {
        for rows in chunks(rows) {
            let inserted = conn.execute_raw(insert(conn, &shared.sql, rows, target, &meta, mode)).await;
            inserted.map_err(|error| remade::explain(error, &shared.sql.checks, meta.shard_count))?;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Event,
    Scheduled,
}

fn insert(
    conn: &impl ConnectionTrait,
    sql: &Sql,
    rows: &[Row<'_>],
    target: Target,
    meta: &SchemaInfo,
    mode: Mode,
) -> Statement {
    let backend = conn.get_database_backend();
    let (shards, binary) = (meta.shard_count, meta.payload == Payload::Binary);
    let (text, values) = match backend {
        #[cfg(feature = "postgres")]
        DbBackend::Postgres => postgres::insert(sql, rows, target, shards, binary),
        DbBackend::MySql => mariadb::insert(sql, rows, target, shards, binary, mode.inside),
        _ => sqlite::insert(sql, rows, target, shards, binary),
    };
    Statement::from_sql_and_values(backend, text, values)
}

fn shard(event: &Envelope, meta: &SchemaInfo) -> Shard {
    match &event.key {
        Some(key) => Shard::of_key(key, meta.shard_count),
        None => Shard::of_id(event.id, meta.shard_count),
    }
}

fn chunks<'r, 'e>(mut rows: &'r [Row<'e>]) -> impl Iterator<Item = &'r [Row<'e>]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let mut count = 0;
        for row in rows.iter().take(MOST_ROWS) {
            bytes += row.event.size();
            if count > 0 && bytes > MOST_BYTES {
                break;
            }
            count += 1;
        }
        let (chunk, rest) = rows.split_at(count);
        rows = rest;
        (count > 0).then_some(chunk)
    })
}
