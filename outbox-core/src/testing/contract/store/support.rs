//! What the clauses have in common.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::{Fixture, SHARDS};
use crate::event::{Envelope, EventId, Headers, OrderKey};
use crate::shard::Shard;
use crate::store::{
    Change, Fate, LaneRead, LaneRows, LaneSettle, Lease, LeaseReply, LeaseRequest, Reach, ReadReply, ReadRequest, Row,
    SettleRequest, Settled,
};

pub(super) const LONG: Duration = Duration::from_secs(600);
pub(super) const SHORT: Duration = Duration::from_millis(300);
const TOPIC: &str = "topic";

/// One that holds leases.
pub(super) struct Processor<'f> {
    pub(super) fixture: &'f dyn Fixture,
    pub(super) id: Uuid,
    pub(super) held: Vec<Lease>,
}

impl<'f> Processor<'f> {
    pub(super) fn new(fixture: &'f dyn Fixture) -> Self {
        Self { fixture, id: Uuid::now_v7(), held: Vec::new() }
    }

    /// One that holds every shard for long.
    pub(super) async fn alone(fixture: &'f dyn Fixture) -> Self {
        let mut this = Self::new(fixture);
        this.lease(LONG).await;
        assert_eq!(this.held.len(), usize::from(SHARDS));
        this
    }

    pub(super) fn request(&self, ttl: Duration) -> LeaseRequest {
        let state = String::from("{}");
        LeaseRequest {
            processor: self.id,
            name: "a processor".to_owned(),
            ttl,
            release: Vec::new(),
            most: usize::from(SHARDS),
            leaving: false,
            guest: false,
            reach: Reach::Works,
            state,
        }
    }

    pub(super) async fn lease(&mut self, ttl: Duration) -> LeaseReply {
        self.ask(self.request(ttl)).await
    }

    pub(super) async fn ask(&mut self, request: LeaseRequest) -> LeaseReply {
        let reply = self.fixture.store().lease(request).await.expect("leases");
        self.held.clone_from(&reply.held);
        assert!(self.held.is_sorted_by_key(|lease| lease.shard), "by shard");
        reply
    }

    pub(super) fn lane(&self, shard: Shard) -> LaneRead {
        let lease = *self.held.iter().find(|lease| lease.shard == shard).expect("a lease");
        LaneRead { lease, after: 0, known: Vec::new(), limit: 1_000, bytes: usize::MAX, revisit: None }
    }

    pub(super) async fn read_with(&self, lanes: Vec<LaneRead>) -> ReadReply {
        let request = ReadRequest { processor: self.id, lanes };
        self.fixture.store().read(request).await.expect("a read")
    }

    pub(super) async fn read_lane(&self, lane: LaneRead) -> LaneRows {
        let mut reply = self.read_with(vec![lane]).await;
        reply.lanes.pop().expect("the lane")
    }

    /// Everything pending, by number.
    pub(super) async fn read(&self) -> Vec<Row> {
        let lanes = self.held.iter().map(|lease| self.lane(lease.shard)).collect();
        let mut rows: Vec<Row> = self.read_with(lanes).await.lanes.into_iter().flat_map(|lane| lane.rows).collect();
        rows.sort_by_key(|row| row.message.seq);
        rows
    }

    /// Reads until `seq` is decided.
    pub(super) async fn read_until_decided(&self, seq: i64) -> ReadReply {
        for _ in 0..2_000 {
            let lanes = self.held.iter().map(|lease| self.lane(lease.shard)).collect();
            let reply = self.read_with(lanes).await;
            if reply.decided >= seq {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        unreachable!("{seq} is never decided")
    }

    pub(super) async fn generation(&self, shard: Shard) -> i64 {
        self.read_lane(self.lane(shard)).await.generation
    }

    /// Settles one event under the generation of now.
    pub(super) async fn settle(&self, row: &Row, fate: Fate) -> Settled {
        let generation = self.generation(row.message.shard).await;
        self.settle_as(row, generation, vec![fate]).await
    }

    pub(super) async fn settle_as(&self, row: &Row, generation: i64, fates: Vec<Fate>) -> Settled {
        let changes = fates.into_iter().map(|fate| Change::of(&row.message, fate)).collect();
        let lane = LaneSettle { lease: self.lane(row.message.shard).lease, generation, changes };
        let request = SettleRequest { processor: self.id, lanes: vec![lane] };
        let reply = self.fixture.store().settle(request).await.expect("a settle");
        assert_eq!(reply.lanes.len(), 1);
        assert_eq!(reply.lanes[0].0, row.message.shard);
        reply.lanes[0].1
    }
}

pub(super) fn event(key: Option<&str>, body: &str) -> Envelope {
    Envelope {
        id: EventId::new(),
        aggregate_type: "thing".into(),
        aggregate_id: key.map(Into::into),
        aggregate_version: None,
        event_type: "thing.happened".into(),
        event_version: 1,
        topic: TOPIC.into(),
        key: key.map(Into::into),
        payload: Some(Bytes::from(body.to_owned())),
        content_type: "application/json".into(),
        headers: Headers::new(),
        created_at: std::time::SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456),
        delay: None,
    }
}

pub(super) fn order_key(key: &str) -> OrderKey {
    OrderKey::new(TOPIC, key)
}

pub(super) fn bodies(rows: &[Row]) -> Vec<String> {
    rows.iter().map(body).collect()
}

pub(super) fn body(row: &Row) -> String {
    String::from_utf8(row.message.envelope.payload.clone().unwrap_or_default().to_vec()).expect("text")
}

pub(super) async fn commit(fixture: &dyn Fixture, events: impl IntoIterator<Item = Envelope>) {
    fixture.begin(events.into_iter().collect()).await.commit().await;
}

/// Commits one event per body, all of one key.
pub(super) async fn commit_of(fixture: &dyn Fixture, key: &str, bodies: &[&str]) {
    commit(fixture, bodies.iter().map(|body| event(Some(key), body))).await;
}

pub(super) fn dead(attempts: u32, park: bool) -> Fate {
    Fate::Dead { attempts, error: "it broke".to_owned(), park }
}

pub(super) fn retry(attempts: u32, delay: Duration) -> Fate {
    Fate::Retry { attempts, delay, error: format!("error {attempts}") }
}

pub(super) fn shards(leases: &[Lease]) -> BTreeSet<Shard> {
    leases.iter().map(|lease| lease.shard).collect()
}
