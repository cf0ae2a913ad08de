//! What processors and operators ask of the tables. Each call is made again after it was dropped, as a processor or an
//! operator would, and must come out as if it had been made once.

use std::time::Duration;

use futures_util::future;
use outbox_core::Wake;
use outbox_core::event::{EventId, OrderKey};
use outbox_core::store::{
    Admin, Change, Fate, LaneRead, LaneSettle, Lease, LeaseRequest, Reach, ReadRequest, Row, SettleRequest, Store,
};
use outbox_sea_orm::{Outbox, SeaOrmStore};
use outbox_tests::{Kind, drop_at, eventually};
use uuid::Uuid;

use super::world::{World, event};
use super::{Done, Left};

const LONG: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(30);

fn request(processor: Uuid) -> LeaseRequest {
    LeaseRequest {
        processor,
        name: "owner".to_owned(),
        ttl: LONG,
        release: Vec::new(),
        most: usize::MAX,
        leaving: false,
        guest: false,
        reach: Reach::Works,
        state: "{}".to_owned(),
    }
}

/// A processor that holds every shard.
struct Owner {
    store: SeaOrmStore,
    id: Uuid,
    held: Vec<Lease>,
}

impl Owner {
    async fn new(world: &World) -> Self {
        world.free_shards().await;
        let (store, id) = (world.store(), Uuid::now_v7());
        let held = store.lease(request(id)).await.unwrap().held;
        Self { store, id, held }
    }

    fn everything(&self) -> ReadRequest {
        let lane = |lease: &Lease| LaneRead {
            lease: *lease,
            after: 0,
            known: vec![],
            limit: 10,
            bytes: 1 << 20,
            revisit: None,
        };
        ReadRequest { processor: self.id, lanes: self.held.iter().map(lane).collect() }
    }

    async fn rows(&self) -> Vec<(Lease, i64, Row)> {
        let reply = self.store.read(self.everything()).await.unwrap();
        let lease = |shard| *self.held.iter().find(|lease| lease.shard == shard).unwrap();
        let rows = |lane: outbox_core::store::LaneRows| {
            let lease = lease(lane.shard);
            lane.rows.into_iter().map(move |row| (lease, lane.generation, row))
        };
        reply.lanes.into_iter().flat_map(rows).collect()
    }

    async fn settling(&self, label: &str, fate: Fate) -> SettleRequest {
        let rows = self.rows().await;
        let of_label = |(_, _, row): &&(Lease, i64, Row)| row.message.envelope.key.as_deref() == Some(label);
        let (lease, generation, row) = rows.iter().find(of_label).unwrap();
        let change = Change::of(&row.message, fate);
        let lane = LaneSettle { lease: *lease, generation: *generation, changes: vec![change] };
        SettleRequest { processor: self.id, lanes: vec![lane] }
    }
}

async fn seed(world: &World, label: &str) -> EventId {
    let txn = world.outbox.begin().await.unwrap();
    let id = txn.stage_event(&event(label)).unwrap();
    txn.commit().await.unwrap();
    id
}

/// A dead letter, perhaps with its key parked.
async fn seed_dead(world: &World, label: &str, park: bool) -> EventId {
    let id = seed(world, label).await;
    let owner = Owner::new(world).await;
    let fate = Fate::Dead { attempts: 1, error: "bad".to_owned(), park };
    owner.store.settle(owner.settling(label, fate).await).await.unwrap();
    assert_eq!(world.count("outbox_dead", label).await, 1);
    id
}

pub(super) async fn open(world: &World, _label: &str, n: usize) -> Done {
    let store = world.store();
    let answer = drop_at(n, store.open()).await;
    store.open().await.unwrap();
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Nothing, Left::Nothing)
}

pub(super) async fn lease(world: &World, _label: &str, n: usize) -> Done {
    world.free_shards().await;
    let (store, id) = (world.store(), Uuid::now_v7());
    let answer = drop_at(n, store.lease(request(id))).await;
    world.at_rest().await;
    let held = store.lease(request(id)).await.unwrap().held;
    assert_eq!(held.len(), 64, "nobody else holds any");
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Nothing, Left::Nothing)
}

pub(super) async fn read(world: &World, label: &str, n: usize) -> Done {
    seed(world, label).await;
    let owner = Owner::new(world).await;
    let answer = drop_at(n, owner.store.read(owner.everything())).await;
    let rows = owner.rows().await;
    assert!(rows.iter().any(|(_, _, row)| row.message.envelope.key.as_deref() == Some(label)));
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Event, Left::Event)
}

async fn settle(world: &World, label: &str, n: usize, fate: Fate) -> (Owner, Done) {
    seed(world, label).await;
    let owner = Owner::new(world).await;
    let request = owner.settling(label, fate.clone()).await;
    let answer = drop_at(n, owner.store.settle(request.clone())).await;
    world.at_rest().await;
    owner.store.settle(request).await.unwrap();
    let left = if fate == Fate::Delivered { Left::Nothing } else { Left::Event };
    (owner, Done::new(answer.map(Result::unwrap).as_ref(), left, left))
}

pub(super) async fn settle_delivered(world: &World, label: &str, n: usize) -> Done {
    settle(world, label, n, Fate::Delivered).await.1
}

pub(super) async fn settle_dead(world: &World, label: &str, n: usize) -> Done {
    let fate = Fate::Dead { attempts: 1, error: "bad".to_owned(), park: true };
    let (_, done) = settle(world, label, n, fate).await;
    assert_eq!(world.count("outbox_dead", label).await, 1);
    done
}

pub(super) async fn settle_retry(world: &World, label: &str, n: usize) -> Done {
    let fate = Fate::Retry { attempts: 1, delay: LONG, error: "bad".to_owned() };
    let (owner, done) = settle(world, label, n, fate).await;
    let pending = owner.store.pending(0, 100).await.unwrap();
    let mine = pending.iter().find(|event| event.envelope.key.as_deref() == Some(label)).unwrap();
    assert_eq!((mine.attempts, mine.rejections.len()), (1, 1));
    done
}

pub(super) async fn promote(world: &World, label: &str, n: usize) -> Done {
    let txn = world.outbox.begin().await.unwrap();
    txn.stage_event_with(&event(label), |options| options.delay(Duration::from_millis(1))).unwrap();
    txn.commit().await.unwrap();
    let owner = Owner::new(world).await;
    let answer = drop_at(n, owner.store.promote(owner.id, &owner.held, 100)).await;
    eventually(LONG, || async {
        owner.store.promote(owner.id, &owner.held, 100).await.unwrap();
        world.count("outbox_event", label).await == 1
    })
    .await;
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Event, Left::Event)
}

/// It goes on for ever where there is something to hear: it is dropped while it connects, or as soon as it listens.
/// Either way nobody listens any more.
pub(super) async fn listen(world: &World, _label: &str, n: usize) -> Done {
    let outbox = Outbox::builder(world.conn().clone()).notify(true).build().unwrap();
    let (store, wake) = (outbox.store(), Wake::new());
    let listening = future::select(store.listen(&wake), Box::pin(wake.woken()));
    let answer = drop_at(n, listening).await.map(drop);
    if world.db.kind() == Kind::Postgres {
        let listeners =
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'";
        eventually(PATIENCE, || async { world.number(listeners).await == 0 }).await;
    }
    Done::new(answer.as_ref(), Left::Nothing, Left::Nothing)
}

macro_rules! looks {
    ($($name:ident: |$store:ident, $id:ident| $call:expr;)*) => {$(
        pub(super) async fn $name(world: &World, label: &str, n: usize) -> Done {
            let ($store, $id) = (world.store(), seed_dead(world, label, true).await);
            let answer = drop_at(n, $call).await.map(Result::unwrap);
            Done::new(answer.as_ref(), Left::Event, Left::Event)
        }
    )*};
}

looks! {
    stats: |store, _id| store.stats();
    pending: |store, _id| store.pending(0, 100);
    scheduled: |store, _id| store.scheduled(None, 100);
    dead_letters: |store, _id| store.dead_letters(None, 100);
    dead_letter: |store, id| store.dead_letter(id);
    parked_keys: |store, _id| store.parked_keys(None, 100);
}

pub(super) async fn requeue(world: &World, label: &str, n: usize) -> Done {
    let (store, id) = (world.store(), seed_dead(world, label, false).await);
    let answer = drop_at(n, store.requeue(id)).await;
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Event, Left::Event)
}

pub(super) async fn requeue_key(world: &World, label: &str, n: usize) -> Done {
    let store = world.store();
    seed_dead(world, label, true).await;
    let key = OrderKey::new("things", label);
    let answer = drop_at(n, store.requeue_key(&key)).await;
    world.at_rest().await;
    store.requeue_key(&key).await.unwrap();
    assert_eq!(world.count("outbox_event", label).await, 1);
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Event, Left::Event)
}

pub(super) async fn requeue_all(world: &World, label: &str, n: usize) -> Done {
    let store = world.store();
    seed_dead(world, label, true).await;
    let answer = drop_at(n, store.requeue_all(100)).await;
    world.at_rest().await;
    store.requeue_all(100).await.unwrap();
    assert_eq!(world.count("outbox_event", label).await, 1);
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Event, Left::Event)
}

pub(super) async fn delete(world: &World, label: &str, n: usize) -> Done {
    let (store, id) = (world.store(), seed_dead(world, label, false).await);
    let answer = drop_at(n, store.delete(id)).await;
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Nothing, Left::EventOrNothing)
}

pub(super) async fn give_up(world: &World, label: &str, n: usize) -> Done {
    let (store, id) = (world.store(), seed(world, label).await);
    let answer = drop_at(n, store.give_up(id, "by hand")).await;
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Event, Left::Event)
}
