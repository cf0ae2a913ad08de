use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc};

use super::futures::caught;
use super::remaining::{Remaining, by_key};
use super::tasks::Tasks;
use super::{Delivery, PublishError, Publisher, Receipt};
use crate::message::Message;

/// Publishes by calling a closure for every message; made by [`publish_fn`] and [`publish_with`].
pub struct FnPublisher<F> {
    publish: Arc<F>,
    permits: Arc<Semaphore>,
    tasks: Tasks,
}

/// A publisher out of a closure that sends one message: for tests, and for sinks that have no publisher of their own.
///
/// The closure says what became of the message; the rest of [the contract](Publisher) is kept for it:
///
/// - Messages of one order key are sent one after another, those of different keys at the same time, up to
///   [`concurrency`](FnPublisher::concurrency) calls.
/// - After a failure, later messages of that key in the batch are withheld.
/// - A panic is a rejection of that message.
/// - A call that is still running when a flush's deadline passes, or when the publisher is dropped, is cancelled, and
///   its message is unreachable: it may have arrived. A call that never awaits cannot be cancelled; block in
///   [`tokio::task::spawn_blocking`].
///
/// Needs a Tokio runtime. [`check`](Publisher::check) always succeeds: a closure has nothing to ask.
/// [`publish_with`] is for closures that need something of their own, such as a client.
///
/// ```
/// use outbox_core::{Message, PublishError, publish_fn};
///
/// # async fn post(_: &Message) -> Result<u16, std::io::Error> { Ok(200) }
/// let publisher = publish_fn(|message| async move {
///     match post(&message).await {
///         Ok(200..300) => Ok(()),
///         Ok(429) => Err(PublishError::throttled("too many requests", None)),
///         Ok(status @ 400..500) => Err(PublishError::rejected(format!("status {status}"))),
///         Ok(status) => Err(PublishError::unreachable(format!("status {status}"))),
///         Err(error) => Err(PublishError::unreachable("no answer").with_source(error)),
///     }
/// })
/// .concurrency(32);
/// # let _: &dyn outbox_core::Publisher = &publisher;
/// ```
pub fn publish_fn<F, Fut>(publish: F) -> FnPublisher<F>
where
    F: Fn(Arc<Message>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), PublishError>> + Send + 'static,
{
    const CONCURRENCY: usize = 16;
    FnPublisher { publish: Arc::new(publish), permits: Arc::new(Semaphore::new(CONCURRENCY)), tasks: Tasks::new() }
}

/// [`publish_fn`] with a state: every call gets a clone of it, so the closure need not clone anything itself.
///
/// The state is what clients are anyway: cheap to clone, an `Arc` or around one.
///
/// ```
/// # use std::sync::Arc;
/// use outbox_core::{Message, PublishError, publish_with};
///
/// struct Client { /* .. */ }
///
/// impl Client {
///     async fn post(&self, body: &[u8]) -> Result<(), std::io::Error> {
///         /* .. */
/// #       let _ = body;
/// #       Ok(())
///     }
/// }
///
/// let client = Arc::new(Client { /* .. */ });
/// let publisher = publish_with(client, |client, message| async move {
///     let sent = client.post(message.payload().unwrap_or_default()).await;
///     sent.map_err(|error| PublishError::unreachable("no answer").with_source(error))
/// });
/// # let _: &dyn outbox_core::Publisher = &publisher;
/// ```
pub fn publish_with<S, F, Fut>(
    state: S,
    publish: F,
) -> FnPublisher<impl Fn(Arc<Message>) -> Fut + Send + Sync + 'static>
where
    S: Clone + Send + Sync + 'static,
    F: Fn(S, Arc<Message>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), PublishError>> + Send + 'static,
{
    publish_fn(move |message| publish(state.clone(), message))
}

impl<F> FnPublisher<F> {
    /// Most calls of the closure at a time, at least 1. Default 16.
    #[must_use]
    pub fn concurrency(self, calls: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(calls.clamp(1, Semaphore::MAX_PERMITS))), ..self }
    }
}

#[async_trait]
impl<F, Fut> Publisher for FnPublisher<F>
where
    F: Fn(Arc<Message>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), PublishError>> + Send + 'static,
{
    /// Returns when the first message of every key is being sent.
    ///
    /// # Cancel safety
    ///
    /// Cancelling loses nothing: the batch is sent all the same.
    async fn publish(&self, batch: Vec<Delivery>) {
        let (waiting, mut all_started) = mpsc::channel(1);
        for queue in by_key(batch) {
            let (publish, permits) = (Arc::clone(&self.publish), Arc::clone(&self.permits));
            self.tasks.spawn(send(publish, permits, queue, waiting.clone()));
        }
        drop(waiting);
        all_started.recv().await;
    }

    async fn flush(&self, deadline: Duration) {
        // For calls that block their thread: nobody can end them, and a shutdown must not wait for them.
        const TO_CANCEL: Duration = Duration::from_secs(1);
        if !self.tasks.done(deadline).await {
            self.tasks.abort();
            self.tasks.done(TO_CANCEL).await;
        }
    }

    async fn check(&self) -> Result<(), PublishError> {
        Ok(())
    }
}

impl<F> fmt::Debug for FnPublisher<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnPublisher").field("tasks", &self.tasks).finish_non_exhaustive()
    }
}

/// A call of the closure whose outcome is not known yet.
struct Call(Option<Receipt>);

impl Call {
    fn ended(mut self) -> Option<Receipt> {
        self.0.take()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(receipt) = self.0.take() {
            let cause = "the call was cancelled before it returned; the message may have arrived";
            receipt.failed(PublishError::unreachable(cause));
        }
    }
}

/// Sends the messages of one key. `waiting` is given up when the first one is on its way.
async fn send<F, Fut>(publish: Arc<F>, permits: Arc<Semaphore>, mut queue: Remaining, waiting: mpsc::Sender<Infallible>)
where
    F: Fn(Arc<Message>) -> Fut,
    Fut: Future<Output = Result<(), PublishError>>,
{
    let mut waiting = Some(waiting);
    while !queue.is_empty() {
        let Ok(_permit) = permits.acquire().await else { return };
        drop(waiting.take());
        let Some(delivery) = queue.next() else { return };
        let (message, receipt) = delivery.into_parts();
        let call = Call(Some(receipt));
        // The closure is called inside, because it may panic before there is a future.
        let result = caught(async { publish(message).await }).await;
        let Some(receipt) = call.ended() else { return };
        match result {
            Ok(Ok(())) => receipt.delivered(),
            Ok(Err(error)) => return receipt.failed(error),
            Err(panic) => return receipt.failed(PublishError::rejected(format!("publishing panicked: {panic}"))),
        }
    }
}
