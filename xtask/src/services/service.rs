//! The kinds of servers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Service {
    Postgres,
    MariaDb,
    Kafka,
    /// In front of PostgreSQL, and only where it is asked for.
    PgBouncer,
}

impl Service {
    /// What tests need unless they say otherwise.
    pub(crate) const USUAL: [Self; 3] = [Self::Postgres, Self::MariaDb, Self::Kafka];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mariadb",
            Self::Kafka => "kafka",
            Self::PgBouncer => "pgbouncer",
        }
    }

    /// The variable by which tests find the server.
    pub(crate) const fn variable(self) -> &'static str {
        match self {
            Self::Postgres => "OUTBOX_TEST_POSTGRES_URL",
            Self::MariaDb => "OUTBOX_TEST_MARIADB_URL",
            Self::Kafka => "OUTBOX_TEST_KAFKA_BROKERS",
            Self::PgBouncer => "OUTBOX_TEST_PGBOUNCER_URL",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Service {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::USUAL.into_iter().chain([Self::PgBouncer]).find(|service| service.name() == name).ok_or_else(|| {
            anyhow::anyhow!("there is no server {name:?}; there are postgres, mariadb, kafka and pgbouncer")
        })
    }
}
