//! Accounts with the rights that `docs/operations.md` names, and no others.

use std::env;

use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use crate::database::{connect_to, of};
use crate::rights::rights;
use crate::{Kind, TestDatabase};

/// Set by `cargo xtask test --as-roles`: whatever a test does as somebody, it does by an account of theirs.
const AS_ROLES: &str = "OUTBOX_TEST_AS_ROLES";

/// Who somebody is to the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A program that stages.
    Writer,
    /// A processor.
    Processor,
    /// Who looks after dead letters.
    Operator,
    /// A program that stages, and has a processor in it.
    Service,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Writer, Self::Processor, Self::Operator, Self::Service];

    const fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Processor => "processor",
            Self::Operator => "operator",
            Self::Service => "service",
        }
    }

    /// The columns of the document's table.
    const fn columns(self) -> &'static [usize] {
        match self {
            Self::Writer => &[0],
            Self::Processor => &[1],
            Self::Operator => &[2],
            Self::Service => &[0, 1],
        }
    }

    /// Whether it has tables of its own besides the outbox's.
    const fn has_data(self) -> bool {
        matches!(self, Self::Writer | Self::Service)
    }

    /// The account of a database. It goes with the database.
    pub(crate) fn account(self, database: &str) -> String {
        format!("{database}_{}", self.name())
    }
}

/// The account's password.
const PASSWORD: &str = "a-password";

impl TestDatabase {
    /// A pool for what somebody does: by an account of theirs where the tests are run with `--as-roles`, else the
    /// owner's. All tables must be there.
    pub async fn pool(&self, role: Role) -> DatabaseConnection {
        if self.uses_roles() {
            return self.connect_as(role).await;
        }
        self.connection().clone()
    }

    /// Another pool with so many connections, as another process would have it, by the account of [`pool`](Self::pool).
    pub async fn another_pool_for(&self, role: Role, connections: u32) -> DatabaseConnection {
        self.connect_for(role, of(connections)).await
    }

    /// The same, set up by `configure`.
    pub async fn connect_for(&self, role: Role, configure: impl FnOnce(&mut ConnectOptions)) -> DatabaseConnection {
        connect_to(&self.url_for(role).await, configure).await
    }

    /// Where somebody connects to, as [`pool`](Self::pool).
    pub async fn url_for(&self, role: Role) -> String {
        if self.uses_roles() {
            self.create_roles().await;
            return self.url_as(role, PASSWORD);
        }
        self.url().to_owned()
    }

    fn uses_roles(&self) -> bool {
        self.kind() != Kind::Sqlite && env::var(AS_ROLES).is_ok_and(|value| value == "1")
    }

    /// Makes an account for each [`Role`] unless they are there. They may do what the document says with the outbox's
    /// tables, and who stages may do everything with the rows of all others. The tables must be there, under their
    /// usual names or with another prefix.
    ///
    /// # Panics
    ///
    /// When the document's table cannot be understood, and on SQLite, which has no accounts.
    pub async fn create_roles(&self) {
        self.roles.get_or_init(|| self.create()).await;
    }

    async fn create(&self) {
        let tables = self.tables().await;
        let prefix = tables.iter().find_map(|table| table.strip_suffix("_parked")).expect("the outbox's tables");
        for role in Role::ALL {
            for sql in self.statements(role, prefix, &tables) {
                self.connection().execute_unprepared(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            }
        }
    }

    /// A pool of the role's own, whichever way the tests are run.
    ///
    /// # Panics
    ///
    /// When the database cannot be reached.
    pub async fn connect_as(&self, role: Role) -> DatabaseConnection {
        self.create_roles().await;
        let options = self.options_of(&self.url_as(role, PASSWORD));
        sea_orm::Database::connect(options).await.expect("a connection for the role")
    }

    /// The database's URL for a role that says this password.
    ///
    /// # Panics
    ///
    /// On SQLite, which has no roles.
    #[must_use]
    pub fn url_as(&self, role: Role, password: &str) -> String {
        let (scheme, rest) = self.url().split_once("://").expect("a URL");
        let server = rest.split_once('@').map_or(rest, |(_, server)| server);
        format!("{scheme}://{}:{password}@{server}", role.account(self.name()))
    }

    async fn tables(&self) -> Vec<String> {
        let schema = if self.kind() == Kind::Postgres { "current_schema()" } else { "DATABASE()" };
        let sql = format!("SELECT table_name FROM information_schema.tables WHERE table_schema = {schema}");
        let rows = self.connection().query_all_raw(Statement::from_string(self.backend(), sql)).await;
        let rows = rows.expect("the names of tables");
        rows.iter().map(|row| row.try_get_by_index(0).expect("a name")).collect()
    }

    fn statements(&self, role: Role, prefix: &str, tables: &[String]) -> Vec<String> {
        let account = role.account(self.name());
        let (create, to) = match self.kind() {
            Kind::Postgres => (format!("CREATE ROLE {account} LOGIN PASSWORD '{PASSWORD}'"), account),
            Kind::MariaDb => {
                let user = format!("'{account}'@'%'");
                (format!("CREATE USER {user} IDENTIFIED BY '{PASSWORD}'"), user)
            }
            Kind::Sqlite => panic!("SQLite has no accounts"),
        };
        let mut grants = rights(role.columns(), self.backend() == DbBackend::Postgres);
        for (on, _) in &mut grants {
            *on = on.replace("outbox_", &format!("{prefix}_"));
        }
        let own = |table: &&String| !table.starts_with(&format!("{prefix}_"));
        if role.has_data() {
            let all = "SELECT, INSERT, UPDATE, DELETE";
            grants.extend(tables.iter().filter(own).map(|table| (table.clone(), all.to_owned())));
        }
        let grants = grants.into_iter().map(|(on, rights)| format!("GRANT {rights} ON {on} TO {to}"));
        std::iter::once(create).chain(grants).collect()
    }
}
