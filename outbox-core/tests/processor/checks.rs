//! Publishers that do not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use outbox_core::testing::MemoryStore;
use outbox_core::{Delivery, Processor, PublishError, Publisher};

use crate::support::event;

/// Cannot publish, and does not answer when asked why.
#[derive(Debug)]
struct Mute {
    asked: Arc<AtomicUsize>,
    /// One more than there are checks under way.
    open: Arc<()>,
}

#[async_trait]
impl Publisher for Mute {
    async fn publish(&self, batch: Vec<Delivery>) {
        batch.into_iter().for_each(|delivery| delivery.failed(PublishError::unreachable("away")));
    }
    async fn flush(&self, _: Duration) {}
    async fn check(&self) -> Result<(), PublishError> {
        let _open = Arc::clone(&self.open);
        self.asked.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn checks_that_are_not_answered_do_not_pile_up() {
    let (asked, open, store) = (Arc::default(), Arc::new(()), MemoryStore::new(1));
    store.commit([event("key", 1)]);
    let publisher = Mute { asked: Arc::clone(&asked), open: Arc::clone(&open) };
    let processor = Processor::builder(store.clone(), publisher).lease(Duration::from_secs(3)).spawn().unwrap();
    while asked.load(Ordering::SeqCst) < 1 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(Arc::strong_count(&open), 3, "under way");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(Arc::strong_count(&open), 2, "given up");
    processor.shutdown().await.unwrap();
}
