//! Benchmarks: each measures the outbox and its own reference in the same run, one after the other in turn, and
//! checks what came out at the other end.
//!
//! `cargo run --release -p outbox-sea-orm-benches -- help`

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program talks to its terminal")]

mod backlog;
mod bench;
mod cases;
mod child;
mod cli;
mod event;
mod machine;
mod reader;
mod report;
mod roles;
mod servers;
mod steady;

use std::process::ExitCode;

use cli::Task;

#[tokio::main]
async fn main() -> ExitCode {
    let result = match cli::parse() {
        Ok(Task::Help) => {
            print!("{}", cli::HELP);
            Ok(ExitCode::SUCCESS)
        }
        Ok(Task::Play(role)) => roles::play(role).await.map(|()| ExitCode::SUCCESS),
        Ok(Task::Run(run)) => bench::run(run).await,
        Err(error) => Err(error),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
