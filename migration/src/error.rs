//! What can go wrong.

use sea_orm_migration::sea_orm::DbErr;
use thiserror::Error;

/// Why a migration did not do what it was asked to. The tables are as they were, or, where the database cannot undo
/// a half-done run (MariaDB), as far as it came; the next run then completes it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The tables exist, made with other options. They are unharmed.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// A table of this name exists that no outbox made. It is unharmed.
    #[error("{table} exists already and belongs to no outbox: choose another prefix or schema")]
    Foreign {
        /// Its name.
        table: String,
    },
    /// `down` would drop events. They are unharmed.
    #[error(
        "{table} still holds events, which would be lost: deliver, requeue or purge them first, \
         or force it (Options::drop_undelivered, outbox-migrate --force, OUTBOX_DROP_UNDELIVERED=1)"
    )]
    Undelivered {
        /// The first table that holds some.
        table: String,
    },
    /// A schema was asked for on SQLite, which has none.
    #[error("SQLite has no schemas: leave the schema {schema:?} away, or use a prefix")]
    NoSchemas {
        /// The schema asked for.
        schema: String,
    },
    /// The database is none of PostgreSQL, MariaDB and SQLite.
    #[error("this database is not supported: only PostgreSQL, MariaDB and SQLite are")]
    Unsupported,
    /// Another migrator holds the lock for longer than this one waits.
    #[error("another migrator has held the outbox's migration lock for {seconds} seconds: try again when it is done")]
    Busy {
        /// How long it waited.
        seconds: u64,
    },
    /// The user of the connection may not do it.
    #[error("could not {action}: the database does not permit it to this user; migrate as one who may create tables")]
    Denied {
        /// What was tried.
        action: String,
        /// What the database said.
        source: DbErr,
    },
    /// The database refused, or could not be reached.
    #[error("could not {action}")]
    Database {
        /// What was tried.
        action: String,
        /// What the database said.
        source: DbErr,
    },
    /// The runtime was shut down, or the run panicked.
    #[error("the migration was interrupted")]
    Interrupted(#[source] tokio::task::JoinError),
}

impl MigrateError {
    /// For `map_err`: what was tried when the database refused.
    pub(crate) fn during(action: impl Into<String>) -> impl FnOnce(DbErr) -> Self {
        move |source| {
            let action = action.into();
            if is_denied(&source) { Self::Denied { action, source } } else { Self::Database { action, source } }
        }
    }
}

/// `DbErr` has no place for a source of ours, so the whole chain goes into its text.
impl From<MigrateError> for DbErr {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Database { source: source @ (Self::Conn(_) | Self::ConnectionAcquire(_)), .. } => source,
            MigrateError::Database { ref source, .. } | MigrateError::Denied { ref source, .. } => {
                Self::Migration(format!("{error}: {source}"))
            }
            _ => Self::Migration(error.to_string()),
        }
    }
}

/// By its words: codes are only to be had with the drivers' features. In another language it stays a `Database` error.
fn is_denied(error: &DbErr) -> bool {
    let text = error.to_string().to_ascii_lowercase();
    ["permission denied", "must be owner", "command denied", "access denied", "readonly database"]
        .iter()
        .any(|words| text.contains(words))
}

/// The tables exist, but not as this program needs them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the outbox tables have {what} {found}, not {wanted}: {}", advice(.what))]
#[non_exhaustive]
pub struct Mismatch {
    /// What differs: `schema_version`, `shard_count`, `hash` or `payload`.
    pub what: &'static str,
    /// As the tables have it.
    pub found: String,
    /// As it was asked for.
    pub wanted: String,
}

fn advice(what: &str) -> &'static str {
    match what {
        "schema_version" => "use the version of this crate that made them, or a newer one",
        "hash" => "use the version of this crate that made them",
        _ => "it is fixed when the tables are made; ask for what they have, or use another prefix or schema",
    }
}

/// Why [`check`](crate::check) did not accept the tables.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// There are none.
    #[error("the outbox tables are missing (there is no {table}): run `{command}`, or call `{call}`")]
    Missing {
        /// The table that was looked for.
        table: String,
        /// The command that makes them.
        command: String,
        /// The call that makes them.
        call: String,
    },
    /// A migration did not come to its end.
    #[error("the outbox tables are incomplete ({table} has no {what}): run `{command}`, or call `{call}`")]
    Incomplete {
        /// The table that was read.
        table: String,
        /// What it lacks.
        what: &'static str,
        /// The command that completes them.
        command: String,
        /// The call that completes them.
        call: String,
    },
    /// This program needs other tables: of schema version 1, with hash `xxh64-1`.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// Not what [`check`](crate::check) says, but what becomes of a writer that called it before: the tables were made
    /// again since, and it shards its events as the old ones wanted.
    #[error(
        "the outbox tables were made again with another shard count, but this program still writes for {believed} \
         shards: restart it, or make a new `Outbox`"
    )]
    Remade {
        /// The shard count that the program read when it began.
        believed: u16,
    },
    /// A schema was asked for on SQLite, which has none.
    #[error("SQLite has no schemas: leave the schema {schema:?} away, or use a prefix")]
    NoSchemas {
        /// The schema asked for.
        schema: String,
    },
    /// The session's `sql_mode` on MariaDB is not strict.
    #[error(
        "the sql_mode of this connection is not strict, so MariaDB would change values that do not fit instead of \
         refusing them: add STRICT_TRANS_TABLES to it, on the server or where connections are made (it is {mode:?})"
    )]
    NotStrict {
        /// As it is.
        mode: String,
    },
    /// The database refused, or could not be reached.
    #[error("could not {action}")]
    Database {
        /// What was tried.
        action: String,
        /// What the database said.
        source: DbErr,
    },
}

impl From<CheckError> for DbErr {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Database { source: source @ (Self::Conn(_) | Self::ConnectionAcquire(_)), .. } => source,
            CheckError::Database { ref source, .. } => Self::Migration(format!("{error}: {source}")),
            _ => Self::Migration(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_says_what_to_do() {
        let error = Mismatch { what: "shard_count", found: "64".to_owned(), wanted: "128".to_owned() };
        assert_eq!(
            error.to_string(),
            "the outbox tables have shard_count 64, not 128: it is fixed when the tables are made; \
             ask for what they have, or use another prefix or schema"
        );
    }

    #[test]
    fn the_database_errors_words_survive() {
        let source = DbErr::Custom("permission denied for schema public".to_owned());
        let error = MigrateError::during("create table \"outbox_meta\"")(source);
        assert!(matches!(error, MigrateError::Denied { .. }));
        let text = DbErr::from(error).to_string();
        assert!(text.contains("create table \"outbox_meta\"") && text.contains("for schema public"), "{text}");
    }
}
