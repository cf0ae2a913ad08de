//! `cargo xtask simulate`: the simulation of the engine, on many seeds.

use std::process::{Command, ExitCode};

use crate::interrupt::Interrupt;
use crate::{supervise, workspace};

/// Unless said otherwise: minutes on a small machine.
const SEEDS: u64 = 20_000;

pub(crate) fn run(first: Option<u64>, count: Option<u64>) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    let succeeded = supervise::run(simulation(first, count), &interrupt, None)?.success();
    // Which seeds failed, and how to repeat them, has been printed.
    Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Optimized, because it is all computation, but with the checks that a test build has.
fn simulation(first: Option<u64>, count: Option<u64>) -> Command {
    let mut command = workspace::cargo();
    command.args(["test", "--release", "--package", "outbox-sea-orm-core", "--all-features", "--lib"]);
    for check in ["overflow-checks", "debug-assertions"] {
        command.args(["--config", &format!("profile.release.{check}=true")]);
    }
    // One test after the other: each takes all cores for its seeds.
    command.args(["--", "engine::simulation", "--nocapture", "--test-threads=1"]);
    command.env_remove("OUTBOX_TEST_SEED").env_remove("OUTBOX_TEST_SEEDS");
    if let Some(first) = first {
        command.env("OUTBOX_TEST_SEED", first.to_string());
    }
    if let Some(count) = count.or(if first.is_none() { Some(SEEDS) } else { None }) {
        command.env("OUTBOX_TEST_SEEDS", count.to_string());
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(command: &Command) -> Vec<(&str, Option<&str>)> {
        let text = |text: &std::ffi::OsStr| text.to_str().map(str::to_owned);
        let variables = command.get_envs().filter(|(name, _)| text(name).is_some_and(|name| name.contains("SEED")));
        variables.filter_map(|(name, value)| Some((name.to_str()?, value.map(|value| value.to_str())?))).collect()
    }

    #[test]
    fn one_seed_alone_unless_more_are_asked_for() {
        let (seed, seeds) = ("OUTBOX_TEST_SEED", "OUTBOX_TEST_SEEDS");
        assert_eq!(variables(&simulation(Some(7), None)), [(seed, Some("7"))]);
        assert_eq!(variables(&simulation(Some(7), Some(10))), [(seed, Some("7")), (seeds, Some("10"))]);
        assert_eq!(variables(&simulation(None, None)), [(seeds, Some("20000"))]);
    }
}
