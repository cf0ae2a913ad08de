//! What a processor costs that has nothing to do.

use std::time::Duration;

use crate::bench::Bench;
use crate::child::Child;
use crate::machine::{family_cpu, usage};
use crate::report::Case;
use crate::roles::{Processed, Relay, Role};
use crate::servers::{Kind, QueryCounter};

/// Until it polls as rarely as it ever does.
const CALMING: Duration = Duration::from_secs(30);

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Vec<Case>> {
    bench.database.only_on(Kind::Postgres, "it counts the messages of PostgreSQL's protocol")?;
    let (mut queries, mut cpu, mut database, mut memory) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let length = Duration::from_secs(bench.seconds(60, 2));
    let repeats = bench.run.repeats.unwrap_or(1);
    for _ in 0..repeats {
        let counter = QueryCounter::start(&bench.database.url).await?;
        let relay = Relay { database: counter.url.clone(), brokers: bench.broker.brokers.clone() };
        let mut child = Child::start(&Role::Relay(relay))?;
        child.ready().await?;
        tokio::time::sleep(if bench.run.quick { Duration::from_secs(1) } else { CALMING }).await;
        let used = || child.pid().and_then(usage).map(|usage| usage.cpu).unwrap_or_default();
        let served = || bench.database.pid.and_then(family_cpu).unwrap_or_default();
        let before = (counter.queries(), used(), served());
        tokio::time::sleep(length).await;
        let after = (counter.queries(), used(), served());
        queries.push((after.0 - before.0) as f64 / length.as_secs_f64());
        cpu.push(100.0 * (after.1 - before.1).as_secs_f64() / length.as_secs_f64());
        database.push(100.0 * after.2.saturating_sub(before.2).as_secs_f64() / length.as_secs_f64());
        let done: Processed = child.finish().await?;
        memory.push(done.usage.peak_kib as f64 / 1024.0);
    }
    Ok(vec![
        Case::of("idle", "queries/s", &queries, &[]).lower_is_better().goal(1.0).detail("peak memory MiB", &memory),
        Case::of("idle CPU", "%", &cpu, &[]).lower_is_better().goal(0.2).detail("database CPU %", &database),
    ])
}
