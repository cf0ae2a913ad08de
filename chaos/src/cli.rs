//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, ensure};
use lexopt::{Arg, Parser, ValueExt};
use outbox_tests::Kind;

pub(crate) const HELP: &str = "\
Writers, processors, PostgreSQL or MariaDB or SQLite, and Kafka, and everything that happens to them.

Usage: cargo xtask chaos [options]

  --minutes <number>     how long (default: 3)
  --seed <number>        which faults happen when (default: 1)
  --database <name>      postgres, mariadb or sqlite (default: postgres)
  --drain <seconds>      how long delivering the rest may take at the end (default: 30)
  --logs <folder>        where the processors' logs go (default: a new one among the temporary files)
  --json <file>          the report for programs

It fails when a promise of docs/delivery.md was broken.
";

#[derive(Debug)]
pub(crate) enum Task {
    Help,
    /// What the suite starts as a child.
    Processor,
    Run(Options),
}

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) length: Duration,
    pub(crate) seed: u64,
    pub(crate) database: Kind,
    pub(crate) drain: Duration,
    pub(crate) logs: Option<PathBuf>,
    pub(crate) json: Option<PathBuf>,
}

impl Options {
    /// SQLite has one process that delivers.
    pub(crate) fn processors(&self) -> usize {
        if self.database == Kind::Sqlite { 1 } else { 3 }
    }

    pub(crate) fn database_name(&self) -> &'static str {
        match self.database {
            Kind::Postgres => "postgres",
            Kind::MariaDb => "mariadb",
            Kind::Sqlite => "sqlite",
        }
    }
}

pub(crate) fn parse(mut parser: Parser) -> anyhow::Result<Task> {
    let mut options = Options {
        length: Duration::from_secs(180),
        seed: 1,
        database: Kind::Postgres,
        drain: Duration::from_secs(30),
        logs: None,
        json: None,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(word) if word == "processor" => return Ok(Task::Processor),
            Arg::Long("help") | Arg::Short('h') => return Ok(Task::Help),
            Arg::Long("minutes") => {
                let minutes: f64 = parser.value()?.parse()?;
                ensure!(minutes > 0.0 && minutes <= 10_000.0, "--minutes: more than 0, at most 10000");
                options.length = Duration::from_secs_f64(minutes * 60.0);
            }
            Arg::Long("seed") => options.seed = parser.value()?.parse()?,
            Arg::Long("database") => {
                options.database = match parser.value()?.string()?.as_str() {
                    "postgres" => Kind::Postgres,
                    "mariadb" => Kind::MariaDb,
                    "sqlite" => Kind::Sqlite,
                    other => bail!("--database: there is no {other:?}; there are postgres, mariadb and sqlite"),
                }
            }
            Arg::Long("drain") => options.drain = Duration::from_secs(parser.value()?.parse()?),
            Arg::Long("logs") => options.logs = Some(parser.value()?.into()),
            Arg::Long("json") => options.json = Some(parser.value()?.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Task::Run(options))
}
