//! Several runs in one table, as docs/reliability.md has it.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, ensure};

use crate::fault::KINDS;
use crate::figures::Figures;
use crate::report::Report;

/// Reports, with those of one database together.
#[derive(Debug)]
pub(crate) struct Sum(Vec<(String, Vec<Report>)>);

impl Sum {
    /// Reads reports that were written with `--json`.
    pub(crate) fn of(files: &[PathBuf]) -> anyhow::Result<Self> {
        let mut sum = Self(Vec::new());
        for file in files {
            let text = fs::read(file).with_context(|| format!("--sum: cannot read {}", file.display()))?;
            let report = serde_json::from_slice(&text);
            sum.add(report.with_context(|| format!("--sum: {} is no report of --json", file.display()))?);
        }
        ensure!(!sum.0.is_empty(), "--sum: name at least one file");
        Ok(sum)
    }

    fn add(&mut self, report: Report) {
        match self.0.iter_mut().find(|(database, _)| *database == report.database) {
            Some((_, reports)) => reports.push(report),
            None => self.0.push((report.database.clone(), vec![report])),
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        self.all().for_each(|report| figures += report.figures);
        figures
    }

    /// Whether every promise held in every run.
    pub(crate) fn holds(&self) -> bool {
        self.all().all(|report| report.every_promise_held)
    }

    fn all(&self) -> impl Iterator<Item = &Report> {
        self.0.iter().flat_map(|(_, reports)| reports)
    }

    /// A row with a cell for each database, and one for all of them.
    fn row(&self, f: &mut fmt::Formatter<'_>, name: &str, cell: impl Fn(&[&Report]) -> String) -> fmt::Result {
        write!(f, "| {name} |")?;
        for (_, reports) in &self.0 {
            write!(f, " {} |", cell(&reports.iter().collect::<Vec<_>>()))?;
        }
        writeln!(f, " {} |", cell(&self.all().collect::<Vec<_>>()))
    }

    fn count(&self, f: &mut fmt::Formatter<'_>, name: &str, count: impl Fn(&Report) -> u64) -> fmt::Result {
        self.row(f, name, |reports| grouped(reports.iter().map(|report| count(report)).sum()))
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.row(f, "", |reports| match reports {
            [first, rest @ ..] if rest.iter().all(|report| report.database == first.database) => first.database.clone(),
            _ => "all".to_owned(),
        })?;
        writeln!(f, "|---|{}", "---|".repeat(self.0.len() + 1))?;
        self.row(f, "runs: seeds", |reports| {
            let seeds: Vec<String> = reports.iter().map(|report| report.seed.to_string()).collect();
            format!("{}: {}", reports.len(), seeds.join(", "))
        })?;
        self.row(f, "minutes", |reports| format!("{:.0}", reports.iter().map(|report| report.minutes).sum::<f32>()))?;
        self.count(f, "events committed", |report| report.events as u64)?;
        self.count(f, "records in Kafka", |report| report.records as u64)?;
        self.count(f, "dead letters", |report| report.dead_letters as u64)?;
        self.count(f, "processors", |report| report.processors_started.into())?;
        for kind in KINDS {
            self.count(f, kind, |report| {
                report.faults.iter().filter(|line| line.fault == kind).map(|line| line.times as u64).sum()
            })?;
        }
        self.count(f, "connections cut at COMMIT", |report| report.figures.commits)?;
        self.count(f, "events whose commit had no answer, committed", |report| report.unknown_commits.0 as u64)?;
        self.count(f, "the same, rolled back", |report| report.unknown_commits.1 as u64)?;
        self.count(f, "**lost**", |report| report.lost as u64)?;
        self.count(f, "**stuck**", |report| report.stuck as u64)?;
        self.count(f, "**dead without a reason**", |report| report.dead_without_reason as u64)?;
        self.count(f, "**phantoms**", |report| (report.phantoms + report.wrong_claims) as u64)?;
        self.count(f, "**corrupted, or on a second partition**", |report| {
            (report.corrupted + report.on_a_second_partition) as u64
        })?;
        self.count(f, "**out of order**", |report| report.out_of_order as u64)?;
        self.count(f, "repeats", |report| report.repeats as u64)?;
        self.count(f, "repeats that their causes allow", |report| report.repeats_allowed)?;
        self.count(f, "**repeats without a cause**", |report| report.repeats_unexplained.len() as u64)?;
        self.count(f, "producers that failed over a crash of Kafka", |report| report.over_crashed_brokers.0 as u64)?;
        self.count(f, "repeats that nothing else explains", |report| report.over_crashed_brokers.1 as u64)?;
        self.row(f, "pending after the last fault, at most", |reports| {
            let times = reports.iter().map(|report| report.drained_after_seconds);
            let longest = times.reduce(|one, other| Some(one?.max(other?)));
            longest.flatten().map_or("for ever".to_owned(), |seconds| format!("{seconds:.1} s"))
        })?;
        self.count(f, "**other complaints**", |report| report.complaints.len() as u64)?;
        write!(f, "\n{}", if self.holds() { "every promise held" } else { "A PROMISE WAS BROKEN" })
    }
}

/// With a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn runs_of_one_database_are_added_up() {
        let mut sum = Sum(Vec::new());
        for (database, events) in [("postgres", 1_000), ("sqlite", 20), ("postgres", 500)] {
            sum.add(Report { database: database.to_owned(), events, ..report() });
        }
        let table = sum.to_string();
        assert!(table.contains("| events committed | 1,500 | 20 | 1,520 |"), "{table}");
        assert!(table.contains("| kill a processor | 4 | 2 | 6 |"), "{table}");
        assert!(table.contains("at most | 1.5 s | 1.5 s | 1.5 s |"), "{table}");
        assert_eq!(sum.figures().kills, 6);
        assert!(sum.holds());
    }

    #[test]
    fn one_run_that_fails_fails_all() {
        let mut sum = Sum(Vec::new());
        sum.add(report());
        sum.add(Report { every_promise_held: false, drained_after_seconds: None, ..report() });
        assert!(!sum.holds());
        assert!(sum.to_string().contains("at most | for ever | for ever |"));
    }

    #[test]
    fn a_report_is_read_back() {
        let folder = std::env::temp_dir().join(format!("outbox-chaos-sum-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&folder).unwrap();
        let file = folder.join("report.json");
        fs::write(&file, serde_json::to_vec(&report()).unwrap()).unwrap();
        let sum = Sum::of(std::slice::from_ref(&file));
        fs::write(&file, "{}").unwrap();
        let wrong = Sum::of(&[file]);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(sum.unwrap().figures(), report().figures);
        assert!(wrong.is_err() && Sum::of(&[folder.join("none")]).is_err() && Sum::of(&[]).is_err());
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
