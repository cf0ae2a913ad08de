//! PostgreSQL: a cluster of its own with `initdb`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use super::account::Account;
use super::install;
use super::launch::{Place, Recipe, word};
use super::process::run_to_end;

/// Durability stays as installed (`fsync`, `synchronous_commit`): tests kill servers and count what is left.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    // The path of a socket is limited to about 100 bytes, that of a checkout is not.
    "unix_socket_directories=",
    "max_connections=300",
    "max_prepared_transactions=10",
    "shared_buffers=256MB",
];

/// Accounts that tests make must say their password.
pub(crate) const ACCESS: &str = "\
host all outbox 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
";

#[derive(Debug)]
pub(crate) struct Postgres {
    bin: PathBuf,
}

impl Postgres {
    pub(crate) fn find() -> anyhow::Result<Self> {
        install::find_or_install("PostgreSQL", &["postgresql"], || {
            let initdb = install::find("initdb", &debian_folders())?;
            Some(Self { bin: initdb.parent()?.to_path_buf() })
        })
    }
}

impl Recipe for Postgres {
    fn account(&self) -> anyhow::Result<Option<Account>> {
        Account::for_server(&["postgres"])
    }

    fn prepare(&self, place: &Place) -> anyhow::Result<Vec<String>> {
        let mut initdb = Command::new(self.bin.join("initdb"));
        initdb
            .arg("--pgdata")
            .arg(place.data())
            .args(["--username=outbox", "--auth=trust", "--encoding=UTF8", "--locale=C"])
            // A linguistic order, as most installations have: code that relies on byte order must say so.
            .args(["--locale-provider=icu", "--icu-locale=en-US"])
            .current_dir(&place.folder);
        run_to_end(initdb, place.account, &place.log()).context("cannot create a PostgreSQL cluster")?;

        let access = place.data().join("pg_hba.conf");
        fs::write(&access, ACCESS).with_context(|| format!("cannot write {}", access.display()))?;

        let mut server = vec![word(self.bin.join("postgres"))?, "-D".to_owned(), word(place.data())?];
        server.push(format!("-p{}", place.port()));
        server.extend(SETTINGS.iter().map(|setting| format!("-c{setting}")));
        Ok(server)
    }

    fn address(&self, port: u16) -> String {
        format!("postgres://outbox@127.0.0.1:{port}/postgres")
    }
}

/// Debian keeps the programs of each version apart and off the `PATH`; the newest first.
fn debian_folders() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<(u32, PathBuf)> = versions
        .filter_map(|version| Some((version.file_name().to_str()?.parse().ok()?, version.path().join("bin"))))
        .collect();
    folders.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    folders.into_iter().map(|(_, folder)| folder).collect()
}
