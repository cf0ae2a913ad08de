//! Hints that there is work.

use std::sync::Arc;

use tokio::sync::Notify;

/// Tells a processor in the same process that something was committed.
///
/// Clones belong together. A hint is remembered until somebody waits, several hints become one, and a lost hint
/// costs time but nothing else: polling finds every event.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// A new, silent one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that there is work. Cheap, and callable from anywhere.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Waits for the next hint, or returns at once if there was one since the last wait.
    ///
    /// # Cancel safety
    ///
    /// A hint that arrives after the future is dropped is kept for the next wait.
    pub async fn woken(&self) {
        self.0.notified().await;
    }
}
