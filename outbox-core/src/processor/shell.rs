use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::calls::Calls;
use super::handle::Request;
use super::inbox::Inbox;
use super::{Processor, ProcessorError, Report, Snapshot};
use crate::engine::{Effect, Engine, Event};
use crate::message::Message;
#[cfg(feature = "failpoints")]
use crate::publisher::Outcome;
use crate::publisher::{Delivery, Partition, PublishError, Publisher, Reports};
use crate::store::{StoreError, StoreErrorKind};

/// Most scheduled events that are moved at a time.
const PROMOTED: u32 = 1_000;

/// Tokio's clock, which tests can stop.
fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A publisher that panics knows nothing.
fn partition(publisher: &dyn Publisher, message: &Message) -> Option<Partition> {
    catch_unwind(AssertUnwindSafe(|| publisher.partition(message))).ok().flatten()
}

/// Carries out what the engine decides.
pub(super) struct Shell {
    processor: Processor,
    id: Uuid,
    engine: Engine,
    events: mpsc::UnboundedReceiver<Event>,
    sender: mpsc::UnboundedSender<Event>,
    inbox: Arc<Inbox>,
    calls: Calls,
    once: bool,
}

impl Shell {
    pub(super) fn new(processor: Processor, once: Option<usize>) -> Self {
        let id = Uuid::now_v7();
        let config = processor.config.engine(once);
        let publisher = Arc::clone(&processor.publisher);
        let engine = Engine::new(clock(), id, processor.name.clone(), fastrand::u64(..), config)
            .with_partitions(move |message| partition(&*publisher, message));
        let (sender, events) = mpsc::unbounded_channel();
        Self { processor, id, engine, events, sender, inbox: Inbox::new(), calls: Calls::new(), once: once.is_some() }
    }

    pub(super) async fn run(
        mut self,
        mut requests: mpsc::UnboundedReceiver<Request>,
    ) -> Result<Report, ProcessorError> {
        if !self.open(&mut requests).await? {
            return Ok(Report::default());
        }
        let _listening = self.listen();
        loop {
            let now = clock();
            for effect in self.engine.poll(now) {
                self.carry_out(now, effect);
            }
            if self.engine.is_done(now) {
                break;
            }
            self.wait(now, &mut requests).await;
        }
        let snapshot = self.engine.snapshot();
        Ok(Report { counts: snapshot.counts, abandoned: snapshot.in_flight })
    }

    /// Hears of work from other processes, until the returned set is dropped.
    fn listen(&self) -> JoinSet<()> {
        let mut listening = JoinSet::new();
        if !self.once {
            let (store, wake) = (Arc::clone(&self.processor.store), self.processor.wake.clone());
            listening.spawn(async move { store.listen(&wake).await });
        }
        listening
    }

    /// Waits for something to happen, and tells the engine, which was polled at `polled`.
    async fn wait(&mut self, polled: Instant, requests: &mut mpsc::UnboundedReceiver<Request>) {
        let next = self.engine.next_poll(polled);
        let sleep = async {
            match next {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(event) = self.events.recv() => {
                self.engine.handle(clock(), event);
            }
            () = self.inbox.arrived() => self.gather().await,
            Some(request) = requests.recv() => match request {
                Request::Stop => self.stop(),
                // Whoever asked may be gone.
                Request::Snapshot(reply) => drop(reply.send(self.engine.snapshot())),
            },
            () = self.processor.wake.woken() => self.engine.handle(clock(), Event::Woken),
            () = sleep => {}
        }
        let outcomes = self.inbox.take();
        #[cfg(feature = "failpoints")]
        let outcomes = at_report(outcomes).await;
        let now = clock();
        while let Ok(event) = self.events.try_recv() {
            self.engine.handle(now, event);
        }
        for (token, outcome) in outcomes {
            self.engine.handle(now, Event::Reported(token, outcome));
        }
    }

    /// Reports come one by one, and a look at everything costs as much for one as for hundreds. Where many are awaited a
    /// moment's patience delays little: all these events have been delivered.
    async fn gather(&self) {
        const MANY: usize = 100;
        const MOMENT: Duration = Duration::from_millis(1);
        if self.engine.awaited() >= MANY {
            tokio::time::sleep(MOMENT).await;
        }
    }

    fn stop(&mut self) {
        if self.engine.is_stopping() {
            return;
        }
        let wait = self.processor.deadline();
        self.engine.handle(clock(), Event::Stop { deadline: clock() + wait });
        let publisher = Arc::clone(&self.processor.publisher);
        // What is buffered goes out now; the outcomes come by themselves. The rest of the time is for hearing what the
        // publisher gave up at last: it was not sent, and is nobody's repeat.
        drop(tokio::spawn(async move { publisher.flush(wait * 9 / 10).await }));
    }

    fn carry_out(&self, asked: Instant, effect: Effect) {
        let store = Arc::clone(&self.processor.store);
        let patience = self.processor.config.lease;
        match effect {
            Effect::Lease(request) => {
                let leased = move |answer| Event::Leased { asked, answer };
                // So that there is time for another before the leases are lost.
                let lease = async move {
                    #[cfg(feature = "failpoints")]
                    at_lease().await?;
                    store.lease(request).await
                };
                self.call(patience / 3, lease, leased);
            }
            Effect::Read(request) => self.call(patience, async move { store.read(request).await }, Event::Read),
            Effect::Settle(request) => self.call(patience, async move { store.settle(request).await }, Event::Settled),
            Effect::Promote(leases) => {
                let id = self.id;
                self.call(patience, async move { store.promote(id, &leases, PROMOTED).await }, Event::Promoted);
            }
            Effect::Publish(batch) => self.publish(batch),
            Effect::Check => self.check(),
        }
    }

    fn call<T: Send + 'static>(
        &self,
        patience: Duration,
        call: impl Future<Output = Result<T, StoreError>> + Send + 'static,
        event: impl FnOnce(Result<T, StoreError>) -> Event + Send + 'static,
    ) {
        let (calls, sender) = (self.calls.clone(), self.sender.clone());
        drop(tokio::spawn(async move {
            let panicked = |error| Err(StoreError::new(StoreErrorKind::Broken, "carrying out a call", error));
            let answer = calls.make(patience, call).await.unwrap_or_else(panicked);
            // The processor may have stopped without waiting.
            drop(sender.send(event(answer)));
        }));
    }

    fn publish(&self, batch: Vec<(u64, Arc<Message>)>) {
        let reports: Arc<dyn Reports> = Arc::clone(&self.inbox) as _;
        let deliver = |(token, message): (u64, Arc<Message>)| Delivery::new(message, token, Arc::clone(&reports));
        let batch: Vec<Delivery> = batch.into_iter().map(deliver).collect();
        let (publisher, sender) = (Arc::clone(&self.processor.publisher), self.sender.clone());
        let call = tokio::spawn(async move {
            #[cfg(feature = "failpoints")]
            let Some(batch) = at_publish(batch).await else { return };
            publisher.publish(batch).await;
        });
        drop(tokio::spawn(async move {
            if let Err(error) = call.await {
                // Its deliveries were dropped, and so reported.
                tracing::error!(%error, "a publisher panicked");
            }
            drop(sender.send(Event::BatchTaken));
        }));
    }

    /// Asks the publisher whether it can reach its broker. One that does not answer in time cannot.
    fn check(&self) {
        let (publisher, sender) = (Arc::clone(&self.processor.publisher), self.sender.clone());
        let wait = self.processor.config.lease;
        let check = tokio::spawn(async move { publisher.check().await });
        let hanging = check.abort_handle();
        drop(tokio::spawn(async move {
            let answer = match tokio::time::timeout(wait, check).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(PublishError::unreachable("the publisher's check panicked")),
                Err(_) => {
                    hanging.abort();
                    Err(PublishError::unreachable("the publisher's check does not answer"))
                }
            };
            drop(sender.send(Event::Checked(answer)));
        }));
    }

    /// Checks the tables, for as long as it takes to reach the database. False when asked to stop before.
    async fn open(&self, requests: &mut mpsc::UnboundedReceiver<Request>) -> Result<bool, ProcessorError> {
        let mut pause = Duration::from_millis(100);
        let mut fails = false;
        loop {
            let store = Arc::clone(&self.processor.store);
            let opening = self.calls.clone().make(self.processor.config.lease, async move { store.open().await });
            let Some(answer) = self.meanwhile(requests, fails, opening).await else { return Ok(false) };
            let error = match answer {
                Ok(Ok(())) => return Ok(true),
                Ok(Err(error)) if error.kind() != StoreErrorKind::Unavailable => return Err(error.into()),
                Ok(Err(error)) => error,
                Err(error) => return Err(ProcessorError::Panicked(error.to_string())),
            };
            if self.once {
                return Err(error.into());
            }
            tracing::warn!(%error, "the outbox cannot be reached yet; trying again soon");
            fails = true;
            if self.meanwhile(requests, fails, tokio::time::sleep(pause)).await.is_none() {
                return Ok(false);
            }
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// Waits for `future`, and answers those who ask. `None` when asked to stop.
    async fn meanwhile<T>(
        &self,
        requests: &mut mpsc::UnboundedReceiver<Request>,
        database_fails: bool,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::pin!(future);
        loop {
            tokio::select! {
                value = &mut future => return Some(value),
                Some(request) = requests.recv() => match request {
                    Request::Stop => return None,
                    // Whoever asked may be gone.
                    Request::Snapshot(reply) => {
                        drop(reply.send(Snapshot { database_fails, ..self.engine.snapshot() }));
                    }
                },
            }
        }
    }
}

/// As if the database had not been reached.
#[cfg(feature = "failpoints")]
async fn at_lease() -> Result<(), StoreError> {
    let injected = crate::failpoints::reach("processor::lease").await;
    injected.map_err(|error| StoreError::new(StoreErrorKind::Unavailable, "leasing shards", error))
}

/// As if the publisher had been stopped.
#[cfg(feature = "failpoints")]
async fn at_publish(batch: Vec<Delivery>) -> Option<Vec<Delivery>> {
    if crate::failpoints::reach("processor::publish").await.is_ok() {
        return Some(batch);
    }
    batch.into_iter().for_each(Delivery::withheld);
    None
}

/// As if the answers of the broker had been lost.
#[cfg(feature = "failpoints")]
async fn at_report(outcomes: Vec<(u64, Outcome)>) -> Vec<(u64, Outcome)> {
    if outcomes.is_empty() || crate::failpoints::reach("processor::report").await.is_ok() {
        return outcomes;
    }
    let lost = |(token, _)| (token, Outcome::Failed(PublishError::unreachable("a failpoint lost the answer")));
    outcomes.into_iter().map(lost).collect()
}
