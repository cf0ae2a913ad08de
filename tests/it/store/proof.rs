//! What PostgreSQL takes for decided, and what holds it up.

use sea_orm::{ConnectionTrait, DatabaseTransaction, Statement, TransactionTrait};
use uuid::Uuid;

use super::fixture::Outboxed;
use super::owner::{LONG, Owner, commit, only};

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_is_an_open_one() {
    let Some(db) = outbox_tests::postgres().await else { return };
    let outboxed = Outboxed::new(db).await;
    let settings = Statement::from_string(outboxed.db.backend(), "SHOW max_prepared_transactions");
    let row = outboxed.db.connection().query_one_raw(settings).await.unwrap().unwrap();
    let most: String = row.try_get_by_index(0).unwrap();
    assert_ne!(most, "0", "set max_prepared_transactions on the server, or leave postgres out by name");
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
