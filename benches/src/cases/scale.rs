//! Whether more processors on one backlog do harm.

use std::time::{Duration, Instant};

use super::drain::warm_up;
use crate::backlog::Plan;
use crate::bench::Bench;
use crate::child::Child;
use crate::event::{Keys, Payloads};
use crate::reader::{Expected, Fetch, Reader};
use crate::report::{Case, Checks};
use crate::roles::{Processed, Relay, Role};

const KEYS: Keys = Keys::dense(10_000);
const PROCESSORS: [usize; 4] = [1, 2, 4, 8];
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Vec<Case>> {
    warm_up(bench).await?;
    let mut rates: [Vec<f64>; 4] = Default::default();
    let mut best = Vec::new();
    let mut checks = [Checks::default(); 4];
    for repeat in 0..bench.run.repeats.unwrap_or(if bench.run.quick { 1 } else { 3 }) {
        let mut note = String::from("processors:");
        for n in 0..PROCESSORS.len() {
            let turn = (n + repeat) % PROCESSORS.len();
            let (rate, read) = drain(bench, PROCESSORS[turn]).await?;
            note.push_str(&format!(" {} {rate:.0}", PROCESSORS[turn]));
            rates[turn].push(rate);
            checks[turn].add(read);
        }
        best.push(rates.iter().map(|rates| rates[repeat]).fold(0.0, f64::max));
        Bench::note(&format!("{note} events/s"));
    }
    // The headline is the largest number, which is where harm would show.
    let cases = PROCESSORS.iter().zip(&rates).zip(checks).rev().map(|((processors, rates), checks)| Case {
        checks,
        ..Case::of(format!("scale {processors}"), "events/s", rates, &best).goal(0.9)
    });
    Ok(cases.collect())
}

/// The rate of several processors, from the first event to the last, once they have shared the work.
async fn drain(bench: &Bench, processors: usize) -> anyhow::Result<(f64, Checks)> {
    let database = &bench.database;
    let events = bench.events(200_000, 10_000);
    let topic = bench.broker.topic().await?;
    let payloads = Payloads::new(250);
    Plan { topic: &topic, keys: KEYS, payloads: &payloads }.stage(&database.outbox(), 0..events).await?;
    database.put_aside().await?;
    database.settle_down().await?;
    let reader =
        Reader::start(&bench.broker, Expected { topic: topic.clone(), events, keys: KEYS, fetch: Fetch::Many })?;
    let relay = Role::Relay(Relay { database: database.url.clone(), brokers: bench.broker.brokers.clone() });
    let children = (0..processors).map(|_| Child::start(&relay)).collect::<anyhow::Result<Vec<_>>>()?;
    let started = Instant::now();
    let shards = i64::from(database.outbox().check().await?.shard_count);
    loop {
        let (owners, fewest) = database.spread().await?;
        if owners == processors as i64 && fewest >= shards / processors as i64 {
            break;
        }
        anyhow::ensure!(
            started.elapsed() < PATIENCE,
            "{owners} of {processors} processors have shards, {fewest} or more"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    database.put_back().await?;
    reader.complete().await;
    for child in children {
        child.finish::<Processed>().await?;
    }
    let read = reader.finish().await?;
    bench.broker.remove(&topic).await?;
    Ok((events as f64 / read.last.duration_since(read.first).as_secs_f64(), read.checks))
}
