//! The loop that delivers events: a thin shell around the [engine](crate::engine).

mod builder;
mod config;
mod handle;
mod inbox;
mod shell;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;

pub use builder::ProcessorBuilder;
pub use config::ConfigError;
pub use handle::ProcessorHandle;

use self::config::Config;
use self::handle::Request;
use self::shell::Shell;
use crate::engine::Counts;
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
    enabled: bool,
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
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProcessorError {
    /// The outbox's tables are missing, or not what this library understands.
    #[error("the outbox cannot be used")]
    Store(#[from] StoreError),
    /// A bug: the processor panicked.
    #[error("the processor panicked")]
    Panicked,
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
        let (requests, receiver) = mpsc::unbounded_channel();
        let task = tokio::spawn(self.run(receiver, None));
        ProcessorHandle::new(requests, task)
    }

    /// Runs until `shutdown` completes, then stops: drains what is under way, settles it and gives up its leases,
    /// within the shutdown deadline.
    ///
    /// # Errors
    ///
    /// The tables are missing or not understood. Everything else is tried again for ever.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is like a crash of the process: what is published and not settled is repeated.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<Report, ProcessorError> {
        let handle = self.spawn();
        shutdown.await;
        handle.shutdown().await
    }

    /// Publishes what is due now, at most `limit` events, and stops. Rejected events get their retry time and are not
    /// waited for.
    ///
    /// # Errors
    ///
    /// The tables are missing or not understood.
    ///
    /// # Cancel safety
    ///
    /// As for [`run_until`](Self::run_until).
    pub async fn run_once(&self, limit: usize) -> Result<Report, ProcessorError> {
        let once = Self {
            store: Arc::clone(&self.store),
            publisher: Arc::clone(&self.publisher),
            wake: Wake::new(),
            name: self.name.clone(),
            config: self.config.clone(),
            enabled: self.enabled,
        };
        let (requests, receiver) = mpsc::unbounded_channel();
        let task = tokio::spawn(once.run(receiver, Some(limit)));
        ProcessorHandle::new(requests, task).join().await
    }

    async fn run(
        self,
        mut requests: mpsc::UnboundedReceiver<Request>,
        once: Option<usize>,
    ) -> Result<Report, ProcessorError> {
        if !self.enabled || once == Some(0) {
            while once.is_none() && !matches!(requests.recv().await, Some(Request::Stop) | None) {}
            if once.is_none() && requests.is_closed() {
                // Nobody can ask it to stop any more, which is not the same as being asked.
                std::future::pending::<()>().await;
            }
            return Ok(Report::default());
        }
        Shell::new(self, once).run(requests).await
    }

    fn deadline(&self) -> Duration {
        self.config.shutdown_deadline
    }
}
