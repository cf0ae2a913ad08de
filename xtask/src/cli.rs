//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, bail};
use lexopt::{Arg, Parser, ValueExt};

use crate::services::Service;

pub(crate) const HELP: &str = "\
Development tasks of this workspace.

Usage: cargo xtask <task>

  services up [postgres] [mariadb] [kafka]   start the named servers, or all of them, and wait until they answer
  services down                              stop exactly what `up` started and remove its data
  services env                               print the variables that tests read, for eval \"$(..)\"
  services status                            what runs where
      --dir <folder>                         keep the servers' state there (default: target/outbox-services)

  help                                       this text
";

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Help,
    Services { action: ServicesAction, dir: Option<PathBuf> },
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ServicesAction {
    Up(Vec<Service>),
    Down,
    Env,
    Status,
}

pub(crate) fn parse() -> anyhow::Result<Task> {
    parse_from(Parser::from_env())
}

fn parse_from(mut parser: Parser) -> anyhow::Result<Task> {
    match parser.next()? {
        None | Some(Arg::Long("help") | Arg::Short('h')) => Ok(Task::Help),
        Some(Arg::Value(task)) => match task.to_str() {
            Some("help") => Ok(Task::Help),
            Some("services") => services(parser),
            _ => bail!("there is no task {task:?}; `cargo xtask help` lists them"),
        },
        Some(other) => Err(other.unexpected().into()),
    }
}

fn services(mut parser: Parser) -> anyhow::Result<Task> {
    let mut words: Vec<OsString> = Vec::new();
    let mut dir = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("dir") => dir = Some(PathBuf::from(parser.value()?)),
            Arg::Long("help") | Arg::Short('h') => return Ok(Task::Help),
            Arg::Value(word) => words.push(word),
            other => return Err(other.unexpected().into()),
        }
    }
    let mut words = words.into_iter();
    let action = words.next().context("services: one of up, down, env, status")?.string()?;
    let named = words.map(|word| word.parse_with(str::parse)).collect::<Result<Vec<Service>, _>>()?;
    let action = match (action.as_str(), named.as_slice()) {
        ("up", []) => ServicesAction::Up(Service::ALL.to_vec()),
        ("up", _) => ServicesAction::Up(named),
        ("down", []) => ServicesAction::Down,
        ("env", []) => ServicesAction::Env,
        ("status", []) => ServicesAction::Status,
        ("down" | "env" | "status", _) => bail!("services {action} takes no names: it is about all servers"),
        _ => bail!("services {action}: one of up, down, env, status"),
    };
    Ok(Task::Services { action, dir })
}
