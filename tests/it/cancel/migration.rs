//! Making and dropping the tables: of another outbox, beside the one that the world looks at, unless it is said.

use std::fmt::Debug;

use outbox_sea_orm::migration::sea_orm_migration::{MigrationTrait, MigratorTrait, MigratorTraitSelf, SchemaManager};
use outbox_sea_orm::migration::{self, Migrator, Options, OutboxMigrator, Status};
use outbox_tests::{Kind, drop_at};
use sea_orm::TransactionTrait;

use super::world::World;
use super::{Done, Left};

fn migrator() -> OutboxMigrator {
    OutboxMigrator::new(Options::default().prefix("other").unwrap())
}

pub(super) async fn up(world: &World, _label: &str, n: usize) -> Done {
    migrator().down(world.conn()).await.unwrap();
    let answer = drop_at(n, migrator().up(world.conn())).await.map(Result::unwrap);
    world.at_rest().await;
    migrator().up(world.conn()).await.unwrap();
    migrator().status(world.conn()).await.unwrap();
    Done::new(answer.as_ref(), Left::Nothing, Left::Nothing)
}

pub(super) async fn down(world: &World, _label: &str, n: usize) -> Done {
    migrator().up(world.conn()).await.unwrap();
    let answer = drop_at(n, migrator().down(world.conn())).await.map(Result::unwrap);
    world.at_rest().await;
    migrator().down(world.conn()).await.unwrap();
    Done::new(answer.as_ref(), Left::Nothing, Left::Nothing)
}

pub(super) async fn status(world: &World, _label: &str, n: usize) -> Done {
    let answer = drop_at(n, migrator().status(world.conn())).await.map(Result::unwrap);
    Done::new(answer.as_ref(), Left::Nothing, Left::Nothing)
}

pub(super) async fn check(world: &World, _label: &str, n: usize) -> Done {
    migrator().up(world.conn()).await.unwrap();
    let migrator = migrator();
    let answer = drop_at(n, migration::check(world.conn(), migrator.options().names())).await.map(Result::unwrap);
    Done::new(answer.as_ref(), Left::Nothing, Left::Nothing)
}

pub(super) async fn standard_up(world: &World, _label: &str, n: usize) -> Done {
    let answer = drop_at(n, Migrator::up(world.conn(), None)).await.map(Result::unwrap);
    Done::new(answer.as_ref(), Left::Nothing, Left::Nothing)
}

/// Whatever became of a call, the tables can be made, and are there then.
async fn mended<T, E: Debug>(world: &World, migrator: OutboxMigrator, answer: Option<Result<T, E>>) -> Done {
    world.at_rest().await;
    migrator.up(world.conn()).await.unwrap();
    assert!(matches!(migrator.status(world.conn()).await.unwrap(), Status::Applied(_)));
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Nothing, Left::Nothing)
}

/// What SeaORM's command line calls, where there are tables already.
macro_rules! jobs {
    ($of:expr; $($name:ident: |$migrator:ident, $conn:ident| $call:expr;)*) => {$(
        pub(super) async fn $name(world: &World, _label: &str, n: usize) -> Done {
            let ($migrator, $conn) = ($of, world.conn());
            $migrator.up($conn).await.unwrap();
            let answer = drop_at(n, $call).await;
            mended(world, $migrator, answer).await
        }
    )*};
}

jobs! { migrator();
    trait_up: |migrator, conn| MigratorTraitSelf::up(&migrator, conn, None);
    trait_down: |migrator, conn| MigratorTraitSelf::down(&migrator, conn, None);
    fresh: |migrator, conn| migrator.fresh(conn);
    refresh: |migrator, conn| migrator.refresh(conn);
    reset: |migrator, conn| migrator.reset(conn);
    install: |migrator, conn| migrator.install(conn);
    uninstall: |migrator, conn| migrator.uninstall(conn);
    models: |migrator, conn| migrator.get_migration_models(conn);
    migrations_with_status: |migrator, conn| migrator.get_migration_with_status_read_only(conn);
    spliced_down: |migrator, conn| async { spliced(&migrator).down(&SchemaManager::new(conn)).await };
}

// The tables that the world looks at.
jobs! { OutboxMigrator::default();
    standard_down: |migrator, conn| Migrator::down(conn, None);
    standard_trait_up: |migrator, conn| <Migrator as MigratorTrait>::up(conn, None);
    standard_trait_down: |migrator, conn| <Migrator as MigratorTrait>::down(conn, None);
    standard_fresh: |migrator, conn| <Migrator as MigratorTrait>::fresh(conn);
    standard_refresh: |migrator, conn| <Migrator as MigratorTrait>::refresh(conn);
    standard_reset: |migrator, conn| <Migrator as MigratorTrait>::reset(conn);
    standard_install: |migrator, conn| <Migrator as MigratorTrait>::install(conn);
    standard_uninstall: |migrator, conn| <Migrator as MigratorTrait>::uninstall(conn);
    standard_models: |migrator, conn| <Migrator as MigratorTrait>::get_migration_models(conn);
    standard_migrations_with_status:
        |migrator, conn| <Migrator as MigratorTrait>::get_migration_with_status_read_only(conn);
}

/// The migration as another migrator has it.
fn spliced(migrator: &OutboxMigrator) -> Box<dyn MigrationTrait> {
    migration::migrations_with(migrator.options().clone()).remove(0)
}

pub(super) async fn spliced_up(world: &World, _label: &str, n: usize) -> Done {
    let migrator = migrator();
    migrator.down(world.conn()).await.unwrap();
    let answer = drop_at(n, async { spliced(&migrator).up(&SchemaManager::new(world.conn())).await }).await;
    mended(world, migrator, answer).await
}

/// Where a transaction is given, and the caller goes away with it: nothing is left of either. On MariaDB it is not
/// dropped: there DDL commits, and a statement that is dropped in a plain transaction can cost the pool a connection.
fn of_transaction(world: &World, n: usize) -> usize {
    if world.db.kind() == Kind::MariaDb { usize::MAX } else { n }
}

pub(super) async fn up_in_a_transaction(world: &World, _label: &str, n: usize) -> Done {
    let migrator = migrator();
    migrator.down(world.conn()).await.unwrap();
    let txn = world.conn().begin().await.unwrap();
    let answer = drop_at(of_transaction(world, n), migrator.up(&txn)).await;
    let there = answer.is_some();
    if there {
        txn.commit().await.unwrap();
    } else {
        drop(txn);
    }
    ended(world, migrator, answer, there).await
}

/// Given by value, it is committed: dropped meanwhile, the tables are there or not.
pub(super) async fn up_in_an_owned_transaction(world: &World, _label: &str, n: usize) -> Done {
    let migrator = migrator();
    migrator.down(world.conn()).await.unwrap();
    let txn = world.conn().begin().await.unwrap();
    let answer = drop_at(of_transaction(world, n), migrator.up(txn)).await;
    if answer.is_some() {
        return ended(world, migrator, answer, true).await;
    }
    mended(world, migrator, answer).await
}

pub(super) async fn down_in_a_transaction(world: &World, _label: &str, n: usize) -> Done {
    let migrator = migrator();
    migrator.up(world.conn()).await.unwrap();
    let txn = world.conn().begin().await.unwrap();
    let answer = drop_at(of_transaction(world, n), migrator.down(&txn)).await;
    let there = answer.is_none();
    if there {
        drop(txn);
    } else {
        txn.commit().await.unwrap();
    }
    ended(world, migrator, answer, there).await
}

/// The tables came or went with their transaction.
async fn ended<T, E: Debug>(
    world: &World,
    migrator: OutboxMigrator,
    answer: Option<Result<T, E>>,
    there: bool,
) -> Done {
    world.at_rest().await;
    let status = migrator.status(world.conn()).await.unwrap();
    assert_eq!(matches!(status, Status::Applied(_)), there, "{status:?}");
    mended(world, migrator, answer).await
}
