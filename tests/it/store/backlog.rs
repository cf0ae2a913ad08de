//! Many events cost no more than few.

use std::time::Duration;

use outbox_core::Place;
use outbox_core::store::{Admin, Change, Fate, LaneRead, LaneSettle, ReadRequest, Revisit, Row, SettleRequest, Store};
use outbox_sea_orm::SeaOrmStore;
use outbox_sea_orm::migration::TableNames;
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};

use super::fixture::{Again, Outboxed, event};
use super::owner::{LONG, Owner};

/// MariaDB: the rows that a session has read one after the other.
const ROWS_READ: &str = "SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM information_schema.SESSION_STATUS \
     WHERE VARIABLE_NAME IN ('HANDLER_READ_RND_NEXT', 'HANDLER_READ_NEXT', 'HANDLER_READ_PREV')";

/// Reads, settles and moves a few of many events; before that of a few, so that the database may have plans for a table
/// with nothing in it. Returns how many rows `read` says that the pool's connection read of the many.
async fn work_on_a_backlog(
    outboxed: &Outboxed,
    pool: &DatabaseConnection,
    read: impl AsyncFn(&DatabaseConnection) -> i64,
) -> i64 {
    let store = SeaOrmStore::new(pool.clone(), TableNames::default());
    let owner = Owner::of(&store, LONG).await;
    let mut seen = vec![0; owner.held.len()];
    for _ in 0..10 {
        stage(outboxed, 20).await;
        work(&store, &owner, &mut seen).await;
    }
    stage(outboxed, 5_000).await;
    let before = read(pool).await;
    for _ in 0..10 {
        work(&store, &owner, &mut seen).await;
    }
    read(pool).await - before
}

/// One round, behind the last number `seen` of each shard: PostgreSQL reads what has been deleted too, for as long as any
/// transaction of the server is older, also of another test.
async fn work(store: &SeaOrmStore, owner: &Owner, seen: &mut [i64]) {
    let lanes = owner.held.iter().map(|lease| LaneRead {
        lease: *lease,
        after: seen[usize::from(lease.shard.number())],
        known: Vec::new(),
        limit: 5,
        bytes: usize::MAX,
        revisit: Some(Revisit { from: 0, to: 100, keys: vec!["7".to_owned()], limit: 5, ..Revisit::default() }),
    });
    let request = ReadRequest { processor: owner.id, lanes: lanes.collect() };
    let reply = store.read(request).await.unwrap();
    for found in &reply.lanes {
        let seen = &mut seen[usize::from(found.shard.number())];
        *seen = found.rows.last().map_or(*seen, |row| row.message.seq);
    }
    let lanes = reply.lanes.iter().map(|found| {
        let fates = [Fate::Delivered, Fate::Parked, Fate::Delivered, retry(), dead()];
        let changes = found.rows.iter().zip(fates).map(|(row, fate)| Change::of(&row.message, fate));
        let lease = owner.held[usize::from(found.shard.number())];
        LaneSettle { lease, generation: found.generation, changes: changes.collect() }
    });
    let request = SettleRequest { processor: owner.id, lanes: lanes.collect() };
    store.settle(request).await.unwrap();
    store.promote(owner.id, &owner.held, 10).await.unwrap();
    store.pending(seen.iter().copied().max().unwrap(), 10).await.unwrap();
}

async fn stage(outboxed: &Outboxed, count: u32) {
    let txn = outboxed.outbox.begin().await.unwrap();
    for n in 0..count {
        let body = n.to_string();
        txn.stage_event(&Again(&event(&body, &body))).unwrap();
    }
    txn.commit().await.unwrap();
}

/// Beyond what they count up to, statistics cost the same whatever the backlog. `read` says how many rows the pool's
/// connection has read so far.
async fn counting_costs_no_more_for_more(
    outboxed: &Outboxed,
    pool: &DatabaseConnection,
    read: impl AsyncFn(&DatabaseConnection) -> i64,
) {
    let store = SeaOrmStore::new(pool.clone(), TableNames::default());
    let mut costs = Vec::new();
    for transactions in [3, 1] {
        for _ in 0..transactions {
            stage(outboxed, 4_000).await;
        }
        let before = read(pool).await;
        assert_eq!(store.stats().await.unwrap().pending_up_to_10_000, 10_000);
        costs.push(read(pool).await - before);
    }
    assert!(costs[0] >= 10_000, "the rows that were counted are seen: {costs:?}");
    assert!(costs[1] < costs[0] + 1_000, "{costs:?}");
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

/// PostgreSQL: the rows that have been read one after the other, or found in an index.
async fn rows_read(pool: &DatabaseConnection) -> i64 {
    // What a session counts reaches the view when it has nothing to do.
    pool.execute_unprepared("SELECT pg_stat_force_next_flush()").await.unwrap();
    let sql = "SELECT (t.seq_tup_read + (SELECT sum(i.idx_tup_read) FROM pg_stat_user_indexes i \
         WHERE i.relid = t.relid))::bigint FROM pg_stat_user_tables t WHERE t.relname = 'outbox_event'";
    numbers(pool, sql).await[0]
}

/// How many rows PostgreSQL finds in an index when a hundred events are settled as delivered, with their places or without.
async fn looked_up_for_deliveries(
    outboxed: &Outboxed,
    (pool, owner): (&DatabaseConnection, &Owner),
    with_places: bool,
) -> i64 {
    let store = SeaOrmStore::new(pool.clone(), TableNames::default());
    stage(outboxed, 100).await;
    let reply = owner.read(&store).await;
    let change = |row: &Row| {
        let mut change = Change::of(&row.message, Fate::Delivered);
        assert_ne!(change.place, Place::default(), "a read says where it is");
        if !with_places {
            change.place = Place::default();
        }
        change
    };
    let lanes = reply.lanes.iter().map(|found| LaneSettle {
        lease: owner.held[usize::from(found.shard.number())],
        generation: found.generation,
        changes: found.rows.iter().map(change).collect(),
    });
    let request = SettleRequest { processor: owner.id, lanes: lanes.collect() };
    let before = rows_read(pool).await;
    store.settle(request).await.unwrap();
    let looked_up = rows_read(pool).await - before;
    assert_eq!(numbers(pool, "SELECT count(*) FROM outbox_event").await, [0]);
    looked_up
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_is_not_looked_up_on_postgres() {
    let Some(db) = outbox_tests::postgres().await else { return };
    let outboxed = Outboxed::new(db).await;
    let pool = outboxed.one_connection().await;
    let owner = Owner::of(&outboxed.store, LONG).await;
    assert!(looked_up_for_deliveries(&outboxed, (&pool, &owner), false).await >= 100, "what is looked up is seen");
    assert_eq!(looked_up_for_deliveries(&outboxed, (&pool, &owner), true).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_never_searched_on_postgres() {
    let Some(db) = outbox_tests::postgres().await else { return };
    let outboxed = Outboxed::new(db).await;
    let pool = outboxed.one_connection().await;
    // Found empty by chance, a table counts as empty whatever its size, until the database looks again: not here.
    outboxed
        .db
        .connection()
        .execute_unprepared("ALTER TABLE outbox_event SET (autovacuum_enabled = false)")
        .await
        .unwrap();
    stage(&outboxed, 1_000).await;
    pool.execute_unprepared("DELETE FROM outbox_event").await.unwrap();
    pool.execute_unprepared("VACUUM (ANALYZE, TRUNCATE false) outbox_event").await.unwrap();
    // Rows, not scans: whoever made the index may tell late of a scan, of an empty table.
    let scanned = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'outbox_event'";
    rows_read(&pool).await;
    let scanned_before = numbers(&pool, scanned).await;
    let rows = work_on_a_backlog(&outboxed, &pool, rows_read).await;
    assert_eq!(numbers(&pool, scanned).await, scanned_before);
    assert!(rows > 500, "the rows that were read are seen: {rows}");
    // 10 rounds of 8 shards with 5 events, looked up a few times each, and at most 100 each for reading by keys.
    assert!(rows < 5_000, "{rows} rows were read");
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_costs_no_more_for_more_on_postgres() {
    let Some(db) = outbox_tests::postgres().await else { return };
    let outboxed = Outboxed::new(db).await;
    let pool = outboxed.one_connection().await;
    counting_costs_no_more_for_more(&outboxed, &pool, rows_read).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_costs_no_more_for_more_on_mariadb() {
    let Some(db) = outbox_tests::mariadb().await else { return };
    let outboxed = Outboxed::new(db).await;
    let pool = outboxed.one_connection().await;
    let read = async |pool: &DatabaseConnection| numbers(pool, ROWS_READ).await.into_iter().sum();
    counting_costs_no_more_for_more(&outboxed, &pool, read).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_never_searched_on_mariadb() {
    let Some(db) = outbox_tests::mariadb().await else { return };
    let outboxed = Outboxed::new(db).await;
    let pool = outboxed.one_connection().await;
    let read = async |pool: &DatabaseConnection| numbers(pool, ROWS_READ).await.into_iter().sum();
    let rows = work_on_a_backlog(&outboxed, &pool, read).await;
    // 10 rounds of 8 shards with 5,000 events: what is left is reading by keys, and lists of our own.
    assert!(rows < 20_000, "{rows} rows were read one after the other");
}

/// What MariaDB has prepared for a session.
const PREPARED: &str = "SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM information_schema.SESSION_STATUS \
     WHERE VARIABLE_NAME = 'COM_STMT_PREPARE'";

/// Whichever shards have something, and whatever is known of them: to prepare a statement costs as much as to carry it out.
#[tokio::test(flavor = "multi_thread")]
async fn looks_are_prepared_once_on_mariadb() {
    let Some(db) = outbox_tests::mariadb().await else { return };
    let outboxed = Outboxed::new(db).await;
    let pool = outboxed.one_connection().await;
    let store = SeaOrmStore::new(pool.clone(), TableNames::default());
    let owner = Owner::of(&store, LONG).await;
    stage(&outboxed, 200).await;
    let found = owner.read(&store).await;
    let mut prepared = Vec::new();
    for first in [0, 3] {
        // Of one shard, of two and so on; of none anything is known, or of some the first event or two.
        for (busy, known) in (1..=8).flat_map(|busy| [0, 1, 2].map(|known| (busy, known))) {
            let lanes = owner.held.iter().cycle().skip(first).take(8).enumerate().map(|(n, lease)| {
                let rows = &found.lanes.iter().find(|lane| lane.shard == lease.shard).unwrap().rows;
                let known = if known == 0 { 0 } else { (n + known) % 3 };
                let known = rows.iter().take(known).map(|row| row.message.seq).collect();
                let after = if n < busy { 0 } else { i64::MAX };
                LaneRead { after, known, limit: 5, ..Owner::lane(lease) }
            });
            let request = ReadRequest { processor: owner.id, lanes: lanes.collect() };
            let known: Vec<i64> = request.lanes.iter().flat_map(|lane| lane.known.clone()).collect();
            let reply = store.read(request).await.unwrap();
            assert_eq!(reply.lanes.iter().filter(|lane| lane.rows.len() == 5 && lane.more).count(), busy);
            assert!(reply.lanes.iter().flat_map(|lane| &lane.rows).all(|row| !known.contains(&row.message.seq)));
        }
        prepared.push(numbers(&pool, PREPARED).await[0]);
    }
    assert!(prepared[0] >= 8, "what was prepared is seen: {prepared:?}");
    assert_eq!(prepared[0], prepared[1]);
}
