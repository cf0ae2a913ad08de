//! The store in memory keeps the contract.

use std::time::Duration;

use async_trait::async_trait;

use super::{Fixture, Open, SHARDS};
use crate::event::Envelope;
use crate::store::{Admin, Store};
use crate::testing::{MemoryStore, Unsettled};

struct Memory(MemoryStore);

#[async_trait]
impl Fixture for Memory {
    fn store(&self) -> &dyn Store {
        &self.0
    }

    fn admin(&self) -> &dyn Admin {
        &self.0
    }

    async fn begin(&self, events: Vec<Envelope>) -> Box<dyn Open> {
        Box::new(self.0.begin(events))
    }

    fn writes_at_once(&self) -> bool {
        true
    }

    async fn pass(&self, time: Duration) {
        self.0.advance(time);
    }
}

#[async_trait]
impl Open for Unsettled {
    async fn commit(self: Box<Self>) {
        (*self).commit();
    }

    async fn rollback(self: Box<Self>) {}
}

macro_rules! in_memory {
    ($($clause:ident),+ $(,)?) => {$(
        #[tokio::test]
        async fn $clause() {
            super::$clause(&Memory(MemoryStore::new(SHARDS))).await;
        }
    )+};
}

for_every_store_clause!(in_memory);
