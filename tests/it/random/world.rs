//! Writers, processors and operators on the same tables.

use std::sync::Arc;
use std::time::{Duration, Instant};

use outbox_core::MemoryPublisher;
use outbox_core::event::EventId;
use outbox_sea_orm::migration::{Options, OutboxMigrator, TableNames};
use outbox_sea_orm::{Outbox, OutboxTransaction, SeaOrmStore};
use outbox_tests::{Kind, TestDatabase};

use super::events::{Broker, CONTINUES, PARKS, Step};
use super::node::{LEASE, Node};
use super::owner::Owner;
use super::truth::Truth;

/// Few, so that keys share them.
const SHARDS: u16 = 4;
const KEYS: usize = 6;

pub(super) struct World {
    pub(super) db: Arc<TestDatabase>,
    prefix: String,
    outbox: Outbox,
    pub(super) store: SeaOrmStore,
    pub(super) random: fastrand::Rng,
    pub(super) nodes: Vec<Node>,
    pub(super) sink: MemoryPublisher,
    pub(super) broker: Broker,
    pub(super) truth: Truth,
    pub(super) tally: Tally,
    stalled: Option<(OutboxTransaction, Vec<(EventId, Step)>)>,
    number: usize,
    /// When everybody who stood still has gone on and said what it had to say.
    awake: Instant,
}

/// What has happened.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) crashes: usize,
    pub(super) pauses: usize,
    pub(super) late_settles_refused: usize,
    pub(super) settles_by_hand: usize,
    pub(super) requeued: u64,
    pub(super) keys_requeued: u64,
    pub(super) deleted: usize,
    pub(super) given_up: usize,
}

impl World {
    pub(super) async fn new(db: &Arc<TestDatabase>, prefix: &str, seed: u64) -> Self {
        let names = TableNames::new(prefix).unwrap();
        let options = Options::new(names.clone()).shards(SHARDS).unwrap();
        OutboxMigrator::new(options).up(db.connection()).await.unwrap();
        let outbox = Outbox::builder(db.connection().clone()).table_prefix(prefix).build().unwrap();
        let mut world = Self {
            db: Arc::clone(db),
            prefix: prefix.to_owned(),
            store: SeaOrmStore::new(db.connection().clone(), names),
            outbox,
            random: fastrand::Rng::with_seed(seed),
            nodes: Vec::new(),
            sink: MemoryPublisher::new(),
            broker: Broker::default(),
            truth: Truth::default(),
            tally: Tally::default(),
            stalled: None,
            number: 0,
            awake: Instant::now(),
        };
        for _ in 0..2 {
            world.start();
        }
        world
    }

    pub(super) async fn step(&mut self) {
        match self.random.u32(..100) {
            0..45 => self.stage().await,
            45..49 => self.stall().await,
            49..53 => {
                let node = self.nodes.swap_remove(self.random.usize(..self.nodes.len()));
                node.crash();
                self.tally.crashes += 1;
                self.start();
            }
            53..56 => {
                let time = LEASE + Duration::from_millis(self.random.u64(..500));
                self.nodes[self.random.usize(..self.nodes.len())].pause(time);
                self.tally.pauses += 1;
                // It may have been told to stand still already, and does so once after the other.
                self.awake = self.awake.max(Instant::now()) + time + Duration::from_millis(200);
            }
            56..59 => {
                let node = self.nodes.swap_remove(self.random.usize(..self.nodes.len()));
                self.start();
                let report = node.stop().await;
                assert_eq!(report.abandoned, 0, "{report:?}");
            }
            59..64 => {
                let late = self.random.bool().then(|| Duration::from_millis(self.random.u64(100..900)));
                let turn = Owner::new(&self.store, &self.sink, &self.broker).turn(late).await;
                self.tally.settles_by_hand += turn.settled;
                self.tally.late_settles_refused += turn.refused;
            }
            64..84 => self.operate().await,
            _ => tokio::time::sleep(Duration::from_millis(self.random.u64(..120))).await,
        }
    }

    fn start(&mut self) {
        let seed = self.random.u64(..);
        self.nodes.push(Node::start(&self.db, &self.prefix, &self.sink, &self.broker, seed));
    }

    /// Returns when nobody stands still. What a late processor publishes was decided before it stood still: to change
    /// the broker's mind, or an operator's, meanwhile would let it speak for a past that no longer is.
    pub(super) async fn everybody_is_awake(&self) {
        tokio::time::sleep_until(self.awake.into()).await;
    }

    fn next(&mut self, key: &str) -> Step {
        self.number += 1;
        let topic = if self.random.bool() { CONTINUES } else { PARKS };
        Step { topic, key: key.to_owned(), number: self.number, rejections: Step::rejections(&mut self.random) }
    }

    async fn stage(&mut self) {
        let txn = self.outbox.begin().await.unwrap();
        if self.random.u32(..10) == 0 {
            let savepoint = txn.begin().await.unwrap();
            let step = self.next("key-0");
            let id = savepoint.stage_event(&step).unwrap();
            savepoint.rollback().await.unwrap();
            self.truth.staged(id, step, false, false);
        }
        let is_committed = self.random.u32(..10) > 0;
        for _ in 0..self.random.u32(1..8) {
            let key = format!("key-{}", self.random.usize(..KEYS));
            let step = self.next(&key);
            let delay = (self.random.u32(..25) == 0).then(|| Duration::from_millis(self.random.u64(1..100)));
            let staged = txn.stage_event_with(&step, |options| match delay {
                Some(delay) => options.delay(delay),
                None => options,
            });
            self.truth.staged(staged.unwrap(), step, delay.is_some(), is_committed);
        }
        if is_committed { txn.commit().await.unwrap() } else { txn.rollback().await.unwrap() }
    }

    /// A writer that has inserted its events, and stands still until the next time this happens.
    async fn stall(&mut self) {
        self.end_stall().await;
        if self.db.kind() == Kind::Sqlite {
            // There, nobody else could write.
            return;
        }
        let txn = self.outbox.begin().await.unwrap();
        let mut staged = Vec::new();
        for _ in 0..self.random.u32(1..4) {
            // Nobody else writes to this key while it is open, as if it had locked the aggregate.
            let step = self.next("stalled");
            staged.push((txn.stage_event(&step).unwrap(), step));
        }
        txn.flush().await.unwrap();
        self.stalled = Some((txn, staged));
    }

    pub(super) async fn end_stall(&mut self) {
        let Some((txn, staged)) = self.stalled.take() else { return };
        let is_committed = self.random.bool();
        if is_committed {
            txn.commit().await.unwrap()
        } else {
            txn.rollback().await.unwrap()
        }
        for (id, step) in staged {
            self.truth.staged(id, step, false, is_committed);
        }
    }
}
