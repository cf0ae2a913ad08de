//! MariaDB: a data folder of its own with `mariadb-install-db`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use super::account::Account;
use super::install;
use super::launch::{Place, Recipe, word};
use super::process::run_to_end;

const SETTINGS: &[&str] = &[
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    // Below the data folder: the path of a socket is limited to about 100 bytes, that of a checkout is not.
    "--socket=server.sock",
    "--pid-file=server.pid",
    "--max-connections=300",
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-buffer-pool-size=256M",
    "--character-set-server=utf8mb4",
];

/// Run at every start, before the first connection is accepted.
const USER: &str = "\
CREATE USER IF NOT EXISTS 'outbox'@'127.0.0.1';
GRANT ALL PRIVILEGES ON *.* TO 'outbox'@'127.0.0.1' WITH GRANT OPTION;
";

#[derive(Debug)]
pub(crate) struct MariaDb {
    install_db: PathBuf,
    server: PathBuf,
}

impl MariaDb {
    pub(crate) fn find() -> anyhow::Result<Self> {
        // The package `mariadb-server` would also start a server of its own on some systems.
        install::find_or_install("MariaDB", &["mariadb-server-core", "mariadb-client-core"], || {
            Some(Self {
                install_db: install::find("mariadb-install-db", &[])?,
                server: install::find("mariadbd", &[])?,
            })
        })
    }
}

impl Recipe for MariaDb {
    fn account(&self) -> anyhow::Result<Option<Account>> {
        Account::for_server(&["mysql", "nobody"])
    }

    fn prepare(&self, place: &Place) -> anyhow::Result<Vec<String>> {
        let mut install = Command::new(&self.install_db);
        install
            .arg("--no-defaults")
            .arg(format!("--datadir={}", word(place.data())?))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"])
            .current_dir(&place.folder);
        run_to_end(install, place.account, &place.log()).context("cannot create a MariaDB data folder")?;

        let init = place.folder.join("user.sql");
        fs::write(&init, USER).with_context(|| format!("cannot write {}", init.display()))?;
        let mut server = vec![
            word(&self.server)?,
            "--no-defaults".to_owned(),
            format!("--datadir={}", word(place.data())?),
            format!("--init-file={}", word(init)?),
            format!("--port={}", place.port()),
        ];
        server.extend(SETTINGS.iter().map(|&setting| setting.to_owned()));
        Ok(server)
    }

    fn address(&self, port: u16) -> String {
        format!("mysql://outbox@127.0.0.1:{port}/mysql")
    }
}
