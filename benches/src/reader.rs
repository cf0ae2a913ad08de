//! The other end of the topic: reads everything, notes when, and checks it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use crate::event::{self, Keys};
use crate::report::Checks;
use crate::servers::{Broker, PARTITIONS};

const REQUEST: Duration = Duration::from_secs(20);
/// How long without a record, when some are missing, before the reader gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is to come.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) topic: String,
    pub(crate) events: u64,
    pub(crate) keys: Keys,
    pub(crate) fetch: Fetch,
}

/// How records are fetched.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fetch {
    /// Each as soon as it is there: for how long they take.
    AtOnce,
    /// Many at a time, at most 10 ms later: for how many there are. Otherwise a slow producer would keep the broker busier
    /// than a fast one, with requests for the few records that have come since the last.
    Many,
}

impl Fetch {
    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::AtOnce => &[],
            Self::Many => &[("fetch.min.bytes", "262144"), ("fetch.wait.max.ms", "10")],
        }
    }
}

/// Reads a topic in a thread of its own.
#[derive(Debug)]
pub(crate) struct Reader {
    shared: Arc<Shared>,
    thread: JoinHandle<anyhow::Result<Read>>,
}

#[derive(Debug, Default)]
struct Shared {
    distinct: AtomicU64,
    complete: AtomicBool,
    finish: AtomicBool,
}

/// What was read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) first: Instant,
    /// When the last of the expected events came for the first time.
    pub(crate) last: Instant,
    /// When each event came for the first time.
    pub(crate) arrivals: Vec<Option<Instant>>,
    pub(crate) checks: Checks,
}

impl Reader {
    /// Returns when it is ready to see the first record.
    pub(crate) fn start(broker: &Broker, expected: Expected) -> anyhow::Result<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &broker.brokers)
            .set("group.id", &expected.topic)
            .set("enable.auto.commit", "false")
            // When much is buffered, wait for a moment instead of a second.
            .set("fetch.queue.backoff.ms", "5");
        for (name, value) in expected.fetch.settings() {
            config.set(*name, *value);
        }
        let consumer: BaseConsumer = config.create()?;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            // A beginning that is not known at once, as when the broker answers late, would become the end.
            assignment.add_partition_offset(&expected.topic, partition, Offset::Offset(0))?;
        }
        // A question that comes behind a request for records waits until there are some, or for half a second.
        let asker: BaseConsumer = config.create()?;
        connect(&asker, &expected.topic)?;
        consumer.assign(&assignment)?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        Ok(Self { shared, thread: thread::spawn(move || read(&consumer, &asker, &expected, &theirs)) })
    }

    /// Waits until everything has come, or nothing more comes.
    pub(crate) async fn complete(&self) {
        self.until(u64::MAX).await;
    }

    /// The same, or until so many different events have come.
    pub(crate) async fn until(&self, events: u64) {
        let enough = || self.shared.distinct.load(Ordering::Acquire) >= events;
        while !enough() && !self.shared.complete.load(Ordering::Acquire) && !self.thread.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Call when nobody writes any more: reads to the end, so that records too many are seen too.
    pub(crate) async fn finish(self) -> anyhow::Result<Read> {
        self.shared.finish.store(true, Ordering::Release);
        tokio::task::spawn_blocking(move || match self.thread.join() {
            Ok(read) => read,
            Err(_) => bail!("the reader panicked"),
        })
        .await?
    }
}

fn read(consumer: &BaseConsumer, asker: &BaseConsumer, expected: &Expected, shared: &Shared) -> anyhow::Result<Read> {
    let mut tally = Tally::new(expected.events, expected.keys);
    let mut next = BTreeMap::<i32, i64>::new();
    let mut ends = None;
    let mut heard = Instant::now();
    loop {
        if let Some(message) = consumer.poll(Duration::from_millis(5)) {
            let message = message.context("cannot read")?;
            heard = Instant::now();
            next.insert(message.partition(), message.offset() + 1);
            let n = message.payload().and_then(event::number).context("a record that is none of ours")?;
            if tally.take(n, heard)? {
                shared.distinct.store(tally.distinct, Ordering::Release);
                shared.complete.store(tally.distinct == expected.events, Ordering::Release);
            }
            continue;
        }
        if heard.elapsed() > PATIENCE {
            // Whoever waits for the rest is told, and learns from the checks what is missing.
            shared.complete.store(true, Ordering::Release);
        }
        if shared.finish.load(Ordering::Acquire) {
            if ends.is_none() {
                ends = Some(watermarks(asker, &expected.topic)?);
            }
            let reached = |(partition, end): (&i32, &i64)| next.get(partition).copied().unwrap_or(0) >= *end;
            if ends.iter().flatten().all(reached) {
                return tally.result();
            }
        }
    }
}

/// The partitions of a new topic have a leader that does not know it yet.
fn connect(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        match watermarks(consumer, topic) {
            Ok(_) => return Ok(()),
            Err(error) if started.elapsed() > REQUEST => {
                return Err(error.context("the reader cannot reach the broker"));
            }
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn watermarks(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<BTreeMap<i32, i64>> {
    let end = |partition| Ok((partition, consumer.fetch_watermarks(topic, partition, REQUEST)?.1));
    (0..PARTITIONS).map(end).collect()
}

/// Counts what is wrong. The events of a key are numbered upwards.
struct Tally {
    arrivals: Vec<Option<Instant>>,
    /// The highest number of each key, and one more.
    highest: Vec<u64>,
    keys: Keys,
    distinct: u64,
    checks: Checks,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Tally {
    fn new(events: u64, keys: Keys) -> Self {
        Self {
            arrivals: vec![None; events as usize],
            highest: vec![0; keys.count() as usize],
            keys,
            distinct: 0,
            checks: Checks::default(),
            first: None,
            last: None,
        }
    }

    /// Whether it is one that had not come before.
    fn take(&mut self, n: u64, now: Instant) -> anyhow::Result<bool> {
        ensure!(n < self.arrivals.len() as u64, "a record with the number {n}, which nobody staged");
        let key = self.keys.index(n) as usize;
        if self.arrivals[n as usize].is_some() {
            self.checks.repeated += 1;
            return Ok(false);
        }
        self.arrivals[n as usize] = Some(now);
        if n < self.highest[key] {
            self.checks.misordered += 1;
        }
        self.highest[key] = self.highest[key].max(n + 1);
        self.distinct += 1;
        self.first.get_or_insert(now);
        self.last = Some(now);
        Ok(true)
    }

    fn result(mut self) -> anyhow::Result<Read> {
        let (Some(first), Some(last)) = (self.first, self.last) else { bail!("not a single event arrived") };
        self.checks.lost = self.arrivals.len() as u64 - self.distinct;
        Ok(Read { first, last, arrivals: self.arrivals, checks: self.checks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_counted() {
        let mut tally = Tally::new(8, Keys::in_turn(2));
        for n in [0, 1, 4, 2, 2, 3, 0, 7] {
            tally.take(n, Instant::now()).unwrap();
        }
        assert!(tally.take(8, Instant::now()).is_err());
        let read = tally.result().unwrap();
        // 5 and 6 never came, 2 came behind 4, and 2 and 0 came twice.
        assert_eq!(read.checks, Checks { lost: 2, repeated: 2, misordered: 1 });
    }
}
