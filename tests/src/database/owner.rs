//! Who removes a test's database.

use std::thread;

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, Statement};
use tempfile::TempDir;
use uuid::Uuid;

use crate::Role;

/// Removes a database when it is dropped, after a failed test too.
#[derive(Debug)]
pub(super) enum Owner {
    Server { server: String, name: Option<String> },
    File(#[expect(dead_code, reason = "dropping it removes the folder")] TempDir),
}

impl Owner {
    /// Creates a database of a name that nobody else has, and says where it is.
    pub(super) async fn on_server(server: &str) -> (Self, String) {
        let name = format!("outbox_test_{}", Uuid::now_v7().simple());
        let admin = admin(server).await.expect("the server of OUTBOX_TEST_* answers");
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("may create databases");
        admin.close().await.expect("closing a connection");
        let url = with_database(server, &name);
        (Self::Server { server: server.to_owned(), name: Some(name) }, url)
    }

    pub(super) fn in_file() -> (Self, String) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("test.sqlite").display());
        (Self::File(folder), url)
    }

    /// The same as dropping it, while other futures of the same task go on.
    pub(super) async fn remove(mut self) {
        let Self::Server { server, name } = &mut self else { return };
        if let Some(name) = name.take() {
            // As below.
            remove(server, &name).await.ok();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let Self::Server { server, name } = self else { return };
        let Some(name) = name.take() else { return };
        let server = std::mem::take(server);
        // Dropping cannot wait for a future, and the runtime that we may be on cannot be entered twice.
        let removal = thread::spawn(move || -> Result<(), DbErr> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| DbErr::Custom(error.to_string()))?;
            runtime.block_on(remove(&server, &name))
        });
        // What is left behind goes with the server; a test does not fail for it.
        drop(removal.join());
    }
}

/// Ends the connections that a test left open, with whatever they hold locked, and drops the database.
async fn remove(server: &str, name: &str) -> Result<(), DbErr> {
    let admin = admin(server).await?;
    if admin.get_database_backend() == DbBackend::Postgres {
        admin.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await?;
        for role in Role::ALL {
            admin.execute_unprepared(&format!("DROP ROLE IF EXISTS {}", role.account(name))).await?;
        }
    } else {
        let sql = "SELECT id FROM information_schema.processlist WHERE db = ?";
        let left = Statement::from_sql_and_values(DbBackend::MySql, sql, [name.into()]);
        for row in admin.query_all_raw(left).await? {
            // It may have gone by itself.
            admin.execute_unprepared(&format!("KILL {}", row.try_get::<i64>("", "id")?)).await.ok();
        }
        admin.execute_unprepared(&format!("DROP DATABASE {name}")).await?;
        for role in Role::ALL {
            admin.execute_unprepared(&format!("DROP USER IF EXISTS '{}'@'%'", role.account(name))).await?;
        }
    }
    admin.close().await
}

async fn admin(server: &str) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(server);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await
}

/// The URL of another database on the same server.
fn with_database(server: &str, name: &str) -> String {
    let (base, query) = server.split_once('?').map_or((server, None), |(base, query)| (base, Some(query)));
    let authority = base.find("://").map_or(0, |at| at + 3);
    let end = base[authority..].find('/').map_or(base.len(), |at| authority + at);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{name}{query}", &base[..end])
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn only_the_database_of_a_url_changes() {
        assert_eq!(with_database("postgres://u@h:1/postgres", "d"), "postgres://u@h:1/d");
        assert_eq!(with_database("mysql://u:p@h:1", "d"), "mysql://u:p@h:1/d");
        assert_eq!(with_database("postgres://u@h/?sslmode=disable", "d"), "postgres://u@h/d?sslmode=disable");
    }
}
