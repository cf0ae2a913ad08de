//! Names of tables and schemas: what is accepted cannot leave its quotes, and fits every database.

use outbox_sea_orm::migration::{Table, TableNames};
use sea_orm::DbBackend;

use crate::pieces::Pieces;

pub(crate) const SEEDS: &[&[u8]] = &[
    b"outbox",
    b"shop\nbilling",
    b"Select\nPUBLIC",
    b"a\";--\nb`",
    b"sqlite_x",
    b"\0",
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

pub(crate) fn run(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    let (prefix, schema) = (pieces.text(), pieces.next());
    let names = TableNames::new(prefix.clone());
    assert_eq!(names.is_ok(), is_name(&prefix, 40) && !is_sqlites(&prefix), "{prefix:?}");
    let mut names = names.unwrap_or_default();
    if let Some(schema) = schema {
        let with = names.clone().in_schema(schema.clone());
        assert_eq!(with.is_ok(), is_name(&schema, 63), "{schema:?}");
        names = with.unwrap_or(names);
    }
    for table in Table::ALL {
        assert!(is_name(&names.bare(table), 63), "{names:?}");
        for backend in [DbBackend::Postgres, DbBackend::MySql, DbBackend::Sqlite] {
            let sql = names.sql(table, backend);
            let quote = if backend == DbBackend::MySql { '`' } else { '"' };
            for part in sql.split('.') {
                let inner = part.strip_prefix(quote).and_then(|part| part.strip_suffix(quote));
                assert!(inner.is_some_and(|inner| is_name(inner, 63)), "{sql}");
            }
        }
    }
}

/// The rule that the documentation has.
fn is_name(name: &str, most: usize) -> bool {
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(first)
        && name.bytes().all(|byte| first(byte) || byte.is_ascii_digit())
        && name.len() <= most
}

/// With it, names would begin as SQLite's own do.
fn is_sqlites(name: &str) -> bool {
    format!("{name}_").to_ascii_lowercase().starts_with("sqlite_")
}
