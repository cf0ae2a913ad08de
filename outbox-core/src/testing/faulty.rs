use std::collections::HashSet;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::fault::{Fault, LostReport, REASON, Rule};
use crate::message::Message;
use crate::publisher::{Delivery, Partition, PublishError, Publisher, Remaining};

/// Makes another publisher fail, on a script or by chance, without breaking the contract of a publisher.
///
/// A message with a fault ends its key for the batch: what comes before it is published, what comes behind it is
/// withheld. Rules are asked in the order in which they were added; the first fault counts. Share it in an [`Arc`] to
/// switch it off and on while a processor has it.
///
/// [`Arc`]: std::sync::Arc
///
/// ```
/// use outbox_core::testing::{Fault, FaultyPublisher, Outcomes, Reported, message};
/// use outbox_core::{NoopPublisher, Publisher};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let publisher = FaultyPublisher::new(NoopPublisher::new()).nth(2, Fault::Reject);
/// let outcomes = Outcomes::new();
/// publisher.publish(outcomes.deliveries((1..=3).map(|seq| message("orders", Some("7"), seq, "{}")))).await;
/// let rejected = Reported::Rejected("a fault of the test".to_owned());
/// assert_eq!(outcomes.all().await, [Reported::Delivered, rejected, Reported::Withheld]);
/// # }
/// ```
pub struct FaultyPublisher<P> {
    inner: P,
    rules: Vec<Rule>,
    /// Why nothing can be reached now.
    off: Mutex<Option<String>>,
    messages: AtomicU64,
    faults: AtomicU64,
    pausing: watch::Sender<usize>,
    given_up: Notify,
}

impl<P> FaultyPublisher<P> {
    /// No faults yet.
    #[must_use]
    pub fn new(inner: P) -> Self {
        Self {
            inner,
            rules: Vec::new(),
            off: Mutex::default(),
            messages: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            pausing: watch::Sender::new(0),
            given_up: Notify::new(),
        }
    }

    /// A fault for the `n`th message that is handed over, counted from 1; a repeat counts again.
    #[must_use]
    pub fn nth(self, n: u64, fault: Fault) -> Self {
        self.rule(Rule::Nth(n, fault))
    }

    /// A fault for every message for which `condition` holds. `attempts` tells earlier rejections:
    /// `|message| message.attempts < 2` rejects each message twice.
    #[must_use]
    pub fn when(self, condition: impl Fn(&Message) -> bool + Send + Sync + 'static, fault: Fault) -> Self {
        self.rule(Rule::When(Box::new(condition), fault))
    }

    /// One of `faults`, for each message with a probability of 0 to 1. The same seed gives the same faults to the same
    /// sequence of messages.
    #[must_use]
    pub fn randomly(self, seed: u64, probability: f64, faults: impl IntoIterator<Item = Fault>) -> Self {
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        self.rule(Rule::Randomly(random, probability, faults.into_iter().collect()))
    }

    /// From now on everything is unreachable, for this reason.
    pub fn switch_off(&self, reason: impl Into<String>) {
        *self.off.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.into());
    }

    /// Ends [`switch_off`](Self::switch_off).
    pub fn switch_on(&self) {
        *self.off.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How many messages have met a fault.
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    /// The publisher inside.
    pub fn inner(&self) -> &P {
        &self.inner
    }

    fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    fn outage(&self) -> Option<String> {
        self.off.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fault(&self, message: &Message) -> Option<Fault> {
        let n = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        let fault = self.rules.iter().find_map(|rule| rule.fault(n, message));
        self.faults.fetch_add(u64::from(fault.is_some()), Ordering::Relaxed);
        fault
    }

    /// What to publish, after which pause. Everything else has been reported.
    fn sort_out(&self, batch: Vec<Delivery>) -> (Remaining, Duration) {
        if let Some(reason) = self.outage() {
            self.messages.fetch_add(batch.len() as u64, Ordering::Relaxed);
            self.faults.fetch_add(batch.len() as u64, Ordering::Relaxed);
            for delivery in batch {
                delivery.failed(PublishError::unreachable(reason.clone()));
            }
            return (Remaining::default(), Duration::ZERO);
        }
        let batch: Vec<_> = batch.into_iter().map(|delivery| (self.fault(&delivery), delivery)).collect();
        if batch.iter().any(|(fault, _)| *fault == Some(Fault::Panic)) {
            drop(batch);
            // Without the output of a real panic, which would look like a failure of the test.
            resume_unwind(Box::new(REASON));
        }
        let (mut ready, mut pause, mut ended) = (Remaining::default(), Duration::ZERO, HashSet::new());
        for (fault, delivery) in batch {
            let key = delivery.order_key();
            if key.as_ref().is_some_and(|key| ended.contains(key)) {
                delivery.withheld();
                continue;
            }
            match fault {
                None => ready.push(delivery),
                Some(Fault::Delay(longer)) => {
                    pause = pause.max(longer);
                    ready.push(delivery);
                }
                Some(fault) => {
                    ended.extend(key);
                    match fault {
                        Fault::LoseReport => ready.push(LostReport::delivery(delivery)),
                        fault => fault.end(delivery),
                    }
                }
            }
        }
        (ready, pause)
    }
}

#[async_trait]
impl<P: Publisher> Publisher for FaultyPublisher<P> {
    async fn publish(&self, batch: Vec<Delivery>) {
        let (mut ready, pause) = self.sort_out(batch);
        if ready.is_empty() {
            return;
        }
        let _pausing = (!pause.is_zero()).then(|| Pausing::new(&self.pausing));
        if !pause.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.given_up.notified() => return, // withholds
            }
        }
        self.inner.publish(ready.take(usize::MAX)).await;
    }

    async fn flush(&self, deadline: Duration) {
        let started = Instant::now();
        let mut pausing = self.pausing.subscribe();
        if tokio::time::timeout(deadline, pausing.wait_for(|pausing| *pausing == 0)).await.is_err() {
            self.given_up.notify_waiters();
        }
        self.inner.flush(deadline.saturating_sub(started.elapsed())).await;
    }

    async fn check(&self) -> Result<(), PublishError> {
        match self.outage() {
            Some(reason) => Err(PublishError::unreachable(reason)),
            None => self.inner.check().await,
        }
    }

    fn partition(&self, message: &Message) -> Option<Partition> {
        self.inner.partition(message)
    }
}

/// A batch that waits out a delay, counted.
struct Pausing<'a>(&'a watch::Sender<usize>);

impl<'a> Pausing<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Pausing<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl<P: fmt::Debug> fmt::Debug for FaultyPublisher<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyPublisher")
            .field("inner", &self.inner)
            .field("off", &self.outage())
            .field("faults", &self.faults.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}
