//! PgBouncer in transaction mode, in front of the PostgreSQL of the same folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::account::Account;
use super::launch::{Place, Recipe, word};
use super::{install, pgbouncer_build, postgres};

/// The first that knows the statements which its clients have prepared. sqlx prepares every statement that has
/// parameters, so with an older one nothing works.
const OLDEST: (u32, u32) = (1, 21);

#[derive(Debug)]
pub(crate) struct PgBouncer {
    program: PathBuf,
    /// The server's port.
    postgres: u16,
}

impl PgBouncer {
    pub(crate) fn find(cache: &Path, postgres: u16) -> anyhow::Result<Self> {
        let installed = install::find("pgbouncer", &[]).filter(|program| is_new_enough(program));
        let program = installed.map_or_else(|| pgbouncer_build::built(cache), Ok)?;
        Ok(Self { program, postgres })
    }

    fn settings(&self, place: &Place) -> anyhow::Result<String> {
        let (access, users) = (word(place.folder.join("hba.conf"))?, word(place.folder.join("users.txt"))?);
        // Few connections for many clients, given out in turn: what one leaves in its session meets another.
        Ok(format!(
            "[databases]\n\
             * = host=127.0.0.1 port={server}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = hba\n\
             auth_hba_file = {access}\n\
             auth_file = {users}\n\
             auth_user = outbox\n\
             auth_dbname = postgres\n\
             auth_query = SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1\n\
             pool_mode = transaction\n\
             max_prepared_statements = 200\n\
             default_pool_size = 12\n\
             server_round_robin = 1\n\
             max_client_conn = 2000\n\
             ignore_startup_parameters = extra_float_digits\n",
            server = self.postgres,
            port = place.port(),
        ))
    }
}

impl Recipe for PgBouncer {
    fn account(&self) -> anyhow::Result<Option<Account>> {
        Account::for_server(&["postgres", "nobody"])
    }

    fn prepare(&self, place: &Place) -> anyhow::Result<Vec<String>> {
        let settings = place.folder.join("pgbouncer.ini");
        let files = [
            (settings.clone(), self.settings(place)?),
            (place.folder.join("hba.conf"), postgres::ACCESS.to_owned()),
            (place.folder.join("users.txt"), "\"outbox\" \"\"\n".to_owned()),
        ];
        for (file, text) in files {
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(vec![word(&self.program)?, "--quiet".to_owned(), word(settings)?])
    }

    fn address(&self, port: u16) -> String {
        format!("postgres://outbox@127.0.0.1:{port}/postgres")
    }
}

fn is_new_enough(program: &Path) -> bool {
    let output = Command::new(program).arg("--version").output();
    output.is_ok_and(|output| version(&String::from_utf8_lossy(&output.stdout)) >= Some(OLDEST))
}

/// Out of `PgBouncer 1.24.1` and what follows it.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.lines().next()?.strip_prefix("PgBouncer ")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers() {
        assert_eq!(version("PgBouncer 1.24.1\nlibevent 2.1.12-stable\n"), Some((1, 24)));
        assert!(version("PgBouncer 1.9.0") < Some(OLDEST));
        assert_eq!(version("pgbouncer"), None);
    }
}
