//! Whether a transaction that stays open holds up what others commit meanwhile.

use std::time::{Duration, Instant};

use outbox_sea_orm::Outbox;

use super::drain::warm_up;
use super::stage::change;
use crate::bench::Bench;
use crate::child::Child;
use crate::event::{Numbered, Payloads};
use crate::reader::{Expected, Fetch, Reader};
use crate::report::{Bill, Case, Checks, Cost, percentile};
use crate::roles::{Processed, Relay, Role};
use crate::steady::{self, KEYS, Steady, latencies};

/// Events per second.
const RATE: u64 = 5_000;
const HOLDERS_ACCOUNT: u64 = 63;

/// Which transaction stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Nobody,
    /// One that has changed a row, and has nothing to do with events.
    Stranger,
    /// One that has written an event.
    Writer,
}

#[derive(Debug, Default)]
struct Measured {
    rates: Vec<f64>,
    p99: Vec<f64>,
    bills: Vec<Bill>,
    checks: Checks,
}

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Vec<Case>> {
    const HOLDERS: [Holder; 3] = [Holder::Nobody, Holder::Stranger, Holder::Writer];
    warm_up(bench).await?;
    let mut measured: [Measured; 3] = Default::default();
    for repeat in 0..bench.run.repeats.unwrap_or(1) {
        for n in 0..HOLDERS.len() {
            let turn = (n + repeat) % HOLDERS.len();
            slice(bench, HOLDERS[turn], &mut measured[turn]).await?;
        }
    }
    let [nobody, stranger, writer] = measured;
    let case = |name: &str, measured: &Measured| {
        let case = Case::of(name, "events/s", &measured.rates, &nobody.rates)
            .goal(0.9)
            .detail("p99 ms", &measured.p99)
            .detail("p99 ms without", &nobody.p99);
        Case { checks: measured.checks, cost: Cost::of(&measured.bills), ..case }
    };
    let reference = Case::of("pinned by nobody", "events/s", &nobody.rates, &[]).detail("p99 ms", &nobody.p99);
    let reference = Case { checks: nobody.checks, cost: Cost::of(&nobody.bills), ..reference };
    Ok(vec![case("pinned by a writer", &writer), case("pinned by a stranger", &stranger), reference])
}

/// Steady writes, a processor, and one transaction that stays open all the time.
async fn slice(bench: &Bench, holder: Holder, into: &mut Measured) -> anyhow::Result<()> {
    let database = &bench.database;
    let events = RATE * bench.seconds(60, 3);
    let topic = bench.broker.topic().await?;
    database.settle_down().await?;
    let payloads = Payloads::new(250);
    let reader =
        Reader::start(&bench.broker, Expected { topic: topic.clone(), events, keys: KEYS, fetch: Fetch::AtOnce })?;
    let outbox = Outbox::new(database.connect(steady::CONNECTIONS + 1).await?);
    let meter = Bill::open(database, &bench.broker).await?;
    let relay = Relay { database: database.url.clone(), brokers: bench.broker.brokers.clone() };
    let mut child = Child::start(&Role::Relay(relay))?;
    child.ready().await?;

    let held = outbox.begin().await?;
    if holder != Holder::Nobody {
        change(&held, HOLDERS_ACCOUNT).await?;
    }
    if holder == Holder::Writer {
        let key = "holder".to_owned();
        held.stage_event(&Numbered { n: 0, key, topic: &topic, payloads: &payloads })?;
        held.flush().await?;
    }
    let start = Instant::now() + Duration::from_millis(300);
    let steady = Steady { outbox: outbox.clone(), topic: topic.clone(), events, rate: RATE };
    let committed = steady.write(start).await?;
    reader.complete().await;
    // Its event was for nobody.
    held.rollback().await?;
    let done: Processed = child.finish().await?;
    let bill = meter.close(database, &bench.broker, Some(done.usage), events).await?;
    let read = reader.finish().await?;
    bench.broker.remove(&topic).await?;
    outbox.inner().clone().close().await?;

    let rate = events as f64 / read.last.duration_since(start).as_secs_f64();
    let p99 = percentile(&latencies(&committed, &read), 0.99);
    Bench::note(&format!("{holder:?}: {rate:.0} events/s, p99 {p99:.1} ms"));
    into.rates.push(rate);
    into.p99.push(p99);
    into.bills.push(bill);
    into.checks.add(read.checks);
    Ok(())
}
