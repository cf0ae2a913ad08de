//! What the outbox says no to, and how it travels inside SeaORM's [`DbErr`].

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
        inside(error)
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
        Self::TryIntoErr { from: "event", into: "outbox row", source: Arc::new(error) }
    }
}

/// Why the outbox did not go on with a transaction. Found in a [`DbErr`] by [`OutboxError::of`].
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
    #[error("the transaction cannot go on, and everything in it will be rolled back: {breach}")]
    Broken {
        /// What happened.
        breach: Breach,
    },
    /// A statement failed before, and the database has refused every statement since. COMMIT would have rolled back
    /// without an error. Rolling back to a savepoint from before heals it.
    #[error("a statement of this transaction failed and its error was not handled, so it cannot be committed")]
    Aborted {
        /// What the database says now.
        source: DbErr,
    },
    /// A savepoint was asked for with an isolation level or access mode of its own.
    #[error("isolation level and access mode belong to the outermost transaction, not to a savepoint")]
    NestedOptions,
    /// An event cannot be stored in these tables.
    #[error(transparent)]
    Stage(#[from] event::StageError),
    /// The outbox's tables are missing, or not as this version needs them.
    #[error(transparent)]
    Schema(#[from] CheckError),
    /// The connection was lost between COMMIT and its answer: the data and the events were either both committed or
    /// both rolled back, and nobody here knows which. See [`commit_outcome`].
    #[error("the outcome of COMMIT is unknown: {source}")]
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
    /// Opening or closing a savepoint failed, or was cancelled before its answer came.
    SavepointLost,
    /// Writing staged events failed, or was cancelled, before the commit.
    FlushFailed,
    /// The database has ended the transaction on its own: a deadlock, a full disk, an implicit commit by DDL.
    EndedByDatabase,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClosedOutOfOrder => "it was closed before a savepoint inside it",
            Self::SavepointLost => "opening or closing a savepoint failed or was cancelled",
            Self::FlushFailed => "writing its events failed or was cancelled",
            Self::EndedByDatabase => "the database has ended it, for example after a deadlock",
        })
    }
}

impl OutboxError {
    /// The outbox's own error that `error` carries, if it does.
    #[must_use]
    pub fn of(error: &DbErr) -> Option<&Self> {
        inside(error)
    }
}

impl From<OutboxError> for DbErr {
    fn from(error: OutboxError) -> Self {
        let into = match error {
            OutboxError::NotInnermost | OutboxError::NestedOptions => "step of it",
            _ => "committed transaction",
        };
        Self::TryIntoErr { from: "open transaction", into, source: Arc::new(error) }
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

/// `TryIntoErr` is the one variant of `DbErr` that can carry an error of ours as it is.
fn inside<E: Error + 'static>(error: &DbErr) -> Option<&E> {
    match error {
        DbErr::TryIntoErr { source, .. } => (&**source as &(dyn Error + 'static)).downcast_ref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_survive_the_way_through_dberr() {
        let error = DbErr::from(StageError::from(event::StageError::TooManyEvents { limit: 3 }));
        assert!(matches!(StageError::of(&error).unwrap().reason(), event::StageError::TooManyEvents { limit: 3 }));
        assert!(OutboxError::of(&error).is_none());
        let error = DbErr::from(OutboxError::Broken { breach: Breach::FlushFailed });
        assert!(matches!(OutboxError::of(&error), Some(OutboxError::Broken { breach: Breach::FlushFailed })));
        assert_eq!(commit_outcome(&error), CommitOutcome::RolledBack);
    }

    #[test]
    fn only_a_lost_commit_is_unknown() {
        let source = DbErr::Custom("connection reset".to_owned());
        assert_eq!(commit_outcome(&source), CommitOutcome::RolledBack);
        let error = DbErr::from(OutboxError::CommitUnknown { source });
        assert_eq!(commit_outcome(&error), CommitOutcome::Unknown);
        assert!(error.to_string().contains("the outcome of COMMIT is unknown"), "{error}");
    }
}
