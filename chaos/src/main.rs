//! The fault suite: `cargo xtask chaos`.
//!
//! Writers commit rows and events, processors take the events to Kafka, and a nemesis does to all of them what happens
//! in production, on real servers and in real processes. At the end everything heals, and what is in Kafka is held
//! against a ledger that the writers kept in the same transactions.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program talks to its terminal")]

mod broken;
mod cli;
mod clock;
mod fault;
mod figures;
mod history;
mod judge;
mod logs;
mod nemesis;
mod plan;
mod profile;
mod reasons;
mod repeats;
mod report;
mod run;
mod stage;
mod sum;
mod trials;
mod workload;

use std::process::ExitCode;

use cli::Task;

#[tokio::main]
async fn main() -> ExitCode {
    match start().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn start() -> anyhow::Result<ExitCode> {
    match cli::parse(lexopt::Parser::from_env())? {
        Task::Help => print!("{}", cli::HELP),
        Task::Processor { broken } => {
            logs::write();
            outbox_tests::run_processor(|outbox, kafka| {
                let builder = match broken {
                    None => profile::kafka(kafka).map(|kafka| outbox.processor(kafka)).map_err(Into::into),
                    Some(broken) => broken.assemble(outbox, kafka),
                };
                profile::processor(builder.unwrap_or_else(|error: anyhow::Error| {
                    eprintln!("error: {error:#}");
                    std::process::exit(1)
                }))
            })
            .await;
        }
        Task::Sum { reports, least } => {
            let sum = sum::Sum::of(&reports)?;
            println!("{sum}");
            let missing = least.map(|least| sum.figures().missing(least)).unwrap_or_default();
            if !missing.is_empty() {
                println!("\nnot enough: {}", missing.join(", "));
            }
            return Ok(if sum.holds() && missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Task::Broken { which, options } => {
            let caught = trials::run(&which, &options).await?;
            return Ok(if caught { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Task::Run(options) => {
            let report = run::run(&options).await?;
            println!("\n{report}");
            if let Some(file) = &options.json {
                std::fs::write(file, serde_json::to_vec_pretty(&report)?)?;
            }
            return Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
    Ok(ExitCode::SUCCESS)
}
