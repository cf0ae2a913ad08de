//! How fast committed events reach the topic, from the start of the process that delivers them.

use std::time::Instant;

use anyhow::ensure;

use crate::backlog::Plan;
use crate::bench::Bench;
use crate::child::Child;
use crate::event::{Keys, Payloads};
use crate::machine::Usage;
use crate::reader::{Expected, Fetch, Read, Reader};
use crate::report::{Bill, Case, Checks, Cost};
use crate::roles::{Bare, Processed, Relay, Role};

/// A backlog to drain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backlog {
    pub(super) events: u64,
    pub(super) keys: Keys,
    pub(super) bytes: usize,
}

/// What came of one.
#[derive(Debug)]
pub(super) struct Drained {
    /// Events per second from the start of the process until the last was consumed.
    pub(super) rate: f64,
    /// Seconds from the start of the process until the first was consumed.
    pub(super) first: f64,
    /// Events per second from the first to the last.
    pub(super) flow: f64,
    pub(super) checks: Checks,
    pub(super) bill: Bill,
}

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Vec<Case>> {
    let quarter_mebibytes = Backlog { events: bench.events(200_000, 10_000), keys: Keys::dense(10_000), bytes: 250 };
    warm_up(bench).await?;
    let mut cases = vec![compare(bench, "drain", quarter_mebibytes).await?.goal(0.6)];
    for (name, bytes, share) in [("drain 1 KB", 1_000, 2), ("drain 10 KB", 10_000, 10)] {
        let backlog = Backlog { events: quarter_mebibytes.events / share, bytes, ..quarter_mebibytes };
        cases.push(compare(bench, name, backlog).await?.goal(0.6));
    }
    let start = cases[0].details.get("first event s").copied().unwrap_or(f64::NAN);
    cases.push(Case::of("first event", "s", &[start], &[]).lower_is_better().goal(0.3));
    Ok(cases)
}

pub(super) async fn hot_key(bench: &Bench) -> anyhow::Result<Vec<Case>> {
    let many = Backlog { events: bench.events(200_000, 10_000), keys: Keys::dense(10_000), bytes: 250 };
    warm_up(bench).await?;
    let (mut values, mut references, mut bills, mut checks) = (Vec::new(), Vec::new(), Vec::new(), Checks::default());
    for _ in 0..bench.repeats() {
        let reference = many.drain(bench).await?;
        let one = Backlog { keys: Keys::dense(1), ..many }.drain(bench).await?;
        Bench::note(&format!("one key {:.0}, many {:.0} events/s", one.rate, reference.rate));
        checks.add(one.checks);
        checks.add(reference.checks);
        values.push(one.rate);
        references.push(reference.rate);
        bills.push(one.bill);
    }
    let case = Case::of("hot-key", "events/s", &values, &references).goal(0.25);
    Ok(vec![Case { checks, cost: Cost::of(&bills), ..case }])
}

/// A broker that has just started, and a database that has just been made, are slower than they will be.
pub(super) async fn warm_up(bench: &Bench) -> anyhow::Result<()> {
    let events = if bench.run.quick { 1_000 } else { 100_000 };
    let backlog = Backlog { events, keys: Keys::dense(1_000), bytes: 250 };
    backlog.bare(bench).await?;
    backlog.drain(bench).await.map(drop)
}

/// The outbox and the bare producer, in turn.
async fn compare(bench: &Bench, name: &str, backlog: Backlog) -> anyhow::Result<Case> {
    let (mut values, mut references, mut first, mut flows) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut bare_first, mut bills, mut bare_bills, mut checks) =
        (Vec::new(), Vec::new(), Vec::new(), Checks::default());
    for repeat in 0..bench.repeats() {
        // Whoever comes second finds a broker that is busy with what came first.
        let (bare, drained) = if repeat % 2 == 0 {
            let bare = backlog.bare(bench).await?;
            (bare, backlog.drain(bench).await?)
        } else {
            let drained = backlog.drain(bench).await?;
            (backlog.bare(bench).await?, drained)
        };
        Bench::note(&format!("{name}: {:.0}, bare {:.0} events/s", drained.rate, bare.rate));
        checks.add(drained.checks);
        checks.add(bare.checks);
        values.push(drained.rate);
        references.push(bare.rate);
        first.push(drained.first);
        flows.push(drained.flow);
        bare_first.push(bare.first);
        bills.push(drained.bill);
        bare_bills.push(bare.bill);
    }
    let bare = Cost::of(&bare_bills);
    let case = Case::of(name, "events/s", &values, &references)
        .detail("first event s", &first)
        .detail("bare first event s", &bare_first)
        .detail("from first to last events/s", &flows)
        .detail("bare producer us CPU/event", bare.processor_cpu_us.as_slice())
        .detail("bare broker us CPU/event", bare.broker_cpu_us.as_slice());
    Ok(Case { checks, cost: Cost::of(&bills), ..case })
}

impl Backlog {
    /// Stages it, and measures how a processor drains it.
    pub(super) async fn drain(self, bench: &Bench) -> anyhow::Result<Drained> {
        let topic = bench.broker.topic().await?;
        let payloads = Payloads::new(self.bytes);
        let plan = Plan { topic: &topic, keys: self.keys, payloads: &payloads };
        plan.stage(&bench.database.outbox(), 0..self.events).await?;
        bench.database.settle_down().await?;
        let relay = Relay { database: bench.database.url.clone(), brokers: bench.broker.brokers.clone() };
        let meter = Bill::open(&bench.database, &bench.broker).await?;
        let (started, read, done): (_, _, Processed) = self.run(bench, &topic, &Role::Relay(relay)).await?;
        let bill = meter.close(&bench.database, &bench.broker, Some(done.usage), self.events).await?;
        ensure!(done.abandoned == 0, "the processor left {} events open when it stopped", done.abandoned);
        let left = bench.database.pending().await?;
        ensure!(left == 0, "{left} events are still pending that were delivered");
        Ok(self.drained(started, &read, bill))
    }

    /// Measures how a bare producer sends the same records.
    async fn bare(self, bench: &Bench) -> anyhow::Result<Drained> {
        let topic = bench.broker.topic().await?;
        bench.database.settle_down().await?;
        let Self { events, keys, bytes } = self;
        let bare = Bare { brokers: bench.broker.brokers.clone(), topic: topic.clone(), events, keys, bytes };
        let meter = Bill::open(&bench.database, &bench.broker).await?;
        let (started, read, used): (_, _, Usage) = self.run(bench, &topic, &Role::Bare(bare)).await?;
        let bill = meter.close(&bench.database, &bench.broker, Some(used), self.events).await?;
        Ok(self.drained(started, &read, bill))
    }

    async fn run<T: serde::de::DeserializeOwned>(
        self,
        bench: &Bench,
        topic: &str,
        role: &Role,
    ) -> anyhow::Result<(Instant, Read, T)> {
        let Self { events, keys, .. } = self;
        let expected = Expected { topic: topic.to_owned(), events, keys, fetch: Fetch::Many };
        let reader = Reader::start(&bench.broker, expected)?;
        let child = Child::start(role)?;
        let started = child.started;
        reader.complete().await;
        let done = child.finish().await?;
        let read = reader.finish().await?;
        bench.broker.remove(topic).await?;
        Ok((started, read, done))
    }

    fn drained(self, started: Instant, read: &Read, bill: Bill) -> Drained {
        let seconds = |from: Instant, to: Instant| to.duration_since(from).as_secs_f64();
        Drained {
            rate: self.events as f64 / seconds(started, read.last),
            first: seconds(started, read.first),
            flow: self.events as f64 / seconds(read.first, read.last),
            checks: read.checks,
            bill,
        }
    }
}
