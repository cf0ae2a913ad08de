use std::sync::Mutex;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{ProcessorError, Report};
use crate::engine::Snapshot;

/// What a handle asks of its processor.
#[derive(Debug)]
pub(super) enum Request {
    Stop,
    Snapshot(oneshot::Sender<Snapshot>),
}

/// A processor that runs in a task of its own.
#[derive(Debug)]
pub struct ProcessorHandle {
    requests: mpsc::UnboundedSender<Request>,
    task: Mutex<JoinHandle<Result<Report, ProcessorError>>>,
}

impl ProcessorHandle {
    pub(super) fn new(
        requests: mpsc::UnboundedSender<Request>,
        task: JoinHandle<Result<Report, ProcessorError>>,
    ) -> Self {
        Self { requests, task: Mutex::new(task) }
    }

    /// Whether it still runs. One that could not use the tables has stopped; see [`join`](Self::join) for why.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.task.lock().is_ok_and(|task| !task.is_finished())
    }

    /// What it is doing; nothing when it does not run or is not enabled.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        let (sender, receiver) = oneshot::channel();
        self.requests.send(Request::Snapshot(sender)).ok()?;
        receiver.await.ok()
    }

    /// Stops it: reads nothing more, waits for what is with the publisher, settles, and gives up its leases, within
    /// the shutdown deadline. If that is met, nothing will be published twice.
    ///
    /// # Errors
    ///
    /// It had stopped before, because it could not go on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the stopping.
    pub async fn shutdown(self) -> Result<Report, ProcessorError> {
        // It may have stopped already; then there is nobody to receive this.
        let _received = self.requests.send(Request::Stop);
        self.join().await
    }

    /// Waits until it has stopped by itself.
    ///
    /// # Errors
    ///
    /// It could not go on.
    pub async fn join(self) -> Result<Report, ProcessorError> {
        let Self { requests, task } = self;
        let task = task.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let result = task.await.unwrap_or(Err(ProcessorError::Panicked));
        drop(requests);
        result
    }
}
