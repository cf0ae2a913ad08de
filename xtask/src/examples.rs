//! `cargo xtask examples`: every example runs to its end.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;

use crate::interrupt::Interrupt;
use crate::servers::with_servers;
use crate::services::Service;
use crate::{supervise, workspace};

/// Of one example. It shows one thing and ends by itself.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    let names = names(&workspace::metadata()?);
    ensure!(!names.is_empty(), "there are no examples");
    // Built apart, so that the limit is about the example alone.
    let mut build = workspace::cargo();
    build.args(["build", "--examples"]);
    ensure!(supervise::run(build, &interrupt, None)?.success(), "the examples do not compile");

    with_servers(Vec::new(), &interrupt, |servers| {
        for name in &names {
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
    }
}

fn names(metadata: &workspace::Metadata) -> Vec<String> {
    let packages = metadata.packages.iter().filter(|package| package.name == "outbox-examples");
    let targets = packages.flat_map(|package| &package.targets);
    let examples = targets.filter(|target| target.kind.iter().any(|kind| kind == "example"));
    examples.map(|target| target.name.clone()).collect()
}
