//! The hint that there is work.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Tells a waiting processor, in the same process, that there may be work.
///
/// Clones belong together: [`wake`](Self::wake) on one is noticed by all. Each clone remembers for itself, so a wake
/// that comes while its owner is busy is not lost, and several processors can wait on clones of one source.
/// Wakes are hints: many may be noticed as one, one may find nothing to do, and one may come before its event can be
/// seen: a processor looks again after 10 ms, and then whenever the wake is twice as old, until polling is as frequent.
pub struct Wake {
    shared: Arc<Shared>,
    /// The last generation that this clone has noticed.
    seen: AtomicU64,
}

#[derive(Default)]
struct Shared {
    generation: AtomicU64,
    notify: Notify,
}

impl Wake {
    /// A source that nobody has woken yet.
    #[must_use]
    pub fn new() -> Self {
        Self { shared: Arc::default(), seen: AtomicU64::new(0) }
    }

    /// Says that there may be work. Never blocks.
    pub fn wake(&self) {
        self.shared.generation.fetch_add(1, Ordering::SeqCst);
        self.shared.notify.notify_waiters();
    }

    /// Returns as soon as there was a wake that this clone has not noticed yet.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a wake that was not returned is kept for the next call.
    pub async fn woken(&self) {
        loop {
            let mut notified = pin!(self.shared.notify.notified());
            // Registered before looking, so that a wake in between is not missed.
            notified.as_mut().enable();
            let generation = self.shared.generation.load(Ordering::SeqCst);
            if self.seen.swap(generation, Ordering::SeqCst) != generation {
                return;
            }
            notified.await;
        }
    }
}

impl Default for Wake {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Wake {
    /// The clone has noticed what the original has noticed.
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), seen: AtomicU64::new(self.seen.load(Ordering::SeqCst)) }
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wake").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll(future: impl Future<Output = ()>) -> bool {
        pin!(future).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn a_wake_is_remembered_once_by_every_clone() {
        let (one, other) = (Wake::new(), Wake::new());
        drop(other);
        let other = one.clone();
        assert!(!poll(one.woken()));
        one.wake();
        one.wake();
        assert!(poll(one.woken()));
        assert!(!poll(one.woken()));
        assert!(poll(other.woken()));
        assert!(!poll(other.woken()));
    }

    #[tokio::test]
    async fn a_waiting_clone_is_woken() {
        let wake = Wake::new();
        let waiting = wake.clone();
        let task = tokio::spawn(async move { waiting.woken().await });
        tokio::task::yield_now().await;
        wake.wake();
        task.await.unwrap();
    }
}
