//! Prefix, schema, shard count and payload column, and tables that do not fit them.

use outbox_migration::sea_orm::{ConnectOptions, Database, DbBackend, DbErr, TransactionTrait};
use outbox_migration::{
    CheckError, MigrateError, Migrator, Options, OutboxMigrator, Payload, Status, TableNames, check,
};

use crate::support::{Scratch, count, execute, on_each_database, scratch, tables, texts, unique};

on_each_database! {
    other_options_are_refused
    prefix_schema_shards_and_payload
    foreign_tables_are_left_alone
    an_unfinished_run_is_completed
    an_unfinished_run_keeps_its_options
    other_versions_are_refused
    checking_never_aborts_a_transaction
}

async fn other_options_are_refused(Scratch { db, .. }: Scratch) {
    Migrator::up(&db, None).await.unwrap();
    let before = tables(&db).await;
    let others = [
        (Options::default().shards(128).unwrap(), "shard_count 64, not 128"),
        (Options::default().shards(1).unwrap(), "shard_count 64, not 1"),
        (Options::default().payload(Payload::Binary), "payload text, not binary"),
    ];
    for (options, words) in others {
        let error = OutboxMigrator::new(options).up(&db).await.unwrap_err();
        assert!(matches!(error, MigrateError::Mismatch(_)), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(DbErr::from(error).to_string().contains(words));
    }
    assert_eq!(tables(&db).await, before);
    assert_eq!(count(&db, "outbox_shard").await, 64);
    assert_eq!(check(&db, &TableNames::default()).await.unwrap().shard_count, 64);
}

async fn prefix_schema_shards_and_payload(Scratch { db, .. }: Scratch) {
    let backend = db.get_database_backend();
    let options = Options::default().prefix("Shop_2").unwrap().shards(1024).unwrap().payload(Payload::Binary);
    let schema = unique("billing");
    let with_schema = options.clone().schema(&schema).unwrap();
    if backend == DbBackend::Sqlite {
        let error = OutboxMigrator::new(with_schema.clone()).up(&db).await.unwrap_err();
        assert!(matches!(error, MigrateError::NoSchemas { .. }), "{error}");
        assert!(matches!(check(&db, with_schema.names()).await, Err(CheckError::NoSchemas { .. })));
    }
    let options = if backend == DbBackend::Sqlite { options } else { with_schema };
    let migrator = OutboxMigrator::new(options);
    let names = migrator.options().names();
    for _ in 0..2 {
        assert!(migrator.up(&db).await.unwrap());
        assert!(!migrator.up(&db).await.unwrap());
        let info = check(&db, names).await.unwrap();
        assert_eq!((info.shard_count, info.payload), (1024, Payload::Binary));
        assert_eq!(count(&db, &names.shard(backend)).await, 1024);
        assert_eq!(count(&db, &names.migrations(backend)).await, 1);
        if backend != DbBackend::Sqlite {
            assert!(tables(&db).await.is_empty(), "nothing lands outside the schema");
        }
        assert!(matches!(check(&db, &TableNames::default()).await, Err(CheckError::Missing { .. })));
        assert!(migrator.down(&db).await.unwrap());
    }
}

async fn foreign_tables_are_left_alone(Scratch { db, .. }: Scratch) {
    execute(&db, "CREATE TABLE outbox_event (id INT)").await;
    let error = OutboxMigrator::default().up(&db).await.unwrap_err();
    assert!(matches!(&error, MigrateError::Foreign { table } if table.contains("outbox_event")), "{error}");
    assert!(!OutboxMigrator::default().down(&db).await.unwrap());
    assert_eq!(tables(&db).await, ["outbox_event"]);

    execute(&db, "CREATE TABLE outbox_meta (name VARCHAR(9), value VARCHAR(9))").await;
    execute(&db, "INSERT INTO outbox_meta VALUES ('a', 'b')").await;
    assert!(matches!(OutboxMigrator::default().up(&db).await, Err(MigrateError::Foreign { .. })));
    assert!(matches!(OutboxMigrator::default().down(&db).await, Err(MigrateError::Foreign { .. })));
    assert_eq!(tables(&db).await, ["outbox_event", "outbox_meta"]);
}

async fn an_unfinished_run_is_completed(Scratch { db, .. }: Scratch) {
    let migrator = OutboxMigrator::default();
    migrator.up(&db).await.unwrap();
    execute(&db, "DELETE FROM outbox_meta WHERE name = 'schema_version'").await;
    execute(&db, "DELETE FROM outbox_shard WHERE shard > 5").await;
    execute(&db, "UPDATE outbox_shard SET epoch = 3").await;
    execute(&db, "DROP TABLE outbox_dead").await;
    assert!(matches!(check(&db, &TableNames::default()).await, Err(CheckError::Incomplete { .. })));
    assert_eq!(migrator.status(&db).await.unwrap(), Status::Incomplete);
    assert!(migrator.up(&db).await.unwrap());
    assert_eq!(count(&db, "outbox_shard").await, 64);
    assert_eq!(count(&db, "outbox_shard WHERE epoch = 3").await, 6);
    assert_eq!(count(&db, "outbox_dead").await, 0);
    check(&db, &TableNames::default()).await.unwrap();
}

async fn an_unfinished_run_keeps_its_options(Scratch { db, .. }: Scratch) {
    Migrator::up(&db, None).await.unwrap();
    execute(&db, "DELETE FROM outbox_meta WHERE name = 'schema_version'").await;
    let other = OutboxMigrator::new(Options::default().payload(Payload::Binary));
    assert!(matches!(other.up(&db).await, Err(MigrateError::Mismatch(_))));
    // It can still be dropped.
    assert!(OutboxMigrator::default().down(&db).await.unwrap());
    assert_eq!(tables(&db).await, ["outbox_migrations"]);
}

async fn other_versions_are_refused(Scratch { db, .. }: Scratch) {
    Migrator::up(&db, None).await.unwrap();
    for (name, value) in [("schema_version", "2"), ("hash", "md5-1")] {
        let was = texts(&db, &format!("SELECT value FROM outbox_meta WHERE name = '{name}'")).await.remove(0);
        execute(&db, &format!("UPDATE outbox_meta SET value = '{value}' WHERE name = '{name}'")).await;
        let error = check(&db, &TableNames::default()).await.unwrap_err();
        assert!(matches!(&error, CheckError::Mismatch(mismatch) if mismatch.what == name), "{error}");
        assert!(matches!(OutboxMigrator::default().up(&db).await, Err(MigrateError::Mismatch(_))));
        if name == "schema_version" {
            assert!(matches!(OutboxMigrator::default().down(&db).await, Err(MigrateError::Mismatch(_))));
        }
        execute(&db, &format!("UPDATE outbox_meta SET value = '{was}' WHERE name = '{name}'")).await;
    }
    check(&db, &TableNames::default()).await.unwrap();
}

async fn checking_never_aborts_a_transaction(Scratch { db, .. }: Scratch) {
    execute(&db, "CREATE TABLE cake (id INT)").await;
    let txn = db.begin().await.unwrap();
    execute(&txn, "INSERT INTO cake VALUES (1)").await;
    let error = check(&txn, &TableNames::default()).await.unwrap_err();
    assert!(error.to_string().contains("Migrator::up(&db, None).await?"), "{error}");
    assert!(error.to_string().contains("`outbox-migrate up`"), "{error}");
    execute(&txn, "INSERT INTO cake VALUES (2)").await;
    txn.commit().await.unwrap();
    assert_eq!(count(&db, "cake").await, 2);
}

/// A tenant per schema: `up` and `down` mean the connection's own one, `check` looks where statements would.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_path_is_followed() {
    let Some(Scratch { db, url, .. }) = scratch("postgres").await else { return };
    execute(&db, "CREATE SCHEMA tenant").await;
    let mut connect = ConnectOptions::new(&url);
    connect.set_schema_search_path("tenant,public").sqlx_logging(false);
    let tenant = Database::connect(connect).await.unwrap();
    let small = OutboxMigrator::new(Options::default().shards(2).unwrap());

    Migrator::up(&db, None).await.unwrap();
    assert_eq!(check(&tenant, &TableNames::default()).await.unwrap().shard_count, 64);
    assert!(small.up(&tenant).await.unwrap());
    assert_eq!(check(&tenant, &TableNames::default()).await.unwrap().shard_count, 2);
    assert_eq!(check(&db, &TableNames::default()).await.unwrap().shard_count, 64);
    assert!(small.down(&tenant).await.unwrap());
    assert!(!small.down(&tenant).await.unwrap());
    assert_eq!(check(&tenant, &TableNames::default()).await.unwrap().shard_count, 64);

    connect = ConnectOptions::new(&url);
    connect.set_schema_search_path("nowhere").sqlx_logging(false);
    let nowhere = Database::connect(connect).await.unwrap();
    let error = DbErr::from(small.up(&nowhere).await.unwrap_err()).to_string();
    assert!(error.contains("no schema has been selected"), "{error}");
}
