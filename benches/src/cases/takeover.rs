//! How long after a processor's death another one has its work.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::bench::Bench;
use crate::child::Child;
use crate::report::Case;
use crate::roles::{Processed, Relay, Role};

/// A processor's lease, unless it is told otherwise.
const LEASE: f64 = 15.0;
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Vec<Case>> {
    let mut seconds = Vec::new();
    for _ in 0..bench.run.repeats.unwrap_or(if bench.run.quick { 1 } else { 3 }) {
        let took = once(bench).await?.as_secs_f64();
        Bench::note(&format!("all shards taken over {took:.2} s after the other processor was killed"));
        seconds.push(took);
    }
    Ok(vec![Case::of("takeover", "s", &seconds, &[]).lower_is_better().goal(LEASE)])
}

/// Two processors share the shards; one of them is killed.
async fn once(bench: &Bench) -> anyhow::Result<Duration> {
    let database = &bench.database;
    let relay = Role::Relay(Relay { database: database.url.clone(), brokers: bench.broker.brokers.clone() });
    let (survivor, victim) = (Child::start(&relay)?, Child::start(&relay)?);
    let shards = i64::from(database.outbox().check().await?.shard_count);
    spread(bench, 2, shards / 2).await?;
    let killed = Instant::now();
    victim.kill().await?;
    spread(bench, 1, shards).await?;
    let took = killed.elapsed();
    survivor.finish::<Processed>().await?;
    Ok(took)
}

/// Waits until so many processors have shards, each of them so many or more.
async fn spread(bench: &Bench, processors: i64, shards: i64) -> anyhow::Result<()> {
    let started = Instant::now();
    while bench.database.spread().await? != (processors, shards) {
        ensure!(started.elapsed() < PATIENCE, "the shards do not get to {processors} processors");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
