//! Making and dropping the tables: of another outbox, beside the one that the world looks at.

use outbox_sea_orm::migration::{Migrator, Options, OutboxMigrator};
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

pub(super) async fn standard_up(world: &World, _label: &str, n: usize) -> Done {
    let answer = drop_at(n, Migrator::up(world.conn(), None)).await.map(Result::unwrap);
    Done::new(answer.as_ref(), Left::Nothing, Left::Nothing)
}
