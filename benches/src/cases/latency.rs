//! How long after its COMMIT an event is consumed.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use outbox_kafka::KafkaPublisher;
use outbox_sea_orm::Outbox;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};
use sea_orm::TransactionTrait;

use super::stage::change;
use crate::bench::Bench;
use crate::child::Child;
use crate::event::{Keys, Numbered, Payloads};
use crate::reader::{Expected, Fetch, Reader};
use crate::report::{Case, Checks, percentile};
use crate::roles::{PRODUCER, Processed, Relay, Role, headers};

const WRITERS: u64 = 16;
/// Every writer has keys of its own.
const KEYS: Keys = Keys::in_turn(64 * WRITERS);
const BYTES: usize = 250;
/// Not counted.
const WARM_UP: u64 = 2;

/// Who brings the events to the consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A processor in the writers' process, woken by their commits.
    Embedded,
    /// A processor in another process.
    Relay,
    /// Nobody stages anything; the writers produce the record themselves, after the commit.
    Bare,
}

/// Milliseconds.
#[derive(Debug, Default)]
struct Measured {
    p50: Vec<f64>,
    p99: Vec<f64>,
    max: Vec<f64>,
    checks: Checks,
}

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Vec<Case>> {
    let rates = match bench.run.rate {
        Some(rate) => vec![rate],
        None if bench.run.quick => vec![200],
        None => vec![1_000, 200, 3_000],
    };
    let repeats = bench.run.repeats.unwrap_or(if bench.run.quick { 1 } else { 3 });
    let mut cases = Vec::new();
    for rate in rates {
        let mut measured: [Measured; 3] = Default::default();
        for repeat in 0..repeats {
            for n in 0..3 {
                let way = (n + repeat) % 3;
                slice(bench, [Way::Bare, Way::Embedded, Way::Relay][way], rate, &mut measured[way]).await?;
            }
        }
        let [bare, embedded, relay] = measured;
        let case = |name: String, measured: &Measured, goals: (Option<f64>, f64)| {
            let p50 = Case::of(format!("{name} p50"), "ms", &measured.p50, &bare.p50).lower_is_better();
            let p99 = Case::of(format!("{name} p99"), "ms", &measured.p99, &bare.p99).lower_is_better().goal(goals.1);
            let p99 = p99.detail("max ms", &measured.max).detail("bare max ms", &bare.max);
            [Case { goal: goals.0, checks: measured.checks, ..p50 }, p99]
        };
        cases.extend(case(format!("latency {rate}/s"), &embedded, (Some(2.0), 3.0)));
        cases.extend(case(format!("latency {rate}/s relay"), &relay, (None, 5.0)));
    }
    Ok(cases)
}

/// Writers at a steady rate for a while.
async fn slice(bench: &Bench, way: Way, rate: u64, into: &mut Measured) -> anyhow::Result<()> {
    let seconds = bench.seconds(20, 2) + WARM_UP;
    let events = rate * seconds;
    let topic = bench.broker.topic().await?;
    bench.database.settle_down().await?;
    let reader =
        Reader::start(&bench.broker, Expected { topic: topic.clone(), events, keys: KEYS, fetch: Fetch::AtOnce })?;
    let outbox = Outbox::new(bench.database.connect(u32::try_from(WRITERS)? + 8).await?);
    let publisher = || KafkaPublisher::connect(&bench.broker.brokers);
    let embedded = if way == Way::Embedded { Some(outbox.processor(publisher()?).from_env()?.spawn()?) } else { None };
    let relay = if way == Way::Relay {
        let (database, brokers) = (bench.database.url.clone(), bench.broker.brokers.clone());
        let mut child = Child::start(&Role::Relay(Relay { database, brokers }))?;
        child.ready().await?;
        Some(child)
    } else {
        None
    };
    let producer = if way == Way::Bare { Some(producer(&bench.broker.brokers)?) } else { None };

    let start = Instant::now() + Duration::from_millis(300);
    let payloads = Arc::new(Payloads::new(BYTES));
    let writers = (0..WRITERS).map(|number| {
        let (outbox, producer) = (outbox.clone(), producer.clone());
        let (topic, payloads) = (topic.clone(), Arc::clone(&payloads));
        let writer = Writer { outbox, producer, topic, payloads };
        tokio::spawn(async move {
            let mut times = Vec::new();
            for n in (number..events).step_by(WRITERS as usize) {
                tokio::time::sleep_until((start + Duration::from_secs(n) / u32::try_from(rate)?).into()).await;
                times.push((n, writer.transaction(number, n).await?));
            }
            Ok::<_, anyhow::Error>(times)
        })
    });
    let mut committed = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        committed.extend(writer.await??);
    }
    let took = start.elapsed().as_secs_f64();
    reader.complete().await;
    if let Some(embedded) = embedded {
        embedded.shutdown().await?;
    }
    if let Some(relay) = relay {
        relay.finish::<Processed>().await?;
    }
    drop(producer);
    let read = reader.finish().await?;
    bench.broker.remove(&topic).await?;
    outbox.inner().clone().close().await?;

    let mut latencies: Vec<f64> = committed
        .iter()
        .filter(|(n, _)| *n >= rate * WARM_UP)
        .filter_map(|(n, at)| Some(read.arrivals[*n as usize]?.saturating_duration_since(*at).as_secs_f64() * 1e3))
        .collect();
    latencies.sort_by(f64::total_cmp);
    let (p50, p99) = (percentile(&latencies, 0.5), percentile(&latencies, 0.99));
    let kept = events as f64 / took;
    Bench::note(&format!("{rate}/s {way:?}: p50 {p50:.2} ms, p99 {p99:.2} ms, {kept:.0}/s committed"));
    into.p50.push(p50);
    into.p99.push(p99);
    into.max.push(percentile(&latencies, 1.0));
    into.checks.add(read.checks);
    Ok(())
}

fn producer(brokers: &str) -> anyhow::Result<Arc<ThreadedProducer<DefaultProducerContext>>> {
    let mut config: ClientConfig =
        PRODUCER.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    Ok(Arc::new(config.set("bootstrap.servers", brokers).create()?))
}

struct Writer {
    outbox: Outbox,
    producer: Option<Arc<ThreadedProducer<DefaultProducerContext>>>,
    topic: String,
    payloads: Arc<Payloads>,
}

impl Writer {
    /// Returns when its COMMIT returned.
    async fn transaction(&self, account: u64, n: u64) -> anyhow::Result<Instant> {
        let key = KEYS.of(n);
        let Some(producer) = &self.producer else {
            let txn = self.outbox.begin().await?;
            change(&txn, account).await?;
            txn.stage_event(&Numbered { n, key, topic: &self.topic, payloads: &self.payloads })?;
            txn.commit().await?;
            return Ok(Instant::now());
        };
        let txn = self.outbox.inner().begin().await?;
        change(&txn, account).await?;
        txn.commit().await?;
        let committed = Instant::now();
        let payload = self.payloads.payload(n);
        let millis = i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis())?;
        let record =
            BaseRecord::to(&self.topic).key(&key).payload(&payload).timestamp(millis).headers(headers(n, &key));
        producer.send(record).map_err(|(error, _)| error)?;
        Ok(committed)
    }
}
