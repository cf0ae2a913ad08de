//! One producer of librdkafka from start to end: the thread that serves it, and how it ends without losing a report.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig};

use crate::config_error::ConfigError;
use crate::context::{Context, Notes, Reporter};
use crate::error::code_of;
use crate::record;
use crate::rest::Rest;
use crate::sync::lock;
use crate::ticket::{Batch, Load, Ticket};

pub(crate) type Producer<L> = BaseProducer<Context<L>>;

/// Why a session ends.
pub(crate) enum Ending {
    /// librdkafka gave up: the broker refused a batch, or lost track of the sequence numbers.
    Fatal(String),
    /// The brokers belong to another cluster now, which may give our producer's number to somebody else.
    OtherCluster,
    /// A message was without an outcome for too long.
    Stalled,
    /// A flush ran into its deadline.
    Flushed,
    /// The publisher was dropped.
    Dropped,
    /// The thread panicked.
    Died,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fatal(text) => text,
            Self::OtherCluster => "the brokers belong to another cluster than before",
            Self::Stalled => "a message was without an outcome for too long",
            Self::Flushed => "a flush ran into its deadline",
            Self::Dropped => "the publisher was dropped",
            Self::Died => "its thread panicked",
        })
    }
}

/// What a session does with its messages: in a pipeline, or one by one.
pub(crate) trait Lane: Reporter + Sized {
    /// The way to the producer.
    fn gate(&self) -> &Gate<Self>;

    /// Called regularly while the session lives.
    fn tick(&self);

    /// Reports everything that is left. Called once; nothing can be sent any more.
    fn ended(&self, ending: &Ending, delivery_timeout: Duration);
}

/// The way to a producer, until it is closed for good.
pub(crate) struct Gate<L: Lane>(RwLock<Option<Arc<Producer<L>>>>);

impl<L: Lane> Gate<L> {
    pub(crate) fn new() -> Self {
        Self(RwLock::new(None))
    }

    /// Runs `send` with the producer, or returns `None` when the session is over. The session does not end meanwhile.
    pub(crate) fn with<T>(&self, send: impl FnOnce(&Producer<L>) -> T) -> Option<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).as_deref().map(send)
    }

    /// The producer, for calls that block. Holding it delays the end of the session, so don't keep it.
    pub(crate) fn producer(&self) -> Option<Arc<Producer<L>>> {
        let producer = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(producer) = &producer {
            producer.context().rest.wake();
        }
        producer
    }

    fn set(&self, producer: Option<Arc<Producer<L>>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = producer;
    }
}

pub(crate) struct Session<L: Lane> {
    pub(crate) lane: Arc<L>,
    stop: Mutex<Option<Ending>>,
    rest: Arc<Rest>,
    other_cluster: Arc<AtomicBool>,
    batches: Mutex<VecDeque<Arc<Batch>>>,
    delivery_timeout: Duration,
}

impl<L: Lane> Session<L> {
    /// Creates the producer and its thread. Blocks for milliseconds, never for the network.
    pub(crate) fn start(
        config: &ClientConfig,
        lane: L,
        notes: &Arc<Notes>,
        delivery_timeout: Duration,
    ) -> Result<Arc<Self>, ConfigError> {
        let lane = Arc::new(lane);
        let other_cluster = Arc::new(AtomicBool::new(false));
        let rest = Arc::new(Rest::default());
        let context = Context {
            reporter: Arc::clone(&lane),
            notes: Arc::clone(notes),
            held: AtomicUsize::new(0),
            rest: Arc::clone(&rest),
            other_cluster: Arc::clone(&other_cluster),
        };
        let producer: Producer<L> = config
            .create_with_context(context)
            .map_err(|error| ConfigError::Producer { reason: notes.hide(&error.to_string()) })?;
        let producer = Arc::new(producer);
        let session = Arc::new(Self {
            lane,
            stop: Mutex::new(None),
            rest,
            other_cluster,
            batches: Mutex::new(VecDeque::new()),
            delivery_timeout,
        });
        let (runner, served) = (Arc::clone(&session), Arc::clone(&producer));
        session.lane.gate().set(Some(producer));
        let spawned = thread::Builder::new().name("outbox-kafka".to_owned()).spawn(move || runner.run(served));
        if let Err(error) = spawned {
            session.lane.gate().set(None);
            return Err(ConfigError::Producer { reason: format!("no thread can be started: {error}") });
        }
        Ok(session)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lane.gate().with(|_| ()).is_some()
    }

    /// Asks the session to end. Reports follow from its thread.
    pub(crate) fn stop(&self, ending: Ending) {
        lock(&self.stop).get_or_insert(ending);
        self.rest.wake();
    }

    /// Remembers a batch, to notice when it stays without an outcome.
    pub(crate) fn watch(&self, batch: &Arc<Batch>) {
        if self.delivery_timeout < Duration::MAX {
            lock(&self.batches).push_back(Arc::clone(batch));
        }
    }

    fn run(self: Arc<Self>, producer: Arc<Producer<L>>) {
        let serve = AssertUnwindSafe(|| self.serve(&producer));
        let ending = catch_unwind(serve).unwrap_or(Ending::Died);
        // From here on nobody sends: the write lock is given when the last sender has left.
        self.lane.gate().set(None);
        drain(&producer, &ending);
        let settle = AssertUnwindSafe(|| self.lane.ended(&ending, self.delivery_timeout));
        if catch_unwind(settle).is_err() {
            tracing::error!("the end of a Kafka producer could not be settled");
        }
        drop_when_alone(producer);
    }

    fn serve(&self, producer: &Arc<Producer<L>>) -> Ending {
        const SLICE: Duration = Duration::from_millis(20);
        const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
        /// Log lines and errors wait so long while nobody waits for anything.
        const LONGEST_REST: Duration = Duration::from_secs(1);
        const GLANCE: Duration = Duration::from_millis(2);
        /// The gate's, and this thread's; more while somebody asks the brokers something.
        const OWNERS: usize = 2;
        let busy = || held(producer) > 0 || Arc::strong_count(producer) > OWNERS;
        let mut looked = Instant::now();
        loop {
            self.rest.rest(LONGEST_REST, || busy() || lock(&self.stop).is_some());
            producer.poll(if busy() { SLICE } else { GLANCE });
            if let Some((_, text)) = producer.client().fatal_error() {
                return Ending::Fatal(producer.context().notes.hide(&text));
            }
            if self.other_cluster.load(Ordering::Acquire) {
                return Ending::OtherCluster;
            }
            if let Some(ending) = lock(&self.stop).take() {
                return ending;
            }
            self.lane.tick();
            if looked.elapsed() >= BETWEEN_LOOKS {
                looked = Instant::now();
                if self.is_stalled() {
                    return Ending::Stalled;
                }
            }
        }
    }

    fn is_stalled(&self) -> bool {
        let mut batches = lock(&self.batches);
        batches.retain(|batch| !batch.is_done());
        batches.iter().any(|batch| batch.since.elapsed() > self.delivery_timeout)
    }
}

/// How many messages librdkafka has not reported.
fn held<L: Lane>(producer: &Producer<L>) -> usize {
    producer.context().held.load(Ordering::SeqCst)
}

/// Collects the report of every message that librdkafka still holds.
///
/// What was not sent is purged at once and again: requests that fail meanwhile go back to the queue. What is in
/// flight may finish first, because an answer is better than an unknown outcome, unless time is up already.
fn drain<L: Lane>(producer: &Producer<L>, ending: &Ending) {
    const HARD_LIMIT: Duration = Duration::from_secs(10);
    let grace = match ending {
        Ending::Fatal(..) | Ending::OtherCluster | Ending::Died => Duration::from_secs(10),
        Ending::Stalled => Duration::from_secs(2),
        Ending::Flushed | Ending::Dropped => Duration::ZERO,
    };
    let started = Instant::now();
    producer.purge(PurgeConfig::default().queue());
    while held(producer) > 0 {
        if started.elapsed() >= grace + HARD_LIMIT {
            tracing::error!(left = held(producer), "librdkafka did not give back all messages");
            return;
        }
        producer.poll(Duration::from_millis(5));
        let purge = PurgeConfig::default().queue();
        producer.purge(if started.elapsed() >= grace { purge.inflight() } else { purge });
    }
    // This hands out log lines and late errors.
    producer.poll(Duration::ZERO);
}

/// The last owner waits for librdkafka's threads to end, which must not happen in a runtime's thread.
fn drop_when_alone<L: Lane>(mut producer: Arc<Producer<L>>) {
    loop {
        match Arc::try_unwrap(producer) {
            Ok(producer) => return drop(producer),
            Err(shared) => {
                producer = shared;
                producer.poll(Duration::from_millis(20));
            }
        }
    }
}

/// Hands one message to librdkafka, or gives it back with the reason.
pub(crate) fn send<L: Lane>(producer: &Producer<L>, mut ticket: Ticket) -> Result<(), (RDKafkaErrorCode, Ticket)> {
    let message = Arc::clone(&ticket.message);
    let envelope = &message.envelope;
    ticket.sent = true;
    let mut record = BaseRecord::<str, [u8], Box<Load>>::with_opaque_to(&envelope.topic, ticket.0)
        .timestamp(record::timestamp(envelope.created_at))
        .headers(record::owned_headers(&message));
    record.key = envelope.key.as_deref();
    record.payload = envelope.payload.as_deref();
    let Context { held, rest, .. } = &**producer.context();
    if held.fetch_add(1, Ordering::SeqCst) == 0 {
        rest.wake();
    }
    producer.send(record).map_err(|(error, record)| {
        held.fetch_sub(1, Ordering::AcqRel);
        let mut ticket = Ticket(record.delivery_opaque);
        ticket.sent = false;
        (code_of(&error), ticket)
    })
}
