//! PostgreSQL: where nothing happens, a look for events and a round of leases are one statement each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbox_core::store::{Change, Fate, LaneRead, ReadReply, ReadRequest, Store};
use outbox_core::testing::contract::store::Fixture;
use outbox_sea_orm::SeaOrmStore;
use outbox_tests::{Role, postgres};
use uuid::Uuid;

use super::fixture::{Outboxed, event};
use super::owner::{LONG, Owner, commit, lease};

/// A store that counts its statements, over one connection: every new one makes readers start over.
struct Counting {
    store: SeaOrmStore,
    statements: Arc<AtomicUsize>,
}

impl Counting {
    async fn on(outboxed: &Outboxed) -> Self {
        let statements = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&statements);
        let mut db = outboxed.db.another_pool_for(Role::Processor, 1).await;
        db.set_metric_callback(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let store = SeaOrmStore::new(db, outboxed.store.names().clone());
        store.open().await.unwrap();
        Self { store, statements }
    }

    /// What a call brings, and how many statements it was.
    async fn count<T>(&self, call: impl Future<Output = T>) -> (T, usize) {
        let before = self.statements.load(Ordering::Relaxed);
        let answer = call.await;
        (answer, self.statements.load(Ordering::Relaxed) - before)
    }

    /// Reads behind `after`, until that is quiet.
    async fn settle_down(&self, owner: &Owner, after: i64) {
        for _ in 0..10 {
            let (reply, statements) = self.count(read(&self.store, owner, after)).await;
            assert_eq!(events(&reply), 0);
            if statements == 1 {
                return;
            }
        }
        panic!("no look was one statement");
    }
}

async fn read(store: &SeaOrmStore, owner: &Owner, after: i64) -> ReadReply {
    let lanes = owner.held.iter().map(|lease| LaneRead { after, ..Owner::lane(lease) }).collect();
    store.read(ReadRequest { processor: owner.id, lanes }).await.unwrap()
}

fn events(reply: &ReadReply) -> usize {
    reply.lanes.iter().map(|lane| lane.rows.len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_ends_the_quiet() {
    let Some(db) = postgres().await else { return };
    let outboxed = Outboxed::new(db).await;
    let counting = Counting::on(&outboxed).await;
    let (store, owner) = (&counting.store, Owner::of(&outboxed.store, LONG).await);
    counting.settle_down(&owner, 0).await;

    commit(&outboxed, &["1"]).await;
    let reply = read(store, &owner, 0).await;
    assert_eq!(events(&reply), 1);
    let first = reply.decided;
    counting.settle_down(&owner, first).await;
    assert_eq!(events(&read(store, &owner, 0).await), 1, "somebody has not seen it yet");
    counting.settle_down(&owner, first).await;
    let foreign = Owner { id: Uuid::now_v7(), held: owner.held.clone() };
    assert!(read(store, &foreign, first).await.lanes.is_empty());

    // A writer that has a number, and is not through.
    counting.settle_down(&owner, first).await;
    let late = outboxed.begin(vec![event("b", "2")]).await;
    let reply = read(store, &owner, first).await;
    assert_eq!((events(&reply), reply.decided), (0, first));
    for _ in 0..5 {
        let (reply, statements) = counting.count(read(store, &owner, first)).await;
        assert_eq!((events(&reply), reply.decided), (0, first));
        assert!(statements > 1, "the number is not decided");
    }
    late.commit().await;
    assert_eq!(events(&read(store, &owner, first).await), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_back_ends_the_quiet() {
    let Some(db) = postgres().await else { return };
    let outboxed = Outboxed::new(db).await;
    let counting = Counting::on(&outboxed).await;
    let (store, owner) = (&counting.store, Owner::of(&outboxed.store, LONG).await);
    commit(&outboxed, &["1"]).await;
    let reply = read(store, &owner, 0).await;
    let (decided, lane) = (reply.decided, reply.lanes.iter().find(|lane| !lane.rows.is_empty()).unwrap());
    let (shard, message) = (lane.shard.number(), &lane.rows[0].message);
    let fate = Fate::Dead { attempts: 1, error: "no".to_owned(), park: true };
    let change = Change::of(message, fate);
    owner.settle_under(lane.generation, store, shard, change).await;
    counting.settle_down(&owner, decided).await;
    let generation =
        |reply: &ReadReply| reply.lanes.iter().find(|lane| lane.shard.number() == shard).map(|lane| lane.generation);
    let before = generation(&read(store, &owner, decided).await);

    assert_eq!(outboxed.admin().requeue_key(&message.order_key().unwrap()).await.unwrap(), 1);
    let (reply, statements) = counting.count(read(store, &owner, decided)).await;
    assert_eq!((events(&reply), statements), (0, 1), "it is at its old number");
    assert!(generation(&reply) > before, "so its reader has to start over");
    assert_eq!(events(&read(store, &owner, 0).await), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_renewed_in_one_statement_and_shared_in_more() {
    let Some(db) = postgres().await else { return };
    let outboxed = Outboxed::new(db).await;
    let counting = Counting::on(&outboxed).await;
    let (store, me) = (&counting.store, Uuid::now_v7());
    let ttl = Duration::from_secs(2);
    let all = lease(store, me, ttl).await;
    assert_eq!(all.len(), 8);
    for _ in 0..3 {
        outboxed.pass(ttl / 2).await;
        let (held, statements) = counting.count(lease(store, me, ttl)).await;
        assert_eq!((held, statements), (all.clone(), 1));
    }
    // They are as long as before: nobody else gets one.
    let other = Uuid::now_v7();
    assert!(lease(&outboxed.store, other, ttl).await.is_empty());
    // It is no longer there, and was no longer renewed: who is left takes everything.
    let (held, statements) = counting.count(lease(store, me, ttl)).await;
    assert_eq!((held.len(), statements), (8, 1), "nothing is free");
    outboxed.pass(2 * ttl).await;
    let taken = lease(&outboxed.store, other, LONG).await;
    assert_eq!(taken.len(), 8);
    let (held, _) = counting.count(lease(store, me, ttl)).await;
    assert!(held.is_empty(), "what is lost is not renewed");
}

/// Whose sessions have another level by default: one statement could fail where another session changes a row.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_another_level_renew_in_a_transaction() {
    let Some(db) = postgres().await else { return };
    let outboxed = Outboxed::new(db).await;
    let sql = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', \
               current_database()); END $$";
    outboxed.execute(outboxed.db.connection(), sql).await;
    let counting = Counting::on(&outboxed).await;
    let me = Uuid::now_v7();
    let all = lease(&counting.store, me, LONG).await;
    let (held, statements) = counting.count(lease(&counting.store, me, LONG)).await;
    assert_eq!(held, all);
    assert!(statements > 1, "{statements}");

    // A transaction that turns out to be of another level is made again; the next ones choose theirs at once.
    commit(&outboxed, &["1"]).await;
    let owner = Owner { id: me, held };
    let (reply, first) = counting.count(read(&counting.store, &owner, 0)).await;
    let (again, second) = counting.count(read(&counting.store, &owner, 0)).await;
    assert_eq!((events(&reply), events(&again)), (1, 1));
    assert_eq!(second, first - 1);
}
