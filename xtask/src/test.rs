//! `cargo xtask test`: the tests on real servers.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use crate::interrupt::Interrupt;
use crate::servers::{SKIP, with_servers};
use crate::services::Service;
use crate::{supervise, workspace};

pub(crate) fn run(skip: Vec<Service>, arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    let status = with_servers(skip, &interrupt, |servers| {
        let mut tests = cargo_test(arguments);
        tests.envs(servers.addresses.iter().map(|(service, address)| (service.variable(), address)));
        tests.env(SKIP, servers.skipped_names());
        // For tests that need a server of their own, to crash it.
        tests.env("OUTBOX_XTASK", std::env::current_exe()?).env("OUTBOX_TEST_RUN", &servers.folder);
        supervise::run(tests, &interrupt, None)
    })?;
    // Cargo's own code says whether it was the build or a test.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn cargo_test(arguments: &[OsString]) -> Command {
    let mut command = workspace::cargo();
    command.arg("test");
    // With `--workspace` cargo would not look at the packages that were named.
    let of_cargo = arguments.split(|argument| argument == "--").next().unwrap_or_default();
    let names_packages = of_cargo.iter().filter_map(|argument| argument.to_str()).any(|argument| {
        argument.starts_with("-p") || argument.starts_with("--package") || argument.starts_with("--manifest-path")
    });
    if !names_packages {
        command.arg("--workspace");
    }
    command.args(arguments);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        cargo_test(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
            .get_args()
            .map(ToOwned::to_owned)
            .collect()
    }

    #[test]
    fn all_packages_unless_some_are_named() {
        assert_eq!(words("--all-features"), ["test", "--workspace", "--all-features"]);
        assert_eq!(words("-p outbox-tests"), ["test", "-p", "outbox-tests"]);
        assert_eq!(words("-- -p"), ["test", "--workspace", "--", "-p"], "options of the test binary are its own");
    }
}
