//! Up, down, again, and what `down` refuses.

use outbox_migration::sea_orm_migration::MigratorTrait;
use outbox_migration::{
    CheckError, MigrateError, Migrator, Options, OutboxMigrator, Payload, Status, TableNames, check,
};

use crate::support::{Scratch, count, execute, insert_event, on_each_database, tables};

on_each_database! {
    up_makes_every_table
    up_twice_is_up_once
    down_and_up_again
    down_keeps_events_unless_forced
}

async fn up_makes_every_table(Scratch { db, .. }: Scratch) {
    let backend = db.get_database_backend();
    Migrator::up(&db, None).await.unwrap();
    let mut wanted = vec!["dead", "event", "meta", "migrations", "parked", "processor", "scheduled", "shard"];
    if backend == outbox_migration::sea_orm::DbBackend::MySql {
        wanted.extend(["gate", "lock"]);
        wanted.sort_unstable();
        assert_eq!(count(&db, "outbox_lock").await, 256);
        assert_eq!(count(&db, "outbox_gate").await, 16);
    }
    let wanted: Vec<_> = wanted.into_iter().map(|table| format!("outbox_{table}")).collect();
    assert_eq!(tables(&db).await, wanted);
    assert_eq!(count(&db, "outbox_shard").await, 64);
    let info = check(&db, &TableNames::default()).await.unwrap();
    assert_eq!((info.shard_count, info.payload, info.schema_version), (64, Payload::Text, 1));
    assert_eq!(info.hash, "xxh64-1");
}

async fn up_twice_is_up_once(Scratch { db, .. }: Scratch) {
    let migrator = OutboxMigrator::default();
    assert_eq!(migrator.status(&db).await.unwrap(), Status::Missing);
    assert!(migrator.up(&db).await.unwrap());
    execute(&db, "UPDATE outbox_shard SET epoch = 7").await;
    assert!(!migrator.up(&db).await.unwrap());
    <Migrator as MigratorTrait>::up(&db, None).await.unwrap();
    assert_eq!(count(&db, "outbox_shard WHERE epoch = 7").await, 64, "leases are kept");
    assert_eq!(count(&db, "outbox_migrations").await, 1);
    assert!(matches!(migrator.status(&db).await.unwrap(), Status::Applied(_)));
}

async fn down_and_up_again(Scratch { db, .. }: Scratch) {
    for _ in 0..2 {
        Migrator::up(&db, None).await.unwrap();
        Migrator::down(&db, None).await.unwrap();
        assert_eq!(tables(&db).await, ["outbox_migrations"]);
        assert_eq!(count(&db, "outbox_migrations").await, 0);
        assert!(matches!(check(&db, &TableNames::default()).await, Err(CheckError::Missing { .. })));
        Migrator::down(&db, None).await.unwrap();
    }
    Migrator::up(&db, None).await.unwrap();
    Migrator::refresh(&db).await.unwrap();
    assert_eq!(count(&db, "outbox_shard").await, 64);
    Migrator::reset(&db).await.unwrap();
    assert!(tables(&db).await.is_empty());
}

async fn down_keeps_events_unless_forced(Scratch { db, .. }: Scratch) {
    let migrator = OutboxMigrator::default();
    migrator.up(&db).await.unwrap();
    let backend = db.get_database_backend();
    execute(&db, &insert_event(backend, &migrator.options().names().event(backend), 'a', "k")).await;
    let before = tables(&db).await;
    let error = migrator.down(&db).await.unwrap_err();
    assert!(matches!(&error, MigrateError::Undelivered { table } if table.contains("outbox_event")), "{error}");
    Migrator::refresh(&db).await.unwrap_err();
    assert_eq!(tables(&db).await, before);
    assert_eq!(count(&db, "outbox_event").await, 1);
    check(&db, &TableNames::default()).await.unwrap();
    // Nothing stays locked.
    execute(&db, "DELETE FROM outbox_shard WHERE shard = 0").await;

    let forced = OutboxMigrator::new(Options::default().drop_undelivered(true));
    assert!(forced.down(&db).await.unwrap());
    assert!(!forced.down(&db).await.unwrap());
}
