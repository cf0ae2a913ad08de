//! What the outbox says no to, and how it travels inside SeaORM's [`DbErr`].
//!
//! `TryIntoErr` is the one variant of `DbErr` that can carry an error of ours as it is. Its text is "Error converting
//! `..` into `..`: " and ours, so each error of ours says what was to become what.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use outbox_core::event;
use outbox_migration::CheckError;
use sea_orm::DbErr;

/// Why an event was not staged. The transaction is unharmed: the caller decides whether it goes on without the event.
///
/// `?` turns it into a [`DbErr`] where a function returns one; [`StageError::of`] finds it in there again.
#[derive(Debug)]
pub struct StageError(event::StageError);

impl StageError {
    /// What is wrong, to match on.
    #[must_use]
    pub fn reason(&self) -> &event::StageError {
        &self.0
    }

    /// The staging error that `error` was made from, if it was.
    #[must_use]
    pub fn of(error: &DbErr) -> Option<&Self> {
        match OutboxError::of(error) {
            Some(OutboxError::Stage(error)) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for StageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl From<event::StageError> for StageError {
    fn from(error: event::StageError) -> Self {
        Self(error)
    }
}

impl From<StageError> for DbErr {
    fn from(error: StageError) -> Self {
        OutboxError::Stage(error).into()
    }
}

/// Why the outbox did not go on with a transaction. Found in a [`DbErr`] by [`OutboxError::of`], wherever it comes
/// from: a staging call, a statement, `begin`, `commit`, or SeaORM's own code in between.
///
/// Its text says what to do. That of the `DbErr` is the same behind a few words of SeaORM's; show the one inside where
/// people read it:
///
/// ```
/// # use outbox_sea_orm::OutboxError;
/// # use sea_orm::DbErr;
/// # let error = DbErr::from(OutboxError::NotInnermost);
/// match OutboxError::of(&error) {
///     Some(own) => eprintln!("{own}"),
///     None => eprintln!("{error}"),
/// }
/// ```
///
/// What the database itself refuses (a constraint, a serialization failure) is not among these: it stays the `DbErr`
/// that SeaORM made of it, also when it was the INSERT of the events that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// Something was asked of a transaction, or savepoint, while a savepoint inside it was open.
    ///
    /// Plain SeaORM would run it inside that savepoint, or close the wrong one. Closing in the wrong order
    /// [breaks](Self::Broken) the transaction; anything else changes nothing.
    #[error("a savepoint inside this transaction is still open: use the innermost one, or close it first")]
    NotInnermost,
    /// The transaction cannot be committed any more; dropping or rolling back its handles rolls back all of it.
    #[error("the transaction cannot go on and everything in it is rolled back, because {breach}: begin a new one")]
    Broken {
        /// What happened.
        breach: Breach,
    },
    /// A statement failed before, and the database has refused every statement since. COMMIT would have rolled back
    /// without an error. Rolling back to a savepoint from before heals it.
    #[error(
        "a statement of this transaction failed and its error was not handled, so it cannot be committed: roll back \
         and begin again, or run what may fail in a savepoint and roll that back ({source})"
    )]
    Aborted {
        /// What the database says now.
        source: DbErr,
    },
    /// A savepoint was asked for with an isolation level or access mode of its own.
    #[error(
        "a savepoint has no isolation level or access mode of its own: set them where the outermost transaction begins"
    )]
    NestedOptions,
    /// An event was not staged, or cannot be stored in these tables. See also [`StageError::of`].
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The outbox's tables are missing, or not as this version needs them, or were made again with another shard count
    /// since this program read it. What the database says when it refuses to
    /// show them is passed on as it is.
    #[error(transparent)]
    Schema(CheckError),
    /// The connection was lost between COMMIT and its answer: the data and the events were either both committed or
    /// both rolled back, and nobody here knows which. See [`commit_outcome`].
    #[error(
        "the connection was lost at COMMIT, so rows and events are either both there or both not: look for the rows \
         before trying again ({source})"
    )]
    CommitUnknown {
        /// What happened to the connection.
        source: DbErr,
    },
}

/// What broke a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Breach {
    /// A transaction or savepoint was closed, or dropped, before a savepoint inside it.
    ClosedOutOfOrder,
    /// Opening or closing a savepoint failed.
    SavepointLost,
    /// Writing staged events failed before the commit.
    FlushFailed,
    /// The database has ended the transaction on its own: a deadlock, a full disk, an implicit commit by DDL.
    EndedByDatabase,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClosedOutOfOrder => "it was closed before a savepoint inside it",
            Self::SavepointLost => "opening or closing a savepoint failed",
            Self::FlushFailed => "writing its events failed",
            Self::EndedByDatabase => "the database has ended it, for example after a deadlock",
        })
    }
}

impl OutboxError {
    /// The outbox's own error that `error` carries, if it does.
    #[must_use]
    pub fn of(error: &DbErr) -> Option<&Self> {
        match error {
            DbErr::TryIntoErr { source, .. } => (&**source as &(dyn Error + 'static)).downcast_ref(),
            _ => None,
        }
    }
}

impl From<OutboxError> for DbErr {
    fn from(error: OutboxError) -> Self {
        let (from, into) = match error {
            OutboxError::NotInnermost | OutboxError::NestedOptions => ("call", "step of the transaction"),
            OutboxError::Stage(_) => ("event", "row of the outbox"),
            OutboxError::Schema(_) => ("staged events", "rows of the outbox"),
            _ => ("open transaction", "committed transaction"),
        };
        Self::TryIntoErr { from, into, source: Arc::new(error) }
    }
}

impl From<event::StageError> for OutboxError {
    fn from(error: event::StageError) -> Self {
        Self::Stage(error.into())
    }
}

impl OutboxError {
    /// Why the tables were not accepted, or what the database said when it was asked.
    pub(crate) fn schema(error: CheckError) -> DbErr {
        match error {
            CheckError::Database { source, .. } => source,
            error => Self::Schema(error).into(),
        }
    }
}

/// What became of a transaction whose commit returned an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommitOutcome {
    /// Nothing was committed: neither rows nor events.
    RolledBack,
    /// Rows and events are both there or both not, and only the database knows. Look before you try again, or make
    /// trying again harmless; consumers recognize repeated events only if they have the same ids.
    Unknown,
}

/// What became of the transaction, given the error that its `commit`, or a `transaction` function, returned.
///
/// ```
/// # use outbox_sea_orm::{CommitOutcome, OutboxError, commit_outcome};
/// # use sea_orm::DbErr;
/// # let error = DbErr::from(OutboxError::NotInnermost);
/// match commit_outcome(&error) {
///     CommitOutcome::RolledBack => { /* safe to try again */ }
///     CommitOutcome::Unknown => { /* look for the rows first */ }
/// }
/// ```
///
/// Only errors of this crate's transactions can be told apart in this way, not those of plain SeaORM.
#[must_use]
pub fn commit_outcome(error: &DbErr) -> CommitOutcome {
    match OutboxError::of(error) {
        Some(OutboxError::CommitUnknown { .. }) => CommitOutcome::Unknown,
        _ => CommitOutcome::RolledBack,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage() -> StageError {
        event::StageError::TooManyEvents { limit: 3 }.into()
    }

    #[test]
    fn errors_survive_the_way_through_dberr() {
        let error = DbErr::from(stage());
        assert!(matches!(StageError::of(&error).unwrap().reason(), event::StageError::TooManyEvents { limit: 3 }));
        assert!(matches!(OutboxError::of(&error), Some(OutboxError::Stage(_))));
        let error = DbErr::from(OutboxError::Broken { breach: Breach::FlushFailed });
        assert!(matches!(OutboxError::of(&error), Some(OutboxError::Broken { breach: Breach::FlushFailed })));
        assert!(StageError::of(&error).is_none());
        assert_eq!(commit_outcome(&error), CommitOutcome::RolledBack);
        assert!(OutboxError::of(&DbErr::Custom(String::new())).is_none());
    }

    #[test]
    fn only_a_lost_commit_is_unknown() {
        let source = DbErr::Custom("connection reset".to_owned());
        assert_eq!(commit_outcome(&source), CommitOutcome::RolledBack);
        let error = DbErr::from(OutboxError::CommitUnknown { source });
        assert_eq!(commit_outcome(&error), CommitOutcome::Unknown);
    }

    #[test]
    fn what_a_program_prints_says_what_to_do() {
        let source = || DbErr::Custom("connection reset".to_owned());
        let (broken, aborted) =
            (OutboxError::Broken { breach: Breach::EndedByDatabase }, OutboxError::Aborted { source: source() });
        for (error, text) in [
            (
                DbErr::from(stage()),
                "Error converting `event` into `row of the outbox`: \
                 a transaction stages at most 3 events (Limits::events_per_transaction)",
            ),
            (
                OutboxError::NotInnermost.into(),
                "Error converting `call` into `step of the transaction`: \
                 a savepoint inside this transaction is still open: use the innermost one, or close it first",
            ),
            (
                OutboxError::NestedOptions.into(),
                "Error converting `call` into `step of the transaction`: a savepoint has no isolation level or access \
                 mode of its own: set them where the outermost transaction begins",
            ),
            (
                broken.into(),
                "Error converting `open transaction` into `committed transaction`: \
                 the transaction cannot go on and everything in it is rolled back, \
                 because the database has ended it, for example after a deadlock: begin a new one",
            ),
            (
                aborted.into(),
                "Error converting `open transaction` into `committed transaction`: \
                 a statement of this transaction failed and its error was not handled, so it cannot be committed: \
                 roll back and begin again, or run what may fail in a savepoint and roll that back \
                 (Custom Error: connection reset)",
            ),
            (
                OutboxError::CommitUnknown { source: source() }.into(),
                "Error converting `open transaction` into `committed transaction`: \
                 the connection was lost at COMMIT, so rows and events are either both there or both not: \
                 look for the rows before trying again (Custom Error: connection reset)",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn what_the_database_says_about_the_tables_is_passed_on() {
        let source = DbErr::Custom("permission denied for table outbox_meta".to_owned());
        let error = OutboxError::schema(CheckError::Database { action: "read outbox_meta".to_owned(), source });
        assert!(matches!(error, DbErr::Custom(text) if text.starts_with("permission denied")));
    }
}
