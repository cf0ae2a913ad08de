//! Running benchmarks one after the other, and judging them.

use std::process::ExitCode;

use crate::cases::Name;
use crate::cli::Run;
use crate::report::{Case, Checks, Report};
use crate::servers::{BenchDatabase, Broker};

/// What every benchmark works with.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) database: BenchDatabase,
    pub(crate) broker: Broker,
    pub(crate) run: Run,
}

impl Bench {
    /// How many events: as asked for, or as the benchmark says, normally and when it must be quick.
    pub(crate) fn events(&self, normally: u64, quick: u64) -> u64 {
        self.run.events.map_or(if self.run.quick { quick } else { normally }, |events| events as u64)
    }

    pub(crate) fn repeats(&self) -> usize {
        self.run.repeats.unwrap_or(if self.run.quick { 1 } else { 5 })
    }

    pub(crate) fn seconds(&self, normally: u64, quick: u64) -> u64 {
        self.run.seconds.unwrap_or(if self.run.quick { quick } else { normally })
    }

    /// Progress, apart from the results.
    pub(crate) fn note(text: &str) {
        eprintln!("  {text}");
    }
}

pub(crate) async fn run(run: Run) -> anyhow::Result<ExitCode> {
    let mut failures = Vec::new();
    for name in run.names.clone() {
        failures.extend(one(name, &run).await?);
    }
    for failure in &failures {
        eprintln!("failed: {failure}");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One benchmark, on a database of its own. Returns what is wrong.
async fn one(name: Name, run: &Run) -> anyhow::Result<Vec<String>> {
    println!("{} on {}{}", name.as_str(), run.database.name(), if run.quick { ", quick" } else { "" });
    let bench =
        Bench { database: BenchDatabase::create(run.database).await?, broker: Broker::find()?, run: run.clone() };
    let result = name.run(&bench).await;
    let removed = bench.database.remove().await;
    let cases = result?;
    removed?;
    for case in &cases {
        case.print();
    }
    if let (Some(file), Some((headline, cases))) = (&run.json, cases.split_first()) {
        Report { headline, database: run.database.name(), quick: run.quick, cases }.write(file)?;
    }
    Ok(cases.iter().filter_map(|case| complaint(case, run.quick)).collect())
}

fn complaint(case: &Case, quick: bool) -> Option<String> {
    if case.checks != Checks::default() {
        return Some(format!("{}: {:?}", case.name, case.checks));
    }
    let missed = case.is_met() == Some(false) && !quick;
    missed.then(|| format!("{}: the goal of {} is missed", case.name, case.goal.unwrap_or_default()))
}
