//! Making and dropping the tables: of another outbox, beside the one that the world looks at.

use outbox_sea_orm::migration::sea_orm_migration::MigratorTraitSelf;
use outbox_sea_orm::migration::{self, Migrator, Options, OutboxMigrator, Status};
use outbox_tests::drop_at;

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

/// What SeaORM's command line calls: whatever became of it, the tables can be made, and are there then.
macro_rules! jobs {
    ($($name:ident: |$migrator:ident, $conn:ident| $call:expr;)*) => {$(
        pub(super) async fn $name(world: &World, _label: &str, n: usize) -> Done {
            let ($migrator, $conn) = (migrator(), world.conn());
            $migrator.up($conn).await.unwrap();
            let answer = drop_at(n, $call).await.map(Result::unwrap);
            world.at_rest().await;
            $migrator.up($conn).await.unwrap();
            assert!(matches!($migrator.status($conn).await.unwrap(), Status::Applied(_)));
            Done::new(answer.as_ref(), Left::Nothing, Left::Nothing)
        }
    )*};
}

jobs! {
    trait_up: |migrator, conn| MigratorTraitSelf::up(&migrator, conn, None);
    trait_down: |migrator, conn| MigratorTraitSelf::down(&migrator, conn, None);
    fresh: |migrator, conn| migrator.fresh(conn);
    refresh: |migrator, conn| migrator.refresh(conn);
    reset: |migrator, conn| migrator.reset(conn);
    install: |migrator, conn| migrator.install(conn);
    uninstall: |migrator, conn| migrator.uninstall(conn);
    models: |migrator, conn| migrator.get_migration_models(conn);
    migrations_with_status: |migrator, conn| migrator.get_migration_with_status_read_only(conn);
}
