//! The loop that delivers events: a thin shell around the [engine](crate::engine).

mod builder;
mod calls;
mod config;
mod handle;
mod inbox;
mod settings;
mod shell;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;

pub use builder::ProcessorBuilder;
pub use config::ConfigError;
pub use handle::ProcessorHandle;

pub use crate::engine::{Counts, Snapshot};

use self::config::Config;
use self::handle::{Request, StopOnDrop};
use self::shell::Shell;
use crate::publisher::Publisher;
use crate::store::{Store, StoreError};
use crate::wake::Wake;

/// Takes committed events out of a [`Store`] and hands them to a [`Publisher`].
///
/// Several processors, in one process or many, share the work of one outbox and take over from one that dies.
/// Needs a Tokio runtime with time enabled.
#[derive(Debug)]
pub struct Processor {
    store: Arc<dyn Store>,
    publisher: Arc<dyn Publisher>,
    wake: Wake,
    name: String,
    config: Config,
}

/// What a processor did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// Events by what became of them.
    pub counts: Counts,
    /// Events that were with the publisher, or delivered and not settled, when the deadline for stopping passed.
    /// They will be published again.
    pub abandoned: usize,
}

/// Why a processor could not go on.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ProcessorError {
    /// The outbox's tables are missing, or not what this library understands; the text says what to do.
    #[error("the outbox cannot be used: {0}")]
    Store(#[source] Arc<StoreError>),
    /// A bug: the processor panicked. What it had published and not settled is repeated.
    #[error("the processor panicked, which is a bug: {0}")]
    Panicked(String),
    /// The Tokio runtime was shut down before the processor was. What it had published and not settled is repeated.
    #[error("the runtime has ended under the processor: shut the processor down first")]
    Aborted,
}

impl From<StoreError> for ProcessorError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl Processor {
    /// A processor with default settings that are still to be changed.
    pub fn builder(store: impl Store, publisher: impl Publisher) -> ProcessorBuilder {
        ProcessorBuilder::new(Arc::new(store), Arc::new(publisher))
    }

    /// Runs it in a task of its own, until [`ProcessorHandle::shutdown`]. Dropping the handle leaves it running.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    #[must_use = "the handle is how the processor is stopped"]
    pub fn spawn(self) -> ProcessorHandle {
        ProcessorHandle::start(|requests| self.run(requests, None))
    }

    /// Runs until `shutdown` completes, then stops: drains what is under way, settles it and gives up its leases,
    /// within the shutdown deadline.
    ///
    /// # Errors
    ///
    /// The tables are missing or not understood, which ends it before `shutdown` does. Everything else is tried again
    /// for ever.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the processor all the same, in the background: what the runtime leaves time for is
    /// drained and settled.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<Report, ProcessorError> {
        let handle = StopOnDrop(self.spawn());
        tokio::select! {
            ended = handle.0.join() => ended,
            () = shutdown => handle.0.shutdown().await,
        }
    }

    /// Publishes what is due now, at most `limit` events, and stops: for jobs that run now and then, and for tests.
    ///
    /// `run_once(usize::MAX)` returns when everything is delivered that can be. Rejected events get their retry time,
    /// and events of a topic that does not work stay where they are; neither is waited for. While other processors
    /// are alive they keep all shards, and this returns without having published anything.
    ///
    /// # Errors
    ///
    /// The tables are missing or not understood, or the database cannot be reached at the start.
    ///
    /// # Cancel safety
    ///
    /// As for [`run_until`](Self::run_until).
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub async fn run_once(&self, limit: usize) -> Result<Report, ProcessorError> {
        let once = Self {
            store: Arc::clone(&self.store),
            publisher: Arc::clone(&self.publisher),
            wake: Wake::new(),
            name: self.name.clone(),
            config: self.config.clone(),
        };
        let handle = StopOnDrop(ProcessorHandle::start(|requests| once.run(requests, Some(limit))));
        handle.0.join().await
    }

    async fn run(
        self,
        mut requests: mpsc::UnboundedReceiver<Request>,
        once: Option<usize>,
    ) -> Result<Report, ProcessorError> {
        match once {
            Some(0) => Ok(Report::default()),
            None if !self.config.enabled => {
                asked_to_stop(&mut requests).await;
                Ok(Report::default())
            }
            _ if !self.config.enabled => Ok(Report::default()),
            _ => Shell::new(self, once).run(requests).await,
        }
    }

    fn deadline(&self) -> Duration {
        self.config.shutdown_deadline
    }
}

async fn asked_to_stop(requests: &mut mpsc::UnboundedReceiver<Request>) {
    loop {
        match requests.recv().await {
            Some(Request::Stop) => return,
            Some(Request::Snapshot(_)) => {}
            // Nobody can ask it to stop any more, which is not the same as being asked.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_can_be_shared() {
        fn shared<T: Clone + Send + Sync + 'static>() {}
        shared::<ProcessorHandle>();
    }
}
