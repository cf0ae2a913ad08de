//! `cargo xtask services ..`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;

use super::fleet::{Fleet, is_up};
use crate::cli::ServicesAction;
use crate::interrupt::Interrupt;
use crate::workspace;

pub(crate) fn run(action: &ServicesAction, dir: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let cache = workspace::services_folder()?;
    let dir = dir.unwrap_or_else(|| cache.clone());
    let mut fleet = Fleet::open(&dir, &cache, Interrupt::listen()?)?;
    match action {
        ServicesAction::Up(services, kafka, environment) => fleet.up(services, kafka, environment)?,
        ServicesAction::Crash(services) => {
            for service in services {
                fleet.crash(*service)?;
                println!("{service:8} crashed");
            }
        }
        ServicesAction::Down => {
            let running = fleet.records().count();
            fleet.down()?;
            println!("stopped {running} servers");
        }
        ServicesAction::Env => {
            ensure!(fleet.records().next().is_some(), "nothing is up; run `cargo xtask services up`");
            for (service, record) in fleet.records() {
                println!("export {}={}", service.variable(), record.address);
                for (listener, port) in record.listeners() {
                    println!("export {}_{listener}=127.0.0.1:{port}", service.variable());
                }
            }
        }
        ServicesAction::Status => return Ok(status(&fleet)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Succeeds when something runs and all of it answers.
fn status(fleet: &Fleet) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    if fleet.records().next().is_none() {
        println!("nothing is up");
        code = ExitCode::FAILURE;
    }
    for (service, record) in fleet.records() {
        let up = is_up(service, record);
        let pid = record.process.as_ref().map_or_else(|| "none".to_owned(), |process| process.pid.to_string());
        let word = if up { "up" } else { "down" };
        println!("{service:8} {word:4} {} (process {pid}, {})", record.address, record.folder.display());
        if !up {
            code = ExitCode::FAILURE;
        }
    }
    code
}
