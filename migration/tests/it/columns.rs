//! The tables are what docs/tables.md says.

use outbox_migration::sea_orm::{ConnectionTrait, DbBackend};
use outbox_migration::{Migrator, Options, OutboxMigrator, Payload};

use crate::support::{Scratch, on_each_database, rows, texts};

on_each_database! {
    columns_are_as_documented
    binary_payloads_have_a_binary_column
    indexes_are_as_documented
    text_is_collated_by_bytes
}

const DOCS: &str = include_str!("../../../docs/tables.md");

/// A column in the words of the docs: `bigint not null`, `LONGTEXT null`, `INTEGER default 0 not null`.
#[derive(Debug, PartialEq, Eq)]
struct Column {
    name: String,
    kind: String,
    null: bool,
}

/// The columns of a table, in order.
async fn columns(db: &impl ConnectionTrait, table: &str) -> Vec<Column> {
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => format!(
            "SELECT column_name::text AS name, data_type::text AS kind, (is_nullable = 'YES')::int AS nullable \
             FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = '{table}' \
             ORDER BY ordinal_position"
        ),
        DbBackend::MySql => format!(
            "SELECT column_name AS name, UPPER(column_type) AS kind, CAST(is_nullable = 'YES' AS INT) AS nullable \
             FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = '{table}' \
             ORDER BY ordinal_position"
        ),
        // A rowid is never null, though it is not declared so.
        _ => format!(
            "SELECT name, type AS kind, (\"notnull\" = 0 AND type || pk <> 'INTEGER1') AS nullable \
             FROM pragma_table_info('{table}')"
        ),
    };
    rows(db, &sql)
        .await
        .iter()
        .map(|row| Column {
            name: row.try_get("", "name").unwrap(),
            kind: display_width_removed(&row.try_get::<String>("", "kind").unwrap()),
            null: row.try_get::<i32>("", "nullable").map(i64::from).or_else(|_| row.try_get("", "nullable")).unwrap()
                != 0,
        })
        .collect()
}

/// `BIGINT(20)` is `BIGINT`: the width says how MariaDB's client shows it.
fn display_width_removed(kind: &str) -> String {
    let bare = kind.split('(').next().unwrap();
    if bare.ends_with("INT") { bare.to_owned() } else { kind.to_owned() }
}

/// The table of `outbox_event` in the docs.
fn documented_event(backend: DbBackend) -> Vec<Column> {
    let of_kind = match backend {
        DbBackend::Postgres => 2,
        DbBackend::MySql => 3,
        _ => 4,
    };
    let documented: Vec<_> = DOCS
        .lines()
        .skip_while(|line| !line.starts_with("| column |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let kind = match backend {
                DbBackend::MySql => cells[of_kind].split(" AUTO_INCREMENT").next(),
                DbBackend::Postgres | DbBackend::Sqlite | _ => cells[of_kind].split([' ', '(']).next(),
            };
            let kind = if backend == DbBackend::MySql { kind.unwrap().split(" (").next() } else { kind };
            Column {
                name: cells[1].to_owned(),
                kind: kind.unwrap().to_owned(),
                null: cells[2].ends_with(" null") && !cells[2].contains("not null"),
            }
        })
        .collect();
    assert_eq!(documented.len(), 19, "the table in the docs was found");
    documented
}

/// What the prose of the docs says: name and type on PostgreSQL, MariaDB and SQLite; `?` where it may be null.
fn others(backend: DbBackend) -> Vec<(&'static str, Vec<Column>)> {
    let kinds = |kind: &str| -> String {
        let by_backend = |kinds: [&str; 3]| {
            kinds[match backend {
                DbBackend::Postgres => 0,
                DbBackend::MySql => 1,
                _ => 2,
            }]
            .to_owned()
        };
        match kind {
            "small" => by_backend(["smallint", "SMALLINT", "INTEGER"]),
            "big" => by_backend(["bigint", "BIGINT", "INTEGER"]),
            "uuid" => by_backend(["uuid", "BINARY(16)", "BLOB"]),
            "long" => by_backend(["text", "LONGTEXT", "TEXT"]),
            length => by_backend(["text", &format!("VARCHAR({length})"), "TEXT"]),
        }
    };
    let list = |columns: &str| -> Vec<Column> {
        columns
            .split_whitespace()
            .map(|column| {
                let (name, kind) = column.split_once(':').unwrap();
                Column { name: name.to_owned(), kind: kinds(kind.trim_end_matches('?')), null: kind.ends_with('?') }
            })
            .collect()
    };
    let event = || documented_event(backend);
    let scheduled = event().into_iter().skip(2).take_while(|column| column.name != "origin");
    let dead = event().into_iter().take_while(|column| column.name != "shards");
    let mut tables = vec![
        ("outbox_event", event()),
        ("outbox_scheduled", scheduled.chain(list("shard:small due_at:big shards:small")).collect()),
        ("outbox_dead", dead.chain(list("state:small died_at:big reason:1000")).collect()),
        ("outbox_parked", list("topic:249 partition_key:512 shard:small parked_at:big")),
        ("outbox_shard", list("shard:small owner:uuid? epoch:big lease_until:big lease:big generation:big")),
        ("outbox_processor", list("id:uuid name:255 started_at:big alive_until:big lease:big reach:small state:long")),
        ("outbox_meta", list("name:64 value:255")),
        ("outbox_migrations", list("version:255 applied_at:big")),
    ];
    if backend == DbBackend::MySql {
        tables.extend([("outbox_lock", list("slot:small")), ("outbox_gate", list("slot:small"))]);
    }
    tables
}

async fn columns_are_as_documented(Scratch { db, .. }: Scratch) {
    Migrator::up(&db, None).await.unwrap();
    for (table, wanted) in others(db.get_database_backend()) {
        assert_eq!(columns(&db, table).await, wanted, "{table}");
        assert!(DOCS.contains(&format!("## `{table}`")), "{table} has a section");
        for column in &wanted {
            assert!(DOCS.contains(&column.name), "{table}.{} is in the docs", column.name);
        }
    }
}

async fn binary_payloads_have_a_binary_column(Scratch { db, .. }: Scratch) {
    OutboxMigrator::new(Options::default().payload(Payload::Binary)).up(&db).await.unwrap();
    let wanted = match db.get_database_backend() {
        DbBackend::Postgres => "bytea",
        DbBackend::MySql => "LONGBLOB",
        _ => "BLOB",
    };
    for table in ["outbox_event", "outbox_scheduled", "outbox_dead"] {
        let payload = columns(&db, table).await.into_iter().find(|column| column.name == "payload").unwrap();
        assert_eq!((payload.kind.as_str(), payload.null), (wanted, true), "{table}");
    }
}

/// `table: column, column` of every index and primary key, sorted.
async fn indexes_are_as_documented(Scratch { db, .. }: Scratch) {
    Migrator::up(&db, None).await.unwrap();
    let backend = db.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => {
            "SELECT t.relname || ': ' || string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_index i \
             JOIN pg_class t ON t.oid = i.indrelid JOIN pg_attribute a ON a.attrelid = i.indexrelid \
             WHERE t.relnamespace = current_schema()::regnamespace GROUP BY i.indexrelid, t.relname"
        }
        DbBackend::MySql => {
            "SELECT CONCAT(table_name, ': ', GROUP_CONCAT(column_name ORDER BY seq_in_index SEPARATOR ', ')) \
             FROM information_schema.statistics WHERE table_schema = DATABASE() GROUP BY table_name, index_name"
        }
        _ => {
            "SELECT t.name || ': ' || group_concat(c.name, ', ') FROM sqlite_master t, pragma_index_list(t.name) i, \
             pragma_index_info(i.name) c WHERE t.type = 'table' GROUP BY t.name, i.name"
        }
    };
    let mut found = texts(&db, sql).await;
    found.sort();
    let mut wanted: Vec<_> = [
        "outbox_event: shard, seq",
        "outbox_scheduled: id",
        "outbox_scheduled: shard, due_at, id",
        "outbox_dead: id",
        "outbox_dead: died_at, id",
        "outbox_dead: topic, partition_key, seq",
        "outbox_parked: topic, partition_key",
        "outbox_parked: shard",
        "outbox_processor: id",
        "outbox_meta: name",
        "outbox_migrations: version",
    ]
    .into();
    match backend {
        DbBackend::MySql => {
            wanted.extend(["outbox_event: seq", "outbox_shard: shard", "outbox_lock: slot", "outbox_gate: slot"]);
        }
        DbBackend::Postgres => wanted.push("outbox_shard: shard"),
        _ => {} // there it is the rowid
    }
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

async fn text_is_collated_by_bytes(Scratch { db, .. }: Scratch) {
    Migrator::up(&db, None).await.unwrap();
    let wrong = match db.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT table_name || '.' || column_name FROM information_schema.columns \
             WHERE table_schema = current_schema() AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'"
        }
        DbBackend::MySql => {
            "SELECT CONCAT(table_name, '.', column_name) FROM information_schema.columns \
             WHERE table_schema = DATABASE() AND collation_name <> 'utf8mb4_nopad_bin'"
        }
        _ => {
            "SELECT name FROM sqlite_master WHERE sql LIKE '%COLLATE%' OR (type = 'table' AND sql NOT LIKE '%STRICT' \
              AND name LIKE 'outbox%')"
        }
    };
    assert!(texts(&db, wrong).await.is_empty());
}
