//! Accounts with the rights that `docs/operations.md` names, and no others.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend};

use crate::{Kind, TestDatabase};

/// Where the rights are written down, for people and for the tests.
const DOCUMENT: &str = include_str!("../../docs/operations.md");

/// Who somebody is to the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A program that stages.
    Writer,
    /// A processor.
    Processor,
    /// Who looks after dead letters.
    Operator,
}

impl Role {
    /// All of them, in the order of the document's columns.
    pub const ALL: [Self; 3] = [Self::Writer, Self::Processor, Self::Operator];

    const fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Processor => "processor",
            Self::Operator => "operator",
        }
    }

    /// The account of a database. It goes with the database.
    pub(crate) fn account(self, database: &str) -> String {
        format!("{database}_{}", self.name())
    }
}

/// The account's password.
const PASSWORD: &str = "a-password";

impl TestDatabase {
    /// Makes an account for each [`Role`], which may do what the document says with the tables, which must be there.
    ///
    /// # Panics
    ///
    /// When the document's table cannot be understood, and on SQLite, which has no accounts.
    pub async fn create_roles(&self) {
        for role in Role::ALL {
            for sql in self.statements(role) {
                self.connection().execute_unprepared(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            }
        }
    }

    /// A pool of the role's own.
    ///
    /// # Panics
    ///
    /// When the database cannot be reached.
    pub async fn connect_as(&self, role: Role) -> DatabaseConnection {
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

    fn statements(&self, role: Role) -> Vec<String> {
        let account = role.account(self.name());
        let (create, to) = match self.kind() {
            Kind::Postgres => (format!("CREATE ROLE {account} LOGIN PASSWORD '{PASSWORD}'"), account),
            Kind::MariaDb => {
                let user = format!("'{account}'@'%'");
                (format!("CREATE USER {user} IDENTIFIED BY '{PASSWORD}'"), user)
            }
            Kind::Sqlite => panic!("SQLite has no accounts"),
        };
        let grants =
            rights(role, self.backend()).into_iter().map(|(on, rights)| format!("GRANT {rights} ON {on} TO {to}"));
        std::iter::once(create).chain(grants).collect()
    }
}

/// What the document's table says about a role: on what, and which rights.
fn rights(role: Role, backend: DbBackend) -> Vec<(String, String)> {
    let (here, elsewhere) =
        if backend == DbBackend::Postgres { ("(PostgreSQL", "(MariaDB") } else { ("(MariaDB", "(PostgreSQL") };
    let (_, section) = DOCUMENT.split_once("\n## Rights\n").expect("the document has a section about rights");
    let table = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let mut rights = Vec::new();
    for row in table.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let granted = cells[1 + Role::ALL.iter().position(|other| *other == role).expect("one of all")];
        if granted.is_empty() || (cells[0].contains(elsewhere) && !cells[0].contains(here)) {
            continue;
        }
        for name in cells[0].split('`').skip(1).step_by(2).filter(|name| name.starts_with("outbox_")) {
            let is_sequence = cells[0].starts_with("the sequence of");
            let on = if is_sequence { format!("SEQUENCE {name}_seq_seq") } else { name.to_owned() };
            rights.push((on, granted.to_owned()));
        }
    }
    assert!(rights.len() >= 3, "the document's table of rights: {rights:?}");
    rights
}
