use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use outbox_core::{Delivery, OrderKey, PublishError, Publisher};

use crate::config::{KafkaPublisherBuilder, Settings};
use crate::context::Notes;
use crate::error::ConfigError;
use crate::pipeline::{Feed, Pipeline, Turn};
use crate::session::{Ending, Session};
use crate::slot::Slot;
use crate::solo::Solo;
use crate::sync::lock;
use crate::ticket::{Batch, Gauge, Ticket};
use crate::topics;

/// Publishes to Apache Kafka with an idempotent producer, in order per key even when the broker refuses messages.
///
/// See the [crate documentation](crate) for what it promises. Dropping it reports what it still holds: as withheld
/// what was not sent, as unreachable with an unknown outcome what was.
pub struct KafkaPublisher {
    inner: Arc<Inner>,
}

impl KafkaPublisher {
    /// A publisher with default settings. `brokers` is a comma-separated list of `host:port`.
    ///
    /// Returns at once and connects in the background: [`check`](Publisher::check) tells whether that works.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub fn connect(brokers: impl Into<String>) -> Result<Self, ConfigError> {
        Self::builder(brokers).build()
    }

    /// A publisher with own settings. `brokers` is a comma-separated list of `host:port`.
    pub fn builder(brokers: impl Into<String>) -> KafkaPublisherBuilder {
        KafkaPublisherBuilder::new(brokers.into())
    }

    pub(crate) fn start(settings: Settings) -> Result<Self, ConfigError> {
        let notes = Arc::new(Notes::new(settings.secrets.clone()));
        let inner = Arc::new_cyclic(|own| Inner {
            own: Weak::clone(own),
            batch_bytes: AtomicUsize::new(settings.batch_bytes()),
            settings,
            notes,
            gauge: Arc::default(),
            main: Slot::default(),
            solo: Slot::default(),
            handed_over: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            troubled: Mutex::default(),
        });
        inner.pipeline()?;
        Ok(Self { inner })
    }
}

#[async_trait]
impl Publisher for KafkaPublisher {
    /// Returns when librdkafka has the whole batch; waits while its queue is full, or while a producer that failed
    /// is replaced.
    ///
    /// # Cancel safety
    ///
    /// Cancelling withholds what was not enqueued yet; the rest is reported as usual.
    async fn publish(&self, batch: Vec<Delivery>) {
        let inner = &self.inner;
        let tag = Batch::new(&inner.gauge);
        let first = inner.handed_over.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let tickets: VecDeque<_> =
            (first..).zip(batch).map(|(order, delivery)| Ticket::new(delivery, order, Arc::clone(&tag))).collect();
        let Some(session) = inner.open_pipeline().await else { return }; // given up: tickets report as withheld
        topics::learn(&session, distinct_topics(&tickets)).await;
        let (pipelined, alone) = inner.divide(&session, tickets);
        if !alone.is_empty() {
            inner.submit_alone(alone, &tag).await;
        }
        if !pipelined.is_empty() {
            session.watch(&tag);
            feed(Feed::new(session, pipelined), &inner.gauge).await;
        }
    }

    /// Waits until every message has its outcome. After the deadline both producers are given up: what was not sent
    /// is withheld, what was on its way is unreachable with an unknown outcome.
    async fn flush(&self, deadline: Duration) {
        let inner = &self.inner;
        let sessions = (inner.main.open(), inner.solo.open());
        let _flushing = (sessions.0.as_ref().map(|s| s.flushing()), sessions.1.as_ref().map(|s| s.flushing()));
        if inner.gauge.wait_for(0, deadline).await {
            return;
        }
        inner.given_up.fetch_add(1, Ordering::AcqRel);
        inner.main.stop(|| Ending::Flushed);
        inner.solo.stop(|| Ending::Flushed);
        inner.gauge.wake();
        const TO_COLLECT: Duration = Duration::from_secs(12);
        if !inner.gauge.wait_for(0, TO_COLLECT).await {
            tracing::error!(messages = inner.gauge.outstanding(), "messages are still without a report after a flush");
        }
    }

    /// Asks a broker about a topic that was used before, or about all topics. Gives up after 5 seconds.
    async fn check(&self) -> Result<(), PublishError> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let inner = Arc::clone(&self.inner);
        let asked = tokio::task::spawn_blocking(move || {
            let session = inner.pipeline().map_err(|error| PublishError::unreachable(error.to_string()))?;
            topics::ask(&*session.lane, session.lane.any_topic().as_deref(), PATIENCE).map(drop).map_err(|code| {
                let (code, last) = (code.to_string(), inner.notes.last_error());
                PublishError::unreachable(if last.is_empty() { code } else { format!("{code}; last error: {last}") })
            })
        });
        asked.await.unwrap_or_else(|error| Err(PublishError::unreachable(error.to_string())))
    }
}

impl fmt::Debug for KafkaPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaPublisher")
            .field("settings", &self.inner.settings)
            .field("outstanding", &self.inner.gauge.outstanding())
            .finish_non_exhaustive()
    }
}

/// Brings a batch into the pipeline. When the rest waits long for a partition, a task goes on with it, so that one
/// partition without a leader does not hold up the batches of others.
async fn feed(mut feed: Feed, gauge: &Arc<Gauge>) {
    const INLINE: Duration = Duration::from_millis(250);
    let patience = Instant::now() + INLINE;
    if !advance(&mut feed, gauge, Some(patience)).await {
        let gauge = Arc::clone(gauge);
        drop(tokio::spawn(async move { advance(&mut feed, &gauge, None).await }));
    }
}

/// Takes turns until the batch is through; `false` if it still waits for a partition after `patience`.
async fn advance(feed: &mut Feed, gauge: &Gauge, patience: Option<Instant>) -> bool {
    const SHORTEST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_millis(50);
    let mut pause = SHORTEST;
    loop {
        match feed.turn() {
            Turn::Done | Turn::Ended => return true,
            Turn::More => {
                pause = SHORTEST;
                tokio::task::yield_now().await;
            }
            Turn::Full => {
                // Some room first, or every report would wake us for one message. The short pause is for the room
                // that librdkafka makes after its last report.
                let room = gauge.wait_for(gauge.outstanding() / 8 * 7, pause).await;
                pause = if room { SHORTEST } else { LONGEST.min(pause * 2) };
            }
            Turn::Probing if patience.is_some_and(|until| Instant::now() >= until) => return false,
            Turn::Probing => gauge.wait_for_change(LONGEST).await,
        }
    }
}

fn distinct_topics(tickets: &VecDeque<Ticket>) -> BTreeSet<String> {
    let mut topics = BTreeSet::new();
    for ticket in tickets {
        if !topics.contains(ticket.topic()) {
            topics.insert(ticket.topic().to_owned());
        }
    }
    topics
}

/// What the publisher's parts share.
pub(crate) struct Inner {
    own: Weak<Self>,
    settings: Settings,
    notes: Arc<Notes>,
    gauge: Arc<Gauge>,
    main: Slot<Pipeline>,
    solo: Slot<Solo>,
    handed_over: AtomicU64,
    /// Counts flushes that gave up, so that a `publish` that waits for a producer gives up too.
    given_up: AtomicU64,
    /// Topics that could not be written to: their messages go alone until one arrives.
    troubled: Mutex<HashSet<String>>,
    batch_bytes: AtomicUsize,
}

impl Inner {
    pub(crate) fn notes(&self) -> &Notes {
        &self.notes
    }

    pub(crate) fn trouble(&self, topics: impl IntoIterator<Item = String>) {
        lock(&self.troubled).extend(topics);
    }

    pub(crate) fn recovered(&self, topic: &str) {
        lock(&self.troubled).remove(topic);
    }

    /// The messages of a refused batch were fine one by one: it was the batch that was too large for the topic.
    pub(crate) fn shrink_batches(&self, bytes: usize) {
        const SMALLEST: usize = 4 * 1024;
        let bytes = bytes.max(SMALLEST);
        if self.batch_bytes.fetch_min(bytes, Ordering::AcqRel) > bytes {
            tracing::warn!(bytes, "a topic takes smaller batches than batch.size; using smaller ones from now on");
        }
    }

    /// Sends messages alone, from a thread that may block for milliseconds.
    pub(crate) fn send_alone(&self, tickets: Vec<Ticket>) {
        match self.solo() {
            Ok(session) => {
                tickets.iter().for_each(|ticket| session.watch(&ticket.batch));
                session.lane.submit(tickets);
            }
            Err(error) => {
                tracing::error!(%error, "no Kafka producer for single messages");
                tickets.into_iter().for_each(Ticket::withheld);
            }
        }
    }

    async fn submit_alone(&self, tickets: Vec<Ticket>, tag: &Arc<Batch>) {
        let Some(inner) = self.own.upgrade() else { return };
        let Ok(Ok(session)) = tokio::task::spawn_blocking(move || inner.solo()).await else {
            return tickets.into_iter().for_each(Ticket::withheld);
        };
        topics::find(&session, tickets.iter().map(|ticket| ticket.topic())).await;
        session.watch(tag);
        session.lane.submit(tickets);
    }

    /// Parts what goes through the pipeline from what goes alone; of one key everything goes the same way.
    fn divide(&self, session: &Session<Pipeline>, tickets: VecDeque<Ticket>) -> (VecDeque<Ticket>, Vec<Ticket>) {
        let rejected_before = |ticket: &Ticket| ticket.message.attempts > 0;
        let keys: HashSet<OrderKey> = tickets
            .iter()
            .filter(|ticket| rejected_before(ticket))
            .filter_map(|ticket| ticket.message.order_key())
            .collect();
        let mut topics: BTreeSet<String> = distinct_topics(&tickets);
        {
            let troubled = lock(&self.troubled);
            topics.retain(|topic| troubled.contains(topic) || !session.lane.knows(topic));
        }
        if topics.is_empty() && !tickets.iter().any(rejected_before) {
            return (tickets, Vec::new());
        }
        let (mut pipelined, mut alone) = (VecDeque::new(), Vec::new());
        for ticket in tickets {
            let suspicious = rejected_before(&ticket)
                || topics.contains(ticket.topic())
                || ticket.message.order_key().is_some_and(|key| keys.contains(&key));
            if suspicious { alone.push(ticket) } else { pipelined.push_back(ticket) }
        }
        (pipelined, alone)
    }

    /// The pipeline, with a new producer if the last one has ended; `None` when a flush gave up meanwhile.
    async fn open_pipeline(&self) -> Option<Arc<Session<Pipeline>>> {
        let given_up = self.given_up.load(Ordering::Acquire);
        loop {
            if let Some(session) = self.main.open() {
                return Some(session);
            }
            self.gauge.wait(0, self.main.pause(), || self.given_up.load(Ordering::Acquire) != given_up).await;
            if self.given_up.load(Ordering::Acquire) != given_up {
                return None;
            }
            let inner = self.own.upgrade()?;
            match tokio::task::spawn_blocking(move || inner.pipeline()).await {
                Ok(Ok(session)) => return Some(session),
                Ok(Err(error)) => tracing::error!(%error, "no Kafka producer; trying again"),
                Err(error) => tracing::error!(%error, "no Kafka producer; trying again"),
            }
        }
    }

    fn pipeline(&self) -> Result<Arc<Session<Pipeline>>, ConfigError> {
        self.main.get(|| {
            let batch_bytes = self.batch_bytes.load(Ordering::Acquire);
            let shrunk = (batch_bytes < self.settings.batch_bytes()).then_some(batch_bytes);
            let lane = Pipeline::new(Weak::clone(&self.own), Arc::clone(&self.gauge));
            Session::start(&self.settings.pipelined(shrunk), lane, &self.notes, self.settings.delivery_timeout)
        })
    }

    fn solo(&self) -> Result<Arc<Session<Solo>>, ConfigError> {
        self.solo.get(|| {
            let lane = Solo::new(Weak::clone(&self.own));
            Session::start(&self.settings.one_by_one(), lane, &self.notes, self.settings.delivery_timeout)
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.main.stop(|| Ending::Dropped);
        self.solo.stop(|| Ending::Dropped);
    }
}
