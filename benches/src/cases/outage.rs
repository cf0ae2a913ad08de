//! A broker that is away for a while, and comes back.

use std::time::{Duration, Instant};

use outbox_sea_orm::Outbox;
use outbox_testkit::{Direction, Protocol, Proxy};

use crate::bench::Bench;
use crate::child::Child;
use crate::reader::{Expected, Fetch, Reader};
use crate::report::{Bill, Case, Checks, Cost};
use crate::roles::{Processed, Relay, Role};
use crate::steady::{self, KEYS, Steady};

/// Events per second.
const RATE: u64 = 1_000;
/// Seconds before the outage, and at least so many after it.
const AROUND: u64 = 5;
/// An event that takes as long as this still suffers from the outage.
const LATE: Duration = Duration::from_millis(500);
/// Connections are refused this often, as by a server that is not there.
const REFUSING: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
struct Measured {
    recovery: Vec<f64>,
    warnings: Vec<f64>,
    errors: Vec<f64>,
    bills: Vec<Bill>,
    checks: Checks,
}

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Vec<Case>> {
    let mut measured = Measured::default();
    for _ in 0..bench.run.repeats.unwrap_or(if bench.run.quick { 1 } else { 3 }) {
        once(bench, &mut measured).await?;
    }
    let Measured { recovery, warnings, errors, bills, checks } = measured;
    let cost = Cost::of(&bills);
    let memory: Vec<f64> = cost.processor_peak_mib.into_iter().collect();
    let headline = Case::of("outage", "s", &recovery, &[]).lower_is_better().goal(10.0);
    Ok(vec![
        Case { checks, cost, ..headline },
        Case::of("outage memory", "MiB", &memory, &[]).lower_is_better().goal(64.0),
        Case::of("outage warnings", "lines of log", &warnings, &[])
            .lower_is_better()
            .goal(100.0)
            .detail("errors", &errors),
    ])
}

/// Steady writes; the broker goes away between them and comes back, and then whatever it missed must come.
async fn once(bench: &Bench, into: &mut Measured) -> anyhow::Result<()> {
    let database = &bench.database;
    let away = bench.seconds(60, 3);
    let around = if bench.run.quick { 1 } else { AROUND };
    // Writing goes on for as long as the backlog may take, so that it competes with what is new.
    let after = if bench.run.quick { 2 } else { 2 * AROUND };
    let events = RATE * (around + away + after);
    let topic = bench.broker.topic().await?;
    database.settle_down().await?;
    let reader =
        Reader::start(&bench.broker, Expected { topic: topic.clone(), events, keys: KEYS, fetch: Fetch::AtOnce })?;
    let proxy = Proxy::start(bench.broker.address()?, Protocol::Kafka).await?;
    let meter = Bill::open(database, &bench.broker).await?;
    let relay = Relay { database: database.url.clone(), brokers: proxy.address().to_string() };
    let mut child = Child::start(&Role::Relay(relay))?;
    child.ready().await?;

    let start = Instant::now() + Duration::from_millis(300);
    let outbox = Outbox::new(database.connect(steady::CONNECTIONS).await?);
    let steady = Steady { outbox: outbox.clone(), topic: topic.clone(), events, rate: RATE };
    let writing = tokio::spawn(async move { steady.write(start).await });
    tokio::time::sleep_until((start + Duration::from_secs(around)).into()).await;
    let back = refuse(&proxy, Duration::from_secs(away)).await;
    let committed = writing.await??;
    reader.complete().await;
    let done: Processed = child.finish().await?;
    let bill = meter.close(database, &bench.broker, Some(done.usage), events).await?;
    let read = reader.finish().await?;
    bench.broker.remove(&topic).await?;
    outbox.inner().clone().close().await?;

    // Over when the last event that was late is there.
    let late = |(n, at): &(u64, Instant)| {
        let arrival = read.arrivals[*n as usize]?;
        (arrival.saturating_duration_since(*at) > LATE).then_some(arrival)
    };
    let over = committed.iter().filter_map(late).max().unwrap_or(back);
    let recovery = over.saturating_duration_since(back).as_secs_f64();
    let missed = committed.iter().filter(|(_, at)| *at < back).filter_map(late).count();
    Bench::note(&format!(
        "away for {away} s: {missed} events late, all there {recovery:.2} s after it came back; {} warnings, {} errors",
        done.warnings, done.errors
    ));
    anyhow::ensure!(missed as u64 > RATE * away / 2, "the broker was not away: {missed} events were late");
    into.recovery.push(recovery);
    into.warnings.push(done.warnings as f64);
    into.errors.push(done.errors as f64);
    into.bills.push(bill);
    into.checks.add(read.checks);
    Ok(())
}

/// Nothing gets through, and connections end. Returns when it is over.
async fn refuse(proxy: &Proxy, away: Duration) -> Instant {
    let until = Instant::now() + away;
    let held = [proxy.hold(Direction::ToServer), proxy.hold(Direction::ToClient)];
    while Instant::now() < until {
        proxy.cut();
        tokio::time::sleep(REFUSING).await;
    }
    proxy.cut();
    drop(held);
    Instant::now()
}
