//! What a migration may be told.

use std::fmt;

use outbox_core::shard::{DEFAULT_SHARD_COUNT, MOST_SHARDS};
use thiserror::Error;

use crate::names::{NameError, TableNames};

/// Set to `1`, it does what [`Options::drop_undelivered`] does.
const DROP_UNDELIVERED: &str = "OUTBOX_DROP_UNDELIVERED";

/// What the payload column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Payload {
    /// Text, which a person can read: the default, for JSON and other text codecs.
    #[default]
    Text,
    /// Bytes, for every other codec.
    Binary,
}

impl Payload {
    /// Its name in `outbox_meta` and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Binary => "binary",
        }
    }

    /// The payload column of this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Text, Self::Binary].into_iter().find(|payload| payload.as_str() == name)
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An option that no outbox can have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// A name that cannot be part of a table's name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A number of shards that is out of range.
    #[error("{count} shards are not possible; 1 to {MOST_SHARDS} are")]
    ShardCount {
        /// The number asked for.
        count: u16,
    },
}

/// Where the tables go and what they are made for.
///
/// The default is what [`Migrator`](crate::Migrator) uses: prefix `outbox` in the connection's own schema, 64 shards,
/// payloads as text.
///
/// ```
/// use outbox_migration::{Options, Payload};
///
/// let options = Options::default().prefix("shop")?.schema("billing")?.shards(128)?.payload(Payload::Binary);
/// assert_eq!(options.names().prefix(), "shop");
/// # Ok::<(), outbox_migration::OptionsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    names: TableNames,
    shards: u16,
    payload: Payload,
    drop_undelivered: bool,
}

impl Options {
    /// The default options for the tables of these names.
    #[must_use]
    pub fn new(names: TableNames) -> Self {
        Self { names, ..Self::default() }
    }

    /// Begin the tables' names with `prefix` and an underscore. Default `outbox`; at most 40 bytes of
    /// `[A-Za-z_][A-Za-z0-9_]*`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Result<Self, OptionsError> {
        let names = TableNames::new(prefix)?;
        self.names = match self.names.schema() {
            Some(schema) => names.in_schema(schema)?,
            None => names,
        };
        Ok(self)
    }

    /// Put the tables into `schema` (on MariaDB: a database), which is created if it is missing. Default: the
    /// connection's own. At most 63 bytes of `[A-Za-z_][A-Za-z0-9_]*`; SQLite has no schemas and refuses.
    pub fn schema(mut self, schema: impl Into<String>) -> Result<Self, OptionsError> {
        self.names = self.names.in_schema(schema)?;
        Ok(self)
    }

    /// How many ordered streams there are: 1 to 1,024, default 64. It can't be changed once the tables exist, and
    /// limits how many processors can share the work.
    pub fn shards(mut self, count: u16) -> Result<Self, OptionsError> {
        if count == 0 || count > MOST_SHARDS {
            return Err(OptionsError::ShardCount { count });
        }
        self.shards = count;
        Ok(self)
    }

    /// What the payload column holds. Default text. It can't be changed once the tables exist.
    #[must_use]
    pub fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    /// Let `down` drop tables that still hold events. Default no: `down` is then an error, and nothing is dropped.
    /// The environment variable `OUTBOX_DROP_UNDELIVERED=1` does the same, for migrators that run from a program.
    #[must_use]
    pub fn drop_undelivered(mut self, drop: bool) -> Self {
        self.drop_undelivered = drop;
        self
    }

    /// The tables' names.
    #[must_use]
    pub fn names(&self) -> &TableNames {
        &self.names
    }

    /// The number of shards.
    #[must_use]
    pub fn shard_count(&self) -> u16 {
        self.shards
    }

    /// What the payload column holds.
    #[must_use]
    pub fn payload_column(&self) -> Payload {
        self.payload
    }

    /// Whether `down` drops tables that still hold events.
    #[must_use]
    pub fn drops_undelivered(&self) -> bool {
        self.drop_undelivered || std::env::var(DROP_UNDELIVERED).is_ok_and(|value| value == "1")
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            names: TableNames::default(),
            shards: DEFAULT_SHARD_COUNT,
            payload: Payload::default(),
            drop_undelivered: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_names_the_variable() {
        let page = include_str!("../../docs/configuration.md");
        assert!(page.contains(&format!("`{DROP_UNDELIVERED}=1`")));
    }

    #[test]
    fn shard_counts_are_bounded() {
        for count in [0, 1025, u16::MAX] {
            assert_eq!(Options::default().shards(count), Err(OptionsError::ShardCount { count }));
        }
        for count in [1, 64, 1024] {
            assert_eq!(Options::default().shards(count).unwrap().shard_count(), count);
        }
    }

    #[test]
    fn prefix_and_schema_come_in_either_order() {
        let one = Options::default().prefix("shop").unwrap().schema("billing").unwrap();
        let other = Options::default().schema("billing").unwrap().prefix("shop").unwrap();
        assert_eq!(one, other);
    }

    #[test]
    fn payloads_are_found_by_their_names() {
        for payload in [Payload::Text, Payload::Binary] {
            assert_eq!(Payload::from_name(payload.as_str()), Some(payload));
        }
        assert_eq!(Payload::from_name("Text"), None);
    }
}
