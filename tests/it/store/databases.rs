//! What only some databases can get wrong.

use std::time::Duration;

use outbox_core::Origin;
use outbox_core::store::{Change, Fate, LaneRead, LeaseRequest, Reach, ReadRequest, Settled, Store, StoreErrorKind};
use outbox_core::testing::contract::store::Fixture;
use outbox_sea_orm::SeaOrmStore;
use outbox_sea_orm::migration::TableNames;
use outbox_tests::{TestDatabase, eventually, on_every_database};
use uuid::Uuid;

use super::fixture::{Outboxed, binary, event};
use super::owner::{LONG, Owner, commit, count, only};

const DEADLINE: Duration = Duration::from_secs(20);

on_every_database! {
    async fn payloads_may_be_bytes(db: TestDatabase) {
        let outboxed = Outboxed::with(db, binary()).await;
        let bytes: Vec<u8> = (0..=255).collect();
        let mut events = vec![event("a", "text"), event("a", ""), event("a", "")];
        events[1].payload = Some(bytes.into());
        events[2].payload = None;
        outboxed.begin(events.clone()).await.commit().await;
        let owner = Owner::of(&outboxed.store, LONG).await;
        let reply = owner.read(&outboxed.store).await;
        let read: Vec<_> =
            reply.lanes.iter().flat_map(|lane| &lane.rows).map(|row| row.message.envelope.payload.clone()).collect();
        assert_eq!(read, events.into_iter().map(|event| event.payload).collect::<Vec<_>>());
    }

    async fn one_connection_is_enough(db: TestDatabase) {
        let outboxed = Outboxed::new(db).await;
        let bodies: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        outboxed.begin(bodies.iter().map(|body| event("a", body)).collect()).await.commit().await;
        let store = SeaOrmStore::new(outboxed.one_connection().await, TableNames::default());
        let owner = std::sync::Arc::new(Owner::of(&store, LONG).await);
        let reply = owner.read(&store).await;
        let rows: Vec<_> = reply.lanes.into_iter().flat_map(|lane| lane.rows).collect();
        let calls = rows.into_iter().map(|row| {
            let (store, owner) = (store.clone(), std::sync::Arc::clone(&owner));
            tokio::spawn(async move {
                let (message, read) = (row.message, owner.read(&store));
                let settle =
                    owner.settle(&store, message.shard.number(), message.seq, message.id(), Fate::Delivered);
                let promote = store.promote(owner.id, &owner.held, 10);
                let (_, settled, promoted) = tokio::join!(read, settle, promote);
                promoted.unwrap();
                settled
            })
        });
        for call in futures_util::future::join_all(calls).await {
            assert_eq!(call.unwrap(), Settled::Done);
        }
        assert_eq!(count(&outboxed).await, 0);
    }

    async fn what_a_key_went_on_without_is_marked_when_the_key_parks_later(db: TestDatabase) {
        let outboxed = Outboxed::new(db).await;
        commit(&outboxed, &["1", "2", "3", "4"]).await;
        let (store, owner) = (&outboxed.store, Owner::of(&outboxed.store, LONG).await);
        let rows: Vec<_> = owner.read(store).await.lanes.into_iter().flat_map(|lane| lane.rows).collect();
        let settle = async |n: usize, fate| {
            let message = &rows[n].message;
            let shard = message.shard;
            let read = owner.read(store).await;
            let generation = read.lanes.iter().find(|lane| lane.shard == shard).unwrap().generation;
            let settled = owner.settle_under(generation, store, shard.number(), Change::of(message, fate)).await;
            assert_eq!(settled, Settled::Done);
        };
        let dead = |park| Fate::Dead { attempts: 1, error: "no".to_owned(), park };
        settle(0, dead(false)).await;
        outboxed.admin().give_up(rows[1].message.id(), "by hand").await.unwrap();
        settle(2, Fate::Delivered).await;
        settle(3, dead(true)).await;
        assert_eq!(outboxed.admin().requeue_key(&rows[0].message.order_key().unwrap()).await.unwrap(), 3);
        let again = owner.read(store).await.lanes.into_iter().flat_map(|lane| lane.rows);
        let again: Vec<_> = again.map(|row| (row.message.seq, row.message.origin)).collect();
        let seq = |n: usize| rows[n].message.seq;
        assert_eq!(again, [(seq(0), Origin::Requeued), (seq(1), Origin::Requeued), (seq(3), Origin::Staged)]);
    }

    async fn missing_tables_are_a_schema_error(db: TestDatabase) {
        let store = SeaOrmStore::new(db.connection().clone(), TableNames::default());
        let error = store.open().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Schema);
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("outbox-migrate"), "{source}");
    }

    async fn tables_that_go_are_a_schema_error(db: TestDatabase) {
        let outboxed = Outboxed::new(db).await;
        let owner = Owner::of(&outboxed.store, LONG).await;
        outboxed.execute(outboxed.db.connection(), "DROP TABLE {event}").await;
        let lanes = Vec::from([LaneRead {
            lease: owner.held[0],
            after: 0,
            known: Vec::new(),
            limit: 1,
            bytes: 1,
            revisit: None,
        }]);
        let error = outboxed.store.read(ReadRequest { processor: owner.id, lanes }).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Schema);
    }

    async fn processors_that_start_together_share_the_shards(db: TestDatabase) {
        let outboxed = std::sync::Arc::new(Outboxed::new(db).await);
        let ids: Vec<Uuid> = (0..4).map(|_| Uuid::now_v7()).collect();
        let held = eventually(DEADLINE, || async {
            let asked = ids.iter().map(|id| {
                let (store, processor) = (outboxed.another_store(), *id);
                tokio::spawn(async move {
                    let (name, state) = ("one of many".to_owned(), "{}".to_owned());
                    let (release, ttl) = (Vec::new(), LONG);
                    let (most, leaving, guest, reach) = (8, false, false, Reach::Works);
                    let mut request =
                        LeaseRequest { processor, name, ttl, release, most, leaving, guest, reach, state };
                    let reply = store.lease(request.clone()).await.map_err(|error| error.kind())?;
                    let extra = reply.held.len().saturating_sub(reply.fair_share);
                    request.release = reply.held[..extra].to_vec();
                    store.lease(request).await.map(|reply| reply.held).map_err(|error| error.kind())
                })
            });
            let mut held = Vec::new();
            for asked in futures_util::future::join_all(asked).await {
                match asked.unwrap() {
                    Ok(leases) => held.push(leases.iter().map(|lease| lease.shard).collect::<Vec<_>>()),
                    // Two that collide are told to come again.
                    Err(kind) => assert_eq!(kind, StoreErrorKind::Unavailable),
                }
            }
            held.iter().all(|shards| shards.len() == 2).then_some(held).filter(|held| held.len() == 4)
        })
        .await;
        let distinct: std::collections::BTreeSet<_> = held.iter().flatten().collect();
        assert_eq!(distinct.len(), 8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_sequence_is_refused() {
    let Some(db) = outbox_tests::postgres().await else { return };
    let outboxed = Outboxed::new(db).await;
    outboxed.execute(outboxed.db.connection(), "ALTER TABLE {event} ALTER COLUMN seq SET CACHE 20").await;
    let error = outboxed.another_store().open().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Schema);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("CACHE 1"), "{source}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_works_in_sqlites_default_pool() {
    let outboxed = Outboxed::new(outbox_tests::sqlite_default_pool().await).await;
    commit(&outboxed, &["1"]).await;
    let owner = Owner::of(&outboxed.store, LONG).await;
    let (shard, seq, id) = only(&owner, &outboxed.store).await;
    // The program's transaction has the only connection: the settle waits for it.
    let open = outboxed.begin(vec![event("a", "2")]).await;
    let store = outboxed.store.clone();
    let waiting = tokio::spawn(async move { owner.settle(&store, shard, seq, id, Fate::Delivered).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());
    open.commit().await;
    assert_eq!(waiting.await.unwrap(), Settled::Done);
    assert_eq!(count(&outboxed).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shown_of_the_connection() {
    let db = outbox_tests::sqlite().await;
    let store = SeaOrmStore::new(db.connection().clone(), TableNames::default());
    let text = format!("{store:?}");
    assert!(text.contains("Sqlite") && text.contains("outbox") && !text.contains("sqlite://"), "{text}");
}
