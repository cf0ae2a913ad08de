//! A processor that holds every shard.

use std::time::Duration;

use outbox_core::Place;
use outbox_core::event::EventId;
use outbox_core::store::{
    Change, Fate, LaneRead, LaneSettle, Lease, LeaseRequest, Reach, ReadReply, ReadRequest, SettleRequest, Settled,
    Store,
};
use outbox_core::testing::contract::store::Fixture;
use outbox_sea_orm::SeaOrmStore;
use sea_orm::{ConnectionTrait, Statement};
use uuid::Uuid;

use super::fixture::{Outboxed, event};

pub(super) const LONG: Duration = Duration::from_secs(600);

/// A processor that holds every shard.
pub(super) struct Owner {
    pub(super) id: Uuid,
    pub(super) held: Vec<Lease>,
}

impl Owner {
    pub(super) async fn of(store: &SeaOrmStore, ttl: Duration) -> Self {
        let id = Uuid::now_v7();
        let held = lease(store, id, ttl).await;
        assert_eq!(held.len(), 8);
        Self { id, held }
    }

    /// Everything from the beginning.
    pub(super) fn lane(lease: &Lease) -> LaneRead {
        LaneRead { lease: *lease, after: 0, known: Vec::new(), limit: 1_000, bytes: usize::MAX, revisit: None }
    }

    pub(super) async fn read(&self, store: &SeaOrmStore) -> ReadReply {
        let lanes = self.held.iter().map(Self::lane).collect();
        store.read(ReadRequest { processor: self.id, lanes }).await.unwrap()
    }

    /// As one who has not read anything since the lane began.
    pub(super) async fn settle(&self, store: &SeaOrmStore, shard: u16, seq: i64, id: EventId, fate: Fate) -> Settled {
        self.settle_under(0, store, shard, Change { seq, id, place: Place::default(), fate }).await
    }

    pub(super) async fn settle_under(
        &self,
        generation: i64,
        store: &SeaOrmStore,
        shard: u16,
        change: Change,
    ) -> Settled {
        let lane = LaneSettle { lease: self.held[usize::from(shard)], generation, changes: vec![change] };
        let reply = store.settle(SettleRequest { processor: self.id, lanes: vec![lane] }).await.unwrap();
        reply.lanes[0].1
    }
}

/// Asks for every shard.
pub(super) async fn lease(store: &SeaOrmStore, processor: Uuid, ttl: Duration) -> Vec<Lease> {
    let (name, state) = ("owner".to_owned(), "{}".to_owned());
    let (release, reach) = (Vec::new(), Reach::Works);
    let (most, leaving, guest) = (8, false, false);
    let request = LeaseRequest { processor, name, ttl, release, most, leaving, guest, reach, state };
    store.lease(request).await.unwrap().held
}

pub(super) async fn commit(outboxed: &Outboxed, bodies: &[&str]) {
    outboxed.begin(bodies.iter().map(|body| event("a", body)).collect()).await.commit().await;
}

/// The only event: its shard, number and id.
pub(super) async fn only(owner: &Owner, store: &SeaOrmStore) -> (u16, i64, EventId) {
    let reply = owner.read(store).await;
    let rows: Vec<_> = reply.lanes.iter().flat_map(|lane| &lane.rows).collect();
    assert_eq!(rows.len(), 1);
    (rows[0].message.shard.number(), rows[0].message.seq, rows[0].message.id())
}

pub(super) async fn count(outboxed: &Outboxed) -> i64 {
    let sql = format!("SELECT COUNT(*) AS n FROM {}", outboxed.store.names().event(outboxed.db.backend()));
    let row = outboxed.db.connection().query_one_raw(Statement::from_string(outboxed.db.backend(), sql)).await;
    row.unwrap().unwrap().try_get("", "n").unwrap()
}
