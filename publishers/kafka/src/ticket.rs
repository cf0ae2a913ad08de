//! Messages under way, and the count of them.

use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use outbox_core::{Delivery, Message, Outcome, PublishError, Receipt};
use tokio::sync::Notify;

/// One message on its way, with the duty to report what became of it.
///
/// A ticket that is dropped reports too: nothing is lost when a task is cancelled or a producer goes away.
pub(crate) struct Ticket(pub(crate) Box<Load>);

/// What a [`Ticket`] stands for; librdkafka carries it along with the message.
pub(crate) struct Load {
    pub(crate) message: Arc<Message>,
    receipt: Option<Receipt>,
    /// Its place among everything that the publisher was ever given.
    pub(crate) order: u64,
    /// Where it is expected to go; `None` for unordered messages.
    pub(crate) partition: Option<usize>,
    /// It is the first of its partition, and the others wait for it.
    pub(crate) probe: bool,
    /// It was handed to librdkafka.
    pub(crate) sent: bool,
    /// Set while it is sent alone because the broker refused a batch with it.
    pub(crate) trial: Option<Arc<Trial>>,
    pub(crate) batch: Arc<Batch>,
}

impl Ticket {
    pub(crate) fn new(delivery: Delivery, order: u64, batch: Arc<Batch>) -> Self {
        let (message, receipt) = delivery.into_parts();
        batch.gauge.outstanding.fetch_add(1, Ordering::AcqRel);
        batch.left.fetch_add(1, Ordering::AcqRel);
        Self(Box::new(Load {
            message,
            receipt: Some(receipt),
            order,
            partition: None,
            probe: false,
            sent: false,
            trial: None,
            batch,
        }))
    }

    pub(crate) fn topic(&self) -> &str {
        &self.message.envelope.topic
    }

    pub(crate) fn delivered(mut self) {
        self.report(Outcome::Delivered);
    }

    pub(crate) fn failed(mut self, error: PublishError) {
        self.report(Outcome::Failed(error));
    }

    pub(crate) fn withheld(mut self) {
        self.report(Outcome::Withheld);
    }

    pub(crate) fn unknown(mut self) {
        self.report(Outcome::Failed(unknown_outcome()));
    }
}

impl Deref for Ticket {
    type Target = Load;

    fn deref(&self) -> &Load {
        &self.0
    }
}

impl DerefMut for Ticket {
    fn deref_mut(&mut self) -> &mut Load {
        &mut self.0
    }
}

impl Load {
    fn report(&mut self, outcome: Outcome) {
        let Some(receipt) = self.receipt.take() else { return };
        // Reports run in the thread that serves librdkafka; a panic in the processor's code must not end it.
        if catch_unwind(AssertUnwindSafe(|| receipt.report(outcome))).is_err() {
            tracing::error!("the processor panicked while it took a report");
        }
        self.batch.left.fetch_sub(1, Ordering::AcqRel);
        self.batch.gauge.reported();
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if self.receipt.is_some() {
            self.report(if self.sent { Outcome::Failed(unknown_outcome()) } else { Outcome::Withheld });
        }
    }
}

fn unknown_outcome() -> PublishError {
    PublishError::unreachable("the outcome is unknown: the connection was given up before the broker answered")
}

/// The messages that one call of `publish` brought.
pub(crate) struct Batch {
    pub(crate) since: Instant,
    left: AtomicUsize,
    gauge: Arc<Gauge>,
}

impl Batch {
    pub(crate) fn new(gauge: &Arc<Gauge>) -> Arc<Self> {
        Arc::new(Self { since: Instant::now(), left: AtomicUsize::new(0), gauge: Arc::clone(gauge) })
    }

    pub(crate) fn is_done(&self) -> bool {
        self.left.load(Ordering::Acquire) == 0
    }
}

/// Counts the messages without an outcome, and wakes those who wait for fewer of them.
#[derive(Default)]
pub(crate) struct Gauge {
    outstanding: AtomicUsize,
    waiting: AtomicUsize,
    /// The highest count that somebody waits for: a wake-up per report would cost more than it is worth.
    wanted: AtomicUsize,
    changed: Notify,
}

impl Gauge {
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Acquire)
    }

    /// Wakes everybody who waits.
    pub(crate) fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// Waits until at most `level` messages are outstanding; `false` after `most`.
    pub(crate) async fn wait_for(&self, level: usize, most: Duration) -> bool {
        self.wait(level, most, || self.outstanding() <= level).await
    }

    /// Waits for [`wake`](Self::wake) or a moment.
    pub(crate) async fn wait_for_change(&self, moment: Duration) {
        let mut looked = false;
        self.wait(0, moment, || std::mem::replace(&mut looked, true)).await;
    }

    /// Waits until `done`, looking again whenever woken and at least every 50 ms; `false` after `most`.
    pub(crate) async fn wait(&self, level: usize, most: Duration, mut done: impl FnMut() -> bool + Send) -> bool {
        const AT_LEAST_EVERY: Duration = Duration::from_millis(50);
        let started = Instant::now();
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.wanted.fetch_max(level, Ordering::AcqRel);
        let _waiting = Waiting(self);
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if done() {
                return true;
            }
            let left = most.saturating_sub(started.elapsed());
            if left.is_zero() {
                return false;
            }
            // Woken or not, it is time to look again.
            drop(tokio::time::timeout(left.min(AT_LEAST_EVERY), changed).await);
        }
    }

    fn reported(&self) {
        let left = self.outstanding.fetch_sub(1, Ordering::AcqRel) - 1;
        if left <= self.wanted.load(Ordering::Acquire) {
            self.changed.notify_waiters();
        }
    }
}

struct Waiting<'a>(&'a Gauge);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.wanted.store(0, Ordering::Release);
        }
    }
}

/// The messages of a batch that the broker refused as a whole, while they are sent alone.
pub(crate) struct Trial {
    /// Bytes of all of them.
    pub(crate) bytes: usize,
    left: AtomicUsize,
    culprit_found: AtomicBool,
}

impl Trial {
    pub(crate) fn new(messages: usize, bytes: usize) -> Arc<Self> {
        Arc::new(Self { bytes, left: AtomicUsize::new(messages), culprit_found: AtomicBool::new(false) })
    }

    /// Takes the outcome of one message sent alone; `true` when it was the last and none was at fault.
    pub(crate) fn heard(&self, innocent: bool) -> bool {
        if !innocent {
            self.culprit_found.store(true, Ordering::Release);
        }
        self.left.fetch_sub(1, Ordering::AcqRel) == 1 && !self.culprit_found.load(Ordering::Acquire)
    }
}
