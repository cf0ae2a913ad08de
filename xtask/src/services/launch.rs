//! What a server's own file hands back: everything needed to start it, once.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::account::Account;
use super::kafka_options::{KafkaOptions, Listener};
use super::service::Service;
use super::{kafka, mariadb, pgbouncer, postgres};

/// A server's folder, ports and account.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) ports: Vec<u16>,
    pub(crate) account: Option<Account>,
}

impl Place {
    pub(crate) fn port(&self) -> u16 {
        self.ports.first().copied().unwrap_or_default()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn log(&self) -> PathBuf {
        log(&self.folder)
    }
}

pub(crate) fn log(folder: &Path) -> PathBuf {
    folder.join("server.log")
}

/// How to start one kind of server.
pub(crate) trait Recipe {
    /// The account to run under, and so the owner of the folder.
    fn account(&self) -> anyhow::Result<Option<Account>>;

    fn ports(&self) -> usize {
        1
    }

    /// Listeners besides the one for everybody. Each has a port, behind the others.
    fn listeners(&self) -> &[Listener] {
        &[]
    }

    /// Fills an empty folder and says how to start the server in the foreground: the program and its arguments.
    fn prepare(&self, place: &Place) -> anyhow::Result<Vec<String>>;

    /// What a test needs to connect.
    fn address(&self, port: u16) -> String;
}

/// Finds or installs the server's programs. `postgres` is the port of the PostgreSQL in the same folder.
pub(crate) fn recipe(
    service: Service,
    cache: &Path,
    kafka: &KafkaOptions,
    postgres: Option<u16>,
) -> anyhow::Result<Box<dyn Recipe>> {
    Ok(match service {
        Service::Postgres => Box::new(postgres::Postgres::find()?),
        Service::MariaDb => Box::new(mariadb::MariaDb::find()?),
        Service::Kafka => Box::new(kafka::Kafka::find(cache, kafka)?),
        Service::PgBouncer => {
            let postgres = postgres.context("pgbouncer stands in front of postgres: start that, too")?;
            Box::new(pgbouncer::PgBouncer::find(cache, postgres)?)
        }
    })
}

/// A path as one of a command's words, which are written down.
pub(crate) fn word(path: impl AsRef<Path>) -> anyhow::Result<String> {
    let path = path.as_ref();
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
}
