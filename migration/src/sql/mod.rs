//! The statements, as each database wants them. Every name in them went through [`TableNames`](crate::TableNames).

mod mariadb;
mod postgres;
mod sqlite;

use sea_orm_migration::sea_orm::DbBackend;

use crate::error::MigrateError;
use crate::meta;
use crate::names::Table;
use crate::options::Options;

/// One statement, and what it does in words.
pub(crate) struct Step {
    pub(crate) does: String,
    pub(crate) sql: String,
}

impl Step {
    pub(crate) fn new(does: impl Into<String>, sql: impl Into<String>) -> Self {
        Self { does: does.into(), sql: sql.into() }
    }
}

/// Everything that makes the tables, in order. Each step does nothing when it was done before, so that a run which
/// was cut short is completed by the next; the version comes last and says that all is there.
///
/// `made_at`, in microseconds, tells these tables from others of the same names before and after them.
pub(crate) fn create(options: &Options, backend: DbBackend, made_at: u128) -> Result<Vec<Step>, MigrateError> {
    let (mut steps, fill) = match backend {
        DbBackend::Postgres => (postgres::create(options), "ON CONFLICT DO NOTHING"),
        DbBackend::MySql => (mariadb::create(options), ""),
        DbBackend::Sqlite => (sqlite::create(options), "ON CONFLICT DO NOTHING"),
        _ => return Err(MigrateError::Unsupported),
    };
    let insert = if backend == DbBackend::MySql { "INSERT IGNORE INTO" } else { "INSERT INTO" };
    let names = options.names();

    // What the tables are made for is written down before they are made: a second run with other options must not
    // complete what a first one began.
    let meta = names.meta(backend);
    let mut values = meta::wanted(options).map(|(name, value)| format!("('{name}', '{value}')")).join(", ");
    values.push_str(&format!(", ('made_at', '{made_at}')"));
    steps.insert(1, Step::new(format!("fill {meta}"), format!("{insert} {meta} (name, value) VALUES {values} {fill}")));
    let mut numbers = vec![(Table::Shard, "shard", options.shard_count())];
    if backend == DbBackend::MySql {
        numbers.extend([(Table::Lock, "slot", mariadb::LOCK_SLOTS), (Table::Gate, "slot", mariadb::GATE_SLOTS)]);
    }
    for (table, column, count) in numbers {
        let table = names.sql(table, backend);
        let values = (0..count).map(|number| format!("({number})")).collect::<Vec<_>>().join(", ");
        steps.push(Step::new(format!("fill {table}"), format!("{insert} {table} ({column}) VALUES {values} {fill}")));
    }
    steps.push(Step::new(
        format!("fill {meta}"),
        format!("{insert} {meta} (name, value) VALUES ('schema_version', '{}') {fill}", meta::SCHEMA_VERSION),
    ));
    Ok(steps)
}

/// The column and the check that refuse a writer that believes in another shard count: tables can be made again with
/// another one under a program that runs. What stays in the tables (requeued, or due at last) has the default.
fn shards(options: &Options, of: Table, backend: DbBackend) -> (String, String) {
    let count = options.shard_count();
    let (kind, quote) = match backend {
        DbBackend::Postgres => ("smallint", '"'),
        DbBackend::MySql => ("SMALLINT", '`'),
        _ => ("INTEGER", '"'),
    };
    let name = options.names().shards_check(of);
    (
        format!("shards {kind} NOT NULL DEFAULT {count}"),
        format!("CONSTRAINT {quote}{name}{quote} CHECK (shards = {count} AND shard >= 0 AND shard < {count})"),
    )
}

/// The migrator's own bookkeeping, with the columns of SeaORM's.
pub(crate) fn create_migrations(options: &Options, backend: DbBackend) -> Result<Step, MigrateError> {
    match backend {
        DbBackend::Postgres => Ok(postgres::create_migrations(options)),
        DbBackend::MySql => Ok(mariadb::create_migrations(options)),
        DbBackend::Sqlite => Ok(sqlite::create_migrations(options)),
        _ => Err(MigrateError::Unsupported),
    }
}

/// The name of each of `tables` that exists in the migration's own schema, whatever made it.
pub(crate) fn existing(options: &Options, tables: &[Table], backend: DbBackend) -> String {
    let names = options.names();
    let list = tables.iter().map(|&table| format!("'{}'", names.bare(table))).collect::<Vec<_>>().join(", ");
    let schema = |own: &str| names.schema().map_or_else(|| own.to_owned(), |schema| format!("'{schema}'"));
    match backend {
        // Views, sequences and indexes share the tables' names.
        DbBackend::Postgres => format!(
            "SELECT c.relname::text AS name FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = {} AND c.relname IN ({list})",
            schema("pg_catalog.current_schema()"),
        ),
        DbBackend::MySql => format!(
            "SELECT table_name AS name FROM information_schema.tables \
             WHERE table_schema = {} AND table_name IN ({list})",
            schema("DATABASE()"),
        ),
        _ => format!("SELECT name FROM sqlite_master WHERE name COLLATE NOCASE IN ({list})"),
    }
}
