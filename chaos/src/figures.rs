//! How much happened, and how much is to happen.

use std::ops::AddAssign;

use anyhow::{Context, ensure};
use outbox_tests::Kind;
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, suits};

/// What a run is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) kills: u64,
    pub(crate) pauses: u64,
    pub(crate) databases: u64,
    pub(crate) brokers: u64,
    /// Faults on the way between two processes, other than connections that are reset at COMMIT.
    pub(crate) proxy: u64,
    /// Connections that were reset at COMMIT, of writers and of processors.
    pub(crate) commits: u64,
    /// Committed.
    pub(crate) events: u64,
}

/// Kinds of faults on the way between two processes, which together are one figure.
const ON_THE_WAY: [&str; 8] = [
    "reset",
    "black hole",
    "one way",
    "latency",
    "cut in a message",
    "swallowed commit",
    "lost produce response",
    "silent connections",
];

impl Figures {
    /// As much as some minutes allow.
    pub(crate) const CI: Self =
        Self { kills: 10, pauses: 3, databases: 3, brokers: 2, proxy: 20, commits: 20, events: 200_000 };
    /// Some hours, which are several runs added up.
    pub(crate) const FULL: Self =
        Self { kills: 1_000, pauses: 60, databases: 60, brokers: 30, proxy: 400, commits: 500, events: 5_000_000 };

    const NAMES: [&str; 7] = ["kills", "pauses", "databases", "brokers", "proxy", "commits", "events"];

    /// `ci`, `full`, or numbers by name as `kills=10,events=5000`.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        match text {
            "ci" => return Ok(Self::CI),
            "full" => return Ok(Self::FULL),
            _ => {}
        }
        let mut figures = Self::default();
        for part in text.split(',') {
            let (name, number) = part.split_once('=').with_context(|| {
                format!("{part:?} is no figure: say ci, full, or <name>=<number> with {}", Self::NAMES.join(", "))
            })?;
            let at = Self::NAMES.into_iter().position(|known| known == name.trim());
            let at = at.with_context(|| format!("there is no {name:?}; there are {}", Self::NAMES.join(", ")))?;
            let number = number.trim().parse().with_context(|| format!("{part:?}: not a number"))?;
            *figures.all()[at] = number;
        }
        ensure!(figures != Self::default(), "no figure is more than 0");
        Ok(figures)
    }

    /// Counts a fault that happened.
    pub(crate) fn count(&mut self, fault: Fault) {
        if let Some(figure) = self.figure(fault.kind()) {
            *figure += 1;
        }
    }

    /// What is less than `least`, in words.
    pub(crate) fn missing(mut self, mut least: Self) -> Vec<String> {
        let pairs = Self::NAMES.into_iter().zip(self.all()).zip(least.all());
        let short = pairs.filter(|((_, is), least)| is < least);
        short.map(|((name, is), least)| format!("{is} of {least} {name}")).collect()
    }

    /// Names of figures that cannot be reached with these kinds of faults.
    pub(crate) fn impossible(mut self, kinds: &[&'static str], database: Kind) -> Vec<&'static str> {
        let mut possible = Self::default();
        for kind in kinds.iter().filter(|kind| suits(kind, database)) {
            possible.figure(kind).into_iter().for_each(|figure| *figure = 1);
        }
        // Writers have it happen to them whatever the faults.
        possible.commits = u64::from(database != Kind::Sqlite);
        possible.events = 1;
        let pairs = Self::NAMES.into_iter().zip(self.all()).zip(possible.all());
        pairs.filter(|((_, wanted), possible)| **wanted > 0 && **possible == 0).map(|((name, _), _)| name).collect()
    }

    /// How often a kind comes among the others, so that these figures are reached together: the rarest of them once.
    pub(crate) fn weight(mut self, kind: &str) -> usize {
        self.proxy = self.proxy.div_ceil(ON_THE_WAY.len() as u64);
        let of_faults = [self.kills, self.pauses, self.databases, self.brokers, self.proxy];
        let rarest = of_faults.into_iter().filter(|figure| *figure > 0).min().unwrap_or(1);
        let wanted = self.figure(kind).copied().unwrap_or_default();
        usize::try_from(wanted.div_ceil(rarest)).unwrap_or(usize::MAX).max(1)
    }

    /// The figure that faults of a kind count for. How many COMMITs were cut is counted where they are.
    fn figure(&mut self, kind: &str) -> Option<&mut u64> {
        match kind {
            "kill a processor" => Some(&mut self.kills),
            "pause a processor" => Some(&mut self.pauses),
            "crash the database" => Some(&mut self.databases),
            "crash kafka" => Some(&mut self.brokers),
            kind if ON_THE_WAY.contains(&kind) => Some(&mut self.proxy),
            _ => None,
        }
    }

    fn all(&mut self) -> [&mut u64; 7] {
        let Self { kills, pauses, databases, brokers, proxy, commits, events } = self;
        [kills, pauses, databases, brokers, proxy, commits, events]
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, mut other: Self) {
        for (sum, more) in self.all().into_iter().zip(other.all()) {
            *sum += *more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::KINDS;

    #[test]
    fn figures_have_names() {
        assert_eq!(Figures::parse("ci").unwrap(), Figures::CI);
        let few = Figures { kills: 2, events: 500, ..Figures::default() };
        assert_eq!(Figures::parse("kills=2, events=500").unwrap(), few);
        for wrong in ["", "kills", "kills=x", "rain=1", "kills=0"] {
            assert!(Figures::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let is = Figures { kills: 9, events: 300_000, ..Figures::CI };
        assert_eq!(is.missing(Figures::CI), ["9 of 10 kills"]);
        assert!(Figures::CI.missing(Figures::CI).is_empty());
    }

    #[test]
    fn what_cannot_happen_is_named() {
        assert!(Figures::CI.impossible(&KINDS, Kind::Postgres).is_empty());
        assert_eq!(Figures::CI.impossible(&KINDS, Kind::Sqlite), ["databases", "commits"]);
        let kills = Figures { kills: 1, ..Figures::default() };
        assert_eq!(kills.impossible(&["reset"], Kind::Postgres), ["kills"]);
    }

    #[test]
    fn kinds_come_as_often_as_the_figures_say() {
        let weights = ["kill a processor", "pause a processor", "crash kafka", "reset", "refused event"];
        assert_eq!(weights.map(|kind| Figures::FULL.weight(kind)), [34, 2, 1, 2, 1]);
        assert_eq!(weights.map(|kind| Figures::CI.weight(kind)), [5, 2, 1, 2, 1]);
        assert_eq!(weights.map(|kind| Figures::default().weight(kind)), [1; 5]);
    }

    #[test]
    fn sums_are_sums() {
        let mut sum = Figures::CI;
        sum += Figures::CI;
        assert_eq!((sum.kills, sum.events), (20, 400_000));
    }
}
