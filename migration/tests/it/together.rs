//! Many at once, and callers who go away.

use std::time::Duration;

use outbox_migration::sea_orm::{DbBackend, TransactionTrait};
use outbox_migration::{Options, OutboxMigrator, Status, TableNames, check};

use crate::support::{Scratch, connect, connect_with, count, execute, on_each_database, tables};

on_each_database! {
    eight_at_once
    eight_at_once_on_one_pool
    up_and_down_at_once
    a_cancelled_caller_harms_nothing
    inside_a_transaction
    a_deadlock_with_a_program_that_runs
}

async fn eight_at_once(Scratch { db, url, .. }: Scratch) {
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move {
                let db = connect(&url).await;
                let made = OutboxMigrator::default().up(&db).await.unwrap();
                check(&db, &TableNames::default()).await.unwrap();
                db.close().await.unwrap();
                made
            })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        made += u32::from(task.await.unwrap());
    }
    assert_eq!(made, 1, "exactly one does the work");
    assert_eq!(count(&db, "outbox_shard").await, 64);
    assert_eq!(count(&db, "outbox_migrations").await, 1);
}

async fn eight_at_once_on_one_pool(Scratch { db, .. }: Scratch) {
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let db = db.clone();
            // Half of them want something else, and one of the two comes first.
            let options = Options::default().shards(if number % 2 == 0 { 64 } else { 32 }).unwrap();
            tokio::spawn(async move { OutboxMigrator::new(options).up(&db).await })
        })
        .collect();
    let (mut made, mut refused) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(first) => made += u32::from(first),
            Err(_) => refused += 1,
        }
    }
    assert_eq!((made, refused), (1, 4));
    let info = check(&db, &TableNames::default()).await.unwrap();
    assert_eq!(count(&db, "outbox_shard").await, i64::from(info.shard_count));
}

async fn up_and_down_at_once(Scratch { db, .. }: Scratch) {
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let db = db.clone();
            tokio::spawn(async move {
                let migrator = OutboxMigrator::default();
                if number % 2 == 0 { migrator.up(&db).await } else { migrator.down(&db).await }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    match OutboxMigrator::default().status(&db).await.unwrap() {
        Status::Missing => assert_eq!(tables(&db).await, ["outbox_migrations"]),
        Status::Applied(_) => assert_eq!(count(&db, "outbox_shard").await, 64),
        status => panic!("{status:?}"),
    }
}

async fn a_cancelled_caller_harms_nothing(Scratch { db, .. }: Scratch) {
    for micros in [0, 100, 300, 1_000, 3_000, 10_000] {
        let migrator = OutboxMigrator::default();
        let late = tokio::time::timeout(Duration::from_micros(micros), migrator.up(&db)).await;
        drop(late);
        // The run goes on without its caller; this one waits for it.
        migrator.up(&db).await.unwrap();
        // No connection of the pool is left in a transaction: what is written is seen by the others.
        execute(&db, "UPDATE outbox_shard SET epoch = epoch + 1").await;
        let other = db.begin().await.unwrap();
        assert_eq!(count(&other, "outbox_shard WHERE epoch = 1").await, 64);
        other.rollback().await.unwrap();
        migrator.down(&db).await.unwrap();
    }
}

async fn inside_a_transaction(Scratch { db, .. }: Scratch) {
    let migrator = OutboxMigrator::default();
    let txn = db.begin().await.unwrap();
    migrator.up(&txn).await.unwrap();
    check(&txn, &TableNames::default()).await.unwrap();
    txn.rollback().await.unwrap();
    if db.get_database_backend() == DbBackend::MySql {
        // DDL commits there.
        check(&db, &TableNames::default()).await.unwrap();
        migrator.down(&db).await.unwrap();
    }
    assert_eq!(migrator.status(&db).await.unwrap(), Status::Missing);

    let txn = db.begin().await.unwrap();
    migrator.up(txn).await.unwrap();
    check(&db, &TableNames::default()).await.unwrap();
}

/// Programs take the tables in orders of their own. Elsewhere it is they who give way, or nobody can hold a part of the
/// tables alone.
async fn a_deadlock_with_a_program_that_runs(Scratch { db, url, .. }: Scratch) {
    if db.get_database_backend() != DbBackend::Postgres {
        return;
    }
    OutboxMigrator::default().up(&db).await.unwrap();
    let migrator = connect_with(&url, 1).await;
    // The one who waited for so long first has to begin again.
    execute(&migrator, "SET deadlock_timeout = '2s'").await;
    let program = db.begin().await.unwrap();
    execute(&program, "SET LOCAL deadlock_timeout = '60s'").await;
    assert_eq!(count(&program, "outbox_meta WHERE name = 'hash'").await, 1);
    let down = tokio::spawn(async move { OutboxMigrator::default().down(&migrator).await });
    let waiting = "pg_locks WHERE relation = 'outbox_meta'::regclass AND NOT granted";
    while count(&db, waiting).await == 0 {
        assert!(!down.is_finished(), "{down:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(count(&program, "outbox_event").await, 0);
    program.commit().await.unwrap();
    assert!(down.await.unwrap().unwrap());
}
