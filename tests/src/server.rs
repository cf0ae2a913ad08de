//! Which servers there are, and what a test does about one that is not there.

use std::env;

/// Names of servers that tests leave out on request, separated by commas.
const SKIP: &str = "OUTBOX_TEST_SKIP";

/// A server that tests do not start themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    MariaDb,
    /// Apache Kafka.
    Kafka,
}

impl Server {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mariadb",
            Self::Kafka => "kafka",
        }
    }

    pub(crate) const fn variable(self) -> &'static str {
        match self {
            Self::Postgres => "OUTBOX_TEST_POSTGRES_URL",
            Self::MariaDb => "OUTBOX_TEST_MARIADB_URL",
            Self::Kafka => "OUTBOX_TEST_KAFKA_BROKERS",
        }
    }

    /// Where the server is; `None` when it is left out by request, which is printed.
    ///
    /// # Panics
    ///
    /// When nobody said where it is, and nobody left it out.
    #[must_use]
    #[allow(clippy::print_stdout, reason = "what a test leaves out belongs into its output")]
    pub fn address(self) -> Option<String> {
        match availability(self, |variable| env::var(variable).ok()) {
            Availability::At(address) => Some(address),
            Availability::LeftOut => {
                println!("left out by request: {SKIP} names {}", self.name());
                None
            }
            Availability::Absent(message) => panic!("{message}"),
        }
    }
}

/// What the environment says about a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It is there.
    At(String),
    /// It was left out by name.
    LeftOut,
    /// Neither: the test fails with this message.
    Absent(String),
}

/// Judges an environment, given as a function from a variable to its value. Leaving a server out wins.
pub fn availability(server: Server, lookup: impl Fn(&str) -> Option<String>) -> Availability {
    let skip = lookup(SKIP).unwrap_or_default();
    if skip.split(',').any(|name| name.trim() == server.name()) {
        return Availability::LeftOut;
    }
    match lookup(server.variable()).filter(|address| !address.is_empty()) {
        Some(address) => Availability::At(address),
        None => Availability::Absent(format!(
            "this test needs a {name} server, and {variable} is not set: run `cargo xtask test`, or leave it out by \
             name with {SKIP}={name}",
            name = server.name(),
            variable = server.variable(),
        )),
    }
}
