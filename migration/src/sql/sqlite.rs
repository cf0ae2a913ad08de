//! SQLite. Everything here runs in one transaction. The tables are STRICT: a value of another type is an error, as it
//! is on the other databases.

use sea_orm_migration::sea_orm::DbBackend;

use super::{Step, shards};
use crate::names::Table;
use crate::options::{Options, Payload};

pub(super) fn create(options: &Options) -> Vec<Step> {
    let names = options.names();
    let backend = DbBackend::Sqlite;
    let table = |table: Table, columns: String| {
        let name = names.sql(table, backend);
        Step::new(format!("create table {name}"), format!("CREATE TABLE IF NOT EXISTS {name} ({columns}) STRICT"))
    };
    let index = |of: Table, suffix: &str, columns: &str| {
        let (name, on) = (names.index(of, suffix), names.sql(of, backend));
        Step::new(
            format!("create an index of {on}"),
            format!(r#"CREATE INDEX IF NOT EXISTS "{name}" ON {on} ({columns})"#),
        )
    };
    let body = body(options);
    let (event_shards, event_check) = shards(options, Table::Event, backend);
    let (due_shards, due_check) = shards(options, Table::Scheduled, backend);

    vec![
        table(Table::Meta, "name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL".to_owned()),
        table(
            Table::Event,
            // AUTOINCREMENT: the number of a deleted row never comes again.
            format!(
                "shard INTEGER NOT NULL, seq INTEGER PRIMARY KEY AUTOINCREMENT, {body}, created_at INTEGER NOT NULL, \
                 {TRAIL}, {event_shards}, {event_check}"
            ),
        ),
        index(Table::Event, "shard", "shard, seq"),
        table(
            Table::Scheduled,
            format!(
                "{body}, created_at INTEGER NOT NULL, shard INTEGER NOT NULL, due_at INTEGER NOT NULL, \
                 {due_shards}, {due_check}, PRIMARY KEY (id)"
            ),
        ),
        index(Table::Scheduled, "due", "shard, due_at, id"),
        table(
            Table::Dead,
            format!(
                "shard INTEGER NOT NULL, seq INTEGER NOT NULL, {body}, created_at INTEGER NOT NULL, {TRAIL}, \
                 state INTEGER NOT NULL, died_at INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (id)"
            ),
        ),
        index(Table::Dead, "died", "died_at, id"),
        index(Table::Dead, "key", "topic, partition_key, seq"),
        table(
            Table::Parked,
            "topic TEXT NOT NULL, partition_key TEXT NOT NULL, shard INTEGER NOT NULL, parked_at INTEGER NOT NULL, \
             PRIMARY KEY (topic, partition_key)"
                .to_owned(),
        ),
        index(Table::Parked, "shard", "shard"),
        table(
            Table::Shard,
            "shard INTEGER NOT NULL PRIMARY KEY, owner BLOB, epoch INTEGER NOT NULL DEFAULT 0, \
             lease_until INTEGER NOT NULL DEFAULT 0, generation INTEGER NOT NULL DEFAULT 0"
                .to_owned(),
        ),
        table(
            Table::Processor,
            "id BLOB NOT NULL PRIMARY KEY, name TEXT NOT NULL, started_at INTEGER NOT NULL, \
             alive_until INTEGER NOT NULL, reach INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL"
                .to_owned(),
        ),
    ]
}

/// What an event carries.
fn body(options: &Options) -> String {
    let payload = match options.payload_column() {
        Payload::Text => "TEXT",
        Payload::Binary => "BLOB",
    };
    format!(
        "id BLOB NOT NULL CHECK (length(id) = 16), aggregate_type TEXT NOT NULL, aggregate_id TEXT, aggregate_version INTEGER, \
         event_type TEXT NOT NULL, event_version INTEGER NOT NULL, topic TEXT NOT NULL, partition_key TEXT, \
         payload {payload}, content_type TEXT NOT NULL, headers TEXT NOT NULL"
    )
}

/// What delivery writes about an event.
const TRAIL: &str = "origin INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, next_attempt_at INTEGER, \
     errors TEXT";

pub(super) fn create_migrations(options: &Options) -> Step {
    let name = options.names().migrations(DbBackend::Sqlite);
    Step::new(
        format!("create table {name}"),
        format!(
            "CREATE TABLE IF NOT EXISTS {name} (version TEXT NOT NULL PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT"
        ),
    )
}
