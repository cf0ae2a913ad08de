//! Whether an error of COMMIT leaves its outcome open.

use sea_orm::{DbBackend, DbErr};

#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
pub(crate) fn is_lost(error: &DbErr, backend: DbBackend) -> bool {
    use sea_orm::{RuntimeErr, SqlxError};

    let (DbErr::Query(RuntimeErr::SqlxError(error))
    | DbErr::Exec(RuntimeErr::SqlxError(error))
    | DbErr::Conn(RuntimeErr::SqlxError(error))) = error
    else {
        return true;
    };
    match &**error {
        // The database answered, and almost always it says no. Some of its errors end the connection, though, and may
        // have come after the decision.
        SqlxError::Database(error) => {
            let code = error.code().unwrap_or_default();
            match backend {
                // Connection errors, completion unknown, and shutdown by an operator or a crash.
                DbBackend::Postgres => code.starts_with("08") || code == "40003" || code.starts_with("57P"),
                DbBackend::MySql => mysql_number(error.as_ref()).is_none_or(|number| {
                    // Shutdown, error during COMMIT, interrupted, connection killed, and the client's own codes.
                    matches!(number, 1053 | 1180 | 1317 | 1927) || (2000..3000).contains(&number)
                }),
                // The disk failed in the middle.
                _ => code.parse::<u32>().is_ok_and(|code| code & 0xff == 10),
            }
        }
        _ => true,
    }
}

#[cfg(all(feature = "mysql", any(feature = "postgres", feature = "mysql", feature = "sqlite")))]
fn mysql_number(error: &(dyn sea_orm::sqlx::error::DatabaseError + 'static)) -> Option<u16> {
    error.try_downcast_ref::<sea_orm::SqlxMySqlError>().map(|error| error.number())
}

#[cfg(all(not(feature = "mysql"), any(feature = "postgres", feature = "sqlite")))]
fn mysql_number(_: &(dyn sea_orm::sqlx::error::DatabaseError + 'static)) -> Option<u16> {
    None
}

/// Without a driver there is nothing to tell errors apart by.
#[cfg(not(any(feature = "postgres", feature = "mysql", feature = "sqlite")))]
pub(crate) fn is_lost(_: &DbErr, _: DbBackend) -> bool {
    true
}
