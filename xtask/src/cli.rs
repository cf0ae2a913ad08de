//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail};
use lexopt::{Arg, Parser, ValueExt};

use crate::passes::Pass;
use crate::services::{Environment, KafkaOptions, ScramUser, Service};

pub(crate) const HELP: &str = "\
Development tasks of this workspace.

Usage: cargo xtask <task>

  services up [postgres] [mariadb] [kafka]   start the named servers, or all of them, and wait until they answer
  services crash <server>..                  end servers without a word; `up` starts them with their ports and data
  services down                              stop exactly what `up` started and remove its data
  services env                               print the variables that tests read, for eval \"$(..)\"
  services status                            what runs where
      --dir <folder>                         keep the servers' state there (default: target/outbox-services)
      --kafka-listener <protocol>            with `up`: a further listener, of SSL, SASL_PLAINTEXT or SASL_SSL;
                                             `env` prints OUTBOX_TEST_KAFKA_BROKERS_<protocol>
      --kafka-config <file>                  with `up`: settings added to the broker's own
      --env <name>=<value>                   with `up`: a variable in the servers' environment, for as long as they
                                             are kept
      --kafka-scram <user>=<password>        with `up`: a user of SASL/SCRAM

  test [-- <arguments of cargo test>]        run the tests on real servers: those that the environment names, and
                                             for the others its own, which end with it
      --skip <server>[,<server>]             leave out what needs these
      --as-roles                             a further pass: of the tests on databases, as accounts with no more rights
                                             than docs/operations.md names
      --through pgbouncer                    a further pass: of the tests on PostgreSQL, through a PgBouncer that pools
                                             transactions
  examples                                   run every example to its end, on servers as the tests
  bench <name>.. [<its options>]             run benchmarks on servers of their own; `bench help` lists them
  chaos [<its options>]                      run the fault suite on servers of its own; --help lists the options
  simulate [--seeds <n>] [--seed <s>]        run the engine against faults in memory, on every core: n seeds, from 0 or
                                             from s on, or s alone; 20000 unless said otherwise
  fuzz <target> [--minutes <n>]              run a fuzz target under libFuzzer, for ten minutes unless said otherwise;
                                             what it finds interesting stays in target/fuzz-corpus
  prepare                                    install what --all-features is built with, where that is possible
  check-deps                                 which package may depend on what, and where all of them come from

  help                                       this text
";

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Help,
    Services { action: ServicesAction, dir: Option<PathBuf> },
    Test { skip: Vec<Service>, pass: Pass, arguments: Vec<OsString> },
    Examples,
    Prepare,
    Bench { arguments: Vec<OsString> },
    Chaos { arguments: Vec<OsString> },
    CheckDeps,
    Fuzz { target: String, minutes: u64 },
    Simulate { first: Option<u64>, count: Option<u64> },
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ServicesAction {
    Up(Vec<Service>, KafkaOptions, Environment),
    Crash(Vec<Service>),
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
            Some("test") => test(parser),
            Some("examples") => alone(parser, Task::Examples),
            Some("prepare") => alone(parser, Task::Prepare),
            // All that follows is their own.
            Some("bench") => Ok(Task::Bench { arguments: parser.raw_args()?.collect() }),
            Some("chaos") => Ok(Task::Chaos { arguments: parser.raw_args()?.collect() }),
            Some("simulate") => simulate(parser),
            Some("fuzz") => fuzz(parser),
            Some("check-deps") => alone(parser, Task::CheckDeps),
            _ => bail!("there is no task {task:?}; `cargo xtask help` lists them"),
        },
        Some(other) => Err(other.unexpected().into()),
    }
}

fn services(mut parser: Parser) -> anyhow::Result<Task> {
    let mut words: Vec<OsString> = Vec::new();
    let mut dir = None;
    let mut environment = Environment::new();
    let mut kafka = KafkaOptions::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("dir") => dir = Some(PathBuf::from(parser.value()?)),
            Arg::Long("env") => {
                let variable = parser.value()?.string()?;
                let (name, value) = variable.split_once('=').context("--env: <name>=<value>")?;
                environment.push((name.to_owned(), value.to_owned()));
            }
            Arg::Long("kafka-listener") => kafka.listeners.push(parser.value()?.parse()?),
            Arg::Long("kafka-config") => kafka.config = Some(PathBuf::from(parser.value()?)),
            Arg::Long("kafka-scram") => kafka.scram.push(parser.value()?.parse_with(ScramUser::from_str)?),
            Arg::Long("help") | Arg::Short('h') => return Ok(Task::Help),
            Arg::Value(word) => words.push(word),
            other => return Err(other.unexpected().into()),
        }
    }
    let mut words = words.into_iter();
    let action = words.next().context("services: one of up, crash, down, env, status")?.string()?;
    let named = words.map(|word| word.parse_with(str::parse)).collect::<Result<Vec<Service>, _>>()?;
    let action = match (action.as_str(), named.as_slice()) {
        ("up", []) => ServicesAction::Up(Service::USUAL.to_vec(), kafka, environment),
        ("up", _) => ServicesAction::Up(named, kafka, environment),
        _ if !environment.is_empty() => bail!("services {action}: --env goes with `up`"),
        _ if kafka != KafkaOptions::default() => bail!("services {action}: options of Kafka go with `up`"),
        ("crash", [_, ..]) => ServicesAction::Crash(named),
        ("down", []) => ServicesAction::Down,
        ("env", []) => ServicesAction::Env,
        ("status", []) => ServicesAction::Status,
        ("down" | "env" | "status", _) => bail!("services {action} takes no names: it is about all servers"),
        _ => bail!("services {action}: one of up, down, env, status, or crash with names"),
    };
    Ok(Task::Services { action, dir })
}

fn test(mut parser: Parser) -> anyhow::Result<Task> {
    let (mut skip, mut pass, mut arguments) = (Vec::new(), Pass::default(), Vec::new());
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("as-roles") => pass.as_roles = true,
            Arg::Long("through") => match parser.value()?.parse()? {
                Service::PgBouncer => pass.through_pgbouncer = true,
                other => bail!("--through {other}: there is only pgbouncer"),
            },
            Arg::Long("skip") => skip.extend(service_list(&parser.value()?.string()?)?),
            Arg::Long("help") | Arg::Short('h') => return Ok(Task::Help),
            // Behind `--` everything is a value.
            Arg::Value(argument) => arguments.push(argument),
            other => return Err(other.unexpected()).context("arguments for cargo test go behind `--`"),
        }
    }
    Ok(Task::Test { skip, pass, arguments })
}

fn simulate(mut parser: Parser) -> anyhow::Result<Task> {
    let (mut first, mut count) = (None, None);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("seed") => first = Some(parser.value()?.parse().context("--seed")?),
            Arg::Long("seeds") => count = Some(parser.value()?.parse().context("--seeds")?),
            Arg::Long("help") | Arg::Short('h') => return Ok(Task::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    if count == Some(0) {
        bail!("--seeds 0 would show nothing");
    }
    Ok(Task::Simulate { first, count })
}

fn fuzz(mut parser: Parser) -> anyhow::Result<Task> {
    let (mut target, mut minutes) = (None, 10);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("minutes") => minutes = parser.value()?.parse().context("--minutes")?,
            Arg::Long("help") | Arg::Short('h') => return Ok(Task::Help),
            Arg::Value(name) if target.is_none() => target = Some(name.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    if minutes == 0 {
        bail!("--minutes 0 would never end");
    }
    Ok(Task::Fuzz { target: target.context("fuzz: which target? They are the modules of fuzz/src")?, minutes })
}

fn alone(mut parser: Parser, task: Task) -> anyhow::Result<Task> {
    match parser.next()? {
        None => Ok(task),
        Some(Arg::Long("help") | Arg::Short('h')) => Ok(Task::Help),
        Some(other) => Err(other.unexpected().into()),
    }
}

/// Names of servers, separated by commas.
pub(crate) fn service_list(names: &str) -> anyhow::Result<Vec<Service>> {
    names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::Listener;

    fn parsed(line: &str) -> anyhow::Result<Task> {
        parse_from(Parser::from_args(line.split_whitespace()))
    }

    #[test]
    fn servers_are_all_unless_named() {
        let up = |services| Task::Services {
            action: ServicesAction::Up(services, KafkaOptions::default(), Environment::new()),
            dir: None,
        };
        assert_eq!(parsed("services up").unwrap(), up(Service::USUAL.to_vec()));
        assert_eq!(parsed("services up kafka postgres").unwrap(), up(vec![Service::Kafka, Service::Postgres]));
        assert!(parsed("services up oracle").is_err());
        assert!(parsed("services down kafka").is_err());
        let dir = Some("there".into());
        assert_eq!(parsed("services --dir there env").unwrap(), Task::Services { action: ServicesAction::Env, dir });
    }

    #[test]
    fn a_broker_can_have_more_than_the_plain_listener() {
        let line = "services up kafka --kafka-listener SSL --kafka-listener SASL_SSL --kafka-config file \
                    --kafka-scram alice=in=Wonderland";
        let kafka = KafkaOptions {
            listeners: vec![Listener::Ssl, Listener::SaslSsl],
            config: Some("file".into()),
            scram: vec![ScramUser { name: "alice".to_owned(), password: "in=Wonderland".to_owned() }],
        };
        let action = ServicesAction::Up(vec![Service::Kafka], kafka, Environment::new());
        assert_eq!(parsed(line).unwrap(), Task::Services { action, dir: None });
        assert!(parsed("services up --kafka-listener TLS").is_err());
        assert!(parsed("services up --kafka-scram alice").is_err());
        assert!(parsed("services down --kafka-listener SSL").is_err());
    }

    #[test]
    fn servers_may_have_variables() {
        let environment = vec![("A".to_owned(), "b=c".to_owned())];
        let action = ServicesAction::Up(vec![Service::Postgres], KafkaOptions::default(), environment);
        assert_eq!(parsed("services up postgres --env A=b=c").unwrap(), Task::Services { action, dir: None });
        assert!(parsed("services up --env A").is_err());
        assert!(parsed("services down --env A=b").is_err());
    }

    #[test]
    fn cargo_gets_what_is_behind_the_dashes() {
        let task = parsed("test --skip mariadb,kafka -- -p outbox-tests -- --nocapture").unwrap();
        let arguments = ["-p", "outbox-tests", "--", "--nocapture"].map(OsString::from).to_vec();
        assert_eq!(task, Task::Test { skip: vec![Service::MariaDb, Service::Kafka], pass: Pass::default(), arguments });
        assert!(parsed("test -p outbox-tests").is_err(), "an option of cargo in front of the dashes");
        assert!(parsed("test --skip oracle").is_err());
        let pass = Pass { as_roles: true, through_pgbouncer: true };
        let both = Task::Test { skip: Vec::new(), pass, arguments: Vec::new() };
        assert_eq!(parsed("test --as-roles --through pgbouncer").unwrap(), both);
        assert!(parsed("test --through kafka").is_err());
    }

    #[test]
    fn the_fault_suite_and_the_benchmarks_get_their_options() {
        let arguments = ["--minutes", "3", "--seed", "7"].map(OsString::from).to_vec();
        assert_eq!(parsed("chaos --minutes 3 --seed 7").unwrap(), Task::Chaos { arguments });
        let arguments = ["drain", "--quick"].map(OsString::from).to_vec();
        assert_eq!(parsed("bench drain --quick").unwrap(), Task::Bench { arguments });
    }

    #[test]
    fn seeds_are_numbers() {
        let simulate = |first, count| Task::Simulate { first, count };
        assert_eq!(parsed("simulate").unwrap(), simulate(None, None));
        assert_eq!(parsed("simulate --seed 7").unwrap(), simulate(Some(7), None));
        assert_eq!(parsed("simulate --seeds 1000 --seed 7").unwrap(), simulate(Some(7), Some(1000)));
        assert!(parsed("simulate 7").is_err());
        assert!(parsed("simulate --seed seven").is_err());
        assert!(parsed("simulate --seeds 0").is_err());
    }

    #[test]
    fn a_target_is_fuzzed_for_minutes() {
        let fuzz = |minutes| Task::Fuzz { target: "rows".to_owned(), minutes };
        assert_eq!(parsed("fuzz rows").unwrap(), fuzz(10));
        assert_eq!(parsed("fuzz --minutes 1 rows").unwrap(), fuzz(1));
        assert!(parsed("fuzz").is_err());
        assert!(parsed("fuzz rows headers").is_err());
        assert!(parsed("fuzz rows --minutes 0").is_err());
    }

    #[test]
    fn unknown_tasks_are_errors() {
        assert!(parsed("tset").is_err());
        assert!(parsed("check-deps please").is_err());
    }
}
