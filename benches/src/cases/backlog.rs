//! Whether a large backlog is drained as fast as a small one, in the same memory.

use super::drain::{Backlog, warm_up};
use crate::bench::Bench;
use crate::event::Keys;
use crate::report::{Case, Checks, Cost};

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Vec<Case>> {
    let large = Backlog { events: bench.events(1_000_000, 20_000), keys: Keys::dense(10_000), bytes: 250 };
    let small = Backlog { events: large.events.min(if bench.run.quick { 5_000 } else { 100_000 }), ..large };
    warm_up(bench).await?;
    let (mut values, mut references, mut bills, mut checks) = (Vec::new(), Vec::new(), Vec::new(), Checks::default());
    for _ in 0..bench.run.repeats.unwrap_or(if bench.run.quick { 1 } else { 3 }) {
        let reference = small.drain(bench).await?;
        let value = large.drain(bench).await?;
        Bench::note(&format!(
            "{} events {:.0}, {} events {:.0}/s",
            large.events, value.flow, small.events, reference.flow
        ));
        for drained in [&value, &reference] {
            checks.add(drained.checks);
        }
        values.push(value.flow);
        references.push(reference.flow);
        bills.push(value.bill);
    }
    let cost = Cost::of(&bills);
    let memory: Vec<f64> = cost.processor_peak_mib.into_iter().collect();
    let case = Case::of("backlog", "events/s", &values, &references).goal(0.9).detail("events", &[large.events as f64]);
    Ok(vec![
        Case { checks, cost, ..case },
        Case::of("backlog memory", "MiB", &memory, &[]).lower_is_better().goal(64.0),
    ])
}
