//! Development tasks, run as `cargo xtask <task>`.
//!
//! The tests of this workspace talk to real servers. This program starts them without Docker, runs the tests on
//! them, and guards the rule of who may depend on whom. It is synchronous and small on purpose: it is compiled
//! before anything else on a clean checkout.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program talks to its terminal")]

mod bench;
mod chaos;
mod cli;
mod deps;
mod examples;
mod fuzz;
mod interrupt;
mod passes;
mod prepare;
mod program;
mod servers;
mod services;
mod simulate;
mod supervise;
mod test;
mod workspace;

use std::process::ExitCode;

use cli::Task;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    match cli::parse()? {
        Task::Help => {
            print!("{}", cli::HELP);
            Ok(ExitCode::SUCCESS)
        }
        Task::Services { action, dir } => services::command::run(&action, dir),
        Task::Test { skip, pass, arguments } => test::run(skip, &pass, &arguments),
        Task::Examples => examples::run(),
        Task::Prepare => prepare::run().map(|()| ExitCode::SUCCESS),
        Task::Bench { arguments } => bench::run(&arguments),
        Task::Chaos { arguments } => chaos::run(&arguments),
        Task::CheckDeps => deps::check(),
        Task::Fuzz { target, minutes } => fuzz::run(&target, minutes),
        Task::Simulate { first, count } => simulate::run(first, count),
    }
}
