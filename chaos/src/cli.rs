//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use lexopt::{Arg, Parser, ValueExt};
use outbox_tests::Kind;

use crate::broken::Broken;
use crate::fault::{KINDS, suits};
use crate::figures::Figures;

pub(crate) const HELP: &str = "\
Writers, processors, PostgreSQL or MariaDB or SQLite, and Kafka, and everything that happens to them.

Usage: cargo xtask chaos [options]

  --minutes <number>     how long (default: 3); with --at-least how long at most (default: 7)
  --at-least <figures>   go on until so much has happened, and fail if it does not: ci, full, or numbers such as
                         kills=10,pauses=3,databases=3,brokers=2,proxy=20,commits=20,events=200000
  --seed <number>        which faults happen when (default: 1)
  --database <name>      postgres, mariadb or sqlite (default: postgres)
  --only <kinds>         nothing but these kinds of faults, separated by commas (default: all)
  --drain <seconds>      how long delivering the rest may take at the end (default: 30)
  --logs <folder>        where the processors' logs go (default: a new one among the temporary files)
  --json <file>          the report for programs

       cargo xtask chaos --sum <file>.. [--at-least <figures>]

Adds up reports that were written with --json, and prints their table.

       cargo xtask chaos --broken <name> [--minutes <number>] [--seed <number>]

Puts processors with a mistake through what brings it to light, and fails when it is not found; all: one mistake after
the other. The mistakes are listed in docs/reliability.md.

It fails when a promise of docs/delivery.md was broken. The kinds of faults are listed in docs/reliability.md.
";

#[derive(Debug)]
pub(crate) enum Task {
    Help,
    /// What the suite starts as a child.
    Processor {
        broken: Option<Broken>,
    },
    /// Whether the suite catches relays with mistakes.
    Broken {
        which: Vec<Broken>,
        options: Options,
    },
    Run(Options),
    /// Reports of runs, added up.
    Sum {
        reports: Vec<PathBuf>,
        least: Option<Figures>,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) length: Duration,
    pub(crate) seed: u64,
    pub(crate) database: Kind,
    pub(crate) kinds: Vec<&'static str>,
    /// What the run is to reach within its time.
    pub(crate) least: Option<Figures>,
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
        length: Duration::ZERO,
        seed: 1,
        database: Kind::Postgres,
        kinds: KINDS.to_vec(),
        least: None,
        drain: Duration::from_secs(30),
        logs: None,
        json: None,
    };
    let (mut minutes, mut reports, mut which) = (None, None, Vec::new());
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(word) if word == "processor" => {
                let broken = match parser.next()? {
                    Some(_) => Broken::named(&parser.value()?.string()?),
                    None => None,
                };
                return Ok(Task::Processor { broken });
            }
            Arg::Long("help") | Arg::Short('h') => return Ok(Task::Help),
            Arg::Long("minutes") => {
                let number: f64 = parser.value()?.parse()?;
                ensure!(number > 0.0 && number <= 10_000.0, "--minutes: more than 0, at most 10000");
                minutes = Some(number);
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
            Arg::Long("at-least") => {
                options.least = Some(Figures::parse(&parser.value()?.string()?).context("--at-least")?);
            }
            Arg::Long("broken") => which = broken(&parser.value()?.string()?)?,
            Arg::Long("sum") => reports = Some(parser.values()?.map(PathBuf::from).collect()),
            Arg::Long("only") => options.kinds = kinds(&parser.value()?.string()?)?,
            Arg::Long("drain") => options.drain = Duration::from_secs(parser.value()?.parse()?),
            Arg::Long("logs") => options.logs = Some(parser.value()?.into()),
            Arg::Long("json") => options.json = Some(parser.value()?.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    if let Some(reports) = reports {
        return Ok(Task::Sum { reports, least: options.least });
    }
    if !which.is_empty() {
        // Each with what brings its mistake to light.
        options.length = Duration::from_secs_f64(minutes.unwrap_or(0.2) * 60.0);
        return Ok(Task::Broken { which, options });
    }
    let minutes = minutes.unwrap_or(if options.least.is_some() { 7.0 } else { 3.0 });
    options.length = Duration::from_secs_f64(minutes * 60.0);
    let database = options.database;
    ensure!(
        options.kinds.iter().any(|kind| suits(kind, database)),
        "--only: nothing of this can happen to {}",
        options.database_name()
    );
    let impossible = options.least.map(|least| least.impossible(&options.kinds, database)).unwrap_or_default();
    ensure!(
        impossible.is_empty(),
        "--at-least: these faults of {} bring no {}",
        options.database_name(),
        impossible.join(" and no ")
    );
    Ok(Task::Run(options))
}

fn broken(name: &str) -> anyhow::Result<Vec<Broken>> {
    if name == "all" {
        return Ok(Broken::ALL.to_vec());
    }
    let named = Broken::named(name).map(|broken| vec![broken]);
    named.with_context(|| {
        let names = Broken::ALL.map(Broken::name).join(", ");
        format!("--broken: there is no {name:?}; there are all, {names}")
    })
}

fn kinds(names: &str) -> anyhow::Result<Vec<&'static str>> {
    let known = |name: &str| KINDS.into_iter().find(|kind| *kind == name.trim());
    let unknown = |name| anyhow::anyhow!("--only: there is no {name:?}; there are {}", KINDS.join(", "));
    names.split(',').map(|name| known(name).ok_or_else(|| unknown(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> anyhow::Result<Task> {
        parse(Parser::from_args(arguments))
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let Task::Run(options) = parsed(&["--database", "sqlite", "--minutes", "0.5"]).unwrap() else {
            panic!("not a run");
        };
        assert_eq!((options.database, options.seed, options.processors()), (Kind::Sqlite, 1, 1));
        assert_eq!((options.length, options.kinds.len()), (Duration::from_secs(30), KINDS.len()));
    }

    #[test]
    fn a_run_that_is_to_reach_something_has_more_time() {
        let Task::Run(options) = parsed(&["--at-least", "kills=3"]).unwrap() else { panic!("not a run") };
        let least = Figures { kills: 3, ..Figures::default() };
        assert_eq!((options.least, options.length), (Some(least), Duration::from_secs(420)));
        let Task::Sum { reports, least } = parsed(&["--sum", "a", "b", "--at-least", "ci"]).unwrap() else {
            panic!("not a sum");
        };
        assert_eq!((reports.len(), least), (2, Some(Figures::CI)));
    }

    #[test]
    fn mistakes_are_named() {
        let Task::Broken { which, options } = parsed(&["--broken", "cursor"]).unwrap() else { panic!("not a trial") };
        assert_eq!((which, options.length), (vec![Broken::Cursor], Duration::from_secs(12)));
        let Task::Broken { which, .. } = parsed(&["--broken", "all"]).unwrap() else { panic!("not a trial") };
        assert_eq!(which, Broken::ALL);
        assert!(parsed(&["--broken", "nothing"]).is_err());
        let Task::Processor { broken } = parsed(&["processor", "--broken", "no-fence"]).unwrap() else {
            panic!("not a processor");
        };
        assert_eq!(broken, Some(Broken::NoFence));
        assert!(matches!(parsed(&["processor"]).unwrap(), Task::Processor { broken: None }));
    }

    #[test]
    fn kinds_of_faults_are_named() {
        let Task::Run(options) = parsed(&["--only", "reset, crash kafka"]).unwrap() else { panic!("not a run") };
        assert_eq!(options.kinds, ["reset", "crash kafka"]);
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        for wrong in [["--only", "rain"], ["--minutes", "0"], ["--seed", "x"], ["--database", "oracle"], ["--x", "1"]] {
            assert!(parsed(&wrong).is_err(), "{wrong:?}");
        }
        assert!(parsed(&["--database", "sqlite", "--at-least", "ci"]).is_err());
        // It would never begin.
        assert!(parsed(&["--database", "sqlite", "--only", "crash the database"]).is_err());
    }
}
