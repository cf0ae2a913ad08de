//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use lexopt::{Arg, Parser, ValueExt};

use crate::cases::Name;
use crate::roles::Role;
use crate::servers::Kind;

pub(crate) const HELP: &str = "\
Benchmarks on real servers, each beside its own reference.

Usage: cargo run --release -p outbox-sea-orm-benches -- <name>.. [options]

  drain      committed events to Kafka, against a bare producer
  stage      transactions with events, against a hand-written INSERT
  latency    from COMMIT to the consumer, against a bare producer
  idle       what a processor costs that has nothing to do
  hot-key    one key with all the events
  blocked    healthy keys behind 100,000 events that cannot go
  backlog    a large backlog, against a small one
  scale      1, 2, 4 and 8 processors on one backlog
  pinned     steady writes beside a transaction that stays open
  outage     a broker that is away for a minute
  takeover   the shards of a processor that was killed
  all        every one of them

      --database postgres|mariadb|sqlite   default: postgres
      --events <number>                    how many, where that is not what is measured
      --repeats <number>                   default: 5
      --seconds <number>                   how long, where a time is measured
      --rate <number>                      `latency`: at so many transactions a second alone
      --json <file>                        write the results there too
      --quick                              small and short: shows that it works, and judges no speed

Servers come from OUTBOX_TEST_POSTGRES_URL, OUTBOX_TEST_MARIADB_URL and OUTBOX_TEST_KAFKA_BROKERS, which
`cargo xtask services env` prints; their users may create databases and topics. OUTBOX_* settings of a processor
apply to those that are measured.

Ends with 1 when an event was lost, repeated or out of order, and, without --quick, when a goal was missed.
";

#[derive(Debug)]
pub(crate) enum Task {
    Help,
    /// What a child process of ours does.
    Play(Role),
    Run(Run),
}

/// What to measure, and how.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) names: Vec<Name>,
    pub(crate) database: Kind,
    pub(crate) events: Option<usize>,
    pub(crate) repeats: Option<usize>,
    pub(crate) seconds: Option<u64>,
    pub(crate) rate: Option<u64>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) quick: bool,
}

pub(crate) fn parse() -> anyhow::Result<Task> {
    parse_from(Parser::from_env())
}

fn parse_from(mut parser: Parser) -> anyhow::Result<Task> {
    let mut run = Run {
        names: Vec::new(),
        database: Kind::Postgres,
        events: None,
        repeats: None,
        seconds: None,
        rate: None,
        json: None,
        quick: false,
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Task::Help),
            Arg::Long("play") => {
                let role: OsString = parser.value()?;
                return Ok(Task::Play(serde_json::from_str(&role.string()?).context("--play")?));
            }
            Arg::Long("database") => run.database = parser.value()?.parse()?,
            Arg::Long("events") => run.events = Some(positive("--events", parser.value()?.parse()?)?),
            Arg::Long("repeats") => run.repeats = Some(positive("--repeats", parser.value()?.parse()?)?),
            Arg::Long("seconds") => {
                run.seconds = Some(u64::try_from(positive("--seconds", parser.value()?.parse()?)?)?);
            }
            Arg::Long("rate") => run.rate = Some(u64::try_from(positive("--rate", parser.value()?.parse()?)?)?),
            Arg::Long("json") => run.json = Some(parser.value()?.into()),
            Arg::Long("quick") => run.quick = true,
            Arg::Value(name) if name == "help" => return Ok(Task::Help),
            Arg::Value(name) if name == "all" => run.names.extend(Name::ALL),
            Arg::Value(name) => run.names.push(name.parse_with(str::parse)?),
            other => return Err(other.unexpected().into()),
        }
    }
    if run.names.is_empty() {
        bail!("name a benchmark; `help` lists them");
    }
    ensure!(run.json.is_none() || run.names.len() == 1, "--json takes the results of one benchmark");
    Ok(Task::Run(run))
}

fn positive(option: &str, number: usize) -> anyhow::Result<usize> {
    ensure!(number > 0, "{option} must be at least 1");
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> anyhow::Result<Task> {
        parse_from(Parser::from_args(line.split_whitespace()))
    }

    #[test]
    fn options_are_taken_and_mistakes_are_named() {
        let Ok(Task::Run(run)) = parsed("drain --database mariadb --events 10 --quick") else { panic!("a run") };
        assert_eq!(
            (run.names, run.database, run.events, run.quick),
            (vec![Name::Drain], Kind::MariaDb, Some(10), true)
        );
        for (line, problem) in [
            ("", "name a benchmark"),
            ("darin", "darin"),
            ("drain --events 0", "--events"),
            ("drain --database oracle", "oracle"),
            ("drain stage --json x", "one benchmark"),
        ] {
            let error = format!("{:#}", parsed(line).unwrap_err());
            assert!(error.contains(problem), "{line:?}: {error}");
        }
    }
}
