//! Settles and take-overs that meet.

use std::time::{Duration, Instant};

use outbox_core::store::{Change, Fate, LaneSettle, SettleRequest, Settled, Store};
use sea_orm::{ConnectionTrait, TransactionTrait};
use uuid::Uuid;

use super::fixture::Outboxed;
use super::owner::{LONG, Owner, commit, count, lease, only};

/// A settle that has begun is waited for by whoever takes the lease over, so what it writes was written under the
/// lease; one that begins later writes nothing.
async fn the_fence_holds(outboxed: Outboxed, lock_event: &str) {
    commit(&outboxed, &["1"]).await;
    let owner = Owner::of(&outboxed.store, Duration::from_millis(1)).await;
    let (shard, seq, id) = only(&owner, &outboxed.store).await;
    tokio::time::sleep(Duration::from_millis(20)).await;

    // Somebody has the event's row locked, so the settle stands still in its middle.
    let blocker = outboxed.db.connection().begin().await.unwrap();
    outboxed.execute(&blocker, &lock_event.replace("{seq}", &seq.to_string())).await;
    let store = outboxed.store.clone();
    let slow = tokio::spawn(async move { owner.settle(&store, shard, seq, id, Fate::Delivered).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!slow.is_finished());

    // The lease has run out, and yet nobody can take it while the settle is under way.
    let (thief, id) = (outboxed.another_store(), Uuid::now_v7());
    let taken = lease(&thief, id, LONG).await;
    assert_eq!(taken.len(), 7, "the row of the shard that is being settled is passed by");
    assert!(taken.iter().all(|lease| lease.shard.number() != shard));

    blocker.rollback().await.unwrap();
    assert_eq!(slow.await.unwrap(), Settled::Done);
    assert_eq!(count(&outboxed).await, 0);
    assert_eq!(lease(&thief, id, LONG).await.len(), 8);
}

/// What a join to the lease row would do in place of the fence: it waits for the event's row, and when it goes on it
/// has checked a lease that is somebody else's by now. (MariaDB locks what such a join reads, lease or event first as
/// its optimizer likes; that is not something to build on.)
async fn a_join_alone_deletes_too_much(outboxed: Outboxed, lock_event: &str, delete: &str) {
    commit(&outboxed, &["1"]).await;
    let owner = Owner::of(&outboxed.store, LONG).await;
    let (shard, seq, _) = only(&owner, &outboxed.store).await;
    let blocker = outboxed.db.connection().begin().await.unwrap();
    outboxed.execute(&blocker, &lock_event.replace("{seq}", &seq.to_string())).await;

    let epoch = owner.held[usize::from(shard)].epoch;
    let delete = delete.replace("{seq}", &seq.to_string()).replace("{epoch}", &epoch.to_string());
    let sql = outboxed.fill(&delete);
    let other = outboxed.one_connection().await;
    let slow = tokio::spawn(async move {
        let options = sea_orm::TransactionOptions {
            isolation_level: Some(sea_orm::IsolationLevel::ReadCommitted),
            ..sea_orm::TransactionOptions::default()
        };
        let txn = other.begin_with_options(options).await.unwrap();
        txn.execute_unprepared(&sql).await.unwrap();
        txn.commit().await.unwrap();
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!slow.is_finished());
    let taken_over = "UPDATE {shard} SET epoch = epoch + 1, owner = NULL";
    outboxed.execute(outboxed.db.connection(), taken_over).await;
    blocker.rollback().await.unwrap();
    slow.await.unwrap();
    assert_eq!(count(&outboxed).await, 0, "it was deleted under a lease that was lost");
}

const LOCK_EVENT: &str = "SELECT 1 FROM {event} WHERE seq = {seq} FOR UPDATE";

#[tokio::test(flavor = "multi_thread")]
async fn a_settle_that_waits_keeps_its_lease_on_postgres() {
    let Some(db) = outbox_tests::postgres().await else { return };
    the_fence_holds(Outboxed::new(db).await, LOCK_EVENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settle_that_waits_keeps_its_lease_on_mariadb() {
    let Some(db) = outbox_tests::mariadb().await else { return };
    the_fence_holds(Outboxed::new(db).await, LOCK_EVENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_is_no_fence_on_postgres() {
    let Some(db) = outbox_tests::postgres().await else { return };
    let delete = "DELETE FROM {event} e USING {shard} s \
         WHERE e.seq = {seq} AND s.shard = e.shard AND s.epoch = {epoch}";
    a_join_alone_deletes_too_much(Outboxed::new(db).await, LOCK_EVENT, delete).await;
}

/// A settle under a lease that was taken over while it waited for the lease's row writes nothing.
async fn a_settle_behind_a_take_over(outboxed: Outboxed) {
    commit(&outboxed, &["1"]).await;
    let owner = Owner::of(&outboxed.store, LONG).await;
    let (shard, seq, id) = only(&owner, &outboxed.store).await;
    let txn = outboxed.db.connection().begin().await.unwrap();
    outboxed.execute(&txn, "UPDATE {shard} SET epoch = epoch + 1").await;
    let store = outboxed.store.clone();
    let slow = tokio::spawn(async move { owner.settle(&store, shard, seq, id, Fate::Delivered).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!slow.is_finished(), "it waits for the lease");
    txn.commit().await.unwrap();
    assert_eq!(slow.await.unwrap(), Settled::LeaseLost);
    assert_eq!(count(&outboxed).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_take_over_comes_first_on_postgres() {
    let Some(db) = outbox_tests::postgres().await else { return };
    a_settle_behind_a_take_over(Outboxed::new(db).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_take_over_comes_first_on_mariadb() {
    let Some(db) = outbox_tests::mariadb().await else { return };
    a_settle_behind_a_take_over(Outboxed::new(db).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settle_hinders_no_insert_on_mariadb() {
    let Some(db) = outbox_tests::mariadb().await else { return };
    let outboxed = Outboxed::new(db).await;
    commit(&outboxed, &["1", "2", "3"]).await;
    let owner = Owner::of(&outboxed.store, LONG).await;
    let reply = owner.read(&outboxed.store).await;
    let rows: Vec<_> = reply.lanes.iter().flat_map(|lane| lane.rows.clone()).collect();
    let shard = rows[0].message.shard.number();
    // Held in its middle by the second of its events.
    let blocker = outboxed.db.connection().begin().await.unwrap();
    let lock = LOCK_EVENT.replace("seq = {seq}", &format!("shard = {shard} AND seq = {}", rows[1].message.seq));
    outboxed.execute(&blocker, &lock).await;
    let store = outboxed.store.clone();
    let slow = tokio::spawn(async move {
        let changes = rows.iter().map(|row| Change::of(&row.message, Fate::Delivered));
        let lease = owner.held[usize::from(shard)];
        let lanes = vec![LaneSettle { lease, generation: 0, changes: changes.collect() }];
        store.settle(SettleRequest { processor: owner.id, lanes }).await.unwrap()
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!slow.is_finished());
    let start = Instant::now();
    commit(&outboxed, &["4"]).await;
    assert!(start.elapsed() < Duration::from_secs(5));
    blocker.rollback().await.unwrap();
    slow.await.unwrap();
    assert_eq!(count(&outboxed).await, 1);
}
