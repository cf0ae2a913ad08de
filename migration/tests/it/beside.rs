//! Beside a user's own migrator, in either order, and spliced into it.

use outbox_migration::sea_orm::{ConnectionTrait, DbErr};
use outbox_migration::sea_orm_migration::{MigrationName, MigrationTrait, MigratorTrait, SchemaManager, async_trait};
use outbox_migration::{Migrator, Options, OutboxMigrator, Status, TableNames, check, migrations, migrations_with};

use crate::support::{Scratch, connect_with, count, on_each_database, tables};

on_each_database! {
    outbox_first
    outbox_last
    spliced_alone
    spliced_after_stand_alone
    stand_alone_after_spliced
    fresh_spares_other_tables
    two_outboxes_in_one_migrator
    a_pool_of_one_is_enough
}

struct CreateCake;

impl MigrationName for CreateCake {
    fn name(&self) -> &str {
        "m20200101_000001_create_cake"
    }
}

#[allow(elided_lifetimes_in_paths, reason = "the trait leaves it out, which here makes a difference")]
#[async_trait::async_trait]
impl MigrationTrait for CreateCake {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("CREATE TABLE cake (id INT NOT NULL PRIMARY KEY)").await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP TABLE cake").await.map(drop)
    }
}

struct Own;

impl MigratorTrait for Own {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(CreateCake)]
    }
}

struct Spliced;

impl MigratorTrait for Spliced {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        Own::migrations().into_iter().chain(migrations()).collect()
    }
}

struct TwoOutboxes;

impl MigratorTrait for TwoOutboxes {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let shop = Options::default().prefix("shop").unwrap().shards(8).unwrap();
        migrations().into_iter().chain(migrations_with(shop)).collect()
    }
}

async fn is_whole(db: &impl ConnectionTrait) {
    check(db, &TableNames::default()).await.unwrap();
    assert_eq!(count(db, "outbox_shard").await, 64);
}

async fn outbox_first(Scratch { db, .. }: Scratch) {
    Migrator::up(&db, None).await.unwrap();
    Own::up(&db, None).await.unwrap();
    Own::down(&db, None).await.unwrap();
    is_whole(&db).await;
    assert!(!tables(&db).await.contains(&"cake".to_owned()));
}

async fn outbox_last(Scratch { db, .. }: Scratch) {
    Own::up(&db, None).await.unwrap();
    Migrator::up(&db, None).await.unwrap();
    is_whole(&db).await;
    Own::up(&db, None).await.unwrap();
    Migrator::reset(&db).await.unwrap();
    assert_eq!(tables(&db).await, ["cake", "seaql_migrations"]);
    Own::down(&db, None).await.unwrap();
}

async fn spliced_alone(Scratch { db, .. }: Scratch) {
    for _ in 0..2 {
        Spliced::up(&db, None).await.unwrap();
        is_whole(&db).await;
        assert_eq!(count(&db, "seaql_migrations").await, 2);
        assert!(!tables(&db).await.contains(&"outbox_migrations".to_owned()));
        Spliced::up(&db, None).await.unwrap();
        Spliced::down(&db, None).await.unwrap();
        assert_eq!(tables(&db).await, ["seaql_migrations"]);
    }
}

async fn spliced_after_stand_alone(Scratch { db, .. }: Scratch) {
    Migrator::up(&db, None).await.unwrap();
    Spliced::up(&db, None).await.unwrap();
    is_whole(&db).await;
    // Whoever drops them, the other one makes them again.
    Spliced::down(&db, None).await.unwrap();
    assert_eq!(OutboxMigrator::default().status(&db).await.unwrap(), Status::Missing);
    Migrator::up(&db, None).await.unwrap();
    is_whole(&db).await;
}

async fn stand_alone_after_spliced(Scratch { db, .. }: Scratch) {
    Spliced::up(&db, None).await.unwrap();
    Migrator::up(&db, None).await.unwrap();
    is_whole(&db).await;
    Migrator::down(&db, None).await.unwrap();
    Spliced::down(&db, None).await.unwrap();
    Spliced::up(&db, None).await.unwrap();
    is_whole(&db).await;
}

async fn fresh_spares_other_tables(Scratch { db, .. }: Scratch) {
    Own::up(&db, None).await.unwrap();
    Migrator::fresh(&db).await.unwrap();
    Migrator::fresh(&db).await.unwrap();
    is_whole(&db).await;
    assert_eq!(count(&db, "cake").await, 0);
    assert_eq!(count(&db, "seaql_migrations").await, 1);
    let pending = Migrator::get_pending_migrations_read_only(&db).await.unwrap();
    assert!(pending.is_empty());
}

async fn two_outboxes_in_one_migrator(Scratch { db, .. }: Scratch) {
    TwoOutboxes::up(&db, None).await.unwrap();
    is_whole(&db).await;
    assert_eq!(count(&db, "shop_shard").await, 8);
    TwoOutboxes::down(&db, Some(1)).await.unwrap();
    is_whole(&db).await;
    assert!(check(&db, &TableNames::new("shop").unwrap()).await.is_err());
}

async fn a_pool_of_one_is_enough(Scratch { url, .. }: Scratch) {
    let db = connect_with(&url, 1).await;
    Spliced::up(&db, None).await.unwrap();
    is_whole(&db).await;
    Spliced::down(&db, None).await.unwrap();
    Migrator::up(&db, None).await.unwrap();
    is_whole(&db).await;
    Migrator::reset(&db).await.unwrap();
}
