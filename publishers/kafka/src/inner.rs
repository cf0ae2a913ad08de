//! What the parts of a publisher share.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use outbox_core::{Delivery, Message, OrderKey, Partition};

use crate::config_error::ConfigError;
use crate::context::Notes;
use crate::pipeline::Pipeline;
use crate::placement;
use crate::session::{Ending, Session};
use crate::settings::Settings;
use crate::slot::Slot;
use crate::solo::Solo;
use crate::sync::lock;
use crate::ticket::{Batch, Gauge, Ticket};
use crate::topics;

pub(crate) struct Inner {
    own: Weak<Self>,
    pub(crate) settings: Settings,
    pub(crate) notes: Arc<Notes>,
    pub(crate) gauge: Arc<Gauge>,
    pub(crate) main: Slot<Pipeline>,
    pub(crate) solo: Slot<Solo>,
    handed_over: AtomicU64,
    /// Counts flushes that gave up, so that a `publish` that waits for a producer gives up too.
    given_up: AtomicU64,
    /// Topics that could not be written to: their messages go alone until one arrives.
    troubled: Mutex<HashSet<String>>,
    batch_bytes: AtomicUsize,
    /// How many partitions topics have, as far as was ever heard: also while a new producer has not heard it yet.
    /// Asked for every message, as the standing of a partition is: among few names a tree finds one faster than a table.
    partitions: Mutex<BTreeMap<String, u32>>,
}

impl Inner {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        let notes = Arc::new(Notes::new(settings.secrets.clone()));
        Arc::new_cyclic(|own| Self {
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
            partitions: Mutex::default(),
        })
    }

    pub(crate) fn learn(&self, topic: &str, partitions: usize) {
        if let Ok(partitions) = u32::try_from(partitions) {
            lock(&self.partitions).insert(topic.to_owned(), partitions);
        }
    }

    /// Where a message goes, if it has a key and the topic is known.
    pub(crate) fn partition(&self, message: &Message) -> Option<Partition> {
        let of = *lock(&self.partitions).get(message.topic())?;
        let number = placement::partition(message.key()?.as_bytes(), usize::try_from(of).ok()?);
        Some(Partition { number: u32::try_from(number).ok()?, of })
    }

    /// Numbers the messages of a batch and makes us responsible for them.
    pub(crate) fn take(&self, batch: Vec<Delivery>) -> (Arc<Batch>, VecDeque<Ticket>) {
        let tag = Batch::new(&self.gauge);
        let first = self.handed_over.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let tickets =
            (first..).zip(batch).map(|(order, delivery)| Ticket::new(delivery, order, Arc::clone(&tag))).collect();
        (tag, tickets)
    }

    /// Ends both producers and whatever waits for one.
    pub(crate) fn give_up(&self) {
        self.given_up.fetch_add(1, Ordering::AcqRel);
        self.main.stop(|| Ending::Flushed);
        self.solo.stop(|| Ending::Flushed);
        self.gauge.wake();
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

    pub(crate) async fn submit_alone(&self, tickets: Vec<Ticket>, tag: &Arc<Batch>) {
        let Some(inner) = self.own.upgrade() else { return };
        let Ok(Ok(session)) = tokio::task::spawn_blocking(move || inner.solo()).await else {
            return tickets.into_iter().for_each(Ticket::withheld);
        };
        topics::find(&session, tickets.iter().map(|ticket| ticket.topic())).await;
        session.watch(tag);
        session.lane.submit(tickets);
    }

    /// Parts what goes through the pipeline from what goes alone; of one key everything goes the same way.
    pub(crate) fn divide(
        &self,
        session: &Session<Pipeline>,
        tickets: VecDeque<Ticket>,
    ) -> (VecDeque<Ticket>, Vec<Ticket>) {
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
    pub(crate) async fn open_pipeline(&self) -> Option<Arc<Session<Pipeline>>> {
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

    pub(crate) fn pipeline(&self) -> Result<Arc<Session<Pipeline>>, ConfigError> {
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

pub(crate) fn distinct_topics(tickets: &VecDeque<Ticket>) -> BTreeSet<String> {
    let mut topics = BTreeSet::new();
    for ticket in tickets {
        if !topics.contains(ticket.topic()) {
            topics.insert(ticket.topic().to_owned());
        }
    }
    topics
}
