//! The names of the outbox's tables: checked once, quoted everywhere.

use sea_orm_migration::sea_orm::DbBackend;
use thiserror::Error;

/// Longest prefix in bytes: the longest name made from it still fits the 63 bytes of PostgreSQL.
pub const PREFIX_BYTES: usize = 40;

/// Longest schema in bytes (PostgreSQL's limit for a name).
pub const SCHEMA_BYTES: usize = 63;

/// The prefix of the tables' names unless told otherwise.
pub const DEFAULT_PREFIX: &str = "outbox";

/// A name that cannot be part of a table's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// It is empty.
    #[error("the {what} is empty; it must match [A-Za-z_][A-Za-z0-9_]*")]
    Empty {
        /// `prefix` or `schema`.
        what: &'static str,
    },
    /// It is too long.
    #[error("the {what} has {bytes} bytes; at most {limit} are allowed")]
    TooLong {
        /// `prefix` or `schema`.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest that is allowed.
        limit: usize,
    },
    /// It has a character that is not allowed there.
    #[error("the {what} {name:?} has {found:?} at byte {at}; it must match [A-Za-z_][A-Za-z0-9_]*")]
    Character {
        /// `prefix` or `schema`.
        what: &'static str,
        /// The name.
        name: String,
        /// The first character that is not allowed.
        found: char,
        /// Where it stands.
        at: usize,
    },
    /// Tables whose names begin with it belong to the database.
    #[error("the {what} {name:?} is not allowed: SQLite keeps names that begin with \"sqlite_\" for itself")]
    Reserved {
        /// `prefix` or `schema`.
        what: &'static str,
        /// The name.
        name: String,
    },
}

/// One of the outbox's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Table {
    /// What is pending.
    Event,
    /// What is not yet due.
    Scheduled,
    /// Dead letters and events of parked keys.
    Dead,
    /// Keys that are held back.
    Parked,
    /// Leases.
    Shard,
    /// Live processors.
    Processor,
    /// What writers and processors must agree on.
    Meta,
    /// What `strict` transactions lock (MariaDB only).
    Lock,
    /// What proves that no earlier writer is left (MariaDB only).
    Gate,
    /// The migrator's own bookkeeping.
    Migrations,
}

impl Table {
    /// Every table, whatever the database.
    pub const ALL: [Self; 10] = [
        Self::Event,
        Self::Scheduled,
        Self::Dead,
        Self::Parked,
        Self::Shard,
        Self::Processor,
        Self::Meta,
        Self::Lock,
        Self::Gate,
        Self::Migrations,
    ];

    /// What follows the prefix and an underscore.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Scheduled => "scheduled",
            Self::Dead => "dead",
            Self::Parked => "parked",
            Self::Shard => "shard",
            Self::Processor => "processor",
            Self::Meta => "meta",
            Self::Lock => "lock",
            Self::Gate => "gate",
            Self::Migrations => "migrations",
        }
    }
}

/// Where the outbox's tables are: a prefix and, if it is not the connection's own, a schema.
///
/// Both match `[A-Za-z_][A-Za-z0-9_]*` and are quoted wherever they are used, so upper and lower case differ where
/// the database lets them. The prefix has at most 40 bytes and does not begin with `sqlite_`; the schema has at most
/// 63. On MariaDB the schema is a database; SQLite has none.
///
/// ```
/// use outbox_migration::TableNames;
/// use outbox_migration::sea_orm::DbBackend;
///
/// let names = TableNames::new("shop")?.in_schema("billing")?;
/// assert_eq!(names.event(DbBackend::Postgres), r#""billing"."shop_event""#);
/// assert_eq!(names.event(DbBackend::MySql), "`billing`.`shop_event`");
/// assert!(TableNames::new("shop; drop table users").is_err());
/// # Ok::<(), outbox_migration::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableNames {
    schema: Option<String>,
    prefix: String,
}

impl TableNames {
    /// Tables whose names begin with `prefix` and an underscore, in the connection's own schema.
    pub fn new(prefix: impl Into<String>) -> Result<Self, NameError> {
        let prefix = prefix.into();
        check("prefix", &prefix, PREFIX_BYTES)?;
        let lower = prefix.to_ascii_lowercase();
        if lower == "sqlite" || lower.starts_with("sqlite_") {
            return Err(NameError::Reserved { what: "prefix", name: prefix });
        }
        Ok(Self { schema: None, prefix })
    }

    /// The same tables in `schema`.
    pub fn in_schema(self, schema: impl Into<String>) -> Result<Self, NameError> {
        let schema = schema.into();
        check("schema", &schema, SCHEMA_BYTES)?;
        Ok(Self { schema: Some(schema), ..self })
    }

    /// The schema, if one is set.
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The prefix.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name of `table` alone: neither qualified nor quoted.
    #[must_use]
    pub fn bare(&self, table: Table) -> String {
        format!("{}_{}", self.prefix, table.suffix())
    }

    /// The name of `table`, quoted and qualified for SQL.
    #[must_use]
    pub fn sql(&self, table: Table, backend: DbBackend) -> String {
        self.qualified(&self.bare(table), backend)
    }

    /// The name of the index `suffix` of `table`, neither qualified nor quoted.
    #[doc(hidden)]
    #[must_use]
    pub fn index(&self, table: Table, suffix: &str) -> String {
        format!("{}_{}_{suffix}", self.prefix, table.suffix())
    }

    /// The name of the check by which `table` ([`Table::Event`] or [`Table::Scheduled`]) refuses what a writer with
    /// another shard count writes, neither qualified nor quoted.
    #[must_use]
    pub fn shards_check(&self, table: Table) -> String {
        self.index(table, "shards")
    }

    /// `name` (made of checked parts) behind the schema, quoted.
    pub(crate) fn qualified(&self, name: &str, backend: DbBackend) -> String {
        let quote = if backend == DbBackend::MySql { '`' } else { '"' };
        match &self.schema {
            Some(schema) => format!("{quote}{schema}{quote}.{quote}{name}{quote}"),
            None => format!("{quote}{name}{quote}"),
        }
    }
}

macro_rules! accessors {
    ($($method:ident $table:ident $name:literal,)*) => {
        impl TableNames {
            $(
                #[doc = concat!("`", $name, "`, quoted and qualified for SQL.")]
                #[must_use]
                pub fn $method(&self, backend: DbBackend) -> String {
                    self.sql(Table::$table, backend)
                }
            )*
        }
    };
}

accessors! {
    event Event "outbox_event",
    scheduled Scheduled "outbox_scheduled",
    dead Dead "outbox_dead",
    parked Parked "outbox_parked",
    shard Shard "outbox_shard",
    processor Processor "outbox_processor",
    meta Meta "outbox_meta",
    lock Lock "outbox_lock",
    gate Gate "outbox_gate",
    migrations Migrations "outbox_migrations",
}

impl Default for TableNames {
    fn default() -> Self {
        Self { schema: None, prefix: DEFAULT_PREFIX.to_owned() }
    }
}

fn check(what: &'static str, name: &str, limit: usize) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { what });
    }
    // Before the characters, so that no error ever carries a huge name.
    if name.len() > limit {
        return Err(NameError::TooLong { what, bytes: name.len(), limit });
    }
    let allowed = |at: usize, c: char| c == '_' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit());
    match name.char_indices().find(|&(at, c)| !allowed(at, c)) {
        Some((at, found)) => Err(NameError::Character { what, name: name.to_owned(), found, at }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_names_are_refused() {
        let too_long = "a".repeat(64);
        let bad = [
            "", " ", "a b", "a;b", "a\"b", "a`b", "a'b", "a\\b", "a\0", "a.b", "a-b", "1a", "é", "a\u{301}", "ａ",
            "a\n", "$a", "a--", "a/*", &too_long,
        ];
        for name in bad {
            assert!(TableNames::new(name).is_err(), "prefix {name:?}");
            assert!(TableNames::default().in_schema(name).is_err(), "schema {name:?}");
        }
        for prefix in ["sqlite", "SQLite_x", &"a".repeat(41)] {
            assert!(TableNames::new(prefix).is_err(), "prefix {prefix:?}");
        }
    }

    #[test]
    fn good_names_are_taken() {
        for prefix in ["outbox", "_", "A1", "sqlit", &"a".repeat(40)] {
            TableNames::new(prefix).unwrap();
        }
        TableNames::default().in_schema("a".repeat(63)).unwrap();
    }

    #[test]
    fn errors_say_what_is_allowed() {
        let error = TableNames::new("shop;x").unwrap_err();
        assert_eq!(error.to_string(), "the prefix \"shop;x\" has ';' at byte 4; it must match [A-Za-z_][A-Za-z0-9_]*");
        let error = TableNames::new("a".repeat(41)).unwrap_err();
        assert_eq!(error.to_string(), "the prefix has 41 bytes; at most 40 are allowed");
    }

    #[test]
    fn every_name_fits_every_database() {
        let names = TableNames::new("a".repeat(PREFIX_BYTES)).unwrap();
        for table in Table::ALL {
            assert!(names.index(table, "partition_key").len() <= 63 + 10);
            assert!(names.bare(table).len() <= 63);
        }
    }
}
