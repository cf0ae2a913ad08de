//! Results, for people and for programs.

mod cost;
mod spread;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

pub(crate) use cost::{Bill, Cost};
pub(crate) use spread::{Spread, percentile};

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// What the reader of the topic found wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Checks {
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) misordered: u64,
}

impl Checks {
    pub(crate) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.misordered += other.misordered;
    }
}

/// One thing that was measured. `value`, `reference` and what is in `details` are medians over the repeats.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
    pub(crate) reference: Option<f64>,
    /// Value by reference, of each repeat.
    pub(crate) ratio: Option<Spread>,
    pub(crate) better: Better,
    /// For the median of the ratio, or for the value where there is no reference.
    pub(crate) goal: Option<f64>,
    pub(crate) checks: Checks,
    pub(crate) cost: Cost,
    pub(crate) details: BTreeMap<String, f64>,
}

impl Case {
    /// A case of values and, if any, the references measured beside them.
    pub(crate) fn of(name: impl Into<String>, unit: &'static str, values: &[f64], references: &[f64]) -> Self {
        let ratios: Vec<f64> = values.iter().zip(references).map(|(value, reference)| value / reference).collect();
        Self {
            name: name.into(),
            unit,
            value: Spread::of(values).map_or(f64::NAN, |spread| spread.median),
            reference: Spread::of(references).map(|spread| spread.median),
            ratio: Spread::of(&ratios),
            better: Better::Higher,
            goal: None,
            checks: Checks::default(),
            cost: Cost::default(),
            details: BTreeMap::new(),
        }
    }

    pub(crate) fn lower_is_better(mut self) -> Self {
        self.better = Better::Lower;
        self
    }

    pub(crate) fn goal(mut self, goal: f64) -> Self {
        self.goal = Some(goal);
        self
    }

    pub(crate) fn detail(mut self, name: &str, values: &[f64]) -> Self {
        if let Some(spread) = Spread::of(values) {
            self.details.insert(name.to_owned(), spread.median);
        }
        self
    }

    pub(crate) fn is_met(&self) -> Option<bool> {
        let (goal, judged) = (self.goal?, self.ratio.map_or(self.value, |ratio| ratio.median));
        Some(match self.better {
            Better::Higher => judged >= goal,
            Better::Lower => judged <= goal,
        })
    }

    pub(crate) fn print(&self) {
        print!("{:24} {:>12} {}", self.name, short(self.value), self.unit);
        if let (Some(reference), Some(ratio)) = (self.reference, self.ratio) {
            print!(
                "  reference {}  ratio {:.2} ({:.2} to {:.2})",
                short(reference),
                ratio.median,
                ratio.min,
                ratio.max
            );
        }
        if let (Some(goal), Some(met)) = (self.goal, self.is_met()) {
            let sign = if self.better == Better::Higher { ">=" } else { "<=" };
            print!("  goal {sign} {goal} {}", if met { "met" } else { "MISSED" });
        }
        println!();
        let Checks { lost, repeated, misordered } = self.checks;
        if self.checks != Checks::default() {
            println!("    WRONG: {lost} lost, {repeated} repeated, {misordered} out of order");
        }
        let mut more: Vec<String> = self.cost.lines();
        more.extend(self.details.iter().map(|(name, value)| format!("{name} {}", short(*value))));
        if !more.is_empty() {
            println!("    {}", more.join(", "));
        }
    }
}

/// The results of one benchmark; the first case is the one that gives it its name.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'c> {
    #[serde(flatten)]
    pub(crate) headline: &'c Case,
    pub(crate) database: &'static str,
    pub(crate) quick: bool,
    pub(crate) cases: &'c [Case],
}

impl Report<'_> {
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }
}

/// As many digits as mean something.
fn short(value: f64) -> String {
    match value.abs() {
        x if x >= 100.0 => format!("{value:.0}"),
        x if x >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_ratios_is_judged() {
        let case = Case::of("x", "events/s", &[60.0, 50.0, 70.0], &[100.0, 100.0, 100.0]);
        assert_eq!(case.ratio, Some(Spread { min: 0.5, median: 0.6, max: 0.7 }));
        assert_eq!(case.clone().goal(0.6).is_met(), Some(true));
        assert_eq!(case.clone().goal(0.61).is_met(), Some(false));
        assert_eq!(case.lower_is_better().goal(0.61).is_met(), Some(true));
        let alone = Case::of("y", "queries/s", &[0.8], &[]).lower_is_better().goal(1.0);
        assert_eq!((alone.ratio, alone.is_met()), (None, Some(true)));
    }
}
