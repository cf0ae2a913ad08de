//! An owner of leases that does by hand what a processor does, and may settle too late.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use outbox_core::event::OrderKey;
use outbox_core::store::{
    Change, Fate, LaneRead, LaneSettle, Lease, LeaseRequest, Reach, ReadRequest, Row, SettleRequest, Settled, Store,
    StoreError, StoreErrorKind,
};
use outbox_core::testing::Outcomes;
use outbox_core::{MemoryPublisher, Publisher};
use outbox_sea_orm::SeaOrmStore;
use uuid::Uuid;

use super::events::{ATTEMPTS, Broker, PARKS};

const TTL: Duration = Duration::from_millis(400);

pub(super) struct Owner<'w> {
    pub(super) store: &'w SeaOrmStore,
    pub(super) sink: &'w MemoryPublisher,
    pub(super) broker: &'w Broker,
    id: Uuid,
}

/// What became of a turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) settled: usize,
    pub(super) refused: usize,
}

impl<'w> Owner<'w> {
    pub(super) fn new(store: &'w SeaOrmStore, sink: &'w MemoryPublisher, broker: &'w Broker) -> Self {
        Self { store, sink, broker, id: Uuid::now_v7() }
    }

    /// Takes what leases it can get, publishes, and settles, after its lease has run out if it is to be `late`.
    pub(super) async fn turn(&self, late: Option<Duration>) -> Turn {
        let mut turn = Turn::default();
        match self.try_turn(late, &mut turn).await {
            Ok(()) => {}
            // A database that chose this transaction to resolve a conflict.
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}"),
        }
        // Its leases end by themselves otherwise.
        drop(self.lease(0, true).await);
        turn
    }

    async fn try_turn(&self, late: Option<Duration>, turn: &mut Turn) -> Result<(), StoreError> {
        let mut held = Vec::new();
        let mut asked = Instant::now();
        for _ in 0..15 {
            asked = Instant::now();
            held = self.lease(2, false).await?;
            if !held.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        let lane = |lease: &Lease| LaneRead {
            lease: *lease,
            after: 0,
            known: Vec::new(),
            limit: 1_000,
            bytes: usize::MAX,
            revisit: None,
        };
        let lanes = held.iter().map(lane).collect();
        let reply = self.store.read(ReadRequest { processor: self.id, lanes }).await?;
        let mut lanes = Vec::new();
        for found in reply.lanes {
            let lease = *held.iter().find(|lease| lease.shard == found.shard).unwrap();
            let changes = self.deliver(&found.rows, asked).await;
            lanes.push(LaneSettle { lease, generation: found.generation, changes });
        }
        if let Some(late) = late {
            tokio::time::sleep(TTL + late).await;
        }
        for (_, settled) in self.store.settle(SettleRequest { processor: self.id, lanes }).await?.lanes {
            match settled {
                Settled::Done | Settled::Regenerated => turn.settled += 1,
                Settled::LeaseLost => turn.refused += 1,
            }
        }
        Ok(())
    }

    async fn lease(&self, most: usize, leaving: bool) -> Result<Vec<Lease>, StoreError> {
        let (name, state, reach) = ("by hand".to_owned(), "{}".to_owned(), Reach::Works);
        let (release, guest) = (Vec::new(), false);
        let request = LeaseRequest { processor: self.id, name, ttl: TTL, release, most, leaving, guest, reach, state };
        self.store.lease(request).await.map(|reply| reply.held)
    }

    /// In order, and of a key nothing behind what was not delivered.
    async fn deliver(&self, rows: &[Row], asked: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut blocked: HashSet<OrderKey> = HashSet::new();
        for row in rows {
            // As a processor does: what is handed over is handed over while the lease is valid.
            if asked.elapsed() > TTL * 8 / 10 {
                break;
            }
            let message = &row.message;
            let key = message.order_key().unwrap();
            let fate = if row.parked {
                Fate::Parked
            } else if blocked.contains(&key) {
                continue;
            } else if row.retry_in.is_some_and(|left| !left.is_zero()) {
                blocked.insert(key);
                continue;
            } else if self.broker.rejects(message) {
                let (attempts, error) = (message.attempts + 1, "rejected by hand".to_owned());
                let park = key.topic == PARKS;
                blocked.insert(key);
                match attempts {
                    ATTEMPTS.. => Fate::Dead { attempts, error, park },
                    _ => Fate::Retry { attempts, delay: Duration::from_millis(20), error },
                }
            } else {
                self.sink.publish(Outcomes::new().deliveries([Arc::clone(message)])).await;
                Fate::Delivered
            };
            changes.push(Change::of(message, fate));
        }
        changes
    }
}
