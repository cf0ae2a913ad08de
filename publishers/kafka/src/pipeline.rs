//! The way of most messages: enqueued in order, up to five requests per broker in flight.
//!
//! Two things keep the order of a key when the broker refuses a batch. With the gap-less guarantee librdkafka stops
//! for good instead of going on behind the gap. And a broker that has seen nothing from a producer in a partition
//! takes *any* first sequence number, so what was in flight behind a refused *first* request would be written: hence
//! the first keyed message of a partition, the probe, goes alone, and the others wait for its acknowledgement.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::context::Reporter;
use crate::inner::Inner;
use crate::session::{Ending, Gate, Lane};
use crate::settle::{Failure, settle};
use crate::sync::lock;
use crate::ticket::{Gauge, Ticket};

/// Brokers forget producers that are silent (for a day, unless configured otherwise); a partition that was quiet for
/// this long is probed again.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(600);

/// Whether the broker knows this producer in a partition.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Standing {
    Unproven,
    Probing,
    Proven { last_used: Instant },
}

pub(crate) struct Pipeline {
    gate: Gate<Self>,
    inner: Weak<Inner>,
    gauge: Arc<Gauge>,
    /// Topics that are known to exist, with the standing of each partition.
    pub(crate) topics: Mutex<BTreeMap<String, Vec<Standing>>>,
    /// Topics that nobody could tell about, and when that was.
    unknown: Mutex<HashMap<String, Instant>>,
    failures: Mutex<Vec<Failure>>,
}

impl Pipeline {
    pub(crate) fn new(inner: Weak<Inner>, gauge: Arc<Gauge>) -> Self {
        Self {
            gate: Gate::new(),
            inner,
            gauge,
            topics: Mutex::default(),
            unknown: Mutex::default(),
            failures: Mutex::default(),
        }
    }

    pub(crate) fn knows(&self, topic: &str) -> bool {
        lock(&self.topics).contains_key(topic)
    }

    pub(crate) fn any_topic(&self) -> Option<String> {
        lock(&self.topics).keys().next().cloned()
    }

    /// Whether it is time to ask about a topic again.
    pub(crate) fn may_ask(&self, topic: &str) -> bool {
        const BETWEEN_QUESTIONS: Duration = Duration::from_secs(1);
        lock(&self.unknown).get(topic).is_none_or(|asked| asked.elapsed() >= BETWEEN_QUESTIONS)
    }

    pub(crate) fn did_not_learn(&self, topic: &str) {
        lock(&self.unknown).insert(topic.to_owned(), Instant::now());
    }

    pub(crate) fn learn(&self, topic: &str, partitions: usize) {
        lock(&self.unknown).remove(topic);
        if let Some(inner) = self.inner.upgrade() {
            inner.learn(topic, partitions);
        }
        lock(&self.topics).entry(topic.to_owned()).or_insert_with(|| vec![Standing::Unproven; partitions]);
    }

    fn stand(&self, ticket: &Ticket, standing: Standing) {
        if let Some(partition) = ticket.partition
            && let Some(known) = lock(&self.topics).get_mut(ticket.topic()).and_then(|known| known.get_mut(partition))
        {
            *known = standing;
        }
    }
}

impl Reporter for Pipeline {
    fn delivered(&self, ticket: Ticket, partition: i32) {
        if ticket.partition.is_some_and(|expected| usize::try_from(partition) != Ok(expected)) {
            // The topic has more partitions than we knew: start over with what we know about it.
            lock(&self.topics).remove(ticket.topic());
        } else if ticket.probe {
            self.stand(&ticket, Standing::Proven { last_used: Instant::now() });
            self.gauge.wake();
        }
        ticket.delivered();
    }

    fn failed(&self, ticket: Ticket, partition: i32, code: Code) {
        lock(&self.failures).push(Failure { ticket, partition, code });
    }
}

impl Lane for Pipeline {
    fn gate(&self) -> &Gate<Self> {
        &self.gate
    }

    /// Settles failures that did not end the producer: the topic was deleted, or may not be described any more.
    fn tick(&self) {
        let failures = std::mem::take(&mut *lock(&self.failures));
        if failures.is_empty() {
            return;
        }
        {
            let mut topics = lock(&self.topics);
            for failure in &failures {
                topics.remove(failure.ticket.topic());
            }
        }
        self.hand_over(failures, None, Duration::MAX);
        self.gauge.wake();
    }

    fn ended(&self, ending: &Ending, delivery_timeout: Duration) {
        let failures = std::mem::take(&mut *lock(&self.failures));
        match ending {
            Ending::Dropped => {}
            Ending::Flushed => tracing::info!(messages = failures.len(), "flush gave up at its deadline"),
            other => tracing::warn!(reason = %other, messages = failures.len(), "the Kafka producer starts over"),
        }
        self.hand_over(failures, Some(ending), delivery_timeout);
        self.gauge.wake();
    }
}

impl Pipeline {
    fn hand_over(&self, failures: Vec<Failure>, ending: Option<&Ending>, timeout: Duration) {
        let inner = self.inner.upgrade();
        let last_error = inner.as_ref().map(|inner| inner.notes.last_error()).unwrap_or_default();
        let left = settle(failures, ending, timeout, &last_error);
        let Some(inner) = inner else { return }; // the suspects report themselves
        inner.trouble(left.troubled);
        if !left.suspects.is_empty() {
            tracing::warn!(
                messages = left.suspects.len(),
                "the broker refused a batch; its messages are sent alone to find out which one is at fault"
            );
            inner.send_alone(left.suspects);
        }
    }
}
