//! Tables that were made again with another shard count, under a writer that has read the old one.
//!
//! Every INSERT says which count its shards were made with, and a check of the table refuses any other: at the moment
//! of writing, so that nothing can come in between, and without a statement of its own.

use outbox_migration::CheckError;
use sea_orm::DbErr;

use crate::error::OutboxError;

/// What an INSERT said, or why it was refused if it was by one of these checks.
pub(super) fn explain(error: DbErr, checks: &[String], believed: u16) -> DbErr {
    if is_refused_by(&error, checks) { OutboxError::schema(CheckError::Remade { believed }) } else { error }
}

/// By the check's name, which is in every database's message, whatever its language.
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
fn is_refused_by(error: &DbErr, checks: &[String]) -> bool {
    use sea_orm::{RuntimeErr, SqlxError};

    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else {
        return false;
    };
    let SqlxError::Database(error) = &**error else { return false };
    error.is_check_violation() && checks.iter().any(|check| error.message().contains(check.as_str()))
}

/// Without a driver nothing is refused.
#[cfg(not(any(feature = "postgres", feature = "mysql", feature = "sqlite")))]
fn is_refused_by(_: &DbErr, _: &[String]) -> bool {
    false
}
