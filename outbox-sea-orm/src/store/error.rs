//! What a failure of the database means to a processor.

use std::error::Error;
use std::fmt;

use outbox_core::store::{StoreError, StoreErrorKind};
use outbox_migration::CheckError;
use sea_orm::DbErr;

/// For `map_err`: what the store was doing.
pub(crate) fn during(doing: &'static str) -> impl Fn(DbErr) -> StoreError + Copy {
    move |error| StoreError::new(kind(&error), doing, Said(error))
}

/// What the database said, in its own words. Its debug output has no more: PostgreSQL's errors quote, among the details,
/// the row that a constraint refuses.
struct Said(DbErr);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.to_string(), f)
    }
}

impl Error for Said {}

/// A row that cannot be understood. The text must not say what is in it.
pub(super) fn broken(doing: &'static str, what: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Broken, doing, what.into())
}

pub(super) fn schema(doing: &'static str, error: CheckError) -> StoreError {
    match error {
        CheckError::Database { source, .. } => during(doing)(source),
        other => StoreError::new(StoreErrorKind::Schema, doing, other),
    }
}

fn kind(error: &DbErr) -> StoreErrorKind {
    match error {
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => StoreErrorKind::Unavailable,
        DbErr::Exec(runtime) | DbErr::Query(runtime) => runtime_kind(runtime),
        _ => StoreErrorKind::Broken,
    }
}

#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
fn runtime_kind(error: &sea_orm::RuntimeErr) -> StoreErrorKind {
    use sea_orm::SqlxError;

    let sea_orm::RuntimeErr::SqlxError(error) = error else { return StoreErrorKind::Unavailable };
    match error.as_ref() {
        SqlxError::Database(error) => {
            #[cfg(feature = "mysql")]
            if let Some(error) = error.try_downcast_ref::<sea_orm::SqlxMySqlError>() {
                return codes::mariadb(error.number());
            }
            #[cfg(feature = "sqlite")]
            if error.try_downcast_ref::<sea_orm::SqlxSqliteError>().is_some() {
                return codes::sqlite(&error.code().unwrap_or_default(), error.message());
            }
            codes::postgres(&error.code().unwrap_or_default())
        }
        SqlxError::ColumnDecode { .. }
        | SqlxError::Decode(_)
        | SqlxError::Encode(_)
        | SqlxError::ColumnNotFound(_)
        | SqlxError::ColumnIndexOutOfBounds { .. }
        | SqlxError::TypeNotFound { .. }
        | SqlxError::RowNotFound => StoreErrorKind::Broken,
        // Connections, pools, protocols, TLS.
        _ => StoreErrorKind::Unavailable,
    }
}

#[cfg(not(any(feature = "postgres", feature = "mysql", feature = "sqlite")))]
fn runtime_kind(_: &sea_orm::RuntimeErr) -> StoreErrorKind {
    StoreErrorKind::Unavailable
}

/// The databases' own codes.
#[allow(dead_code, reason = "which are used depends on the drivers")]
mod codes {
    use outbox_core::store::StoreErrorKind;

    pub(super) fn postgres(state: &str) -> StoreErrorKind {
        match state {
            // Undefined table, column, schema, function.
            "42P01" | "42703" | "3F000" | "42883" => StoreErrorKind::Schema,
            // Read-only, lock and statement timeouts (also by an administrator), a slot or memory that was not free.
            "25006" | "55P03" => StoreErrorKind::Unavailable,
            // Connections, conflicts, resources, intervention, the system underneath.
            _ if ["08", "40", "53", "57", "58"].contains(&state.get(..2).unwrap_or_default()) => {
                StoreErrorKind::Unavailable
            }
            _ => StoreErrorKind::Broken,
        }
    }

    pub(super) fn mariadb(number: u16) -> StoreErrorKind {
        match number {
            // Unknown database, table, column.
            1049 | 1051 | 1054 | 1109 | 1146 => StoreErrorKind::Schema,
            // Too many connections, no memory or space, shutdown, lock wait timeout, deadlock, killed, read-only,
            // statement time, a node that is not part of its cluster.
            1021
            | 1037..=1043
            | 1047
            | 1053
            | 1077..=1080
            | 1105
            | 1129
            | 1158..=1161
            | 1180
            | 1203
            | 1205
            | 1213
            | 1226
            | 1290
            | 1317
            | 1792
            | 1836
            | 1927
            | 1969
            | 2002..=2055
            | 3024
            | 4031 => StoreErrorKind::Unavailable,
            _ => StoreErrorKind::Broken,
        }
    }

    pub(super) fn sqlite(code: &str, message: &str) -> StoreErrorKind {
        // Extended result codes have the primary one in their lowest byte.
        match code.parse::<i32>().map(|code| code & 0xff) {
            // Busy, locked, no memory, read-only, interrupted, I/O, full, cannot open, protocol.
            Ok(5..=10 | 13..=15) => StoreErrorKind::Unavailable,
            _ if message.starts_with("no such ") => StoreErrorKind::Schema,
            _ => StoreErrorKind::Broken,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_passes_is_tried_again() {
            for state in ["08006", "40001", "40P01", "53300", "55P03", "57014", "57P01", "25006"] {
                assert_eq!(postgres(state), StoreErrorKind::Unavailable, "{state}");
            }
            for number in [1040, 1205, 1213, 1290, 1969, 2006, 2013] {
                assert_eq!(mariadb(number), StoreErrorKind::Unavailable, "{number}");
            }
            for code in ["5", "6", "517", "8", "13"] {
                assert_eq!(sqlite(code, "database is locked"), StoreErrorKind::Unavailable, "{code}");
            }
        }

        #[test]
        fn what_is_not_there_or_not_right_is_not() {
            assert_eq!(postgres("42P01"), StoreErrorKind::Schema);
            assert_eq!(postgres("22001"), StoreErrorKind::Broken);
            assert_eq!(postgres(""), StoreErrorKind::Broken);
            assert_eq!(mariadb(1146), StoreErrorKind::Schema);
            assert_eq!(mariadb(1406), StoreErrorKind::Broken);
            assert_eq!(sqlite("1", "no such table: outbox_event"), StoreErrorKind::Schema);
            assert_eq!(sqlite("787", "FOREIGN KEY constraint failed"), StoreErrorKind::Broken);
        }
    }
}
