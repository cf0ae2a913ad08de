//! `cargo xtask examples`: every example runs to its end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::interrupt::Interrupt;
use crate::servers::with_servers;
use crate::services::Service;
use crate::{supervise, workspace};

/// Of one example. It shows one thing and ends by itself.
const LIMIT: Duration = Duration::from_secs(120);

const MOST_LINES: usize = 150;

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    let examples = examples(&workspace::metadata()?);
    ensure!(!examples.is_empty(), "there are no examples");
    for (name, source) in &examples {
        let lines = std::fs::read_to_string(source).with_context(|| source.display().to_string())?.lines().count();
        ensure!(lines <= MOST_LINES, "the example {name} has {lines} lines: one that is read has at most {MOST_LINES}");
    }
    // Built apart, so that the limit is about the example alone.
    let mut build = workspace::cargo();
    build.args(["build", "--examples"]);
    ensure!(supervise::run(build, &interrupt, None)?.success(), "the examples do not compile");

    with_servers(Vec::new(), &[], &interrupt, |servers| {
        for (name, _) in &examples {
            println!("example {name}");
            let mut example = workspace::cargo();
            example.args(["run", "--quiet", "--example", name]);
            for (service, address) in &servers.addresses {
                example.env(variable(*service), address);
            }
            ensure!(supervise::run(example, &interrupt, Some(LIMIT))?.success(), "the example {name} failed");
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Examples know nothing of our tests: they read what programs usually read.
const fn variable(service: Service) -> &'static str {
    match service {
        Service::Postgres => "DATABASE_URL",
        Service::MariaDb => "MARIADB_URL",
        Service::Kafka => "KAFKA_BROKERS",
        Service::PgBouncer => "PGBOUNCER_URL",
    }
}

/// Their names, and where they are.
fn examples(metadata: &workspace::Metadata) -> Vec<(String, PathBuf)> {
    let packages = metadata.packages.iter().filter(|package| package.name == "outbox-examples");
    let targets = packages.flat_map(|package| &package.targets);
    let examples = targets.filter(|target| target.kind.iter().any(|kind| kind == "example"));
    examples.map(|target| (target.name.clone(), target.src_path.clone())).collect()
}
