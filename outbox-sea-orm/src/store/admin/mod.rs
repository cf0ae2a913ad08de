//! What operators do with the outbox.

mod list;
mod requeue;
mod stats;

use std::sync::Arc;

use async_trait::async_trait;
use outbox_core::event::{EventId, OrderKey};
use outbox_core::store::{Admin, AdminError, DeadLetter, PendingEvent, ScheduledEvent, StoreError, StoreStats};

use super::SeaOrmStore;
use crate::finish::finish;

// They run to their end, as the calls of `Store` do.
#[async_trait]
impl Admin for SeaOrmStore {
    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let inner = Arc::clone(&self.0);
        finish(async move { inner.stats().await }).await
    }

    async fn pending(&self, after: i64, limit: u32) -> Result<Vec<PendingEvent>, StoreError> {
        let inner = Arc::clone(&self.0);
        finish(async move { inner.pending(after, limit).await }).await
    }

    async fn scheduled(&self, after: Option<EventId>, limit: u32) -> Result<Vec<ScheduledEvent>, StoreError> {
        let inner = Arc::clone(&self.0);
        finish(async move { inner.scheduled(after, limit).await }).await
    }

    async fn dead_letters(&self, after: Option<EventId>, limit: u32) -> Result<Vec<DeadLetter>, StoreError> {
        let inner = Arc::clone(&self.0);
        finish(async move { inner.dead_letters(after, limit).await }).await
    }

    async fn dead_letter(&self, id: EventId) -> Result<DeadLetter, AdminError> {
        let inner = Arc::clone(&self.0);
        finish(async move { inner.dead_letter(id).await }).await?.ok_or(AdminError::NotFound(id))
    }

    async fn parked_keys(&self, after: Option<&OrderKey>, limit: u32) -> Result<Vec<OrderKey>, StoreError> {
        let (inner, after) = (Arc::clone(&self.0), after.cloned());
        finish(async move { inner.parked_keys(after.as_ref(), limit).await }).await
    }

    async fn requeue(&self, id: EventId) -> Result<(), AdminError> {
        let inner = Arc::clone(&self.0);
        finish(async move { inner.requeue(id).await }).await
    }

    async fn requeue_key(&self, key: &OrderKey) -> Result<u64, StoreError> {
        let (inner, key) = (Arc::clone(&self.0), key.clone());
        finish(async move { inner.requeue_key(&key).await }).await
    }

    async fn requeue_all(&self, limit: u32) -> Result<u64, StoreError> {
        let mut requeued = 0;
        for _ in 0..limit {
            let inner = Arc::clone(&self.0);
            let first = finish(async move { inner.first_dead().await }).await?;
            let Some((id, key)) = first else { break };
            requeued += match key {
                Some(key) => self.requeue_key(&key).await?,
                None => match self.requeue(id).await {
                    Ok(()) => 1,
                    Err(AdminError::Store(error)) => return Err(error),
                    // Somebody else was faster.
                    Err(_) => 0,
                },
            };
        }
        Ok(requeued)
    }

    async fn delete(&self, id: EventId) -> Result<(), AdminError> {
        let inner = Arc::clone(&self.0);
        finish(async move { inner.delete(id).await }).await
    }

    async fn give_up(&self, id: EventId, reason: &str) -> Result<bool, StoreError> {
        let (inner, reason) = (Arc::clone(&self.0), reason.to_owned());
        finish(async move { inner.give_up(id, &reason).await }).await
    }
}
