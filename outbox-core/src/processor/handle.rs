use tokio::sync::{mpsc, oneshot, watch};

use super::{ProcessorError, Report, Snapshot};
use crate::publisher::caught;

type Ended = Option<Result<Report, ProcessorError>>;

/// What a handle asks of its processor.
#[derive(Debug)]
pub(super) enum Request {
    Stop,
    Snapshot(oneshot::Sender<Snapshot>),
}

/// A processor that runs in a task of its own. Cheap to clone; all clones are equal, so that one can be shared with
/// a health check and another one stop it.
///
/// Dropping all of them leaves the processor running, for as long as its Tokio runtime lives: events go on being
/// delivered, and nobody can ask for a graceful stop any more. A runtime that ends under a running processor is to it
/// what a crash is: what it has published and not settled is repeated.
///
/// ```
/// use std::time::Duration;
///
/// use outbox_core::{Processor, ProcessorHandle};
/// # use outbox_core::{Publisher, store::Store};
///
/// async fn healthy(processor: &ProcessorHandle) -> bool {
///     processor.snapshot().await.is_some_and(|now| !now.database_fails && now.paused.is_empty())
/// }
///
/// # async fn run(store: impl Store, publisher: impl Publisher) -> Result<(), Box<dyn std::error::Error>> {
/// let processor = Processor::builder(store, publisher).spawn()?;
/// let for_health = processor.clone();
/// tokio::spawn(async move {
///     while for_health.is_running() {
///         println!("healthy: {}", healthy(&for_health).await);
///         tokio::time::sleep(Duration::from_secs(10)).await;
///     }
/// });
/// // .. when the program ends:
/// let report = processor.shutdown().await?;
/// println!("{} delivered", report.counts.delivered);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "the handle is how the processor is stopped"]
pub struct ProcessorHandle {
    requests: mpsc::UnboundedSender<Request>,
    ended: watch::Receiver<Ended>,
}

/// Asks its processor to stop when it is dropped.
pub(super) struct StopOnDrop(pub(super) ProcessorHandle);

impl ProcessorHandle {
    /// Runs a processor in a task of its own.
    pub(super) fn start<R>(run: impl FnOnce(mpsc::UnboundedReceiver<Request>) -> R) -> Self
    where
        R: Future<Output = Result<Report, ProcessorError>> + Send + 'static,
    {
        let (requests, receiver) = mpsc::unbounded_channel();
        let (end, ended) = watch::channel(None);
        let run = run(receiver);
        drop(tokio::spawn(async move {
            let result = caught(run).await.unwrap_or_else(|panic| Err(ProcessorError::Panicked(panic)));
            if let Err(error) = &result {
                // Perhaps nobody ever looks at the handle.
                tracing::error!(%error, "the processor has stopped");
            }
            end.send_replace(Some(result));
        }));
        Self { requests, ended }
    }

    /// Whether it still runs. One that could not use the tables has stopped; see [`join`](Self::join) for why.
    #[must_use]
    pub fn is_running(&self) -> bool {
        // Without its sender it has gone down with its runtime.
        self.ended.borrow().is_none() && self.ended.has_changed().is_ok()
    }

    /// What it is doing; `None` when it does not run or is not enabled.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        let (sender, receiver) = oneshot::channel();
        self.requests.send(Request::Snapshot(sender)).ok()?;
        receiver.await.ok()
    }

    /// Stops it: reads nothing more, waits for what is with the publisher, settles, and gives up its leases, within
    /// the shutdown deadline. If that is met, nothing will be published twice.
    ///
    /// It may be called any number of times, from anywhere: the deadline counts from the first call, and every caller
    /// gets the same report.
    ///
    /// # Errors
    ///
    /// It had stopped before, because it could not go on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, once it was polled, does not stop the stopping.
    pub async fn shutdown(&self) -> Result<Report, ProcessorError> {
        self.stop();
        self.join().await
    }

    /// Waits until it has stopped, because it was [shut down](Self::shutdown) or could not go on.
    ///
    /// # Errors
    ///
    /// It could not go on.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it may be one of the branches of a `select!`.
    pub async fn join(&self) -> Result<Report, ProcessorError> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Err(ProcessorError::Aborted)),
            Err(_) => Err(ProcessorError::Aborted),
        }
    }

    fn stop(&self) {
        // It may have stopped already; then there is nobody to receive this.
        let _received = self.requests.send(Request::Stop);
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
