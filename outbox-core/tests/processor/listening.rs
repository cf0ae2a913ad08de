//! Work that other processes have made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use outbox_core::testing::MemoryStore;
use outbox_core::{MemoryPublisher, Processor, Wake};
use tokio::sync::Notify;

use crate::support::{DEADLINE, Meddle, Meddled, event, until};

const HOUR: Duration = Duration::from_secs(3600);

/// Passes on what it is told.
#[derive(Debug, Clone, Default)]
struct Messenger {
    told: Arc<Notify>,
    listening: Arc<AtomicBool>,
}

struct Ended(Arc<AtomicBool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[async_trait]
impl Meddle for Messenger {
    async fn listen(&self, wake: &Wake) {
        self.listening.store(true, Ordering::SeqCst);
        let _ended = Ended(Arc::clone(&self.listening));
        loop {
            self.told.notified().await;
            wake.wake();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_heard_is_looked_for_at_once_until_the_processor_ends() {
    let (store, publisher, messenger) = (MemoryStore::new(4), MemoryPublisher::new(), Messenger::default());
    let meddled = Meddled(store.clone(), messenger.clone());
    let processor = Processor::builder(meddled, publisher.clone()).poll_intervals(HOUR, HOUR, HOUR).spawn().unwrap();
    until(async || messenger.listening.load(Ordering::SeqCst)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;

    store.commit([event("key", 1)]);
    messenger.told.notify_one();
    publisher.wait_for(1, DEADLINE).await.unwrap();

    processor.shutdown().await.unwrap();
    until(async || !messenger.listening.load(Ordering::SeqCst)).await;
}
