//! `cargo xtask bench`: the benchmarks, on the servers that the environment names, and for the others on its own.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::interrupt::Interrupt;
use crate::program::{self, Profile};
use crate::servers::with_servers;
use crate::supervise;

const PACKAGE: &str = "outbox-sea-orm-benches";

pub(crate) fn run(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    let has = |words: &[&str]| arguments.iter().any(|argument| words.iter().any(|word| argument == word));
    let asks_for_help = arguments.is_empty() || has(&["help", "--help", "-h"]);
    // A quick run shows that it works and judges no speed: it can do with what is built for the tests.
    let profile = if asks_for_help || has(&["--quick"]) { Profile::Dev } else { Profile::Release };
    let mut benches = program::build(PACKAGE, profile, &interrupt)?;
    benches.args(arguments);
    let status = if asks_for_help {
        supervise::run(benches, &interrupt, None)?
    } else {
        with_servers(Vec::new(), &[], &interrupt, |servers| {
            benches.envs(servers.addresses.iter().map(|(service, address)| (service.variable(), address)));
            supervise::run(benches, &interrupt, None)
        })?
    };
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
