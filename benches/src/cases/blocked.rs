//! How fast healthy keys go on behind events that cannot.

use anyhow::ensure;
use outbox_sea_orm::Outbox;

use super::drain::warm_up;
use crate::backlog::Plan;
use crate::bench::Bench;
use crate::child::Child;
use crate::event::{DISTINCT, Keys, Numbered, Payloads};
use crate::reader::{Expected, Fetch, Reader};
use crate::report::{Bill, Case, Checks, Cost};
use crate::roles::{Processed, Relay, Role};

const KEYS: Keys = Keys::dense(10_000);
/// Events before those that are measured: so many that every key has one.
const PROBES: u64 = KEYS.count() * 10 / DISTINCT + 10;
/// Keys of the events that cannot go.
const STUCK_KEYS: u64 = 1_000;

/// Why some events cannot go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// There are none of them.
    Nothing,
    /// Their topic does not exist.
    Topic,
    /// The first of each key waits for its next attempt.
    Retry,
    /// Their keys are parked.
    Parked,
}

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Vec<Case>> {
    const WHYS: [Why; 4] = [Why::Nothing, Why::Topic, Why::Retry, Why::Parked];
    warm_up(bench).await?;
    let mut rates: [Vec<f64>; 4] = Default::default();
    let mut bills: [Vec<Bill>; 4] = Default::default();
    let mut checks = [Checks::default(); 4];
    for repeat in 0..bench.repeats() {
        let mut note = String::from("behind");
        for n in 0..WHYS.len() {
            let why = (n + repeat) % WHYS.len();
            let (rate, read, bill) = behind(bench, WHYS[why]).await?;
            note.push_str(&format!(" {:?} {rate:.0}", WHYS[why]));
            rates[why].push(rate);
            bills[why].push(bill);
            checks[why].add(read);
        }
        Bench::note(&format!("{note} events/s"));
    }
    let names = [(1, "blocked"), (2, "blocked by retries"), (3, "blocked by parked keys")];
    let case = |(why, name): (usize, &str)| {
        let case = Case::of(name, "events/s", &rates[why], &rates[0]).goal(0.95);
        Case { checks: checks[why], cost: Cost::of(&bills[why]), ..case }
    };
    Ok(names.map(case).into())
}

/// The rate at which healthy events flow that appear behind `why`.
async fn behind(bench: &Bench, why: Why) -> anyhow::Result<(f64, Checks, Bill)> {
    let database = &bench.database;
    let (healthy, stuck) = (bench.events(200_000, 5_000), if bench.run.quick { 2_000 } else { 100_000 });
    let topic = bench.broker.topic().await?;
    let (outbox, payloads) = (database.outbox(), Payloads::new(250));
    let plan = Plan { topic: &topic, keys: KEYS, payloads: &payloads };
    // An event of every key shows, when it arrives, that everything before it has been looked at.
    let events = PROBES + healthy;
    plan.stage(&outbox, PROBES..events).await?;
    database.put_aside().await?;
    let absent = format!("{topic}-absent");
    let blocked = if why == Why::Topic { absent.as_str() } else { topic.as_str() };
    if why != Why::Nothing {
        stage_stuck(&outbox, blocked, stuck, &payloads).await?;
    }
    database.block(why == Why::Retry, why == Why::Parked).await?;
    plan.stage(&outbox, 0..PROBES).await?;
    database.settle_down().await?;

    let reader =
        Reader::start(&bench.broker, Expected { topic: topic.clone(), events, keys: KEYS, fetch: Fetch::Many })?;
    let relay = Relay { database: database.url.clone(), brokers: bench.broker.brokers.clone() };
    let child = Child::start(&Role::Relay(relay))?;
    reader.until(PROBES).await;
    let meter = Bill::open(database, &bench.broker).await?;
    database.put_back().await?;
    reader.complete().await;
    let done: Processed = child.finish().await?;
    let bill = meter.close(database, &bench.broker, Some(done.usage), healthy).await?;
    let read = reader.finish().await?;
    bench.broker.remove(&topic).await?;

    let left = database.pending().await?.unsigned_abs();
    let expected = if matches!(why, Why::Topic | Why::Retry) { stuck } else { 0 };
    ensure!(left == expected, "{left} events are pending, and {expected} of them cannot go");
    database.forget_all().await?;
    let arrivals = || read.arrivals[PROBES as usize..].iter().flatten();
    let (Some(first), Some(last)) = (arrivals().min(), arrivals().max()) else { anyhow::bail!("nothing arrived") };
    Ok((healthy as f64 / last.duration_since(*first).as_secs_f64(), read.checks, bill))
}

async fn stage_stuck(outbox: &Outbox, topic: &str, events: u64, payloads: &Payloads) -> anyhow::Result<()> {
    for from in (0..events).step_by(1_000) {
        let txn = outbox.begin().await?;
        for n in from..events.min(from + 1_000) {
            let key = format!("stuck-{:04}", n % STUCK_KEYS);
            txn.stage_event(&Numbered { n, key, topic, payloads })?;
        }
        txn.commit().await?;
    }
    Ok(())
}
