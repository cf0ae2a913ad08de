//! `cargo xtask test`: the tests on real servers.

use std::ffi::OsString;
use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::interrupt::Interrupt;
use crate::passes::{AS_ROLES, Pass};
use crate::servers::{SKIP, with_servers};
use crate::services::Service;
use crate::{prepare, supervise, workspace};

/// A test that hangs says which it is and fails, instead of whoever waits for it. Everything takes about ten minutes on
/// two cores, and as long again to build.
const LIMIT: Duration = Duration::from_mins(45);

/// How many tests run at a time: unless it says so, two for each core, as most of them wait for servers.
const THREADS: &str = "RUST_TEST_THREADS";

pub(crate) fn run(skip: Vec<Service>, pass: &Pass, arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    for (name, reason) in pass.left_out() {
        println!("left out of this pass: {name} ({reason})");
    }
    for (name, reason) in pass.as_owner() {
        println!("as the owner of the tables in this pass: {name} ({reason})");
    }
    let skip = if pass.through_pgbouncer { [skip, vec![Service::MariaDb]].concat() } else { skip };
    let (tests, all_features) = cargo_test(&pass.arguments(arguments));
    if all_features {
        prepare::run()?;
    }
    let status = with_servers(skip, pass.own_servers(), &interrupt, |servers| {
        let mut tests = tests;
        tests.envs(servers.addresses.iter().map(|(service, address)| (service.variable(), address)));
        if let Some((_, pooler)) = servers.addresses.iter().find(|(service, _)| *service == Service::PgBouncer) {
            tests.env(Service::Postgres.variable(), pooler);
        }
        if pass.as_roles {
            tests.env(AS_ROLES, "1");
        }
        tests.env(SKIP, servers.skipped_names());
        if std::env::var_os(THREADS).is_none() {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            tests.env(THREADS, (2 * cores).to_string());
        }
        // For tests that need a server of their own, to crash it.
        tests.env("OUTBOX_XTASK", std::env::current_exe()?).env("OUTBOX_TEST_RUN", &servers.folder);
        supervise::run(tests, &interrupt, Some(LIMIT))
    })?;
    // Cargo's own code says whether it was the build or a test.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// With all packages and all features, unless some are named; says whether it is all features.
fn cargo_test(arguments: &[OsString]) -> (Command, bool) {
    let mut command = workspace::cargo();
    command.arg("test");
    let of_cargo = arguments.split(|argument| argument == "--").next().unwrap_or_default();
    let names = |options: &[&str]| {
        let words = of_cargo.iter().filter_map(|argument| argument.to_str());
        words.into_iter().any(|word| options.iter().any(|option| word.starts_with(option)))
    };
    // With `--workspace` cargo would not look at the packages that were named.
    if !names(&["-p", "--package", "--manifest-path"]) {
        command.arg("--workspace");
    }
    let some_features = names(&["-F", "--features", "--no-default-features"]);
    if !some_features && !names(&["--all-features"]) {
        command.arg("--all-features");
    }
    command.args(arguments);
    (command, !some_features)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        let (command, _) = cargo_test(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        command.get_args().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn everything_unless_something_is_named() {
        assert_eq!(words(""), ["test", "--workspace", "--all-features"]);
        assert_eq!(words("--all-features"), ["test", "--workspace", "--all-features"]);
        assert_eq!(words("-p outbox-tests"), ["test", "--all-features", "-p", "outbox-tests"]);
        assert_eq!(words("-F outbox-sea-orm/kafka"), ["test", "--workspace", "-F", "outbox-sea-orm/kafka"]);
        let of_the_binary = ["test", "--workspace", "--all-features", "--", "-p", "-F"];
        assert_eq!(words("-- -p -F"), of_the_binary, "options of the test binary are its own");
    }
}
