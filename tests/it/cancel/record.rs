//! Recording through any connection.

use outbox_sea_orm::{record as record_event, record_with};
use outbox_tests::{Kind, drop_at};
use sea_orm::TransactionTrait;

use super::transactions::committed;
use super::world::{World, event, put};
use super::{Done, Left};

pub(super) async fn in_a_transaction(world: &World, label: &str, n: usize) -> Done {
    let txn = world.outbox.begin().await.unwrap();
    put(&txn, label).await.unwrap();
    match drop_at(n, record_event(&txn, &event(label))).await {
        Some(answer) => committed(txn, Some(&answer.unwrap())).await,
        None => rolled_back(txn).await,
    }
}

pub(super) async fn with_options_in_a_transaction(world: &World, label: &str, n: usize) -> Done {
    let txn = world.outbox.begin().await.unwrap();
    put(&txn, label).await.unwrap();
    match drop_at(n, world.outbox.record_with(&txn, &event(label), |options| options)).await {
        Some(answer) => committed(txn, Some(&answer.unwrap())).await,
        None => rolled_back(txn).await,
    }
}

/// What a program does whose call was given up.
async fn rolled_back(txn: outbox_sea_orm::OutboxTransaction) -> Done {
    txn.rollback().await.unwrap();
    Done { completed: false, left: Left::Nothing }
}

pub(super) async fn on_the_outbox(world: &World, label: &str, n: usize) -> Done {
    let answer = drop_at(n, world.outbox.record(&world.outbox, &event(label))).await;
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Event, Left::EventOrNothing)
}

pub(super) async fn with_options_on_the_outbox(world: &World, label: &str, n: usize) -> Done {
    let answer = drop_at(n, record_with(&world.outbox, &event(label), |options| options)).await;
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Event, Left::EventOrNothing)
}

pub(super) async fn on_a_plain_pool(world: &World, label: &str, n: usize) -> Done {
    let answer = drop_at(n, world.outbox.record(world.conn(), &event(label))).await;
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Event, Left::EventOrNothing)
}

pub(super) async fn on_a_plain_transaction(world: &World, label: &str, n: usize) -> Done {
    let txn = world.conn().begin().await.unwrap();
    put(&txn, label).await.unwrap();
    // A statement that is dropped in a plain transaction can cost MariaDB's pool the connection: that is SeaORM's own
    // transaction, and not ours to mend.
    let n = if world.db.kind() == Kind::MariaDb { usize::MAX } else { n };
    let answer = drop_at(n, world.outbox.record(&txn, &event(label))).await.map(Result::unwrap);
    if answer.is_some() {
        txn.commit().await.unwrap();
    }
    Done::new(answer.as_ref(), Left::Both, Left::Nothing)
}
