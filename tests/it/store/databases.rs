//! What only some databases can get wrong.

use std::time::{Duration, Instant};

use outbox_core::event::EventId;
use outbox_core::store::{
    Admin, Change, Fate, LaneRead, LaneSettle, Lease, LeaseRequest, ReadReply, ReadRequest, Revisit, SettleRequest,
    Settled, Store, StoreErrorKind,
};
use outbox_core::testing::contract::store::Fixture;
use outbox_sea_orm::SeaOrmStore;
use outbox_sea_orm::migration::TableNames;
use outbox_tests::{TestDatabase, eventually, on_every_database};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, Statement, TransactionTrait};
use uuid::Uuid;

use super::fixture::{Again, Outboxed, binary, event};

const DEADLINE: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(600);

/// A processor that holds every shard.
struct Owner {
    id: Uuid,
    held: Vec<Lease>,
}

impl Owner {
    async fn of(store: &SeaOrmStore, ttl: Duration) -> Self {
        let id = Uuid::now_v7();
        let (name, state) = ("owner".to_owned(), "{}".to_owned());
        let request = LeaseRequest { processor: id, name, ttl, release: Vec::new(), most: 8, leaving: false, state };
        let held = store.lease(request).await.unwrap().held;
        assert_eq!(held.len(), 8);
        Self { id, held }
    }

    async fn read(&self, store: &SeaOrmStore) -> ReadReply {
        let lane = |lease: &Lease| LaneRead {
            lease: *lease,
            after: 0,
            known: Vec::new(),
            limit: 1_000,
            bytes: usize::MAX,
            revisit: None,
        };
        let lanes = self.held.iter().map(lane).collect();
        store.read(ReadRequest { processor: self.id, lanes }).await.unwrap()
    }

    async fn settle(&self, store: &SeaOrmStore, shard: u16, seq: i64, id: EventId, fate: Fate) -> Settled {
        let lease = self.held[usize::from(shard)];
        let lane = LaneSettle { lease, generation: 0, changes: vec![Change { seq, id, fate }] };
        let reply = store.settle(SettleRequest { processor: self.id, lanes: vec![lane] }).await.unwrap();
        reply.lanes[0].1
    }
}

async fn commit(outboxed: &Outboxed, bodies: &[&str]) {
    outboxed.begin(bodies.iter().map(|body| event("a", body)).collect()).await.commit().await;
}

/// The only event: its shard, number and id.
async fn only(owner: &Owner, store: &SeaOrmStore) -> (u16, i64, EventId) {
    let reply = owner.read(store).await;
    let rows: Vec<_> = reply.lanes.iter().flat_map(|lane| &lane.rows).collect();
    assert_eq!(rows.len(), 1);
    (rows[0].message.shard.number(), rows[0].message.seq, rows[0].message.id())
}

async fn count(outboxed: &Outboxed) -> i64 {
    let sql = format!("SELECT COUNT(*) AS n FROM {}", outboxed.store.names().event(outboxed.db.backend()));
    let row = outboxed.db.connection().query_one_raw(Statement::from_string(outboxed.db.backend(), sql)).await;
    row.unwrap().unwrap().try_get("", "n").unwrap()
}

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
    let thief = outboxed.another_store();
    let id = Uuid::now_v7();
    let request = LeaseRequest {
        processor: id,
        name: "thief".to_owned(),
        ttl: LONG,
        release: Vec::new(),
        most: 8,
        leaving: false,
        state: "{}".to_owned(),
    };
    let taken = thief.lease(request.clone()).await.unwrap().held;
    assert_eq!(taken.len(), 7, "the row of the shard that is being settled is passed by");
    assert!(taken.iter().all(|lease| lease.shard.number() != shard));

    blocker.rollback().await.unwrap();
    assert_eq!(slow.await.unwrap(), Settled::Done);
    assert_eq!(count(&outboxed).await, 0);
    assert_eq!(thief.lease(request).await.unwrap().held.len(), 8);
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
async fn a_prepared_transaction_is_an_open_one() {
    let Some(db) = outbox_tests::postgres().await else { return };
    let outboxed = Outboxed::new(db).await;
    let settings = Statement::from_string(outboxed.db.backend(), "SHOW max_prepared_transactions");
    let row = outboxed.db.connection().query_one_raw(settings).await.unwrap().unwrap();
    if row.try_get_by_index::<String>(0).unwrap() == "0" {
        // Nobody can prepare anything on such a server.
        return;
    }
    let owner = Owner::of(&outboxed.store, LONG).await;
    commit(&outboxed, &["1"]).await;
    let first = only(&owner, &outboxed.store).await.1;

    let txn = outboxed.one_connection().await;
    txn.execute_unprepared("BEGIN").await.unwrap();
    outboxed.execute(&txn, COPY).await;
    // Seen while it runs, and again under the other name that it has when it is prepared.
    assert_eq!(owner.read(&outboxed.store).await.decided, first);
    let name = format!("outbox-{}", Uuid::now_v7());
    txn.execute_unprepared(&format!("PREPARE TRANSACTION '{name}'")).await.unwrap();
    for _ in 0..20 {
        commit(&outboxed, &["x"]).await;
        assert_eq!(owner.read(&outboxed.store).await.decided, first);
    }
    txn.execute_unprepared(&format!("COMMIT PREPARED '{name}'")).await.unwrap();
    let reply = owner.read(&outboxed.store).await;
    assert!(reply.decided > first + 20, "{}", reply.decided);
    assert_eq!(reply.lanes.iter().map(|lane| lane.rows.len()).sum::<usize>(), 22);
}

/// Another event, made out of the one that is there.
const COPY: &str = "INSERT INTO {event} (shard, id, aggregate_type, event_type, event_version, topic, partition_key, \
     payload, content_type, headers, created_at) SELECT shard, gen_random_uuid(), aggregate_type, event_type, \
     event_version, topic, partition_key, payload, content_type, headers, created_at FROM {event} LIMIT 1";

#[tokio::test(flavor = "multi_thread")]
async fn others_do_not_hold_up_what_is_decided() {
    let Some(db) = outbox_tests::postgres().await else { return };
    let outboxed = Outboxed::new(db).await;
    let owner = Owner::of(&outboxed.store, LONG).await;
    let pool = outboxed.db.connection();
    pool.execute_unprepared("CREATE TABLE unrelated (id INT)").await.unwrap();
    let writer = pool.begin().await.unwrap();
    writer.execute_unprepared("INSERT INTO unrelated VALUES (1)").await.unwrap();
    let reader = pool.begin_with_config(Some(sea_orm::IsolationLevel::RepeatableRead), None).await.unwrap();
    outboxed.execute(&reader, "SELECT 1 FROM {event}").await;

    commit(&outboxed, &["1", "2"]).await;
    let reply = owner.read(&outboxed.store).await;
    let last = reply.lanes.iter().flat_map(|lane| &lane.rows).map(|row| row.message.seq).max().unwrap();
    assert_eq!(reply.decided, last);

    // Settles write to the table too: one after the other, they hold it up for one round each.
    let settles: Vec<DatabaseTransaction> = vec![pool.begin().await.unwrap()];
    outboxed.execute(&settles[0], "DELETE FROM {event} WHERE false").await;
    commit(&outboxed, &["3"]).await;
    assert_eq!(owner.read(&outboxed.store).await.decided, last);
    let next = pool.begin().await.unwrap();
    outboxed.execute(&next, "DELETE FROM {event} WHERE false").await;
    for settle in settles {
        settle.commit().await.unwrap();
    }
    assert_eq!(owner.read(&outboxed.store).await.decided, last + 1, "the second one began later");
    next.commit().await.unwrap();
    writer.rollback().await.unwrap();
    reader.rollback().await.unwrap();
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
        let changes =
            rows.iter().map(|row| Change { seq: row.message.seq, id: row.message.id(), fate: Fate::Delivered });
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
                    let mut request =
                        LeaseRequest { processor, name, ttl, release, most: 8, leaving: false, state };
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

/// Reads, settles and moves a few of many events.
async fn work_on_a_backlog(outboxed: &Outboxed, pool: &DatabaseConnection) {
    let store = SeaOrmStore::new(pool.clone(), TableNames::default());
    let bodies: Vec<String> = (0..5_000).map(|n| n.to_string()).collect();
    let txn = outboxed.outbox.begin().await.unwrap();
    for body in &bodies {
        txn.stage_event(&Again(&event(body, body))).unwrap();
    }
    txn.commit().await.unwrap();
    let owner = Owner::of(&store, LONG).await;
    for _ in 0..10 {
        let lanes = owner.held.iter().map(|lease| LaneRead {
            lease: *lease,
            after: 0,
            known: Vec::new(),
            limit: 5,
            bytes: usize::MAX,
            revisit: Some(Revisit { from: 0, to: 100, keys: vec!["7".to_owned()], limit: 5, ..Revisit::default() }),
        });
        let request = ReadRequest { processor: owner.id, lanes: lanes.collect() };
        let reply = store.read(request).await.unwrap();
        let lanes = reply.lanes.iter().map(|found| {
            let fates = [Fate::Delivered, Fate::Parked, Fate::Delivered, retry(), dead()];
            let changes = found.rows.iter().zip(fates).map(|(row, fate)| Change {
                seq: row.message.seq,
                id: row.message.id(),
                fate,
            });
            let lease = owner.held[usize::from(found.shard.number())];
            LaneSettle { lease, generation: found.generation, changes: changes.collect() }
        });
        let request = SettleRequest { processor: owner.id, lanes: lanes.collect() };
        store.settle(request).await.unwrap();
        store.promote(owner.id, &owner.held, 10).await.unwrap();
        store.pending(0, 10).await.unwrap();
    }
}

fn retry() -> Fate {
    Fate::Retry { attempts: 1, delay: Duration::ZERO, error: "it broke".to_owned() }
}

fn dead() -> Fate {
    Fate::Dead { attempts: 1, error: "it broke".to_owned(), park: true }
}

async fn numbers(conn: &DatabaseConnection, sql: &str) -> Vec<i64> {
    let statement = Statement::from_string(conn.get_database_backend(), sql);
    let rows = conn.query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_never_searched_on_postgres() {
    let Some(db) = outbox_tests::postgres().await else { return };
    let outboxed = Outboxed::new(db).await;
    let pool = outboxed.one_connection().await;
    work_on_a_backlog(&outboxed, &pool).await;
    // What a session counts reaches the view when it has nothing to do.
    pool.execute_unprepared("SELECT pg_stat_force_next_flush()").await.unwrap();
    let scans = |kind: &str| format!("SELECT {kind} FROM pg_stat_user_tables WHERE relname = 'outbox_event'");
    eventually(DEADLINE, || async { numbers(&pool, &scans("idx_scan")).await[0] > 0 }).await;
    assert_eq!(numbers(&pool, &scans("seq_scan")).await, [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_never_searched_on_mariadb() {
    let Some(db) = outbox_tests::mariadb().await else { return };
    let outboxed = Outboxed::new(db).await;
    let pool = outboxed.one_connection().await;
    work_on_a_backlog(&outboxed, &pool).await;
    let read = "SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM information_schema.SESSION_STATUS \
         WHERE VARIABLE_NAME IN ('HANDLER_READ_RND_NEXT', 'HANDLER_READ_NEXT', 'HANDLER_READ_PREV')";
    let rows: i64 = numbers(&pool, read).await.into_iter().sum();
    // 10 rounds of 8 shards with 5,000 events: what is left is reading by keys, and lists of our own.
    assert!(rows < 20_000, "{rows} rows were read one after the other");
}
