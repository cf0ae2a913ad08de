//! `outbox_meta`: what writers and processors must agree on.

use std::collections::HashMap;

use outbox_core::shard::{HASH_VERSION, MOST_SHARDS};
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use crate::error::{CheckError, MigrateError, Mismatch};
use crate::names::{Table, TableNames};
use crate::options::{Options, Payload};

/// The version of the tables that this crate makes.
pub const SCHEMA_VERSION: u32 = 1;

/// What the tables say about themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaInfo {
    /// How many ordered streams there are.
    pub shard_count: u16,
    /// What the payload column holds.
    pub payload: Payload,
    /// The name of the hash that decides which shard a key belongs to.
    pub hash: String,
    /// The version of the tables.
    pub schema_version: u32,
}

/// Read what the tables say about themselves, and make sure that this version of the crate can use them.
///
/// It reads only, works on a pool as well as inside a transaction (which it never aborts), and needs no right but
/// SELECT on `outbox_meta`. Read it once; it does not change while the tables exist.
///
/// # Errors
///
/// [`CheckError::Missing`] and [`CheckError::Incomplete`] name the command and the call that help;
/// [`CheckError::Mismatch`] when the tables were made by another version; [`CheckError::NotStrict`] when MariaDB would
/// cut what does not fit.
pub async fn check<C: ConnectionTrait>(db: &C, names: &TableNames) -> Result<SchemaInfo, CheckError> {
    let backend = db.get_database_backend();
    let table = names.meta(backend);
    let database = |source| CheckError::Database { action: format!("read {table}"), source };
    if let (DbBackend::Sqlite, Some(schema)) = (backend, names.schema()) {
        return Err(CheckError::NoSchemas { schema: schema.to_owned() });
    }
    // Asking for a missing table would abort a transaction on PostgreSQL, so look whether it is there.
    let found = query(db, is_visible(names, backend)).await.map_err(database)?;
    let Some(row) = found.first() else {
        return Err(CheckError::Missing { table, command: command(names), call: call(names) });
    };
    if backend == DbBackend::MySql {
        let mode: String = row.try_get_by_index(0).map_err(database)?;
        if !mode.contains("STRICT_TRANS_TABLES") && !mode.contains("STRICT_ALL_TABLES") {
            return Err(CheckError::NotStrict { mode });
        }
    }
    parse(&read(db, names).await.map_err(database)?).map_err(|problem| match problem {
        Problem::Lacks(what) => {
            CheckError::Incomplete { table: table.clone(), what, command: command(names), call: call(names) }
        }
        Problem::Differs(mismatch) => CheckError::Mismatch(mismatch),
    })
}

/// Every row of `outbox_meta`, which must exist.
pub(crate) async fn read<C: ConnectionTrait>(db: &C, names: &TableNames) -> Result<HashMap<String, String>, DbErr> {
    let sql = format!("SELECT name, value FROM {}", names.meta(db.get_database_backend()));
    query(db, sql).await?.iter().map(|row| Ok((row.try_get("", "name")?, row.try_get("", "value")?))).collect()
}

/// What the rows of `outbox_meta` lack, or have and should not.
pub(crate) enum Problem {
    Lacks(&'static str),
    Differs(Mismatch),
}

pub(crate) fn parse(rows: &HashMap<String, String>) -> Result<SchemaInfo, Problem> {
    let value = |what| rows.get(what).ok_or(Problem::Lacks(what));
    let differs = |what, found: &str, wanted: &str| {
        Problem::Differs(Mismatch { what, found: found.to_owned(), wanted: wanted.to_owned() })
    };
    // First the version: it decides what the rest means. A migration writes it last.
    let version = value("schema_version")?;
    if *version != SCHEMA_VERSION.to_string() {
        return Err(differs("schema_version", version, &SCHEMA_VERSION.to_string()));
    }
    let hash = value("hash")?;
    if hash != HASH_VERSION {
        return Err(differs("hash", hash, HASH_VERSION));
    }
    let count = value("shard_count")?;
    let shard_count = count
        .parse()
        .ok()
        .filter(|count| (1..=MOST_SHARDS).contains(count))
        .ok_or_else(|| differs("shard_count", count, &format!("1 to {MOST_SHARDS}")))?;
    let payload = value("payload")?;
    let payload = Payload::from_name(payload).ok_or_else(|| differs("payload", payload, "text or binary"))?;
    Ok(SchemaInfo { shard_count, payload, hash: hash.clone(), schema_version: SCHEMA_VERSION })
}

/// What a migration with these options writes, but for the version.
pub(crate) fn wanted(options: &Options) -> [(&'static str, String); 3] {
    [
        ("shard_count", options.shard_count().to_string()),
        ("hash", HASH_VERSION.to_owned()),
        ("payload", options.payload_column().to_string()),
    ]
}

/// Compare what is there with what a migration would make; `true` when there is nothing left to do.
pub(crate) fn compare(rows: &HashMap<String, String>, options: &Options) -> Result<bool, MigrateError> {
    compare_version(rows)?;
    for (what, wanted) in wanted(options) {
        require(rows, what, wanted)?;
    }
    Ok(rows.contains_key("schema_version"))
}

/// Refuse tables of another version, of which this one does not know all.
pub(crate) fn compare_version(rows: &HashMap<String, String>) -> Result<(), MigrateError> {
    require(rows, "schema_version", SCHEMA_VERSION.to_string())
}

fn require(rows: &HashMap<String, String>, what: &'static str, wanted: String) -> Result<(), MigrateError> {
    match rows.get(what) {
        Some(found) if *found != wanted => Err(Mismatch { what, found: found.clone(), wanted }.into()),
        _ => Ok(()),
    }
}

pub(crate) async fn query<C: ConnectionTrait>(
    db: &C,
    sql: String,
) -> Result<Vec<sea_orm_migration::sea_orm::QueryResult>, DbErr> {
    db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await
}

/// One row if writers would find `outbox_meta`, none if not. MariaDB's says how strict the session is.
fn is_visible(names: &TableNames, backend: DbBackend) -> String {
    let name = names.bare(Table::Meta);
    match backend {
        // Along the search path, as every later statement looks for it.
        DbBackend::Postgres => format!("SELECT 1 WHERE pg_catalog.to_regclass('{}') IS NOT NULL", names.meta(backend)),
        DbBackend::MySql => format!(
            "SELECT @@SESSION.sql_mode FROM information_schema.tables \
             WHERE table_schema = {} AND table_name = '{name}'",
            names.schema().map_or_else(|| "DATABASE()".to_owned(), |schema| format!("'{schema}'")),
        ),
        _ => format!("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{name}' COLLATE NOCASE"),
    }
}

fn command(names: &TableNames) -> String {
    let mut command = "outbox-migrate".to_owned();
    if let Some(schema) = names.schema() {
        command += &format!(" --schema {schema}");
    }
    if names.prefix() != crate::names::DEFAULT_PREFIX {
        command += &format!(" --prefix {}", names.prefix());
    }
    command + " up"
}

fn call(names: &TableNames) -> String {
    if *names == TableNames::default() {
        return "Migrator::up(&db, None).await?".to_owned();
    }
    let mut options = "Options::default()".to_owned();
    if names.prefix() != crate::names::DEFAULT_PREFIX {
        options += &format!(".prefix({:?})?", names.prefix());
    }
    if let Some(schema) = names.schema() {
        options += &format!(".schema({schema:?})?");
    }
    format!("OutboxMigrator::new({options}).up(&db).await?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> HashMap<String, String> {
        let mut rows: HashMap<_, _> =
            wanted(&Options::default()).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        rows.insert("schema_version".to_owned(), "1".to_owned());
        rows
    }

    #[test]
    fn what_a_migration_writes_is_accepted() {
        let Ok(info) = parse(&rows()) else { panic!("refused") };
        assert_eq!(info.shard_count, 64);
        assert!(compare(&rows(), &Options::default()).unwrap());
    }

    #[test]
    fn every_missing_row_is_named() {
        for what in ["schema_version", "hash", "shard_count", "payload"] {
            let mut rows = rows();
            rows.remove(what);
            assert!(matches!(parse(&rows), Err(Problem::Lacks(found)) if found == what));
        }
    }

    #[test]
    fn every_other_value_is_a_mismatch() {
        for (what, value) in [
            ("schema_version", "2"),
            ("hash", "xxh64-2"),
            ("shard_count", "0"),
            ("shard_count", "1025"),
            ("payload", ""),
        ] {
            let mut rows = rows();
            rows.insert(what.to_owned(), value.to_owned());
            assert!(matches!(parse(&rows), Err(Problem::Differs(mismatch)) if mismatch.what == what));
        }
    }

    #[test]
    fn help_names_the_prefix_and_the_schema() {
        assert_eq!(command(&TableNames::default()), "outbox-migrate up");
        assert_eq!(call(&TableNames::default()), "Migrator::up(&db, None).await?");
        let names = TableNames::new("shop").unwrap().in_schema("billing").unwrap();
        assert_eq!(command(&names), "outbox-migrate --schema billing --prefix shop up");
        assert_eq!(
            call(&names),
            "OutboxMigrator::new(Options::default().prefix(\"shop\")?.schema(\"billing\")?).up(&db).await?"
        );
    }
}
